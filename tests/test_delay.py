"""The gate and the delay line: nothing leaves unjudged, whatever lanes do, and nothing waits long.

The reference here shares nothing with the gate but its words: it keeps every message that a lane
ever sent and asks for each frame anew whether that frame was judged.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.delay import DelayLine, Gate, Judgement, Verdict

INF = math.inf


@dataclass(frozen=True)
class Item:
    pts: float
    arrived: float = 0.0


@dataclass
class LaneHistory:
    """All that a lane has ever said."""

    horizons: list[float] = field(default_factory=list)
    blind: list[tuple[float, float]] = field(default_factory=list)

    def judged(self, pts: float) -> bool:
        return any(horizon >= pts for horizon in self.horizons)

    def was_blind(self, pts: float) -> bool:
        return any(start <= pts <= end for start, end in self.blind)


def expected(lanes: dict[str, LaneHistory], pts: float, overdue: bool) -> Verdict:
    if not math.isfinite(pts):
        return Verdict.MASK  # it has no place in time, so nobody can have judged it
    unjudged = any(not h.judged(pts) and not h.was_blind(pts) for h in lanes.values())
    if unjudged:
        return Verdict.MASK if overdue else Verdict.WAIT
    return Verdict.MASK if any(h.was_blind(pts) for h in lanes.values()) else Verdict.RELEASE


# -- the gate, exhaustively ------------------------------------------------------------------

HORIZONS = (None, -INF, 0.0, 1.0, 2.0, INF)
STRETCHES = (None, (0.0, 0.0), (1.0, 2.0), (-INF, 0.0), (1.0, INF), (-INF, INF), (INF, INF))
TIMES = (-INF, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, INF)


def test_every_small_case_of_two_lanes():
    cases = list(itertools.product(HORIZONS, STRETCHES))
    for said in itertools.product(cases, repeat=2):
        gate = Gate(("faces", "plates"))
        lanes = {"faces": LaneHistory(), "plates": LaneHistory()}
        for (name, history), (horizon, stretch) in zip(lanes.items(), said, strict=True):
            if stretch is not None:
                gate.blind(name, *stretch)
                history.blind.append(stretch)
            if horizon is not None:
                gate.advance(name, horizon)
                history.horizons.append(horizon)
        for pts, overdue in itertools.product(TIMES, (False, True)):
            judgement = gate.judge(pts, overdue=overdue)
            assert judgement.verdict is expected(lanes, pts, overdue), (said, pts, overdue)
            assert bool(judgement.lanes) == (judgement.verdict is not Verdict.RELEASE)


@pytest.mark.parametrize("pts", [math.nan, INF, -INF])
@pytest.mark.parametrize("overdue", [False, True])
def test_a_frame_without_a_finite_time_is_masked(pts, overdue):
    gate = Gate(("faces",))
    assert gate.judge(pts, overdue=overdue) == Judgement(Verdict.MASK, ("faces",))
    gate.advance("faces", INF)
    assert gate.judge(pts, overdue=overdue) == Judgement(Verdict.MASK, ("faces",))


def test_without_lanes_all_is_released():
    assert Gate(()).judge(0.0).verdict is Verdict.RELEASE


def test_the_lanes_that_a_mask_is_owed_to_are_named():
    gate = Gate(("faces", "plates", "text"))
    gate.advance("faces", 5.0)
    gate.blind("plates", 0.0, 3.0)
    assert gate.judge(1.0) == Judgement(Verdict.WAIT, ("text",))
    assert set(gate.judge(1.0, overdue=True).lanes) == {"plates", "text"}
    gate.advance("text", 5.0)
    assert gate.judge(1.0) == Judgement(Verdict.MASK, ("plates",))
    assert gate.judge(4.0) == Judgement(Verdict.WAIT, ("plates",))


def test_a_horizon_of_nan_is_refused_and_changes_nothing():
    gate = Gate(("faces",))
    gate.advance("faces", 1.0)
    with pytest.raises(ValueError, match="NaN"):
        gate.advance("faces", math.nan)
    assert gate.judge(1.0).verdict is Verdict.RELEASE
    assert gate.judge(1.5).verdict is Verdict.WAIT


@pytest.mark.parametrize("stretch", [(1.0, 0.0), (math.nan, 1.0), (0.0, math.nan), (INF, -INF)])
def test_a_stretch_that_is_none_is_refused(stretch):
    with pytest.raises(ValueError, match="not a stretch"):
        Gate(("faces",)).blind("faces", *stretch)


def test_an_unknown_lane_cannot_speak():
    gate = Gate(("faces",))
    for speak in (lambda: gate.advance("faecs", 1.0), lambda: gate.blind("faecs", 0.0, 1.0)):
        with pytest.raises(KeyError):
            speak()
    assert gate.judge(0.0).verdict is Verdict.WAIT


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    horizons=st.lists(st.floats(-5, 5) | st.sampled_from([INF, -INF]), max_size=12),
    pts=st.floats(-5, 5),
)
def test_horizons_in_any_order_never_take_a_release_back(horizons, pts):
    gate = Gate(("faces",))
    released = False
    for horizon in horizons:
        gate.advance("faces", horizon)
        verdict = gate.judge(pts).verdict
        assert not (released and verdict is not Verdict.RELEASE)
        released = verdict is Verdict.RELEASE
        assert released == (max(horizons[: horizons.index(horizon) + 1]) >= pts or released)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    blind=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8)), max_size=10),
    before=st.integers(-1, 30),
    horizon=st.integers(0, 30),
)
def test_forgetting_never_opens_the_gate(blind, before, horizon):
    """Also for a frame that comes later than its time: its blind stretch is gone, not its mask."""
    kept, forgetful = Gate(("faces",)), Gate(("faces",))
    for start, length in blind:
        for gate in (kept, forgetful):
            gate.blind("faces", start, start + length)
    for gate in (kept, forgetful):
        gate.advance("faces", horizon)
    forgetful.forget(before)
    for pts in range(30):
        verdict = forgetful.judge(pts).verdict
        if pts >= before:
            assert verdict is kept.judge(pts).verdict
        elif verdict is Verdict.RELEASE:
            assert kept.judge(pts).verdict is Verdict.RELEASE


def test_forgetting_up_to_no_time_forgets_nothing():
    gate = Gate(("faces",))
    gate.blind("faces", 0.0, 1.0)
    gate.advance("faces", 2.0)
    gate.forget(math.nan)
    assert gate.judge(0.5).verdict is Verdict.MASK
    assert gate.judge(1.5).verdict is Verdict.RELEASE


# -- the gate and the line together, with lanes that misbehave --------------------------------

FRAME_S = 0.1
DELAY_S = 1.0
LANES = ("faces", "plates")


class LiveStream(RuleBasedStateMachine):
    """A live source, lanes that do as they like, and a writer that obeys the gate and deadlines."""

    @initialize()
    def begin(self) -> None:
        self.gate = Gate(LANES)
        self.line: DelayLine[Item] = DelayLine(DELAY_S, 40)
        self.lanes = {name: LaneHistory() for name in LANES}
        self.dead: set[str] = set()
        self.now = 0.0
        self.pts = 0.0
        self.released: list[float] = []
        self.left: list[float] = []

    @rule(frames=st.integers(1, 6), jitter=st.sampled_from([0.0, 0.03, 0.4]))
    def frames_arrive(self, frames: int, jitter: float) -> None:
        for _ in range(frames):
            self.now += FRAME_S
            self.pts += FRAME_S + jitter
            if len(self.line) == 40:
                self.leave(self.line.pop(), overdue=True)
            self.line.append(Item(self.pts, self.now))
            self.write()

    @rule(name=st.sampled_from(LANES), behind=st.floats(-0.5, 3.0))
    def lane_publishes(self, name: str, behind: float) -> None:
        """Also out of order, and also beyond what has arrived."""
        if name not in self.dead:
            self.say(name, self.pts - behind)

    @rule(name=st.sampled_from(LANES))
    def lane_publishes_nan(self, name: str) -> None:
        with pytest.raises(ValueError, match="NaN"):
            self.gate.advance(name, math.nan)

    @rule(
        name=st.sampled_from(LANES),
        start=st.floats(-2.0, 1.0),
        length=st.floats(0, 2) | st.just(INF),
        publishes=st.booleans(),
    )
    def lane_is_blind(self, name: str, start: float, length: float, publishes: bool) -> None:
        """Also too late, for frames that its horizon had already passed."""
        begin = self.pts + start
        stretch = (begin, begin + length)
        self.gate.blind(name, *stretch)
        self.lanes[name].blind.append(stretch)
        if publishes:
            self.say(name, min(stretch[1], self.pts))

    @precondition(lambda self: len(self.dead) < len(LANES))
    @rule(data=st.data())
    def lane_dies(self, data) -> None:
        name = data.draw(st.sampled_from(sorted(set(LANES) - self.dead)))
        self.dead.add(name)
        start = max(self.lanes[name].horizons, default=-INF)
        self.gate.blind(name, start, INF)
        self.lanes[name].blind.append((start, INF))
        self.say(name, INF)

    @rule()
    def old_is_forgotten(self) -> None:
        oldest = self.line.oldest()
        self.gate.forget(self.pts if oldest is None else oldest.pts)

    def say(self, name: str, horizon: float) -> None:
        self.gate.advance(name, horizon)
        self.lanes[name].horizons.append(horizon)
        self.write()

    def write(self) -> None:
        """What a live writer does: the oldest leaves when judged, or when its time is up."""
        while (item := self.line.oldest()) is not None:
            overdue = self.now - item.arrived >= DELAY_S - 1e-9
            if self.gate.judge(item.pts, overdue=overdue).verdict is Verdict.WAIT:
                assert not overdue
                return
            self.leave(self.line.pop(), overdue)

    def leave(self, item: Item, overdue: bool) -> None:
        verdict = self.gate.judge(item.pts, overdue=overdue).verdict
        assert verdict is not Verdict.WAIT
        assert verdict is expected(self.lanes, item.pts, overdue)
        if verdict is Verdict.RELEASE:
            for history in self.lanes.values():
                assert history.judged(item.pts)
                assert not history.was_blind(item.pts)
        self.left.append(item.pts)
        assert self.now - item.arrived <= DELAY_S + 1e-9

    @invariant()
    def order_and_bounds_hold(self) -> None:
        if not hasattr(self, "line"):
            return
        assert self.left == sorted(self.left)
        assert len(self.line) <= 40
        oldest = self.line.oldest()
        assert oldest is None or self.now - oldest.arrived < DELAY_S


TestLiveStream = LiveStream.TestCase
TestLiveStream.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


# -- the delay line ----------------------------------------------------------------------------


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pts=st.lists(st.floats(-1e6, 1e6), max_size=30), room=st.integers(1, 20))
def test_the_line_keeps_order_and_never_holds_more_than_it_may(pts, room):
    line: DelayLine[Item] = DelayLine(1.0, room)
    taken = []
    for value in pts:
        if len(line) == room:
            assert line.full
            with pytest.raises(OverflowError):
                line.append(Item(value))
            taken.append(line.pop().pts)
        line.append(Item(value))
    while line:
        oldest = line.oldest()
        assert oldest is not None
        assert line.pop() is oldest
        taken.append(oldest.pts)
    assert taken == pts
    assert line.oldest() is None
    with pytest.raises(IndexError):
        line.pop()


def test_the_line_is_full_when_it_spans_its_length():
    line: DelayLine[Item] = DelayLine(2.0, 100)
    assert not line.full
    line.append(Item(10.0))
    assert not line.full  # one frame may always be followed by another
    line.append(Item(11.9))
    assert not line.full
    line.append(Item(12.0))
    assert line.full
    line.pop()
    assert not line.full


def test_a_single_slot_is_full_at_once():
    line: DelayLine[Item] = DelayLine(INF, 1)
    line.append(Item(0.0))
    assert line.full


@pytest.mark.parametrize(("seconds", "room"), [(0.0, 1), (-1.0, 1), (math.nan, 1), (1.0, 0)])
def test_a_line_without_length_is_refused(seconds, room):
    with pytest.raises(ValueError, match="length"):
        DelayLine(seconds, room)


# -- lanes that come and go -----------------------------------------------------------------


@given(
    since=st.floats(-10, 10),
    until=st.floats(-10, 10),
    old=st.floats(-10, 10),
    new=st.floats(-10, 10),
    pts=st.floats(-10, 10),
    overdue=st.booleans(),
)
def test_each_lane_answers_for_its_own_time_and_no_frame_is_nobodys(
    since, until, old, new, pts, overdue
):
    gate = Gate(("old",))
    gate.add("new", "faces", since)
    gate.retire("old", until)
    gate.advance("old", old)
    gate.advance("new", new)
    responsible = [h for h, asked in ((old, pts < until), (new, pts >= since)) if asked]
    judged = all(pts <= horizon for horizon in responsible)
    verdict = gate.judge(pts, overdue=overdue).verdict
    assert (verdict is Verdict.RELEASE) == judged
    if not judged:
        assert verdict is (Verdict.MASK if overdue else Verdict.WAIT)


def test_a_retired_lane_is_forgotten_and_its_blind_stretches_count_to_its_end():
    gate = Gate(("old",))
    gate.add("new", "faces", 5.0)
    gate.blind("old", 4.0, INF)
    gate.retire("old", 5.0)
    gate.advance("old", INF)
    gate.advance("new", 9.0)
    assert gate.judge(4.5).verdict is Verdict.MASK
    assert gate.judge(5.0).verdict is Verdict.RELEASE
    gate.forget(5.0)
    with pytest.raises(KeyError):
        gate.advance("old", 6.0)
    assert gate.judge(5.0).verdict is Verdict.RELEASE


def test_a_lane_is_added_and_retired_once_and_at_a_time():
    gate = Gate(("faces",))
    with pytest.raises(ValueError, match="cannot be added"):
        gate.add("faces", "faces", 0.0)
    with pytest.raises(ValueError, match="cannot be added"):
        gate.add("text", "text", math.nan)
    gate.retire("faces", 3.0)
    with pytest.raises(ValueError, match="cannot be retired"):
        gate.retire("faces", 1.0)
