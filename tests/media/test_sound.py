"""Gapless: the samples counted are the time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.media.sound import TOLERANCE_S, Gapless

RATE = 48_000


@given(st.lists(st.tuples(st.floats(-0.5, 2), st.integers(1, 4096)), max_size=60))
def test_what_is_counted_never_strays_from_what_is_stamped(steps):
    gapless, at = Gapless(RATE, 1.0), 1.0
    for jump, samples in steps:
        at = max(0.0, at + jump)
        silence, cut = gapless.place(at, samples)
        assert silence >= 0
        assert 0 <= cut <= samples
        if cut < samples:  # heard: where it is stamped
            first = gapless.end_s - (samples - cut) / RATE
            assert abs(first - (at + cut / RATE)) <= TOLERANCE_S + 2 / RATE
        at += samples / RATE


@given(st.lists(st.floats(-0.0005, 0.0005), max_size=200))
def test_jitter_of_a_millisecond_changes_nothing(jitter):
    gapless = Gapless(RATE, 0.0)
    for number, noise in enumerate(jitter):
        assert gapless.place(number * 1024 / RATE + noise, 1024) == (0, 0)
    assert gapless.count == 1024 * len(jitter)


def test_a_hole_is_filled_and_an_overlap_cut():
    gapless = Gapless(RATE, 0.0)
    assert gapless.place(0.0, 4800) == (0, 0)
    assert gapless.place(0.3, 4800) == (9600, 0)
    assert gapless.place(0.3, 4800) == (0, 4800)
    assert gapless.end_s == 0.4
