"""Which frames are looked at: enough of them, never too far apart, the same on every machine."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.motion import IDENTITY, Motion
from edge.schedule import MAX_GAP_FRAMES, Cadence, Scheduler
from edge.timeline import sample_index

WIDTH, HEIGHT = 1280, 720
CALM = Cadence(target_fps=4.0, max_fps=15.0, max_travel=0.06)
STILL = Motion(IDENTITY)
UNKNOWN = Motion(IDENTITY, reliable=False)
CUT = Motion(IDENTITY, cut=True, reliable=False)


def pan(dx: float, dy: float = 0.0, zoom: float = 1.0) -> Motion:
    return Motion(np.array([[zoom, 0.0, dx], [0.0, zoom, dy]]))


def looks(cadence: Cadence, times: list[float], motions: list[Motion]) -> list[int]:
    scheduler = Scheduler(cadence, WIDTH, HEIGHT)
    pairs = zip(times, motions, strict=True)
    return [k for k, (pts, motion) in enumerate(pairs) if scheduler.decide(pts, motion)]


motions = st.one_of(
    st.just(STILL),
    st.just(UNKNOWN),
    st.just(CUT),
    st.builds(pan, st.floats(-100, 100), st.floats(-60, 60), st.floats(0.9, 1.1)),
)
# Steps between frames, as in webcams, cameras, screen recordings with pauses, high speed.
steps = st.sampled_from([1 / 1000, 1 / 240, 1 / 60, 1 / 30, 1 / 25, 0.1, 0.7, 5.0])
cadences = st.builds(
    lambda target, more, travel: Cadence(target, target + more, travel),
    st.sampled_from([0.5, 2.0, 4.0, 15.0, 60.0]),
    st.sampled_from([0.0, 4.0, 30.0]),
    st.sampled_from([0.01, 0.06, 1.0]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cadence=cadences, frames=st.lists(st.tuples(steps, motions), min_size=1, max_size=150))
def test_the_guarantees_hold_for_any_rate_and_motion(cadence, frames):
    times = list(itertools.accumulate(step for step, _ in frames))
    moved = [CUT, *(motion for _, motion in frames[1:])]  # a source's first frame is a cut
    chosen = looks(cadence, times, moved)

    assert chosen[0] == 0
    # One in every slot that has a frame, and it is the slot's first frame.
    slots = [sample_index(pts, cadence.target_fps) for pts in times]
    firsts = {k for k in range(len(times)) if k == 0 or slots[k] != slots[k - 1]}
    assert firsts <= set(chosen)
    # One behind every cut.
    cuts = {k for k, motion in enumerate(moved) if motion.cut}
    assert cuts <= set(chosen)
    # Never far apart.
    ends = [*chosen, len(times) - 1]
    assert all(b - a <= MAX_GAP_FRAMES for a, b in itertools.pairwise(ends))
    # Those that no rule demands keep their distance.
    before = -math.inf
    previous = -1
    for k in chosen:
        extra = k not in firsts and k not in cuts and k - previous < MAX_GAP_FRAMES
        if extra:
            assert times[k] - before >= 1 / cadence.max_fps - 2e-6
        before, previous = times[k], k
    # The same again.
    assert looks(cadence, times, moved) == chosen


@pytest.mark.parametrize("fps", [1.0, 5.0, 10.0, 25.0, 30.0, 60.0, 120.0])
@pytest.mark.parametrize("cadence", [CALM, Cadence(8.0, 8.0, 0.06), Cadence(0.5, 30.0, 0.06)])
def test_over_a_minute_there_are_neither_too_few_nor_too_many(fps, cadence):
    times = [k / fps for k in range(int(60 * fps))]
    calm = looks(cadence, times, [STILL] * len(times))
    wild = looks(cadence, times, [pan(200.0)] * len(times))
    guaranteed = 60 * min(fps, cadence.target_fps)
    for_gaps = len(times) / MAX_GAP_FRAMES
    assert guaranteed <= len(calm) <= guaranteed + for_gaps + 1
    assert len(calm) <= len(wild) <= 60 * (cadence.max_fps + cadence.target_fps) + for_gaps + 1
    if fps >= 2 * cadence.max_fps:
        assert len(wild) >= 60 * cadence.max_fps * 0.7  # spare looks are really taken


def test_a_still_picture_is_looked_at_no_more_than_guaranteed():
    times = [k / 30 for k in range(300)]
    assert len(looks(CALM, times, [STILL] * 300)) == 40


@pytest.mark.parametrize(
    "motion",
    [pan(20), pan(-20), pan(0, 20), pan(0, 0, 1.02), pan(-25.6, 0, 1.02), UNKNOWN],
    ids=["right", "left", "down", "zoom", "zoom about the centre", "unknown"],
)
def test_the_picture_never_travels_far_without_a_look(motion):
    """Between two looks: max_travel, the frame that goes beyond it, and a rest."""
    times = [k / 30 for k in range(300)]
    chosen = looks(CALM, times, [STILL, *[motion] * 299])
    assert len(chosen) > 60
    assert max(b - a for a, b in itertools.pairwise(chosen)) <= 6


def test_every_cut_is_looked_at_however_dense():
    times = [k / 30 for k in range(60)]
    assert looks(CALM, times, [CUT] * 60) == list(range(60))


def test_a_look_is_not_repeated_for_travel_that_it_has_seen():
    """A jerk before a look does not count against the frames after it."""
    times = [k / 1000 for k in range(12)]
    cadence = Cadence(0.5, 1000.0, 0.06)
    jerk = [STILL] * 12
    jerk[5] = pan(500.0)
    assert looks(cadence, times, jerk) == [0, 5]


def test_a_pause_of_minutes_ends_with_a_look():
    assert looks(CALM, [0.0, 1 / 30, 600.0, 600.001], [STILL] * 4) == [0, 2]
