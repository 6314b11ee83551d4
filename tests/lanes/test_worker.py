"""The worker: a lane that throws, stalls, dies or talks late must leave its frames unjudged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from edge.delay import Gate, Verdict
from edge.detection import FloatArray
from edge.errors import InferenceError
from edge.frame import Frame, Picture
from edge.inference.news import tell
from edge.lanes.lane import Findings, Gap, Lane
from edge.lanes.worker import MAX_FAILURES, QUEUE_GAPS, LaneEvent, LaneWorker
from edge.motion import IDENTITY, Motion
from edge.stats import ENGINE

TIMEOUT_S = 5.0
LONG_S = 30.0
"""How long a test waits for another thread before it fails."""

Look = Callable[[Gap], Any]


def gap(first: int, last: int | None = None) -> Gap:
    """Frames first … last, at one frame a second."""
    ids = range(first, (first if last is None else last) + 1)
    frames = tuple(Frame(n, float(n), n, cast(Picture, None)) for n in ids)
    return Gap(frames, (Motion(IDENTITY),) * len(frames))


class ScriptedLane:
    """A lane whose horizon is its last look, and whose steps can be replaced."""

    name = "faces"

    def __init__(self, look: Look = lambda gap: gap.look.frame_id) -> None:
        self.detector = look
        self.absorbed: list[tuple[int, Any]] = []
        self.entered: list[int] = []
        self.broken: dict[str, BaseException] = {}

    def _step(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]

    def enter(self, gap: Gap) -> None:
        self._step("enter")
        self.entered.append(gap.look.frame_id)

    def look(self, gap: Gap) -> Any:
        return self.detector(gap)

    def absorb(self, gap: Gap, evidence: Any) -> Findings:
        self._step("absorb")
        self.absorbed.append((gap.look.frame_id, evidence))
        blind = () if evidence is not None else ((gap.frames[0].pts, gap.look.pts),)
        return Findings(gap.look.pts, blind)

    def finish(self) -> Findings:
        self._step("finish")
        return Findings(float("inf"))

    def regions(self, frame_id: int, *, unsure: bool = False) -> tuple[FloatArray, list[int]]:
        return np.full((1, 4), frame_id, np.float32), [1]

    def forget(self, before: int) -> None:
        pass

    @property
    def looks(self) -> int:
        return len(self.absorbed)

    @property
    def found(self) -> int:
        return 2


@dataclass
class Bench:
    """A worker with a lane, a clock that is moved by hand, and a gate that hears its findings."""

    lane: ScriptedLane
    revive: Callable[[Lane[Any]], None] | None = None
    now: float = 0.0
    gate: Gate = field(default_factory=lambda: Gate(["faces"]))
    horizons: list[float] = field(default_factory=list)
    events: list[LaneEvent] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.worker = LaneWorker(
            self.lane,
            on_findings=self._hear,
            on_event=self.events.append,
            stall_timeout_s=TIMEOUT_S,
            revive=self.revive,
            clock=lambda: self.now,
        )

    def _hear(self, lane: str, findings: Findings) -> None:
        with self.changed:
            for start, end in findings.blind:
                self.gate.blind(lane, start, end)
            self.gate.advance(lane, findings.horizon)
            self.horizons.append(findings.horizon)
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            end = time.monotonic() + LONG_S
            while not condition():
                assert time.monotonic() < end, "nothing happened"
                self.changed.wait(0.01)

    def wait_until_judged(self, pts: float) -> None:
        self.wait_for(lambda: self.gate.judge(pts).verdict is not Verdict.WAIT)

    def submit(self, *gaps: Gap) -> None:
        for one in gaps:
            self.worker.submit(one, lambda: False)

    def verdicts(self, frames: int) -> str:
        """One letter a frame: r released, m masked, w waiting."""
        return "".join(self.gate.judge(float(n)).verdict.value[0] for n in range(frames))

    def stall(self) -> None:
        """Let more time pass than a detector is given."""
        self.now += TIMEOUT_S + 1
        self.worker.check()


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What stuck detectors wait for; set when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def started(bench: Bench) -> Bench:
    bench.worker.start()
    return bench


def stuck_at(event: threading.Event, *frames: int) -> tuple[Look, threading.Event]:
    """A detector that does not answer for these frames, and an event that says that it is stuck."""
    stuck = threading.Event()

    def look(gap: Gap) -> int:
        if gap.look.frame_id in frames:
            stuck.set()
            event.wait(LONG_S)
        return gap.look.frame_id

    return look, stuck


def test_gaps_are_looked_at_in_order_and_then_all_is_final() -> None:
    bench = started(Bench(ScriptedLane()))
    bench.submit(gap(0), gap(1, 3), gap(4, 6))
    bench.worker.end()
    bench.wait_for(lambda: bench.horizons[-1:] == [float("inf")])
    assert bench.horizons == [0.0, 3.0, 6.0, float("inf")]
    assert bench.verdicts(7) == "rrrrrrr"
    assert not bench.events
    assert bench.worker.gaps == 3
    assert bench.worker.found == 2


@pytest.mark.parametrize(
    "error",
    [RuntimeError("secret"), MemoryError(), SystemExit(1), KeyboardInterrupt(), StopIteration()],
    ids=lambda e: type(e).__name__,
)
def test_detector_that_throws_leaves_its_gap_unjudged_and_goes_on(error: BaseException) -> None:
    def look(gap: Gap) -> int:
        if gap.look.frame_id == 3:
            raise error
        return gap.look.frame_id

    bench = started(Bench(ScriptedLane(look)))
    bench.submit(gap(0), gap(1, 3), gap(4, 6))
    bench.worker.end()
    bench.wait_until_judged(6)
    assert bench.verdicts(7) == "rmmmrrr"
    assert [(e.start, e.end) for e in bench.events] == [(1.0, 3.0)]
    assert bench.events[0].reason == f"the detector failed: {type(error).__name__}"


def test_stall_leaves_the_gap_unjudged_and_a_fresh_detector_goes_on(
    released: threading.Event,
) -> None:
    look, stuck = stuck_at(released, 3)
    lane = ScriptedLane(look)
    revived: list[str] = []

    def revive(_: Lane[Any]) -> None:
        revived.append("fresh")
        lane.detector = lambda gap: f"fresh {gap.look.frame_id}"

    bench = started(Bench(lane, revive))
    bench.submit(gap(0), gap(1, 3), gap(4, 6))
    assert stuck.wait(LONG_S)
    bench.now += TIMEOUT_S - 1
    bench.worker.check()
    assert not revived, "it had time left"
    bench.stall()
    bench.worker.end()
    bench.wait_until_judged(6)
    assert bench.verdicts(7) == "rmmmrrr"
    assert revived == ["fresh"]
    assert lane.absorbed[-1] == (6, "fresh 6")
    assert "did not answer for 5 s" in bench.events[0].reason


def test_answer_that_comes_too_late_is_not_heard(released: threading.Event) -> None:
    look, stuck = stuck_at(released, 3)
    lane = ScriptedLane(look)
    bench = started(Bench(lane, lambda _: None))
    bench.submit(gap(0), gap(1, 3))
    assert stuck.wait(LONG_S)
    bench.stall()
    threads = [t for t in threading.enumerate() if t.name == "lane-faces"]
    released.set()
    bench.submit(gap(4, 6))
    bench.wait_until_judged(6)
    bench.worker.stop()
    for thread in threads:
        thread.join(LONG_S)
    assert [frame for frame, _ in lane.absorbed] == [0, 3, 6]
    assert bench.verdicts(7) == "rmmmrrr"


def test_stalls_in_a_row_kill_the_lane(released: threading.Event) -> None:
    look, stuck = stuck_at(released, *range(1, 50))
    bench = started(Bench(ScriptedLane(look), lambda _: None))
    bench.submit(gap(0))
    bench.wait_until_judged(0)
    for n in range(1, MAX_FAILURES + 1):
        stuck.clear()
        bench.submit(gap(n))
        assert stuck.wait(LONG_S)
        bench.stall()
    assert bench.verdicts(5) == "rmmmm", "blind from the horizon on, whatever comes"
    assert f"{MAX_FAILURES} times; it was given up" in bench.events[-1].reason
    bench.submit(*[gap(n) for n in range(10, 10 + 3 * QUEUE_GAPS)])  # does not wait for anybody
    assert bench.verdicts(30) == "r" + "m" * 29


def test_stalls_with_good_looks_between_do_not_kill_the_lane(released: threading.Event) -> None:
    look, stuck = stuck_at(released, *range(1, 50, 2))
    bench = started(Bench(ScriptedLane(look), lambda _: None))
    bench.submit(gap(0))
    for n in range(1, 4 * MAX_FAILURES, 2):
        stuck.clear()
        bench.submit(gap(n), gap(n + 1))
        assert stuck.wait(LONG_S)
        bench.stall()
        bench.wait_until_judged(n + 1)
    assert bench.verdicts(9) == "rmrmrmrmr"
    bench.worker.stop()


@pytest.mark.parametrize("revive", [None, "raises"])
def test_stall_without_a_replacement_kills_the_lane(
    revive: str | None, released: threading.Event
) -> None:
    def fail(_: Lane[Any]) -> None:
        raise OSError("the model is gone")

    look, stuck = stuck_at(released, 3)
    bench = started(Bench(ScriptedLane(look), None if revive is None else fail))
    bench.submit(gap(0))
    bench.wait_until_judged(0)
    bench.submit(gap(1, 3))
    assert stuck.wait(LONG_S)
    bench.stall()
    bench.submit(gap(4, 6))
    assert bench.verdicts(8) == "rmmmmmmm"


@pytest.mark.parametrize("step", ["enter", "absorb", "finish"])
@pytest.mark.parametrize("error", [RuntimeError("x"), SystemExit(2)], ids=["error", "exit"])
def test_lane_that_fails_outside_of_its_detectors_is_blind_from_there_on(
    step: str, error: BaseException
) -> None:
    lane = ScriptedLane()
    bench = started(Bench(lane))
    bench.submit(gap(0), gap(1, 3))
    bench.wait_until_judged(3)
    lane.broken[step] = error
    bench.submit(gap(4, 6))
    bench.worker.end()
    bench.wait_until_judged(9)
    bench.wait_for(lambda: bool(bench.events))
    assert bench.verdicts(9) == ("rrrrrrrmm" if step == "finish" else "rrrrmmmmm")
    assert type(error).__name__ in bench.events[-1].reason
    bench.stall()  # a dead lane is not found stalled, nor does it come alive again
    assert len(bench.events) == 1


def test_lane_that_fails_over_a_stall_dies_and_takes_nobody_along(
    released: threading.Event,
) -> None:
    look, stuck = stuck_at(released, 3)
    lane = ScriptedLane(look)
    bench = started(Bench(lane, lambda _: None))
    bench.submit(gap(0))
    bench.wait_until_judged(0)
    bench.submit(gap(1, 3))
    assert stuck.wait(LONG_S)
    lane.broken["absorb"] = RuntimeError("x")
    bench.stall()
    assert bench.verdicts(6) == "rmmmmm"
    assert "RuntimeError" in bench.events[-1].reason


def test_horizon_that_is_not_a_time_kills_the_lane() -> None:
    class Lost(ScriptedLane):
        def absorb(self, gap: Gap, evidence: Any) -> Findings:
            return Findings(float("nan") if gap.look.frame_id else 0.0)

    bench = started(Bench(Lost()))
    bench.submit(gap(0))
    bench.wait_until_judged(0)
    bench.submit(gap(1, 3))
    bench.wait_until_judged(3)
    assert bench.verdicts(5) == "rmmmm"


def test_queue_is_bounded_and_who_submits_waits(released: threading.Event) -> None:
    look, stuck = stuck_at(released, 0)
    lane = ScriptedLane(look)
    bench = started(Bench(lane, lambda _: None))
    bench.submit(gap(0))
    assert stuck.wait(LONG_S)
    bench.submit(*[gap(n) for n in range(1, QUEUE_GAPS + 1)])
    asked: list[int] = []

    def give_up() -> bool:
        asked.append(1)
        return len(asked) == 3

    bench.worker.submit(gap(90), give_up)  # returns without having been queued
    assert len(asked) == 3
    released.set()
    bench.worker.end()
    bench.wait_for(lambda: bench.horizons[-1:] == [float("inf")])
    assert lane.entered == list(range(QUEUE_GAPS + 1))


def test_end_of_a_run_waits_for_a_look_in_progress_but_not_for_a_stuck_one(
    released: threading.Event,
) -> None:
    look, stuck = stuck_at(released, 0)
    given_up = started(Bench(ScriptedLane(look)))
    given_up.submit(gap(0))
    assert stuck.wait(LONG_S)
    given_up.stall()
    given_up.worker.stop()
    begun = time.monotonic()
    given_up.worker.join(LONG_S)
    assert time.monotonic() - begun < LONG_S / 2

    stuck.clear()
    busy = started(Bench(ScriptedLane(look)))
    busy.submit(gap(0))
    assert stuck.wait(LONG_S)
    busy.worker.stop()
    busy.worker.join(0.01)
    thread = busy.worker._thread
    assert thread is not None
    assert thread.is_alive()
    threading.Timer(0.1, released.set).start()
    busy.worker.join(LONG_S)
    assert not thread.is_alive()


def test_stopped_worker_says_nothing_more(released: threading.Event) -> None:
    look, stuck = stuck_at(released, 1)
    bench = started(Bench(ScriptedLane(look)))
    bench.submit(gap(0))
    bench.wait_until_judged(0)
    bench.submit(gap(1), gap(2))
    assert stuck.wait(LONG_S)
    threads = [t for t in threading.enumerate() if t.name == "lane-faces"]
    bench.worker.stop()
    released.set()
    for thread in threads:
        thread.join(LONG_S)
    assert bench.horizons == [0.0]
    bench.now += 10 * TIMEOUT_S
    bench.worker.check()
    assert bench.verdicts(3) == "rww"


def test_what_an_engine_tells_while_it_is_run_becomes_an_event() -> None:
    def look(gap: Gap) -> int:
        if gap.look.frame_id == 1:
            tell("net failed on the GPU, it is set up again")
            raise InferenceError("failed")
        if gap.look.frame_id == 2:
            tell("the CPU takes over")
        return gap.look.frame_id

    bench = started(Bench(ScriptedLane(look)))
    bench.submit(gap(0), gap(1), gap(2))
    bench.worker.end()
    bench.wait_for(lambda: bench.horizons[-1:] == [float("inf")])
    assert [(event.lane, event.start, event.reason) for event in bench.events] == [
        ("faces", 1.0, "the detector failed: InferenceError"),
        (ENGINE, 1.0, "net failed on the GPU, it is set up again"),
        (ENGINE, 2.0, "the CPU takes over"),
    ]
    assert bench.verdicts(3) == "rmr"
