"""Faults injected into the real pipeline: what was not judged is masked, and only that.

Real source, motion, scheduler, tracker, redactor, encoder and muxer; the detector is replaced by
one that knows where the face is and misbehaves on command. Outputs are judged by their pixels.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge import build
from edge.detection import Detections
from edge.errors import ExitCode, InferenceError
from edge.face_model import FaceModel, load_face_model
from edge.frame import Picture, Planes
from edge.lane_models import LaneModels
from edge.lanes.faces import FaceLane
from edge.lanes.lane import Detector, Findings, Gap
from edge.lanes.worker import MAX_FAILURES, QUEUE_GAPS
from edge.media.output import partial_path
from edge.pipeline import MAX_LINE_FRAMES
from edge.redact.cpu import CpuRedactor
from edge.runner import Run, RunOptions, Summary
from tests.harness import (
    FPS,
    FRAMES,
    Fault,
    Script,
    Seen,
    always,
    at_looks,
    from_look,
    make_run,
    run,
    settings_with,
    throws,
    true_face,
)

pytestmark = pytest.mark.timeout(120)

LOOKAHEAD_S = settings_with().stabilization.lookahead_s
LOOKS = 13
"""Looks that the clip gets: one each 1/4 s, and at its end."""
STALL = "delay.stall_timeout_s=1.5"
ONE = np.ones(1, np.float32)
FACE = np.array([[10, 10, 90, 90]], np.float32)


def forged(boxes: Any, scores: Any) -> Detections:
    """Detections that their own constructor would refuse."""
    made = Detections()
    object.__setattr__(made, "boxes", boxes)
    object.__setattr__(made, "scores", scores)
    return made


def nan_like(array: np.ndarray) -> np.ndarray:
    return np.full_like(array, np.nan)


RAISED: dict[str, Fault] = {
    error.__name__: throws(error)
    for error in (RuntimeError, InferenceError, MemoryError, SystemExit, KeyboardInterrupt)
}
ANSWERS: dict[str, Callable[[int, Detections], Any]] = {
    "NaN boxes": lambda n, t: (n, Detections(nan_like(t.boxes), t.scores)),
    "NaN scores": lambda n, t: (n, Detections(t.boxes, nan_like(t.scores))),
    "NaN beside a face": lambda n, t: (
        n,
        Detections(np.vstack([t.boxes, nan_like(t.boxes)]), np.array([0.9, 0.1], np.float32)),
    ),
    "infinite boxes": lambda n, t: (n, Detections(t.boxes * np.float32("inf"), t.scores)),
    "boxes inside out": lambda n, t: (n, Detections(t.boxes[:, ::-1], t.scores)),
    "the next frame": lambda n, t: (n + 1, t),
    "the frame before": lambda n, t: (n - 1, t),
    "None": lambda n, t: None,
    "no detections": lambda n, t: (n, None),
    "a list": lambda n, t: (n, [[0, 0, 9, 9, 0.9]]),
    "three things": lambda n, t: (n, t, 0),
    "another number of scores": lambda n, t: (n, forged(t.boxes, np.ones(3, np.float32))),
    "boxes of five": lambda n, t: (n, forged(np.ones((1, 5), np.float32), ONE)),
    "flat boxes": lambda n, t: (n, forged(np.ones(4, np.float32), ONE)),
    "text": lambda n, t: (n, forged(np.array([["a", "b", "c", "d"]]), ONE)),
    "complex boxes": lambda n, t: (n, forged(t.boxes * 1j, ONE)),
}
FAULTS: dict[str, Fault] = RAISED | ANSWERS


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set when the test is over: what stuck detectors wait for."""
    event = threading.Event()
    yield event
    event.set()


def from_horizon_of(look: int) -> set[int]:
    """Frames that are not settled yet when this frame has been looked at."""
    return {n for n in range(FRAMES) if n / FPS > look / FPS - LOOKAHEAD_S}


def assert_masked_and_told(
    summary: Summary, clip: Path, output: Path, masked: set[int], reason: str
) -> None:
    """The output is complete, these frames and no others are masked, and the summary says so."""
    seen = Seen.between(clip, output)
    assert seen.frames == FRAMES == summary.stats.frames_in == summary.stats.frames_out
    assert seen.masked == masked
    assert seen.faces == set()
    assert summary.exit_code is ExitCode.MASKED
    assert summary.stats.frames_masked == len(masked)
    told = {
        n
        for stretch in summary.stats.stretches
        for n in range(round(stretch.start * FPS), round(stretch.end * FPS) + 1)
    }
    assert told == masked
    assert any(reason in line for line in summary.stats.reasons), summary.stats.reasons


