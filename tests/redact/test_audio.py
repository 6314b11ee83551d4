"""Sound in place of private words: nothing of them is left, nothing clicks, however it is cut."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.redact.audio import (
    BEEP_DBFS,
    BEEP_HZ,
    REVERSE_S,
    SoundEffect,
    SoundRedactor,
    Span,
    fade_samples,
    mute,
)
from edge.sound import Samples

RATES = (8_000, 16_000, 44_100, 48_000)


@lru_cache(maxsize=64)
def speech_like(channels: int, n: int, rate: int, seed: int = 0) -> Samples:
    """Band-limited noise with a slow swell: never silent, no steps of its own."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((channels, n + 64))
    smooth = np.apply_along_axis(
        lambda row: np.convolve(row, np.hanning(32) / 16, "same"), 1, noise
    )
    swell = 0.3 + 0.2 * np.sin(2 * np.pi * np.arange(n) * 3 / rate)
    sound = (np.clip(smooth[:, :n], -1, 1) * swell).astype(np.float32)
    sound.flags.writeable = False
    return sound


def cut(sound: Samples, sizes: list[int]) -> list[tuple[int, Samples]]:
    """Cut sound into blocks of these sizes, over and over."""
    blocks, at, turn = [], 0, 0
    while at < sound.shape[1]:
        size = sizes[turn % len(sizes)]
        blocks.append((at, sound[:, at : at + size]))
        at, turn = at + size, turn + 1
    return blocks


def redacted(
    sound: Samples,
    effect: str,
    rate: int,
    spans: list[Span],
    muted: list[Span],
    sizes: list[int],
    first: int = 0,
) -> Samples:
    """Redact in blocks, each time with just the spans that its contract asks for."""
    redactor = SoundRedactor(effect, rate, len(sound))
    pieces = []
    for at, block in cut(sound, sizes):
        a, b = first + at - redactor.fade, first + at + block.shape[1] + redactor.fade
        near = [span for span in spans if span[0] < b and span[1] > a]
        pieces.append(redactor.redact(block, first + at, near, [m for m in muted if m[0] < b]))
    return np.concatenate(pieces, axis=1)


def inside(spans: list[Span], n: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    for start, end in spans:
        mask[max(0, start) : max(0, end)] = True
    return mask


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, list[Span], list[Span], list[int], list[int]]:
    n = 6_000
    places = st.tuples(st.integers(-500, n + 500), st.integers(1, 1_500))
    spans = [(a, a + length) for a, length in draw(st.lists(places, max_size=5))]
    muted = [(a, a + length) for a, length in draw(st.lists(places, max_size=2))]
    # In turn; with a large one among them, as thousands of blocks of one sample show no more than
    # a hundred and take seconds.
    sizes = st.lists(st.integers(1, 2_500), min_size=1, max_size=5).map(lambda few: [*few, 1_009])
    return draw(st.sampled_from(RATES)), n, spans, muted, draw(sizes), draw(sizes)


@given(cases(), st.sampled_from(list(SoundEffect)), st.sampled_from([0, 12_345_678_901]))
@settings(max_examples=60, deadline=None)
def test_blocks_make_no_difference(
    case: tuple[int, int, list[Span], list[Span], list[int], list[int]],
    effect: SoundEffect,
    first: int,
) -> None:
    rate, n, spans, muted, sizes, others = case
    sound = speech_like(2, n, rate)
    spans = [(a + first, b + first) for a, b in spans]
    muted = [(a + first, b + first) for a, b in muted]
    one = redacted(sound, effect, rate, spans, muted, sizes, first)
    other = redacted(sound, effect, rate, spans, muted, others, first)
    assert np.array_equal(one, other)
    assert np.array_equal(one, redacted(sound, effect, rate, spans, muted, [n], first))


@given(cases(), st.sampled_from(list(SoundEffect)))
@settings(max_examples=60, deadline=None)
def test_nothing_of_the_original_is_left_inside(
    case: tuple[int, int, list[Span], list[Span], list[int], list[int]], effect: SoundEffect
) -> None:
    """Whatever is said inside, the output is the same, everywhere."""
    rate, n, spans, muted, sizes, _ = case
    sound = speech_like(2, n, rate)
    hidden = inside(spans + muted, n)
    changed = np.where(hidden, speech_like(2, n, rate, seed=1), sound).astype(np.float32)
    one = redacted(sound, effect, rate, spans, muted, sizes)
    assert np.array_equal(one, redacted(changed, effect, rate, spans, muted, sizes))
    fade = fade_samples(rate)
    touched = inside([(a - fade, b + fade) for a, b in spans + muted], n)
    assert np.array_equal(one[:, ~touched], sound[:, ~touched]), "the rest is not touched at all"


