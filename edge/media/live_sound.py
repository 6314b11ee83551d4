"""The sound of a live output: one gapless track at 48 kHz, silent where nothing was delivered."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge.media.sound import Gapless

RATE = 48_000
"""Samples per second: what ingests accept."""
CHANNELS = 2
AAC_FRAME = 1024
"""Samples in one AAC-LC frame (ISO/IEC 14496-3)."""
MOST_AHEAD_S = 10.0
"""Sound this far ahead of the pictures has a wrong timestamp: it is dropped, not waited for."""
LONGEST_SILENCE_S = 30.0
"""A longer hole is left out of the track instead of being encoded as silence at once."""

Samples = NDArray[np.float32]
"""(channels, n) float32, -1 to 1."""


class SoundTrack:
    """Puts sound where its time says and silence everywhere else, in blocks of one AAC frame.

    Sound that comes after silence has taken its place is cut. The track never falls behind the
    pictures by more than `lag_s`, so that a muxer never waits for it.
    """

    def __init__(self, start_s: float, lag_s: float) -> None:
        """start_s: time of the first sample. lag_s: how much later than its picture sound comes."""
        self.late = 0
        """Samples cut since they came too late, or dropped since they were far too early."""
        self._lag_s = lag_s
        self._picture_s = start_s
        self._start_s = start_s
        self._gapless = Gapless(RATE, start_s)
        self._base = 0
        """Number of the first sample since the last hole that was left out."""
        self._rest: Samples = np.zeros((CHANNELS, 0), np.float32)
        self._taken = 0
        """Samples given out since the last hole that was left out."""

    @property
    def end_s(self) -> float:
        """Until when there is sound."""
        return self._gapless.end_s

    def write(self, samples: Samples, pts_s: float) -> Iterator[tuple[int, Samples]]:
        """Place sound; yield complete blocks: (number of the first sample, (2, 1024) float32).

        Numbers count from the start of the track. Raises ValueError for another shape.
        """
        if samples.ndim != 2 or not 1 <= len(samples) <= 8:
            raise ValueError(f"sound of shape {samples.shape} is not (channels, samples)")
        if pts_s > self._picture_s + MOST_AHEAD_S:
            self.late += samples.shape[1]
            return
        yield from self._leave_hole(pts_s)
        silence, cut = self._gapless.place(pts_s, samples.shape[1])
        self.late += cut
        if silence:
            yield from self._append(np.zeros((CHANNELS, silence), np.float32))
        yield from self._append(_stereo(samples[:, cut:]))

    def advance(self, picture_s: float) -> Iterator[tuple[int, Samples]]:
        """Fill with silence what the pictures have left behind; yield complete blocks."""
        self._picture_s = max(self._picture_s, picture_s)
        until_s = self._picture_s - self._lag_s
        if until_s <= self.end_s:
            return
        yield from self._leave_hole(until_s)
        missing = round((until_s - self.end_s) * RATE)
        if missing > 0:
            self._gapless.count += missing
            yield from self._append(np.zeros((CHANNELS, missing), np.float32))

    def flush(self) -> Iterator[tuple[int, Samples]]:
        """Yield the last block, filled up with silence."""
        if self._rest.shape[1]:
            yield from self._append(
                np.zeros((CHANNELS, AAC_FRAME - self._rest.shape[1]), np.float32)
            )

    def _leave_hole(self, until_s: float) -> Iterator[tuple[int, Samples]]:
        if until_s - self.end_s <= LONGEST_SILENCE_S:
            return
        yield from self.flush()
        self._gapless = Gapless(RATE, until_s)
        self._base = round((until_s - self._start_s) * RATE)
        self._taken = 0

    def _append(self, samples: Samples) -> Iterator[tuple[int, Samples]]:
        rest = np.concatenate((self._rest, samples), axis=1)
        whole = rest.shape[1] // AAC_FRAME * AAC_FRAME
        self._rest = rest[:, whole:]
        for at in range(0, whole, AAC_FRAME):
            number = self._base + self._taken
            self._taken += AAC_FRAME
            yield number, np.ascontiguousarray(rest[:, at : at + AAC_FRAME])


def _stereo(samples: Samples) -> Samples:
    """Mix to two channels; what is not a number is silent, what is too loud is clipped."""
    clean = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).astype(np.float32, copy=False)
    if len(clean) == 1:
        clean = np.repeat(clean, CHANNELS, axis=0)
    elif len(clean) > CHANNELS:
        # Without a layout only this is known: the first two are left and right, the others are
        # heard on both sides, 3 dB lower as in ITU-R BS.775. The low-frequency channel, the
        # fourth of six or more, is left out there too.
        others = [i for i in range(2, len(clean)) if not (i == 3 and len(clean) >= 6)]
        clean = (clean[:CHANNELS] + np.sqrt(0.5) * clean[others].sum(axis=0)).astype(np.float32)
    return np.clip(clean, -1.0, 1.0)