# --- one bad answer -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FAULTS)
def test_bad_answer_in_the_middle_masks_what_it_left_open(
    kind: str, clip: Path, output: Path
) -> None:
    script = Script(at_looks(FAULTS[kind], 6))
    summary = run(script, clip, output)
    expected = script.unjudged()
    assert 5 < len(expected) < 20
    assert_masked_and_told(summary, clip, output, expected, "faces: the detector failed")
    if kind in RAISED:
        assert f"faces: the detector failed: {kind}" in summary.stats.reasons


@pytest.mark.parametrize("looks", [(0,), (12,), (0, 12), (5, 6), (2, 6, 10)], ids=str)
def test_places_at_which_it_throws(looks: tuple[int, ...], clip: Path, output: Path) -> None:
    script = Script(at_looks(throws(RuntimeError), *looks))
    summary = run(script, clip, output)
    assert len(script.looks) == LOOKS
    assert_masked_and_told(summary, clip, output, script.unjudged(), "RuntimeError")


@pytest.mark.parametrize("first", [0, 8], ids=["from the first frame on", "from the middle on"])
def test_detector_that_never_recovers(first: int, clip: Path, output: Path) -> None:
    script = Script(from_look(throws(RuntimeError), first))
    summary = run(script, clip, output)
    assert_masked_and_told(summary, clip, output, script.unjudged(), "RuntimeError")
    assert (summary.stats.frames_masked == FRAMES) == (first == 0)


@given(st.dictionaries(st.integers(0, LOOKS - 1), st.sampled_from(sorted(FAULTS)), max_size=9))
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_mixture_of_faults(clip: Path, tmp_path: Path, faults: dict[int, str]) -> None:
    script = Script(lambda n: FAULTS[faults[n]] if n in faults else None)
    output = tmp_path / "out.mp4"
    run(script, clip, output, options=RunOptions(overwrite=True))
    assert Seen.between(clip, output) == Seen(FRAMES, script.unjudged(), set())


def test_second_look_in_a_gap_that_fails_leaves_the_gap_unjudged(clip: Path, output: Path) -> None:
    # At look 4 the face seems to be gone, so the middle of that gap is looked at: look 5.
    def nobody(frame_id: int, _: Detections) -> tuple[int, Detections]:
        return frame_id, Detections()

    faults = {4: nobody, 5: throws(RuntimeError)}
    script = Script(faults.get)
    summary = run(script, clip, output, "scheduler.refine=1")
    before, end, middle, after = script.looks[3:7]
    assert before < middle < end < after
    expected = set(range(before + 1, after))
    assert_masked_and_told(summary, clip, output, expected, "RuntimeError")


# --- stalls ---------------------------------------------------------------------------------


def stalls(over: threading.Event) -> Fault:
    def fault(frame_id: int, truth: Detections) -> tuple[int, Detections]:
        over.wait(100)
        return frame_id, truth

    return fault


def test_stall_masks_its_gap_and_a_fresh_detector_goes_on(
    clip: Path, output: Path, over: threading.Event
) -> None:
    script = Script(at_looks(stalls(over), 6))
    summary = run(script, clip, output, STALL)
    assert len(script.detectors) == 2
    reason = "faces: the detector did not answer for 1.5 s"
    assert_masked_and_told(summary, clip, output, script.unjudged(), reason)


def test_stall_at_the_first_and_at_the_last_look(
    clip: Path, output: Path, over: threading.Event
) -> None:
    script = Script(at_looks(stalls(over), 0, LOOKS - 1))
    summary = run(script, clip, output, STALL)
    assert_masked_and_told(summary, clip, output, script.unjudged(), "did not answer")


def test_lane_that_stalls_again_and_again_is_given_up(
    clip: Path, output: Path, over: threading.Event
) -> None:
    script = Script(from_look(stalls(over), 8))
    summary = run(script, clip, output, STALL)
    assert len(script.looks) == 8 + MAX_FAILURES
    expected = from_horizon_of(script.looks[9])  # the last stall that was got over
    assert_masked_and_told(summary, clip, output, expected, "3 times; it was given up")


def test_lane_that_stalls_from_the_first_frame_on_shows_nothing(
    clip: Path, output: Path, over: threading.Event
) -> None:
    script = Script(always(stalls(over)))
    summary = run(script, clip, output, "delay.stall_timeout_s=0.5")
    assert_masked_and_told(summary, clip, output, set(range(FRAMES)), "it was given up")


