"""From a stream's sound to what is listened to: mono at 16 kHz, in blocks of 100 ms. Pure.

A polyphase filter (a Kaiser-windowed sinc) whose delay is taken out: sample m is what is heard
m / 16000 s after the stretch began, however long ago that was.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge.sound import SampleClock, Samples, SoundBlock
from edge.speech.words import SAMPLE_RATE

BLOCK = SAMPLE_RATE // 10
"""Samples in a block given out: what one look of the voice detector takes."""
MIN_RATE, MAX_RATE = 4_000, 768_000
"""Hz of sound that is taken: below it there is no speech, above it no sound card."""

_PASS = 0.95
"""Middle of the filter's edge, as a share of the lower of both Nyquist frequencies."""
_EDGE = 0.125
"""Its width, as a share of the same: 7.1 kHz passes, from 8.1 kHz on all is gone."""
_ATTENUATION_DB = 80.0
_PIECE = 4096
"""Samples computed at once: bounds the memory that windows of them take."""
_WEIGHTS = (1.0, 0.5)
"""Of channels, in turn. Two that are each other's opposite leave a third of either."""


class SpeechResampler:
    """One stream's sound, in order, to blocks of (1, BLOCK) at SAMPLE_RATE.

    At a hole the sound before it is flushed as a shorter block, and the next one begins where the
    sound goes on. Sound for a time that has been filled already is cut, as edge.sound.SampleClock
    says; so every sample given out has a time of its own, and later ones come later. What is not
    a number makes what is heard near it not a number, either.
    """

    def __init__(self) -> None:
        self._clock: SampleClock | None = None
        self._track: _Track | None = None
        self._end = -math.inf
        self._lost = False

    def push(self, block: SoundBlock) -> list[SoundBlock]:
        """Take the next block. Raises ValueError for a rate outside MIN_RATE..MAX_RATE."""
        out: list[SoundBlock] = []
        if self._clock is None or self._clock.rate != block.rate:
            if not MIN_RATE <= block.rate <= MAX_RATE:
                raise ValueError(f"sound at {block.rate} Hz cannot be listened to")
            out += self.flush()
            clock = SampleClock(block.rate)
            if self._end > -math.inf:
                clock.next = math.ceil(self._end * block.rate)  # its past is another rate's
            self._clock = clock
        due = self._clock.next
        first, cut = self._clock.place(block.pts, block.samples.shape[1])
        if first != due or block.lost:
            out += self.flush()
        self._lost |= block.lost
        if self._track is None:
            self._track = _Track(first, block.rate)
        out += self._marked(self._track.push(_mono(block.samples[:, cut:])))
        self._end = self._clock.next / block.rate if self._clock.next is not None else self._end
        return out

    def flush(self) -> list[SoundBlock]:
        """Return what is still held back: the stream ends here, or has a hole."""
        track, self._track = self._track, None
        return self._marked(track.flush()) if track is not None else []

    def _marked(self, blocks: list[SoundBlock]) -> list[SoundBlock]:
        if blocks and self._lost:
            first = blocks[0]
            blocks[0] = SoundBlock(first.pts, first.samples, first.rate, lost=True)
            self._lost = False
        return blocks


