"""The live pipeline in real time: real frames, redactor and verdicts, a detector on command."""

from __future__ import annotations

import gc
import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.crew import WorkerFactory
from edge.detection import Detections
from edge.errors import SourceError
from edge.frame import Frame, Picture
from edge.lanes.faces import FaceLane
from edge.lanes.worker import LaneWorker
from edge.live import LivePipeline
from edge.media.source import FileSource
from edge.redact.cpu import CpuRedactor
from edge.redact.effects import Effect, RedactionStyle
from edge.release import Releaser
from edge.schedule import Cadence
from edge.track import TrackerSettings
from tests.harness import (
    FPS,
    FRAMES,
    SIZE,
    VISIBLE,
    Luma,
    Script,
    decode,
    film,
    fine_detail,
    likeness,
    true_face,
)

DELAY_S = 1.6
SLATE = 77
"""Luma of the test's slate: no frame of the clip is flat."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("live") / "clip.mp4", sound=False)


class Camera:
    """A connection that gives the clip's frames in real time."""

    fps = float(FPS)

    def __init__(self, clip: Path, frames: range) -> None:
        self._clip, self._frames = clip, frames
        self._begun = time.monotonic()

    def read(self) -> Iterator[Frame]:
        with FileSource(self._clip) as source:
            for frame in itertools.islice(
                (item for item in source.read() if isinstance(item, Frame)),
                self._frames.start, self._frames.stop,
            ):  # fmt: skip
                due = self._begun + (frame.frame_id - self._frames.start) / FPS
                time.sleep(max(0.0, due - time.monotonic()))
                yield frame

    def close(self) -> None:
        pass


@dataclass
class Sent:
    pts: float
    at: float
    luma: Luma

    @property
    def is_slate(self) -> bool:
        return bool((self.luma == SLATE).all())


@dataclass
class Recorder:
    sent: list[Sent] = field(default_factory=list)

    def write_frame(self, picture: Any, pts: float) -> None:
        self.sent.append(Sent(pts, time.monotonic(), picture.luma.copy()))

    def write_sound(self, samples: Any, pts: float) -> None:
        raise AssertionError("the clip has no sound")


class Flat:
    """A slate as pure data."""

    width, height = SIZE

    @property
    def luma(self) -> Luma:
        return np.full((self.height, self.width), SLATE, np.uint8)

    def shrink(self, width: int, height: int) -> Any:
        raise AssertionError("a slate is not looked at")

    def edit(self) -> Any:
        raise AssertionError("a slate is not edited")


def worker_for(script: Script) -> WorkerFactory:
    lane = FaceLane(script.detector(), TrackerSettings(conf=0.3), *SIZE, lookahead_s=0.8, refine=0)
    return lambda findings, event: LaneWorker(
        lane,
        on_findings=findings,
        on_event=event,
        stall_timeout_s=1.0,
        revive=lambda _: lane.renew(script.detector()),
    )


def sluggish(detector: Sluggish) -> WorkerFactory:
    lane = FaceLane(detector, TrackerSettings(conf=0.3), *SIZE, lookahead_s=0.8, refine=0)
    return lambda findings, event: LaneWorker(
        lane, on_findings=findings, on_event=event, stall_timeout_s=10.0
    )


@dataclass
class Sluggish:
    """A detector that looks at its picture again when the frame has left long ago."""

    originals: list[Luma]
    seen: list[float] = field(default_factory=list)
    """How much each picture was like the clip's."""

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        time.sleep(DELAY_S + 0.2)
        wanted = fine_detail(self.originals[frame_id])
        self.seen.append(likeness(wanted, fine_detail(np.array(image.luma))))
        return frame_id, Detections(true_face(frame_id), np.array([0.9], np.float32))


def run_live(
    script: Script | Sluggish,
    connect: Callable[[], Any],
    seconds: float,
    *,
    once: bool = False,
    meanwhile: Callable[[LivePipeline], None] | None = None,
) -> tuple[list[Sent], LivePipeline]:
    recorder = Recorder()
    pipeline = LivePipeline(
        connect,
        recorder,
        [worker_for(script) if isinstance(script, Script) else sluggish(script)],
        Releaser(CpuRedactor(RedactionStyle())),
        slate=Flat(),
        size=SIZE,
        fps=FPS,
        cadence=Cadence(8, 15, 0.2),
        delay_s=DELAY_S,
        once=once,
    )
    threading.Timer(seconds, pipeline.stop).start()
    if meanwhile is not None:
        threading.Thread(target=meanwhile, args=(pipeline,), daemon=True).start()
    pipeline.run()
    return recorder.sent, pipeline