def test_stall_without_a_replacement_gives_the_lane_up(
    clip: Path, output: Path, over: threading.Event
) -> None:
    script = Script(at_looks(stalls(over), 8))

    def make() -> Detector:
        if script.detectors:
            raise MemoryError
        return script.detector()

    model = FaceModel("scripted", "test", 0.3, make)
    summary = Run(settings_with(STALL), clip, output, LaneModels(face=model)).execute()
    expected = from_horizon_of(script.looks[7])
    assert_masked_and_told(summary, clip, output, expected, "did not answer")


def test_answer_that_comes_too_late_changes_nothing(clip: Path, output: Path) -> None:
    replaced, heard = threading.Event(), threading.Event()

    def late(frame_id: int, _: Detections) -> tuple[int, Detections]:
        replaced.wait(60)
        heard.set()
        return frame_id, Detections()  # "nobody is here": a second look would pay

    def fault(number: int) -> Fault | None:
        if number == 8:
            replaced.set()
            heard.wait(60)
        return late if number == 6 else None

    script = Script(fault)
    summary = run(script, clip, output, STALL, "scheduler.refine=1")
    expected = set(range(script.looks[5] + 1, script.looks[7]))
    assert_masked_and_told(summary, clip, output, expected, "did not answer")
    for detector in script.detectors:
        assert len(detector.threads) == 1, "two threads used one detector"


def test_slow_detector_masks_nothing(clip: Path, output: Path) -> None:
    def slow(frame_id: int, truth: Detections) -> tuple[int, Detections]:
        time.sleep(0.05)
        return frame_id, truth

    summary = run(Script(always(slow)), clip, output)
    assert Seen.between(clip, output) == Seen(FRAMES, set(), set())
    assert summary.exit_code is ExitCode.OK
    assert not summary.stats.reasons


def test_queues_that_fill_hold_the_source_back(clip: Path, output: Path) -> None:
    jobs: list[Run] = []
    waiting: list[tuple[int, int]] = []

    def slow(frame_id: int, truth: Detections) -> tuple[int, Detections]:
        time.sleep(random.uniform(0.005, 0.03))
        pipeline = jobs[0].pipeline
        waiting.append((len(pipeline._line), len(pipeline._crew.workers[0]._queue)))
        return frame_id, truth

    script = Script(always(slow))
    # Every frame is looked at, by a detector slower than the source.
    jobs.append(make_run(script, clip, output, "scheduler.target_fps=25", "scheduler.max_fps=25"))
    summary = jobs[0].execute()
    assert script.looks == list(range(FRAMES))
    assert max(queue for _, queue in waiting) == QUEUE_GAPS
    assert max(line for line, _ in waiting) <= min(MAX_LINE_FRAMES, 2 * FPS + 1)
    assert Seen.between(clip, output) == Seen(FRAMES, set(), set())
    assert summary.exit_code is ExitCode.OK


