"""What is heard in place of private words. Pure: samples in, samples out.

Inside a span nothing of the original is left. It fades out in the FADE_S before and in again in
the FADE_S after, along a raised cosine, so that neither edge clicks; what takes its place fades
in and out inside. All is placed by the number of the sample in the stream, so that the result
does not depend on where the sound is cut into blocks.

beep      a sine of BEEP_HZ at BEEP_DBFS.
silence   nothing.
reverse   the sound *before* the span, played backwards, over again where the span is longer than
          what is kept of it. Playing the span itself backwards would hide it from listeners only:
          whoever turns the recording round hears every word. This sounds the same, needs no
          sound from the future, and has nothing private in it, since it is what left before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edge.sound import Samples

FADE_S = 0.010
"""Long enough not to click, too short to hear a sound of speech in."""
BEEP_HZ = 1000
BEEP_DBFS = -12.0
"""Of a sine whose peaks reach full scale at 0 dBFS (AES17)."""
REVERSE_S = 3.0
"""Seconds of sound that has left which are kept for `reverse`."""
MIN_RATE = 4 * BEEP_HZ

Span = tuple[int, int]
"""Numbers of the first sample and of the one after the last."""

_Curve = NDArray[np.float64]


class SoundEffect(StrEnum):
    """What is heard in place of private words."""

    BEEP = "beep"
    SILENCE = "silence"
    REVERSE = "reverse"


def mute(samples: Samples) -> Samples:
    """Return silence of the same shape."""
    return np.zeros_like(samples)


def fade_samples(sample_rate: int) -> int:
    """Samples that a fade takes."""
    return round(FADE_S * sample_rate)


@dataclass(slots=True)
class _Replay:
    """What `reverse` plays in the stretch that it is in: `sound` backwards, from `start` on."""

    start: int
    sound: Samples


class SoundRedactor:
    """Makes spans of one stream inaudible. Blocks come in order; a jump forgets what was heard."""

    def __init__(self, effect: SoundEffect | str, sample_rate: int, channels: int) -> None:
        """Raises ValueError for an unknown effect, a rate below MIN_RATE or no channels."""
        if sample_rate < MIN_RATE or channels < 1:
            raise ValueError(f"{channels} channels at {sample_rate} Hz cannot be redacted")
        self.effect = SoundEffect(effect)
        self.sample_rate = sample_rate
        self.channels = channels
        self.fade = fade_samples(sample_rate)
        self._next: int | None = None
        self._left: Samples = np.zeros((channels, 0), np.float32)
        self._replay: _Replay | None = None

    def redact(
        self,
        samples: Samples,
        first_sample: int,
        spans: Sequence[Span],
        muted: Sequence[Span] = (),
    ) -> Samples:
        """Return the sound with spans replaced and `muted` stretches silent; never edits its input.

        samples: (channels, n) float32; what is not a finite number becomes silence. first_sample:
        the number of the first of them in the stream. spans and muted have to hold all that touch
        the block or the `fade` samples before and after it. Raises ValueError for another shape.
        """
        if samples.ndim != 2 or len(samples) != self.channels:
            raise ValueError(f"sound of shape {samples.shape} has not {self.channels} channels")
        n = samples.shape[1]
        if first_sample != self._next:
            self._left, self._replay = self._left[:, :0], None
        self._next = first_sample + n
        finite = np.isfinite(samples)
        result = samples if finite.all() else np.where(finite, samples, np.float32(0))
        near = _touching(spans, first_sample - self.fade, first_sample + n + self.fade)
        gain = self._gain(first_sample, n, [*near, *muted])
        if gain is not None:
            # In float64, and a product with 0 is 0: samples are finite by now.
            result = (result * gain).astype(np.float32)
        if self.effect is SoundEffect.REVERSE:
            result = self._reverse(result, first_sample, near)
        elif near and self.effect is SoundEffect.BEEP:
            result = self._beep(result, first_sample, near)
        return result

    def _gain(self, first: int, n: int, spans: Sequence[Span]) -> _Curve | None:
        """How much of the original is heard: (n,), or None where nothing is changed."""
        gain: _Curve | None = None
        fade = self.fade
        rising = _raised_cosine(fade)
        for start, end in spans:
            if end <= start or end + fade <= first or start - fade >= first + n:
                continue
            if gain is None:
                gain = np.ones(n)
            gain[max(0, start - first) : max(0, end - first)] = 0.0
            for at, ramp in ((start - fade, rising[::-1]), (end, rising)):
                a, b = max(at, first), min(at + fade, first + n)
                if a < b:
                    part = gain[a - first : b - first]
                    np.minimum(part, ramp[a - at : b - at], out=part)
        return gain

    def _envelope(self, first: int, n: int, start: int, end: int) -> _Curve:
        """How much of what replaces start..end is heard in samples first..first + n of it."""
        at = np.arange(first, first + n)
        inside = np.clip(np.minimum(at - start, end - 1 - at), 0, self.fade)
        envelope: _Curve = np.append(_raised_cosine(self.fade), 1.0)[inside]
        return envelope

    def _beep(self, result: Samples, first: int, spans: Sequence[Span]) -> Samples:
        result = result.copy()
        peak = 10 ** (BEEP_DBFS / 20)
        for start, end, a, b in _stretches(spans, first, result.shape[1]):
            # Whole turns are taken off in integers: the phase is exact after any time.
            turns = np.arange(a, b) * BEEP_HZ % self.sample_rate / self.sample_rate
            sine = peak * np.sin(2 * np.pi * turns) * self._envelope(a, b - a, start, end)
            # Nothing of the original is left here, nor of another span's beep.
            result[:, a - first : b - first] = sine
        return result

    def _reverse(self, result: Samples, first: int, spans: Sequence[Span]) -> Samples:
        n = result.shape[1]
        kept = round(REVERSE_S * self.sample_rate)
        done = 0
        pieces = [self._left]
        for start, end, a, b in _stretches(spans, first, n):
            pieces.append(result[:, done : a - first])
            if self._replay is None or a > first:
                self._replay = _Replay(a, np.concatenate(pieces, axis=1)[:, -kept:])
            pieces.append(self._backwards(self._replay, a, b, start, end))
            done = b - first
            if end <= first + n:
                self._replay = None
        if not done or done < n:
            self._replay = None
        pieces.append(result[:, done:])
        heard = np.concatenate(pieces, axis=1)
        skip = self._left.shape[1]
        self._left = heard[:, -kept:]
        return heard[:, skip:] if done else result

    def _backwards(self, replay: _Replay, a: int, b: int, start: int, end: int) -> Samples:
        length = replay.sound.shape[1]
        if not length:
            return np.zeros((self.channels, b - a), np.float32)
        at = (np.arange(a, b) - replay.start) % length
        curve = np.append(_raised_cosine(self.fade), 1.0)
        edge = np.clip(np.minimum(at, length - 1 - at), 0, self.fade)
        envelope = np.minimum(curve[edge], self._envelope(a, b - a, start, end))
        backwards: Samples = (replay.sound[:, length - 1 - at] * envelope).astype(np.float32)
        return backwards


def _raised_cosine(n: int) -> _Curve:
    """Return n values that rise from just above 0 to just below 1."""
    return 0.5 - 0.5 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))


def _touching(spans: Sequence[Span], first: int, last: int) -> list[Span]:
    return [span for span in spans if span[0] < span[1] and span[0] < last and span[1] > first]


def _stretches(spans: Sequence[Span], first: int, n: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield where joined spans lie in a block: (start, end, first and last + 1 in the block)."""
    joined: list[list[int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    for start, end in joined:
        a, b = max(start, first), min(end, first + n)
        if a < b:
            yield start, end, a, b
