"""When frames come and when they are due: pure arithmetic, with simulated networks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.media.arrival import JUMP_S, ArrivalWatch, Backlog, Pace

FRAME_S = 1 / 30


@given(st.integers(0, 150), st.floats(0.0005, 0.008), st.floats(0, 0.015))
def test_a_backlog_ends_at_the_first_frame_that_had_to_be_waited_for(kept, each_s, phase_s):
    """`kept` frames lie ready; later ones come when they are filmed."""
    backlog, now = Backlog(), 100.0
    live_from = 100.0 + phase_s
    for n in range(2 * kept + 40):
        filmed = live_from + (n - kept) * FRAME_S
        now = max(now + each_s, filmed)
        if backlog.is_over(n * FRAME_S, now):
            assert now - filmed < FRAME_S, "the first frame given out is a fresh one"
            assert n <= kept + kept * each_s / (FRAME_S - each_s) + 2
            return
    raise AssertionError("never caught up")


def test_a_source_that_is_never_caught_up_with_is_taken_as_it_is():
    backlog, now, n = Backlog(), 0.0, 0
    while not backlog.is_over(n * FRAME_S, now):
        now, n = now + 0.004, n + 1
    assert now == pytest.approx(2.0, abs=0.1)


@given(
    st.floats(-0.005, 0.005),
    st.lists(st.floats(0, 0.9), min_size=1, max_size=50),
    st.floats(-1e6, 1e6),
)
def test_drift_and_jitter_are_no_fault(drift, jitter, start):
    """Ten minutes of a clock that is off by up to 0.5 %, over a network with up to 0.9 s jitter."""
    watch = ArrivalWatch()
    for n in range(1200):
        pts = n * 0.5
        now = start + pts * (1 + drift) + jitter[n % len(jitter)]
        assert watch.fault(pts, now) is None


@given(st.floats(JUMP_S + 0.1, 1e5), st.integers(5, 400))
def test_a_jump_ahead_is_a_fault_at_once(jump, at):
    watch = ArrivalWatch()
    for n in range(at):
        assert watch.fault(n * FRAME_S, n * FRAME_S) is None
    assert watch.fault(at * FRAME_S + jump, at * FRAME_S) == "its clock jumped ahead"


@given(st.floats(JUMP_S + 0.3, 60))
def test_a_lag_that_stays_is_a_fault_within_two_windows(lag):
    watch, n = ArrivalWatch(), 0
    for n in range(300):
        assert watch.fault(n * FRAME_S, n * FRAME_S) is None
    for m in range(n + 1, n + 400):
        if watch.fault(m * FRAME_S, m * FRAME_S + lag) == "it fell behind":
            return
    raise AssertionError("unnoticed")


def test_a_stall_that_is_made_up_is_no_fault():
    watch = ArrivalWatch()
    for n in range(1800):
        pts = n * FRAME_S
        now = max(pts, 22.5) if 20 <= pts < 22.5 else pts
        assert watch.fault(pts, now) is None


@given(st.lists(st.floats(0, 2), max_size=60))
def test_paced_items_come_when_due_and_never_early(work):
    """The consumer takes `work` seconds for each item."""
    pace, now = Pace(), 50.0
    for n, spent in enumerate(work):
        now += pace.wait_s(n * FRAME_S, now)
        assert now >= 50 + n * FRAME_S - 1e-9
        now += spent


def test_a_stall_longer_than_the_slack_moves_what_follows():
    pace = Pace(slack_s=0.5)
    assert pace.wait_s(0.0, 10.0) == 0
    assert pace.wait_s(1.0, 10.0) == pytest.approx(1)
    assert pace.wait_s(1.0, 11.4) == 0  # late, within the slack: made up
    assert pace.wait_s(2.0, 11.5) == pytest.approx(0.5)
    assert pace.wait_s(2.0, 13.0) == 0  # a stall
    assert pace.wait_s(3.0, 13.0) == pytest.approx(1)