class _Track:
    """One stretch without a hole."""

    def __init__(self, first: int, rate: int) -> None:
        """first: number of the first sample, at `rate`."""
        self._origin = first / rate
        common = math.gcd(rate, SAMPLE_RATE)
        self._up, self._down = SAMPLE_RATE // common, rate // common
        self._bank = _filters(rate)
        self._reach = self._bank.shape[1] // 2
        self._tape: Samples = np.zeros(self._reach, np.float32)
        self._base = -self._reach
        """Number of the tape's first sample, counted from the stretch's first."""
        self._come: list[Samples] = []
        """What comes after the tape, until there is enough for a block."""
        self._taken = 0
        self._made = 0
        self._given = 0
        self._ready: Samples = np.zeros(0, np.float32)

    def push(self, mono: Samples) -> list[SoundBlock]:
        self._come.append(mono.copy())  # a view of sound that others may change meanwhile
        self._taken += len(mono)
        # Sample m needs those up to floor(m * down / up) + reach.
        possible = ((self._taken - self._reach) * self._up - 1) // self._down + 1
        if possible - self._given < BLOCK:
            return []
        self._make(possible)
        return self._give(len(self._ready) // BLOCK * BLOCK)

    def flush(self) -> list[SoundBlock]:
        last = -(-self._taken * self._up // self._down)
        self._come.append(np.zeros(self._reach + 1, np.float32))
        self._make(last)
        return self._give(len(self._ready))

    def _make(self, until: int) -> None:
        self._tape, self._come = np.concatenate((self._tape, *self._come)), []
        made = [self._ready]
        while self._made < until:
            numbers = np.arange(self._made, min(until, self._made + _PIECE))
            made.append(self._filter(numbers))
            self._made = int(numbers[-1]) + 1
        self._ready = np.concatenate(made)
        spare = self._made * self._down // self._up - self._reach + 1 - self._base
        if spare > 0:
            self._tape = self._tape[spare:].copy()
            self._base += spare

    def _filter(self, numbers: NDArray[np.int64]) -> Samples:
        centre, phase = np.divmod(numbers * self._down, self._up)
        starts = centre - self._reach + 1 - self._base
        windows = np.lib.stride_tricks.sliding_window_view(self._tape, 2 * self._reach)
        with np.errstate(all="ignore"):  # NaN and infinity are for others to refuse
            result: Samples
            if self._up == 1:
                # Without a copy of the windows, which overlap.
                windows = windows[starts[0] : starts[-1] + 1 : self._down]
                result = np.einsum("mk,k->m", windows, self._bank[0])
            else:
                result = np.einsum("mk,mk->m", windows[starts], self._bank[phase])
        return result

    def _give(self, samples: int) -> list[SoundBlock]:
        blocks = []
        for at in range(0, samples, BLOCK):
            piece = np.clip(self._ready[at : min(at + BLOCK, samples)], -1.0, 1.0)
            pts = self._origin + self._given / SAMPLE_RATE
            blocks.append(SoundBlock(pts, piece[None].astype(np.float32), SAMPLE_RATE))
            self._given += len(piece)
        self._ready = self._ready[samples:]
        return blocks


@lru_cache(maxsize=8)
def _filters(rate: int) -> Samples:
    """Return one filter for each phase: (up, 2 * reach) float32, each with a gain of 1 at 0 Hz.

    Filter p gives the value p / up of an input sample after the one at index reach - 1.
    """
    if rate == SAMPLE_RATE:
        bank: Samples = np.array([[1.0, 0.0]], np.float32)
    else:
        up = SAMPLE_RATE // math.gcd(rate, SAMPLE_RATE)
        nyquist = min(rate, SAMPLE_RATE) / 2
        # Kaiser's formulas for the length and the shape of the window.
        length = (_ATTENUATION_DB - 7.95) / (2.285 * 2 * math.pi * _EDGE * nyquist / rate)
        reach = math.ceil(length / 2) + 1
        beta = 0.1102 * (_ATTENUATION_DB - 8.7)
        at = np.arange(1 - reach, reach + 1) - np.arange(up)[:, None] / up
        edge = 2 * _PASS * nyquist / rate
        window = np.i0(beta * np.sqrt(np.clip(1 - (at / reach) ** 2, 0, 1))) / np.i0(beta)
        taps = np.sinc(edge * at) * window
        bank = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
    bank.flags.writeable = False
    return bank


def _mono(samples: Samples) -> Samples:
    """Mix (channels, n) to (n,) so that nothing said in any of them is lost.

    A mean would not hear a voice that one channel carries upside down, which listeners do.
    """
    if len(samples) == 1:
        only: Samples = samples[0]
        return only
    weights: Samples = np.resize(np.array(_WEIGHTS, np.float32), len(samples)) / np.float32(
        sum(_WEIGHTS)
    )
    with np.errstate(all="ignore"):
        mixed: Samples = weights @ samples
    return mixed
