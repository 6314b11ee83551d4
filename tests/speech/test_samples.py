"""What samples say by themselves, and hearing in parts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InferenceError
from edge.speech.samples import FRAME, check_samples, levels, quietest_cut, voiced
from edge.speech.splitting import SPLITS, hear
from edge.speech.words import SAMPLE_RATE, Word

RNG = np.random.default_rng(1)


def tone(seconds: float, amplitude: float = 0.3) -> np.ndarray:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (amplitude * np.sin(2 * np.pi * 220 * t)).astype(np.float32)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(10, np.float64),
        np.zeros((2, 10), np.float32),
        np.array([0, np.nan], np.float32),
        np.array([np.inf], np.float32),
        np.zeros(SAMPLE_RATE + 1, np.float32),
    ],
)
def test_what_is_no_sound_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(InferenceError):
        check_samples(samples, 1.0)


def test_sound_passes() -> None:
    check_samples(tone(1.0), 1.0)
    check_samples(np.zeros(0, np.float32))


def test_levels_are_decibels_of_full_scale() -> None:
    assert levels(np.ones(FRAME, np.float32))[0] == pytest.approx(0, abs=1e-6)
    assert levels(np.full(FRAME, 0.1, np.float32))[0] == pytest.approx(-20, abs=1e-4)
    assert levels(np.zeros(FRAME, np.float32))[0] == -90
    assert len(levels(np.zeros(FRAME - 1, np.float32))) == 0


def test_a_tone_between_silence_is_what_is_loud() -> None:
    sound = np.concatenate([tone(0.5, 1e-3), tone(0.4), tone(0.6, 1e-3)])
    assert np.flatnonzero(voiced(sound)).tolist() == list(range(50, 90))
    assert not voiced(tone(1.0)).any()
    assert len(voiced(np.zeros(0, np.float32))) == 0


@given(st.floats(0.4, 0.6), st.floats(1.0, 20.0))
@settings(max_examples=25)
def test_the_cut_is_where_it_is_quiet(where: float, seconds: float) -> None:
    sound = tone(seconds)
    middle = round(where * len(sound))
    sound[middle - SAMPLE_RATE // 20 : middle + SAMPLE_RATE // 20] = 0
    assert abs(quietest_cut(sound) - middle) <= 3 * FRAME


@given(st.integers(0, 4000))
def test_any_length_can_be_cut(count: int) -> None:
    assert 0 <= quietest_cut(np.zeros(count, np.float32)) <= count


def test_what_is_complete_is_heard_once() -> None:
    calls = []

    def attempt(samples):
        calls.append(len(samples))
        return [Word("a", 0.0, 1.0)]

    sound = tone(4)
    assert hear(sound, attempt) == [Word("a", 0.0, 1.0)]
    assert calls == [len(sound)]


@given(st.floats(0.7, 8.0), st.floats(3.0, 12.0))
@settings(max_examples=40)
def test_parts_have_the_times_of_the_whole(longest: float, seconds: float) -> None:
    """The attempt is a recogniser that gives up on what is long, and marks what it did hear."""
    sound = tone(seconds)
    sound += np.linspace(0, 0.1, len(sound), dtype=np.float32)  # a position can be told by it

    def attempt(samples):
        length = len(samples) / SAMPLE_RATE
        return None if length > longest else [Word("part", 0.0, length)]

    try:
        words = hear(sound, attempt)
    except InferenceError:
        assert seconds > longest
        return
    assert words[0].start == 0
    assert words[-1].end == pytest.approx(seconds, abs=1e-3)
    assert len(words) <= 2**SPLITS
    for before, after in itertools.pairwise(words):
        assert after.start == pytest.approx(before.end, abs=1e-6)


def test_what_stays_incomplete_is_an_error_and_costs_a_bounded_number_of_attempts() -> None:
    calls = []

    def attempt(samples):
        calls.append(len(samples))

    with pytest.raises(InferenceError, match="may be missing"):
        hear(tone(20), attempt)
    assert len(calls) == SPLITS + 1
    calls.clear()
    with pytest.raises(InferenceError):
        hear(tone(1.0), attempt)
    assert len(calls) == 1


def test_an_error_of_one_part_is_an_error_of_the_whole() -> None:
    def attempt(samples):
        if len(samples) > 3 * SAMPLE_RATE:
            return None
        if samples[-1] > 0.05:
            raise InferenceError("broken")
        return []

    sound = np.concatenate([tone(2, 0.01), np.full(2 * SAMPLE_RATE, 0.1, np.float32)])
    with pytest.raises(InferenceError, match="broken"):
        hear(sound, attempt)