def shows(sent: list[Sent], clip: Path) -> list[tuple[int | None, float]]:
    """The clip's frame that each picture is most like, and how much; None: a slate."""
    details = [fine_detail(luma) for luma in decode(clip)]
    result: list[tuple[int | None, float]] = []
    for one in sent:
        if one.is_slate:
            result.append((None, 0.0))
            continue
        mine = fine_detail(one.luma)
        alike = [likeness(detail, mine) for detail in details]
        best = int(np.argmax(alike))
        result.append((best, alike[best]))
    return result


def test_frames_leave_in_order_after_a_constant_delay(clip: Path) -> None:
    sent, pipeline = run_live(Script(), lambda: Camera(clip, range(FRAMES)), 60, once=True)
    assert pipeline.stats.frames_masked == 0
    assert len(sent) == FRAMES - pipeline.stats.frames_dropped + pipeline.stats.slates
    assert pipeline.stats.frames_dropped <= FRAMES * 0.02
    assert all(b.pts > a.pts for a, b in itertools.pairwise(sent))
    waits = [one.at - pipeline._epoch - one.pts for one in sent]
    assert abs(statistics.median(waits) - DELAY_S) < 1 / FPS
    frames = [frame for frame, _ in shows(sent[::5], clip)]
    assert frames == sorted(frames, key=lambda n: -1 if n is None else n)


def test_a_slow_detector_costs_looks_and_a_stuck_one_masks(clip: Path) -> None:
    release = threading.Event()

    def hang(frame_id: int, truth: Detections) -> tuple[int, Detections]:
        release.wait(30)
        return frame_id, truth

    def slow(frame_id: int, truth: Detections) -> tuple[int, Detections]:
        time.sleep(0.15)
        return frame_id, truth

    script = Script(lambda number: hang if number == 8 else slow if number < 8 else None)
    sent, pipeline = run_live(script, lambda: Camera(clip, range(FRAMES)), 60, once=True)
    release.set()
    assert pipeline.stats.frames_masked >= 5
    assert pipeline.stats.frames_masked <= FRAMES * 0.8
    stuck = script.looks[8]
    before = max(look for look in script.looks[:8] if look < stuck)
    clear = [n for n, alike in shows(sent, clip) if n is not None and alike > 0.5]
    assert clear, "everything was masked"
    # Nothing between the look before the stuck one and the stuck one itself may be seen.
    assert not set(range(before + 1, stuck + 1)) & set(clear)


def test_a_late_look_is_shown_what_the_frame_was_before_it_was_masked(clip: Path) -> None:
    detector = Sluggish(list(decode(clip)))
    _, pipeline = run_live(detector, lambda: Camera(clip, range(FRAMES)), 60, once=True)
    assert pipeline.stats.frames_masked > FRAMES / 2
    assert detector.seen
    assert min(detector.seen) > VISIBLE


def test_a_lost_signal_is_a_slate_and_the_source_comes_back(clip: Path) -> None:
    cuts = iter([range(35), None, range(35, FRAMES)])

    def connect() -> Camera:
        part = next(cuts, None)
        if part is None:
            raise SourceError("nobody answers. Check the address.")
        return Camera(clip, part)

    script = Script()
    sent, pipeline = run_live(script, connect, 9.0)
    seen = shows(sent, clip)
    first = [n for n, _ in seen if n is not None and n < 35]
    second = [n for n, _ in seen if n is not None and n >= 35]
    assert len(first) >= 32
    assert len(second) >= FRAMES - 38
    between = seen.index((None, 0.0), next(i for i, (n, _) in enumerate(seen) if n is not None))
    assert between < next(i for i, (n, _) in enumerate(seen) if n is not None and n >= 35)
    assert all(b.pts > a.pts for a, b in itertools.pairwise(sent))
    gaps = [b.at - a.at for a, b in itertools.pairwise(sent)]
    assert max(gaps) < 1.0, "the outgoing stream stood still"
    assert pipeline.stats.connections == 2
    assert any("nobody answers" in reason for reason in pipeline.stats.reasons)


def test_without_a_source_there_is_a_slate_from_the_start() -> None:
    def connect() -> Camera:
        raise SourceError("no route. Check the cable.")

    sent, pipeline = run_live(Script(), connect, 3.0)
    assert len(sent) >= 10
    assert all(one.is_slate for one in sent)
    assert pipeline.stats.frames_out == 0


