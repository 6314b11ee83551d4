"""A GPU that fails while a stream runs: its frames leave masked, then it or the CPU hides again."""

from __future__ import annotations

import ctypes
import gc
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.build import releaser
from edge.config import Settings
from edge.errors import DeviceError, InferenceError, PrivaedgeError
from edge.frame import Planes
from edge.inference.budget import MAX_FAILURES, FailureBudget
from edge.live import LivePipeline
from edge.redact import cuda_proof
from edge.redact.cpu import CpuRedactor
from edge.redact.effects import RedactionStyle
from edge.redact.failover import FailoverRedactor
from edge.redact.packing import MOST_REGIONS
from edge.release import Releaser
from edge.stats import REDACTION
from tests.harness import FRAMES, HIDDEN, SIZE, Script, Seen, decode, fine_detail, likeness, run
from tests.harness import true_face as face_at
from tests.redact.emulator import emulated, opened, separate
from tests.redact.test_cuda_proof import vouch
from tests.test_live import Camera, run_live, shows

STYLE = RedactionStyle()
BOX = np.array([[40.0, 30.0, 120.0, 110.0]])
FOR_EVER = -1


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ctypes.CDLL]:
    """A GPU that faults can be planted in, of which nobody else holds the context."""
    library = separate(tmp_path)
    device = emulated(library)
    vouch(tmp_path / "engines", device)
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setattr(cuda_proof, "Cuda", lambda: opened(library))
    api = device.emulator
    assert api is not None
    api.fail_launches(-1, 0)
    del device
    assert api.count_holders() == 0
    cuda_proof._first_gpu.cache_clear()
    yield api
    cuda_proof._first_gpu.cache_clear()
    gc.collect()  # pipelines hold themselves
    assert api.count_holders() == 0
    assert api.count_live() == 0


def launches_of_proof(api: ctypes.CDLL) -> int:
    before = api.count_launches()
    cuda_proof.open_redactor(STYLE, *SIZE).close()
    return int(api.count_launches() - before)


def failover(budget: FailureBudget | None = None) -> FailoverRedactor:
    gpu = cuda_proof.open_redactor(STYLE, 320, 180)
    return FailoverRedactor(STYLE, gpu, lambda: cuda_proof.reopen_redactor(STYLE, 320, 180), budget)


def picture() -> Planes:
    rng = np.random.default_rng(3)
    y = rng.integers(16, 236, (180, 320), np.uint8)
    return Planes("yuv420p", y, tuple(rng.integers(16, 241, (2, 90, 160), np.uint8)))


def expect(one: Planes, other: Planes) -> None:
    for a, b in zip((one.y, *one.chroma), (other.y, *other.chroma), strict=True):
        np.testing.assert_array_equal(a, b)


def hides(redactor: FailoverRedactor) -> None:
    one, other = picture(), picture()
    redactor.redact(one, BOX)
    CpuRedactor(STYLE).redact(other, BOX)
    expect(one, other)


def fails(redactor: FailoverRedactor) -> None:
    """The frame is not touched by what fails, and masked afterwards."""
    one, other = picture(), picture()
    with pytest.raises(PrivaedgeError):
        redactor.redact(one, BOX)
    expect(one, other)
    redactor.mask_whole(one)
    CpuRedactor(STYLE).mask_whole(other)
    expect(one, other)


