"""One timebase: conversions are exact at the edges, where rounding would move a frame."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.timeline import audio_sample, sample_index, seconds

RATES = (0.5, 1.0, 4.0, 12.5, 15.0, 24000 / 1001, 30.0, 60.0)


@pytest.mark.parametrize("target_fps", RATES)
def test_a_slot_begins_exactly_at_its_edge(target_fps):
    for n in range(0, 200_000, 37):
        edge = n / target_fps
        assert sample_index(edge, target_fps) == n
        assert sample_index(edge - 0.01 / target_fps, target_fps) == n - 1


@settings(deadline=None)
@given(
    frame=st.integers(0, 10**7),
    frame_rate=st.sampled_from([Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(120)]),
    target=st.sampled_from([Fraction(1, 2), Fraction(4), Fraction(8), Fraction(15)]),
)
def test_the_slot_of_a_frame_is_that_of_its_exact_time(frame, frame_rate, target):
    """What floats do to n/30 s must not move a frame into the slot before."""
    exact = frame / frame_rate
    assert sample_index(float(exact), float(target)) == math.floor(exact * target)


@settings(deadline=None)
@given(st.lists(st.floats(-1e5, 1e6), min_size=2), st.floats(0.5, 60))
def test_slots_never_run_backwards(times, target_fps):
    slots = [sample_index(pts, target_fps) for pts in sorted(times)]
    assert slots == sorted(slots)


@settings(deadline=None)
@given(
    ticks=st.integers(-(2**40), 2**40),
    start=st.integers(-(2**40), 2**40),
    base=st.sampled_from([Fraction(1, 90_000), Fraction(1, 1000), Fraction(1001, 30_000)]),
)
def test_seconds_is_the_nearest_float_to_the_exact_time(ticks, start, base):
    exact = (ticks - start) * base
    got = seconds(ticks, base, start)
    error = abs(Fraction(got) - exact)
    for neighbour in (math.nextafter(got, -math.inf), math.nextafter(got, math.inf)):
        assert error <= abs(Fraction(neighbour) - exact)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_a_sound_sample_is_found_again(rate):
    for n in (0, 1, 2, 441, 47_999, 10**9 + 7):
        assert audio_sample(n / rate, rate) == n


@pytest.mark.parametrize("pts", [math.nan, math.inf])
def test_no_time_has_no_slot(pts):
    with pytest.raises((ValueError, OverflowError)):
        sample_index(pts, 4.0)