@pytest.mark.live
def test_where_all_comes_too_late_a_slate_keeps_the_stream_alive(clip: Path) -> None:
    class Late(Camera):
        def read(self) -> Iterator[Frame]:
            frames = super().read()
            yield next(frames)
            self._begun += DELAY_S + 1.0
            yield from frames
            self._begun += FRAMES / FPS
            for frame in super().read():
                later = frame.pts + FRAMES / FPS
                yield replace(frame, frame_id=frame.frame_id + FRAMES, pts=later)

    def motions() -> int:
        gc.collect()
        return sum(type(thing).__name__ == "Motion" for thing in gc.get_objects())

    before = motions()
    sent, pipeline = run_live(Script(), lambda: Late(clip, range(FRAMES)), 8.5)
    dropped = pipeline.stats.frames_dropped
    assert dropped > 10
    assert pipeline.stats.frames_out <= 1
    gaps = np.diff([one.at for one in sent])
    assert gaps.max() < 1.0
    assert sum(not one.is_slate for one in sent) <= 1
    assert motions() - before < dropped, "what was dropped is forgotten"


def test_a_sink_that_fails_ends_the_run(clip: Path) -> None:
    class Broken(Recorder):
        def write_frame(self, picture: Any, pts: float) -> None:
            raise RuntimeError("broken")

    pipeline = LivePipeline(
        lambda: Camera(clip, range(FRAMES)), Broken(), [], Releaser(CpuRedactor(RedactionStyle())),
        slate=Flat(), size=SIZE, fps=FPS, cadence=Cadence(4, 15, 0.2), delay_s=0.2,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="broken"):
        pipeline.run()


def exposed(sent: list[Sent], clip: Path) -> list[int]:
    """Frames of the clip in which the face could be made out when they left."""
    originals = decode(clip)
    found = []
    for one, (n, _) in zip(sent, shows(sent, clip), strict=True):
        if n is not None:
            x1, y1, x2, y2 = true_face(n)[0].clip(0, [SIZE[0], SIZE[1]] * 2).astype(int)
            if x2 - x1 > 20:
                mine, theirs = one.luma[y1:y2, x1:x2], originals[n][y1:y2, x1:x2]
                if likeness(fine_detail(theirs), fine_detail(mine)) > 0.5:
                    found.append(n)
    return found


def test_other_settings_take_over_without_a_masked_frame_or_an_exposed_face(clip: Path) -> None:
    before, after = Script(), Script()

    def meanwhile(pipeline: LivePipeline) -> None:
        time.sleep(1.0)
        pipeline.change([worker_for(after)], Cadence(4, 15, 0.2))
        pipeline.change_releaser(Releaser(CpuRedactor(RedactionStyle(effect=Effect.SOLID))))

    sent, pipeline = run_live(
        before, lambda: Camera(clip, range(FRAMES)), 60, once=True, meanwhile=meanwhile
    )
    assert pipeline.stats.frames_masked == 0
    assert len(sent) == FRAMES - pipeline.stats.frames_dropped + pipeline.stats.slates
    assert exposed(sent, clip) == []
    assert after.looks, "the new lane never looked"
    assert max(before.looks) > min(after.looks), "they did not work side by side"
    assert max(before.looks) < max(after.looks)
    assert pipeline.stats.looks == len(before.looks) + len(after.looks)
    assert [worker.name for worker in pipeline._crew.workers] == ["faces"]


def test_a_lane_that_cannot_take_over_leaves_the_old_one_at_work(clip: Path) -> None:
    def throw(frame_id: int, _: Detections) -> tuple[int, Detections]:
        raise RuntimeError(f"in frame {frame_id}")

    before, after = Script(), Script(lambda _: throw)

    def meanwhile(pipeline: LivePipeline) -> None:
        time.sleep(0.8)
        pipeline.change([worker_for(after)], Cadence(8, 15, 0.2))

    sent, pipeline = run_live(
        before, lambda: Camera(clip, range(FRAMES)), 60, once=True, meanwhile=meanwhile
    )
    assert after.looks
    assert pipeline.stats.frames_masked == 0
    assert exposed(sent, clip) == []
    assert max(before.looks) >= FRAMES - 5
    assert any("RuntimeError" in reason for reason in pipeline.stats.reasons)


def test_a_lane_that_is_switched_off_ends_with_the_frame_before(clip: Path) -> None:
    script = Script()

    def meanwhile(pipeline: LivePipeline) -> None:
        while not pipeline.stats.connections:
            time.sleep(0.01)
        time.sleep(1.2)
        pipeline.change([], Cadence(8, 15, 0.2))

    sent, pipeline = run_live(
        script, lambda: Camera(clip, range(FRAMES)), 60, once=True, meanwhile=meanwhile
    )
    seen = exposed(sent, clip)
    assert pipeline.stats.frames_masked == 0
    assert seen, "it was not switched off"
    assert min(seen) >= 1.2 * FPS - 3
    assert len(seen) >= FRAMES - min(seen) - 3
    assert pipeline._crew.workers == []
