"""Sound in memory: a block with its place in time, and what of it is private. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.pii.spans import Kind

Samples = NDArray[np.float32]

TOLERANCE_S = 0.020
"""Times may stray this far from the samples counted before they are believed: containers round to
1 ms, and a live source's clock is followed in small steps. As in edge.media.sound."""


@dataclass(frozen=True, slots=True)
class SoundBlock:
    """A piece of sound.

    pts: when its first sample is heard, in seconds from the source's start. samples: (channels, n)
    float32 in -1..1 at `rate` Hz. lost: sound from before it was not handed on, so that nobody
    has listened to it. Raises ValueError where time or shape make no sense.
    """

    pts: float
    samples: Samples = field(repr=False)
    rate: int
    lost: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.pts):
            raise ValueError(f"sound at {self.pts} s has no place in time")
        if self.samples.ndim != 2 or not len(self.samples) or self.rate < 1:
            raise ValueError(f"{self.samples.shape} at {self.rate} Hz is no (channels, n) sound")

    @property
    def end(self) -> float:
        """When the sample after its last would be heard."""
        return self.pts + len(self.samples[0]) / self.rate


@dataclass(frozen=True, slots=True)
class SoundSpan:
    """From start to end (pts in seconds) something private is said; padding is included.

    kind: what, or None where that was not known in time. score: 0..1, how sure.
    """

    start: float
    end: float
    kind: Kind | None
    score: float


class SpanSource(Protocol):
    """Knows what is private in which stretch."""

    def spans(self, start: float, end: float, *, unsure: bool = False) -> Sequence[SoundSpan]:
        """Return the spans that touch start..end (pts); unsure: those too that may become one."""


class SampleClock:
    """Numbers the samples of one stream, so that samples are time: sample n is heard at n / rate.

    Blocks are counted through as long as their times say about the same. Where they do not, there
    is a hole, or sound for a time that has been filled already: that is cut.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.next: int | None = None
        """Number of the sample that would come next; None before the first."""

    def place(self, pts: float, samples: int) -> tuple[int, int]:
        """Return (number of the first sample, samples to cut from the front) of the next block."""
        number = round(pts * self.rate)
        if self.next is None:
            self.next = number
        missing = number - self.next
        cut = 0
        if missing > TOLERANCE_S * self.rate:
            self.next = number
        elif missing < -TOLERANCE_S * self.rate:
            cut = min(samples, -missing)
        first = self.next
        self.next += samples - cut
        return first, cut
