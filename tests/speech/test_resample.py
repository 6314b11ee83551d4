"""Resampling: the same sound at the same time, however it comes in, and however long it lasts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.sound import SampleClock, Samples, SoundBlock
from edge.speech.resample import BLOCK, SpeechResampler
from edge.speech.words import SAMPLE_RATE

RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000)


def tone(hz: float, rate: int, seconds: float, channels: int = 1) -> Samples:
    at = np.arange(round(rate * seconds)) / rate
    return np.tile(0.5 * np.sin(2 * np.pi * hz * at), (channels, 1)).astype(np.float32)


def through(sound: Samples, rate: int, size: int = 1_024, start: float = 0.0) -> list[SoundBlock]:
    resampler = SpeechResampler()
    out: list[SoundBlock] = []
    for at in range(0, sound.shape[1], size):
        out += resampler.push(SoundBlock(start + at / rate, sound[:, at : at + size], rate))
    return out + resampler.flush()


def joined(blocks: list[SoundBlock]) -> Samples:
    return np.concatenate([block.samples[0] for block in blocks])


@pytest.mark.parametrize("rate", RATES)
def test_tone_keeps_its_time_and_level(rate: int) -> None:
    out = through(tone(440, rate, 2), rate, start=3.0)
    assert [block.pts for block in out] == pytest.approx([3.0 + n / 10 for n in range(len(out))])
    assert {block.samples.shape for block in out[:-1]} == {(1, BLOCK)}
    heard = joined(out)
    assert len(heard) == pytest.approx(2 * SAMPLE_RATE, abs=1)
    expected = tone(440, SAMPLE_RATE, 2)[0]
    middle = slice(SAMPLE_RATE // 4, -SAMPLE_RATE // 4)
    assert np.abs(heard[middle] - expected[: len(heard)][middle]).max() < 2e-3


@pytest.mark.parametrize("rate", [r for r in RATES if r > 17_000])
def test_what_16_khz_cannot_hold_is_gone(rate: int) -> None:
    heard = joined(through(tone(min(10_000, 0.45 * rate), rate, 1), rate))
    middle = heard[SAMPLE_RATE // 4 : -SAMPLE_RATE // 4]
    assert 20 * np.log10(np.abs(middle).max() / 0.5) < -75


@pytest.mark.parametrize(("rate", "minutes"), [(11_025, 10), (44_100, 1)])
def test_time_does_not_drift(rate: int, minutes: int) -> None:
    """Ten clicks in all the time stay where they are, to a sample."""
    every = 30 * minutes  # fifths of a second
    clicks = [(every * n + 3) / 5 for n in range(10)]
    resampler = SpeechResampler()
    heard: dict[int, SoundBlock] = {}
    size, silence = rate // 5, np.zeros((1, rate // 5), np.float32)
    for n in range(minutes * 60 * 5):
        samples = silence
        if n % every == 3:
            samples = silence.copy()
            samples[0, 0] = 1.0
        for block in resampler.push(SoundBlock(n * size / rate, samples, rate)):
            # The filter rings before the click, too: half of that is in the block before.
            click = round((block.pts - clicks[0]) / (clicks[1] - clicks[0]))
            loudest = heard.setdefault(click, block)
            if np.abs(block.samples).max() > np.abs(loudest.samples).max():
                heard[click] = block
    for number, at in enumerate(clicks):
        block = heard[number]
        weights = np.abs(block.samples[0].astype(np.float64)) ** 2
        times = block.pts + np.arange(len(weights)) / SAMPLE_RATE
        peak = times[int(weights.argmax())]
        assert abs(peak - at) < 1 / SAMPLE_RATE


@given(
    st.sampled_from([8_000, 16_000, 44_100, 48_000]),
    st.lists(st.integers(1, 3_000), min_size=1, max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_blocks_make_no_difference(rate: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(rate)
    sound = (rng.standard_normal((2, 9_000)) / 8).astype(np.float32)
    resampler = SpeechResampler()
    out: list[SoundBlock] = []
    at = turn = 0
    while at < sound.shape[1]:
        size = sizes[turn % len(sizes)]
        out += resampler.push(SoundBlock(at / rate, sound[:, at : at + size], rate))
        at, turn = at + size, turn + 1
    out += resampler.flush()
    whole = through(sound, rate, size=sound.shape[1])
    assert np.allclose(joined(out), joined(whole), atol=1e-6)
    assert [block.pts for block in out] == [block.pts for block in whole]


def test_hole_begins_a_new_stretch_and_an_overlap_is_cut() -> None:
    rate = 48_000
    resampler = SpeechResampler()
    second = tone(440, rate, 1)
    out = resampler.push(SoundBlock(0.0, second, rate))
    out += resampler.push(SoundBlock(1.5, second, rate))
    out += resampler.push(SoundBlock(2.0, second, rate))  # half of that time is filled
    out += resampler.flush()
    ends = [(block.pts, block.end) for block in out]
    assert [a for a, _ in ends] == sorted(a for a, _ in ends)
    gaps = [(e, a) for (_, e), (a, _) in pairwise(ends) if a - e > 1e-6]
    assert gaps == [(pytest.approx(1.0), pytest.approx(1.5))]
    assert ends[-1][1] == pytest.approx(3.0)


def test_jitter_of_containers_is_no_hole() -> None:
    rate = 44_100
    resampler = SpeechResampler()
    sound = tone(440, rate, 2)
    out: list[SoundBlock] = []
    for at in range(0, sound.shape[1], 1_024):
        pts = round(at / rate, 3)
        out += resampler.push(SoundBlock(pts, sound[:, at : at + 1_024], rate))
    out += resampler.flush()
    assert {block.samples.shape[1] for block in out[:-1]} == {BLOCK}


def test_lost_sound_and_another_rate_are_told_of() -> None:
    resampler = SpeechResampler()
    out = resampler.push(SoundBlock(0.0, tone(440, 48_000, 1), 48_000))
    out += resampler.push(SoundBlock(1.0, tone(440, 44_100, 1), 44_100))
    out += resampler.push(SoundBlock(2.0, tone(440, 44_100, 1), 44_100, lost=True))
    out += resampler.flush()
    lost = [block for block in out if block.lost]
    assert [block.pts for block in lost] == [pytest.approx(2.0)]
    assert out[-1].end == pytest.approx(3.0, abs=2e-4)
    with pytest.raises(ValueError, match="cannot be listened to"):
        resampler.push(SoundBlock(3.0, np.zeros((1, 10), np.float32), 100))


def test_opposite_channels_do_not_cancel() -> None:
    """A voice that one channel carries upside down is heard, as listeners hear it."""
    voice = tone(440, 48_000, 1)
    upside_down = np.concatenate([voice, -voice])
    heard = joined(through(upside_down, 48_000))
    assert np.abs(heard).max() > 0.15
    together = joined(through(np.concatenate([voice, voice]), 48_000))
    assert np.abs(together).max() == pytest.approx(0.5, abs=0.01)


def test_what_is_not_a_number_stays_so() -> None:
    sound = tone(440, 48_000, 2)
    sound[0, 48_000] = np.nan
    out = through(sound, 48_000)
    bad = [block.pts for block in out if not np.isfinite(block.samples).all()]
    assert bad
    assert all(abs(pts - 1.0) < 0.15 for pts in bad), "it does not stay for ever"


def test_sound_without_a_time_or_a_shape_is_refused() -> None:
    for pts, shape, rate in ((np.nan, (1, 4), 8_000), (0.0, (4,), 8_000), (0.0, (1, 4), 0)):
        with pytest.raises(ValueError, match="sound"):
            SoundBlock(pts, np.zeros(shape, np.float32), rate)
    assert "0.25" not in repr(SoundBlock(0.0, np.full((1, 4), 0.25, np.float32), 8_000))


def test_clock_counts_through_jitter() -> None:
    clock = SampleClock(1_000)
    assert clock.place(1.0, 100) == (1_000, 0)
    assert clock.place(1.115, 100) == (1_100, 0)
    assert clock.place(1.3, 100) == (1_300, 0)
    assert clock.place(1.35, 100) == (1_400, 50)
    assert clock.place(1.0, 100) == (1_450, 100)
    assert clock.next == 1_450