# --- the lane itself ------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("x"), SystemExit(1)], ids=["error", "exit"])
@pytest.mark.parametrize("step", ["enter", "absorb"])
def test_lane_that_fails_is_blind_from_there_on(
    step: str, error: BaseException, clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = getattr(FaceLane, step)

    def failing(self: FaceLane, *args: Any) -> Any:
        calls.append(1)
        if len(calls) == 9:
            raise error
        return real(self, *args)

    monkeypatch.setattr(FaceLane, step, failing)
    script = Script()
    summary = run(script, clip, output)
    expected = from_horizon_of(script.looks[7])
    assert_masked_and_told(
        summary, clip, output, expected, f"faces: the lane failed: {type(error).__name__}"
    )


def test_lane_that_fails_over_a_stall(
    clip: Path, output: Path, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FaceLane.absorb

    def failing(self: FaceLane, gap: Gap, evidence: Any) -> Findings:
        if evidence is None:
            raise RuntimeError
        return real(self, gap, evidence)

    monkeypatch.setattr(FaceLane, "absorb", failing)
    script = Script(at_looks(stalls(over), 8))
    summary = run(script, clip, output, STALL)
    expected = from_horizon_of(script.looks[7])
    assert_masked_and_told(summary, clip, output, expected, "the lane failed")


def test_lane_that_cannot_finish_leaves_the_end_masked(
    clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: FaceLane) -> Findings:
        raise RuntimeError

    monkeypatch.setattr(FaceLane, "finish", failing)
    summary = run(Script(), clip, output)
    expected = from_horizon_of(FRAMES - 1)
    assert_masked_and_told(summary, clip, output, expected, "the lane failed")


def test_lane_that_cannot_say_what_to_hide_ends_the_run(
    clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: FaceLane, frame_id: int, **_options: Any) -> Any:
        raise KeyError(frame_id)

    monkeypatch.setattr(FaceLane, "regions", failing)
    with pytest.raises(KeyError):
        run(Script(), clip, output)
    assert not output.exists()
    assert not partial_path(output).exists()


# --- the redactor ---------------------------------------------------------------------------


class FailingRedactor(CpuRedactor):
    """Fails in some of its calls, after it has painted a part."""

    redact_fails: frozenset[int] = frozenset()
    mask_fails: frozenset[int] = frozenset()

    def __init__(self, style: Any) -> None:
        super().__init__(style)
        self._redacted = self._masked = -1

    def redact(self, planes: Planes, boxes: Any) -> None:
        self._redacted += 1
        if self._redacted in self.redact_fails:
            planes.y[:40] = 0
            raise RuntimeError("half painted")
        super().redact(planes, boxes)

    def mask_whole(self, planes: Planes) -> None:
        self._masked += 1
        if self._masked in self.mask_fails:
            raise RuntimeError("half masked")
        super().mask_whole(planes)


def failing_redactor(
    monkeypatch: pytest.MonkeyPatch, redact: set[int], mask: set[int] | None = None
) -> None:
    """Let these calls (counted from 0) fail; the clip has a face in every frame."""
    kind = type(
        "Failing",
        (FailingRedactor,),
        {"redact_fails": frozenset(redact), "mask_fails": frozenset(mask or ())},
    )
    monkeypatch.setattr(build, "CpuRedactor", kind)


def test_frames_whose_redaction_fails_are_masked_whole(
    clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {0, 30, 31, 32, 60, 74}
    failing_redactor(monkeypatch, bad)
    summary = run(Script(), clip, output)
    assert_masked_and_told(summary, clip, output, bad, "redaction: it failed in a frame")
    assert {s.lanes for s in summary.stats.stretches} == {("redaction",)}


def test_boxes_that_are_no_boxes_any_more_mask_their_frames(
    clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FaceLane.regions

    def corrupted(self: FaceLane, frame_id: int, **options: Any) -> Any:
        boxes, tracks = real(self, frame_id, **options)
        return (boxes * np.float32("nan"), tracks) if 40 <= frame_id < 50 else (boxes, tracks)

    monkeypatch.setattr(FaceLane, "regions", corrupted)
    summary = run(Script(), clip, output)
    assert_masked_and_told(summary, clip, output, set(range(40, 50)), "redaction")


@pytest.mark.parametrize("mask", [{0}, {5}], ids=["at once", "later"])
def test_nothing_leaves_when_masking_fails(
    mask: set[int], clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_redactor(monkeypatch, set(), mask)
    with pytest.raises(RuntimeError, match="half masked"):
        run(Script(at_looks(throws(RuntimeError), 1)), clip, output)
    assert not output.exists()
    assert not partial_path(output).exists()


# --- a real model ---------------------------------------------------------------------------


def test_model_file_that_vanishes_during_the_run_is_not_missed(
    clip: Path, output: Path, tmp_path: Path, face_model: Path, over: threading.Event
) -> None:
    file = tmp_path / "model" / face_model.name
    file.parent.mkdir()
    shutil.copyfile(face_model, file)
    overrides = (f"video.models.face.model={file}", "delay.stall_timeout_s=3")
    loaded = load_face_model(settings_with(*overrides))
    assert loaded is not None
    real: FaceModel = loaded
    script = Script(at_looks(stalls(over), 6))

    class Stalling:
        """A real detector that gets stuck once, when its model's file is gone."""

        def __init__(self) -> None:
            self._inner = real.make()

        def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
            file.unlink(missing_ok=True)
            script.infer(frame_id)
            return self._inner.infer(frame_id, image)

    model = FaceModel(real.name, real.family, real.conf, Stalling)
    summary = Run(settings_with(*overrides), clip, output, LaneModels(face=model)).execute()
    assert not file.exists()
    assert_masked_and_told(summary, clip, output, script.unjudged(), "did not answer for 3 s")
    assert summary.stats.found == {"faces": summary.stats.found["faces"]}
    assert true_face(0).shape == (1, 4)
