"""StreamClock: sound timestamps pass unchanged, all others are repaired."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge.media.clock import SharedShift, StreamClock

MS = Fraction(1, 1000)


def clock(step: int = 40, origin: int = 0, shared: SharedShift | None = None) -> StreamClock:
    return StreamClock(MS, step, origin, shared or SharedShift())


@given(st.lists(st.integers(1, 3_000_000), max_size=50), st.integers(-(10**9), 10**9))
def test_rising_timestamps_pass_unchanged(steps, origin):
    ticks = [sum(steps[: i + 1]) for i in range(len(steps))]
    c = clock(origin=origin)
    assert [c.place(tick + origin) for tick in ticks] == ticks
    assert c.repaired == 0


@given(st.lists(st.none() | st.integers(-(2**40), 2**40), min_size=1, max_size=80))
def test_whatever_comes_times_rise(ticks):
    c = clock()
    placed = [c.place(tick) for tick in ticks]
    assert all(a < b for a, b in pairwise(placed))
    assert c.end > placed[-1]


def test_missing_ones_are_filled_with_the_usual_step():
    assert [clock_.place(t) for clock_ in [clock()] for t in (0, None, None, 125)] == [
        0,
        40,
        80,
        125,
    ]


def test_repeated_ones_are_moved_by_the_least():
    c = clock()
    assert [c.place(t) for t in (0, 40, 40, 80)] == [0, 40, 41, 80]
    assert c.repaired == 1


def test_two_frames_keep_a_distance_that_ts_can_tell():
    c = StreamClock(Fraction(1, 1_000_000), 40_000, 0, SharedShift())
    assert c.place(0) == 0
    assert c.place(0) == 12  # 1/90000 s, rounded up


def test_a_restart_goes_on_where_it_was():
    c = clock()
    assert [c.place(t) for t in (10_000, 10_040, 0, 40, 80)] == [
        10_000,
        10_040,
        10_080,
        10_120,
        10_160,
    ]
    assert c.repaired == 1


def test_garbage_far_ahead_does_not_make_the_file_last_for_ever():
    c = clock()
    assert c.place(0) == 0
    assert c.place(2**40) == 40
    assert c.place(80) == 80


@given(st.integers(-400, 400), st.booleans())
def test_picture_and_sound_restart_together(offset, sound_first):
    """Both jump back by the same amount, one a little before the other: they stay in sync."""
    shared = SharedShift()
    picture, sound = clock(shared=shared), clock(20, shared=shared)
    for tick in range(0, 10_000, 40):
        picture.place(tick)
    for tick in range(0, 10_000 + offset, 20):
        sound.place(tick)
    first, second = (sound, picture) if sound_first else (picture, sound)
    a = first.place(0)
    b = second.place(0)
    # The second may have to wait for its own last item to end, never longer.
    assert abs(a - b) <= abs(offset) + 40
    assert abs(first.place(2000) - second.place(2000)) <= 1