def test_a_failure_now_and_then_is_forgotten(emulator):
    window = 20
    redactor = failover(FailureBudget(window=window))
    for _ in range(MAX_FAILURES + 1):
        emulator.fail_launches(1, 1)  # the first kernel of two has run
        fails(redactor)
        for _ in range(window // (MAX_FAILURES - 1)):
            hides(redactor)
        assert redactor.take_troubles() == [
            "the GPU failed, a frame was masked, it is set up again"
        ]
    assert not redactor.on_cpu
    assert redactor.failures == MAX_FAILURES + 1
    before = emulator.count_launches()
    hides(redactor)
    assert emulator.count_launches() > before


def test_a_gpu_that_fails_at_every_other_frame_is_given_up(emulator):
    redactor = failover()
    for _ in range(MAX_FAILURES):
        emulator.fail_launches(1, 1)
        fails(redactor)
        hides(redactor)
    assert redactor.on_cpu


@pytest.mark.parametrize("count", [MAX_FAILURES, FOR_EVER])
def test_the_third_failure_hands_over_to_the_cpu_for_good(emulator, count, caplog):
    redactor = failover()
    emulator.fail_launches(0, count)
    with caplog.at_level(logging.WARNING):
        for _ in range(MAX_FAILURES):
            assert not redactor.on_cpu
            fails(redactor)
    assert redactor.on_cpu
    *_, last = redactor.take_troubles()
    assert last == "the GPU failed 3 times, the CPU hides from now on"
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == MAX_FAILURES
    assert told[-1].startswith(last)
    assert "cuLaunchKernel failed with error 719" in told[-1]
    assert not any("\n" in line for line in told)
    emulator.fail_launches(-1, 0)
    before = emulator.count_launches()
    for _ in range(3):
        hides(redactor)
    assert emulator.count_launches() == before
    assert emulator.count_live() == 0, "the GPU's memory is still held"
    assert redactor.take_troubles() == []


def test_short_memory_counts_like_any_failure(emulator):
    redactor = failover()
    emulator.fail_launches(0, 1)
    emulator.limit_memory(0)
    fails(redactor)
    fails(redactor)
    emulator.limit_memory(-1)
    hides(redactor)
    assert (redactor.failures, redactor.on_cpu) == (2, False)


def test_a_lost_device_comes_back_in_a_new_context(emulator):
    redactor = failover()
    emulator.lose_device()
    fails(redactor)
    hides(redactor)
    assert (redactor.failures, redactor.on_cpu) == (1, False)


def test_a_device_that_others_hold_as_well_stays_lost(emulator, tmp_path):
    other = opened(separate(tmp_path))
    redactor = failover()
    emulator.lose_device()
    for _ in range(MAX_FAILURES):
        fails(redactor)
    hides(redactor)
    assert redactor.on_cpu
    del other


def test_a_picture_masked_for_another_reason_is_masked_though_the_gpu_fails(emulator):
    redactor = failover()
    emulator.fail_launches(0, 1)
    one, other = picture(), picture()
    redactor.mask_whole(one)
    CpuRedactor(STYLE).mask_whole(other)
    expect(one, other)
    assert redactor.failures == 1
    hides(redactor)


def test_a_picture_that_the_tables_cannot_hold_is_not_the_gpus_fault(emulator):
    redactor = failover()
    crowd = np.repeat(BOX, MOST_REGIONS + 1, axis=0)
    for _ in range(MAX_FAILURES):
        with pytest.raises(InferenceError, match="regions are more"):
            redactor.redact(picture(), crowd)
        with pytest.raises(ValueError, match="box"):
            redactor.redact(picture(), np.zeros((1, 3)))
    assert (redactor.failures, redactor.on_cpu) == (0, False)
    assert redactor.take_troubles() == []


def test_a_driver_that_fails_is_told_from_other_errors():
    assert issubclass(DeviceError, InferenceError)


@pytest.mark.parametrize(("count", "failures"), [(1, 1), (MAX_FAILURES, 3), (FOR_EVER, 3)])
def test_a_film_is_masked_where_the_gpu_fails_and_hidden_everywhere_else(
    emulator, clip, tmp_path, count, failures
):
    emulator.fail_launches(launches_of_proof(emulator) + 2 * 20, count)
    out = tmp_path / "out.mp4"
    stats = run(Script(), clip, out, "runtime.device=cuda").stats
    seen = Seen.between(clip, out)
    assert seen.faces == set()
    assert seen.masked == set(range(20, 20 + failures))
    assert stats.frames_masked == stats.masked_by[REDACTION] == failures
    assert stats.failures == {REDACTION: failures}
    handed_over = "redaction: the GPU failed 3 times, the CPU hides from now on"
    assert (handed_over in stats.reasons) == (failures == MAX_FAILURES)


def test_a_film_goes_on_after_the_device_was_lost(emulator, clip, tmp_path):
    def lose(number: int) -> None:
        if number == 6:
            emulator.lose_device()

    out = tmp_path / "out.mp4"
    stats = run(Script(lose), clip, out, "runtime.device=cuda").stats
    seen = Seen.between(clip, out)
    assert seen.faces == set()
    assert len(seen.masked) == 1
    assert stats.failures == {REDACTION: 1}


@pytest.mark.live
@pytest.mark.parametrize(("count", "failures"), [(1, 1), (FOR_EVER, MAX_FAILURES)])
def test_a_live_stream_goes_on(emulator, clip, count, failures):
    emulator.fail_launches(launches_of_proof(emulator) + 2 * 20, count)
    settings = Settings()
    runtime = settings.runtime.model_copy(update={"device": "cuda"})
    made = releaser(settings.model_copy(update={"runtime": runtime}), *SIZE, show_boxes=False)

    def use_the_gpu(pipeline: LivePipeline) -> None:
        pipeline.change_releaser(made)

    camera = Camera(clip, range(FRAMES))
    sent, pipeline = run_live(Script(), lambda: camera, 60, once=True, meanwhile=use_the_gpu)
    pipeline.change_releaser(Releaser(CpuRedactor(STYLE)))  # a timer still holds the pipeline
    stats = pipeline.stats
    assert stats.failures[REDACTION] == stats.masked_by[REDACTION] == failures
    assert any("GPU failed" in reason for reason in stats.reasons)
    details = [fine_detail(luma) for luma in decode(clip)]
    plain = 0
    for one, (frame_id, alike) in zip(sent, shows(sent, clip), strict=True):
        if frame_id is None or alike < 0.5:
            continue
        plain += 1
        x1, y1, x2, y2 = face_at(frame_id)[0].astype(int)
        mine = fine_detail(one.luma)[y1:y2, x1:x2]
        assert likeness(details[frame_id][y1:y2, x1:x2], mine) < HIDDEN
    assert plain > FRAMES / 2
    assert [a.pts < b.pts for a, b in itertools.pairwise(sent)].count(False) == 0
