"""One stream from file to file: frames, sound, order, back-pressure, and every way to end."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from edge import runner
from edge.detection import Detections
from edge.errors import ExitCode, ModelError, SinkError, SourceError
from edge.face_model import FaceModel, load_face_model
from edge.frame import Frame
from edge.lane_models import LaneModels
from edge.lanes.lane import Detector
from edge.media.output import partial_path
from edge.media.sink import FileSink
from edge.media.source import FileSource
from edge.runner import Run, RunOptions
from edge.stats import Stats
from tests.harness import (
    FPS,
    FRAMES,
    Script,
    Seen,
    always,
    decode,
    fine_detail,
    likeness,
    make_run,
    run,
    settings_with,
    throws,
    times,
    true_face,
)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Every reader and lane thread has ended when its test has."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive(), f"{thread.name} is left"


def sound_packets(path: Path) -> list[tuple[float, bytes]]:
    """When each packet of sound is heard, in seconds from the first picture, and its bytes."""
    with av.open(str(path)) as container:
        sound = container.streams.audio[0]
        start = times(path)[0]
        return [
            (float(p.pts * p.time_base) - start, bytes(p))
            for p in container.demux(sound)
            if p.pts is not None and p.time_base is not None and p.size
        ]


def assert_nothing_left(output: Path) -> None:
    assert not output.exists()
    assert not partial_path(output).exists()


# --- what comes out -------------------------------------------------------------------------


def test_every_frame_leaves_once_in_order_with_its_face_hidden(clip: Path, output: Path) -> None:
    summary = run(Script(), clip, output)
    assert Seen.between(clip, output) == Seen(FRAMES, set(), set())
    assert times(output) == pytest.approx(times(clip), abs=1e-3)
    stats = summary.stats
    assert (stats.frames_in, stats.frames_out, stats.frames_masked) == (FRAMES, FRAMES, 0)
    assert (stats.frames_with_regions, stats.found) == (FRAMES, {"faces": 1})
    assert summary.exit_code is ExitCode.OK
    assert summary.complete
    assert summary.output == output
    assert not partial_path(output).exists()


def test_sound_is_copied_and_stays_in_sync(clip: Path, output: Path) -> None:
    run(Script(), clip, output)
    before, after = sound_packets(clip), sound_packets(output)
    assert [data for _, data in after] == [data for _, data in before]
    for (t0, _), (t1, _) in zip(before, after, strict=True):
        assert abs(t0 - t1) <= 1 / FPS


def test_sound_is_left_out_where_that_is_set(clip: Path, output: Path) -> None:
    run(Script(), clip, output, "audio.without_lane=drop")
    with av.open(str(output)) as container:
        assert not container.streams.audio


def test_same_input_gives_the_same_bytes_however_slow_the_detector_is(
    clip: Path, tmp_path: Path
) -> None:
    def erratic(frame_id: int, truth: Detections) -> tuple[int, Detections]:
        time.sleep(random.choice((0, 0, 0.01, 0.12)))
        return frame_id, truth

    def nobody(frame_id: int, _: Detections) -> tuple[int, Detections]:
        return frame_id, Detections()

    written = set()
    for turn, fault in enumerate((None, None, erratic)):
        # Now and then the face is not seen, so that tracks end and begin and gaps are refined.
        script = Script(lambda n, fault=fault: nobody if n % 7 == 5 else fault)  # type: ignore[misc]
        output = tmp_path / f"{turn}.mp4"
        run(script, clip, output, "scheduler.refine=1")
        written.add(output.read_bytes())
    assert len(written) == 1


def test_nothing_leaves_before_a_look_beyond_it_was_answered(
    clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[int] = []
    left: list[tuple[int, int]] = []

    def slow(frame_id: int, truth: Detections) -> tuple[int, Detections]:
        time.sleep(0.02)
        answered.append(frame_id)
        return frame_id, truth

    class Watched(FileSink):
        def write_frame(self, picture: Any, ticks: int) -> None:
            left.append((len(left), max(answered)))
            super().write_frame(picture, ticks)

    monkeypatch.setattr(runner, "FileSink", Watched)
    run(Script(always(slow)), clip, output)
    assert len(left) == FRAMES
    assert all(seen >= min(n + FPS, FRAMES - 1) for n, seen in left), "1 s of look-ahead"


def test_without_a_lane_everything_passes_and_the_user_is_told(clip: Path, output: Path) -> None:
    summary = Run(settings_with(), clip, output, LaneModels()).execute()
    assert Seen.between(clip, output) == Seen(FRAMES, set(), set(range(FRAMES)))
    assert any("faces are visible" in warning for warning in summary.warnings)


def test_two_frames_and_one_frame_are_enough(clip: Path, tmp_path: Path) -> None:
    for frames in (1, 2):
        short, output = tmp_path / f"short{frames}.mp4", tmp_path / f"out{frames}.mp4"
        _cut(clip, short, frames)
        summary = run(Script(), short, output)
        assert len(decode(output)) == frames
        assert summary.exit_code is ExitCode.OK
        (box,) = true_face(0).astype(int)
        before, after = fine_detail(decode(short)[0]), fine_detail(decode(output)[0])
        face = slice(box[1], box[3]), slice(box[0], box[2])
        assert likeness(before[face], after[face]) < 0.3


def _cut(clip: Path, path: Path, frames: int) -> None:
    with av.open(str(clip)) as source, av.open(str(path), "w") as out:
        video = source.streams.video[0]
        stream = out.add_stream_from_template(video)
        for _, packet in zip(range(frames), source.demux(video), strict=False):
            packet.stream = stream
            out.mux(packet)


def test_real_model_hides_the_face(clip: Path, output: Path, face_model: Path) -> None:
    settings = settings_with(f"video.models.face.model={face_model}", "scheduler.refine=1")
    model = load_face_model(settings)
    assert model is not None
    summary = Run(settings, clip, output, LaneModels(face=model)).execute()
    assert summary.exit_code is ExitCode.OK
    seen = Seen.between(clip, output)
    assert not seen.masked
    assert not seen.faces


# --- ways to end ----------------------------------------------------------------------------


class BreakingSource(FileSource):
    """Cannot be read any further from some frame on."""

    breaks_at = 0

    def read(self) -> Iterator[Any]:
        for item in super().read():
            if isinstance(item, Frame) and item.frame_id == self.breaks_at:
                raise SourceError(f"{self.path} cannot be read any further. Check the disk.")
            yield item


@pytest.mark.parametrize("at", [0, 10, 60])
def test_source_that_breaks_leaves_no_file(
    at: int, clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BreakingSource, "breaks_at", at)
    monkeypatch.setattr(runner, "FileSource", BreakingSource)
    with pytest.raises(SourceError, match="any further"):
        run(Script(), clip, output)
    assert_nothing_left(output)


class BreakingSink(FileSink):
    """Cannot be written to from some frame or packet of sound on."""

    frame_at: int | None = None
    sound_at: int | None = None

    def write_frame(self, picture: Any, ticks: int) -> None:
        if self.frames == self.frame_at:
            time.sleep(0.3)  # in which the reader fills the delay line again, and waits
            raise SinkError("No space left. Free some.")
        super().write_frame(picture, ticks)

    def write_sound(self, sound: Any) -> None:
        if self.sound_packets == self.sound_at:
            raise SinkError("No space left. Free some.")
        super().write_sound(sound)


@pytest.mark.parametrize("where", [{"frame_at": 0}, {"frame_at": 5}, {"frame_at": 74},
                                   {"sound_at": 3}], ids=str)  # fmt: skip
def test_sink_that_breaks_ends_the_run_while_the_source_waits(
    where: dict[str, int], clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in where.items():
        monkeypatch.setattr(BreakingSink, name, number)
    monkeypatch.setattr(runner, "FileSink", BreakingSink)
    with pytest.raises(SinkError, match="No space left"):
        run(Script(), clip, output)
    assert_nothing_left(output)


@pytest.mark.parametrize("at", [1, 40])
def test_error_in_what_watches_the_run_leaves_no_file(at: int, clip: Path, output: Path) -> None:
    def watch(stats: Stats) -> None:
        if stats.frames_out == at:
            raise RuntimeError("the display broke")

    with pytest.raises(RuntimeError, match="the display broke"):
        run(Script(), clip, output, on_frame=watch)
    assert_nothing_left(output)


def test_model_that_cannot_be_made_leaves_no_file(clip: Path, output: Path) -> None:
    def make() -> Detector:
        raise ModelError("out of memory. Close something.")

    with pytest.raises(ModelError):
        Run(settings_with(), clip, output, LaneModels(FaceModel("broken", "test", 0.3, make)))
    assert_nothing_left(output)


def interrupted(
    clip: Path, output: Path, at: int, stop: Callable[[Run], None]
) -> tuple[runner.Summary, list[Any]]:
    """Run, and stop when `at` frames have left (0: before the start)."""
    jobs: list[Run] = []

    def watch(stats: Stats) -> None:
        if stats.frames_out == at:
            stop(jobs[0])

    jobs.append(make_run(Script(), clip, output, on_frame=watch))
    if at == 0:
        stop(jobs[0])
    summary = jobs[0].execute()
    assert not output.exists()
    assert summary.exit_code is ExitCode.INTERRUPTED
    assert not summary.complete
    assert summary.output == partial_path(output)
    return summary, decode(summary.output) if summary.stats.frames_out else []


def test_interrupted_run_keeps_a_playable_part_with_all_that_was_read(
    clip: Path, output: Path
) -> None:
    summary, frames = interrupted(clip, output, 5, Run.stop)
    stats = summary.stats
    assert 5 < len(frames) < FRAMES
    assert len(frames) == stats.frames_out == stats.frames_in
    assert stats.frames_masked == 0
    for n, (before, after) in enumerate(zip(decode(clip), frames, strict=False)):
        a, b = fine_detail(before), fine_detail(after)
        x1, y1, x2, y2 = true_face(n)[0].astype(int)
        assert likeness(a, b) > 0.5
        assert likeness(a[y1:y2, x1:x2], b[y1:y2, x1:x2]) < 0.3


def test_second_interrupt_drops_what_has_not_been_judged(clip: Path, output: Path) -> None:
    def twice(job: Run) -> None:
        job.stop()
        job.stop()

    summary, frames = interrupted(clip, output, 20, twice)
    assert len(frames) == summary.stats.frames_out == 20
    assert summary.stats.frames_in > 20


@pytest.mark.parametrize("signals", [1, 2], ids=["once", "twice"])
def test_interrupt_before_the_first_frame(signals: int, clip: Path, output: Path) -> None:
    def stop(job: Run) -> None:
        for _ in range(signals):
            job.stop()

    summary, _ = interrupted(clip, output, 0, stop)
    assert summary.stats.frames_out <= 1


def test_interrupt_while_the_detector_is_stuck(clip: Path, output: Path) -> None:
    over = threading.Event()

    def stuck(frame_id: int, truth: Detections) -> tuple[int, Detections]:
        job.stop()
        job.stop()
        over.wait(60)
        return frame_id, truth

    script = Script(lambda n: stuck if n == 3 else None)
    job = make_run(script, clip, output, "delay.stall_timeout_s=60")
    try:
        summary = job.execute()
    finally:
        over.set()
    assert summary.exit_code is ExitCode.INTERRUPTED
    assert not output.exists()


def test_masked_frames_are_stored_for_debugging_by_the_owner_only(
    clip: Path, output: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "debug"
    script = Script(always(throws(RuntimeError)))
    run(script, clip, output, options=RunOptions(debug_frames=folder))
    assert folder.stat().st_mode & 0o777 == 0o700
    files = sorted(folder.iterdir())
    assert len(files) == FRAMES
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


@pytest.mark.parametrize(
    ("lookahead", "target", "delay"), [(0.0, 4, 0.5), (2.0, 4, 2.5), (0.5, 1, 2.5), (1.0, 25, 1.08)]
)
def test_the_least_delay_that_settings_allow_does_not_lock_up(
    lookahead: float, target: float, delay: float, clip: Path, output: Path
) -> None:
    script = Script()
    summary = run(
        script, clip, output,
        f"stabilization.lookahead_s={lookahead}", f"scheduler.target_fps={target}",
        f"scheduler.max_fps={max(15, target)}", f"delay.seconds={delay}",
    )  # fmt: skip
    assert summary.stats.frames_out == FRAMES
    assert summary.stats.frames_masked == 0