@given(cases(), st.sampled_from(list(SoundEffect)))
@settings(max_examples=60, deadline=None)
def test_no_edge_clicks(
    case: tuple[int, int, list[Span], list[Span], list[int], list[int]], effect: SoundEffect
) -> None:
    rate, n, spans, muted, sizes, _ = case
    sound = speech_like(1, n, rate)
    # Spans that begin before the stream does have no room for a fade.
    fade = fade_samples(rate)
    spans = [(max(a, fade), max(a, fade) + b - a) for a, b in spans]
    muted = [(max(a, fade), max(a, fade) + b - a) for a, b in muted]
    out = redacted(sound, effect, rate, spans, muted, sizes).astype(np.float64)
    steepest = np.pi / 2 / fade  # of a raised cosine, per sample
    own = np.abs(np.diff(sound.astype(np.float64))).max() + np.abs(sound).max() * steepest
    peak = 10 ** (BEEP_DBFS / 20)
    beep = peak * (2 * np.pi * BEEP_HZ / rate + steepest)
    bound = {
        SoundEffect.SILENCE: own,
        SoundEffect.BEEP: own + beep,
        # What is played had its own fades, and may be played again and again.
        SoundEffect.REVERSE: 2 * own + np.abs(sound).max() * steepest,
    }[effect]
    assert np.abs(np.diff(out)).max() <= bound + 1e-6


@pytest.mark.parametrize("rate", RATES)
def test_beep_is_a_sine_of_1_khz_at_minus_12_dbfs(rate: int) -> None:
    sound = speech_like(2, 2 * rate, rate)
    out = redacted(sound, "beep", rate, [(rate // 2, 3 * rate // 2)], [], [480])
    middle = out[0, rate // 2 + rate // 4 : rate // 2 + 3 * rate // 4].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) ** 2
    tone = round(BEEP_HZ * len(middle) / rate)
    assert spectrum[tone - 2 : tone + 3].sum() > 0.9999 * spectrum.sum()
    assert 20 * np.log10(np.abs(middle).max()) == pytest.approx(-12.0, abs=0.05)
    assert np.array_equal(out[0], out[1]) or not np.array_equal(sound[0], sound[1])


def test_reverse_plays_what_was_said_before_backwards() -> None:
    rate = 16_000
    sound = speech_like(2, 6 * rate, rate)
    start, end = 2 * rate, 4 * rate
    out = redacted(sound, "reverse", rate, [(start, end)], [], [1_000])
    fade = fade_samples(rate)
    before = sound[:, :start][:, ::-1]  # two seconds are there, and two are needed
    assert np.allclose(
        out[:, start + 2 * fade : end - fade], before[:, 2 * fade : end - start - fade]
    )
    private = sound[0, start:end].astype(np.float64)
    for heard in (out[0, start:end], out[0, start:end][::-1]):
        assert abs(np.corrcoef(private, heard)[0, 1]) < 0.05


def test_reverse_plays_again_what_it_has_and_nothing_where_there_is_none() -> None:
    rate = 8_000
    sound = speech_like(1, 10 * rate, rate)
    out = redacted(sound, "reverse", rate, [(0, rate)], [], [300])
    assert not out[:, :rate].any()
    kept = round(REVERSE_S * rate)
    start = 4 * rate
    out = redacted(sound, "reverse", rate, [(start, 10 * rate)], [], [300])
    fade = fade_samples(rate)
    again = slice(fade, rate)
    assert np.array_equal(out[:, start:][:, again], out[:, start + kept :][:, again])


@pytest.mark.parametrize("effect", list(SoundEffect))
def test_what_is_not_a_number_becomes_silence(effect: SoundEffect) -> None:
    sound = speech_like(2, 4_000, 16_000).copy()
    sound[0, 100:200] = np.nan
    sound[1, 150] = np.inf
    sound[:, 2_000:2_100] = np.nan
    out = redacted(sound, effect, 16_000, [(1_500, 3_000)], [], [700])
    assert np.isfinite(out).all()
    assert not out[0, 100:200].any()
    assert out[1, 150] == 0


def test_untouched_sound_is_handed_on_as_it_is() -> None:
    sound = speech_like(1, 1_000, 16_000)
    redactor = SoundRedactor("beep", 16_000, 1)
    assert redactor.redact(sound, 0, []) is sound
    edited = redactor.redact(sound, 1_000, [(1_100, 1_200)])
    assert not np.array_equal(edited, sound)
    assert not mute(sound).any()


def test_jump_in_time_forgets_what_was_heard() -> None:
    rate = 8_000
    redactor = SoundRedactor("reverse", rate, 1)
    redactor.redact(speech_like(1, rate, rate), 0, [])
    out = redactor.redact(speech_like(1, rate, rate), 5 * rate, [(5 * rate, 6 * rate)])
    assert not out.any()


@pytest.mark.parametrize(
    ("effect", "rate", "channels"),
    [("hum", 48_000, 2), ("beep", 2_000, 2), ("beep", 48_000, 0)],
)
def test_what_cannot_be_done_is_refused(effect: str, rate: int, channels: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        SoundRedactor(effect, rate, channels)


def test_sound_of_another_shape_is_refused() -> None:
    redactor = SoundRedactor("beep", 48_000, 2)
    with pytest.raises(ValueError, match="2 channels"):
        redactor.redact(np.zeros((1, 10), np.float32), 0, [])
