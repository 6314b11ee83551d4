"""Lets sound follow a clock that drifts: stretched inaudibly instead of cut and filled. Pure.

A camera's sound card, its pictures' clock and ours each run at a speed of their own, some 100 ppm
apart at most. Whoever counts samples is a picture's length off after a few minutes. So sound is
resampled by the few ppm that it takes to stay where its times say.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edge.sound import TOLERANCE_S, Samples

SYNC_S: Final = 4.0
"""Time constant with which sound follows: long against the millisecond to which containers round
its times, short against the seconds in which a clock drifts by that."""
_SMOOTH_S: Final = SYNC_S / 4
"""Time constant over which times are averaged before they are followed: as long as it may be
without the sound swinging about its place."""
MAX_STRETCH: Final = 0.006
"""Share by which sound is stretched at most: a tenth of a semitone. It is what following the
pictures takes while they catch up after congestion (0.5 %, edge.clockwork); drift takes 0.01 %."""
_LOST_S: Final = 0.080
"""What is further off than this is not followed: the sound jumps. Within it lips are in sync
(ITU-R BT.1359: 45 ms early to 125 ms late goes unnoticed)."""

_TAPS: Final = 32
_LEAD: Final = _TAPS // 2 - 1
"""Taps before the sample that comes next."""
_PHASES: Final = 512
_BETA: Final = 9.0
"""Of the Kaiser window: errors 90 dB down, up to 19.6 kHz at 48 kHz."""


@lru_cache(maxsize=1)
def _kernels() -> Samples:
    """(_PHASES + 1, _TAPS): what delays by n / _PHASES samples. Phase 0 changes nothing."""
    delay = np.arange(_PHASES + 1)[:, None] / _PHASES
    at = np.arange(_TAPS)[None] - _LEAD - delay
    inside = np.clip(1 - (at / (_TAPS / 2)) ** 2, 0, None)
    rows = np.sinc(at) * np.i0(_BETA * np.sqrt(inside))
    table: Samples = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
    return table


class Stretcher:
    """Resamples by a ratio near 1 that may change at every block, without a break of the phase."""

    def __init__(self, channels: int) -> None:
        self._tape: Samples = np.zeros((channels, _LEAD), np.float32)
        self._at = float(_LEAD)
        """Place on the tape of the next sample to be made."""

    @property
    def pending(self) -> float:
        """Samples taken from which none has been made yet."""
        return float(self._tape.shape[1] - self._at)

    def push(self, samples: Samples, stretch: float) -> Samples:
        """Take (channels, n) float32; return what can be made of it, 1 + stretch times as much."""
        self._tape = np.concatenate((self._tape, samples), axis=1)
        # The last of its taps has to be there: _TAPS - _LEAD - 1 after the sample before it.
        return self._make(self._tape.shape[1] - (_TAPS - _LEAD - 1), 1 / (1 + stretch))

    def flush(self) -> Samples:
        """Return the rest: silence follows. Nothing can be pushed afterwards."""
        end = self._tape.shape[1]
        self._tape = np.pad(self._tape, ((0, 0), (0, _TAPS)))
        return self._make(end, 1.0)

    def _make(self, until: int, step: float) -> Samples:
        """Make the samples at places before `until`."""
        count = max(0, int(np.ceil((until - self._at) / step - 1e-9)))
        if not count:
            return np.zeros((len(self._tape), 0), np.float32)
        places = self._at + step * np.arange(count)
        before = np.floor(places).astype(np.intp)
        phase = (places - before) * _PHASES
        row = phase.astype(np.intp)
        share = (phase - row).astype(np.float32)[:, None]
        table = _kernels()
        kernels = table[row]
        kernels += share * (table[row + 1] - kernels)
        windows = sliding_window_view(self._tape, _TAPS, axis=1)[:, before - _LEAD]
        made: Samples = np.einsum("cnk,nk->cn", windows, kernels, optimize=False)
        self._at += step * count
        gone = int(self._at) - _LEAD
        self._tape, self._at = self._tape[:, gone:], self._at - gone
        return made


class SoundSync:
    """Puts the sound of one stream where its times say, as one gapless row of samples.

    Times that creep away from the samples counted are followed by stretching; a hole or an overlap
    of more than TOLERANCE_S is left or cut. Every block given out begins at a whole sample of the
    stream's time, and later ones come later.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._stretcher: Stretcher | None = None
        self._due: float | None = None
        """When the next block should begin, by the last one's time."""
        self._next: int | None = None
        """Number of the next sample given out."""
        self._off_s = 0.0
        """By how much later than it is sound should be heard, averaged."""
        self._early_s = 0.0
        """What the first sample was moved by, to a whole one: nothing is stretched for that."""
        self.stretch = 0.0
        """Share by which sound is stretched now; negative where it is squeezed."""
        self.shift_s = 0.0
        """Seconds by which sound was made longer so far, by stretching alone."""
        self.jumps = 0
        """Holes and overlaps, but for those between one connection and the next."""

    def take(self, pts: float, samples: Samples) -> list[tuple[float, Samples]]:
        """Take (channels, n) float32 heard from pts on; return blocks with their times."""
        blocks: list[tuple[float, Samples]] = []
        stretcher = self._stretcher
        if stretcher is not None and self._next is not None and self._due is not None:
            # Where its first sample would come if nothing were stretched.
            off = pts - self._early_s - (self._next + stretcher.pending) / self._rate
            if abs(pts - self._due) > TOLERANCE_S or abs(off) > _LOST_S:
                self.jumps += 1
                blocks, stretcher = self.restart(), None
        self._due = pts + samples.shape[1] / self._rate
        if stretcher is None:
            off = 0.0
            number = round(pts * self._rate)
            self._early_s = pts - number / self._rate
            first = number if self._next is None else max(number, self._next)
            samples = samples[:, first - number :]
            if not samples.shape[1]:
                return blocks
            self._next = first
            stretcher = self._stretcher = Stretcher(len(samples))
        share = -math.expm1(-samples.shape[1] / self._rate / _SMOOTH_S)
        self._off_s += share * (off - self._off_s)
        self.stretch = max(-MAX_STRETCH, min(MAX_STRETCH, self._off_s / SYNC_S))
        before = stretcher.pending
        made = stretcher.push(samples, self.stretch)
        used = before + samples.shape[1] - stretcher.pending
        self.shift_s += (made.shape[1] - used) / self._rate
        return blocks + self._placed(made)

    def restart(self) -> list[tuple[float, Samples]]:
        """Return what is held back: the source is lost, or its sound goes on elsewhere."""
        stretcher, self._stretcher, self._due = self._stretcher, None, None
        self.stretch = self._off_s = 0.0
        return [] if stretcher is None else self._placed(stretcher.flush())

    def _placed(self, made: Samples) -> list[tuple[float, Samples]]:
        if not made.shape[1] or self._next is None:
            return []
        first, self._next = self._next, self._next + made.shape[1]
        return [(first / self._rate, made)]
