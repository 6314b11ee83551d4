"""Words with times, and the two interfaces that produce them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.pii.spans import Kind

SAMPLE_RATE = 16_000
"""Hz, of all sound that is listened to: mono float32 in -1..1."""

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word as it was recognised, in seconds from the start of what was listened to.

    Its text is private: repr shows only its length.
    """

    text: str = field(repr=False)
    start: float
    end: float
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class SpokenSpan:
    """Words first..last (inclusive indices) of a list are private, from start to end seconds."""

    first: int
    last: int
    start: float
    end: float
    kind: Kind
    score: float


class VoiceDetector(Protocol):
    """Says where somebody may be speaking. It keeps state: one stream each, blocks in order."""

    def listen(self, samples: Samples) -> list[tuple[float, float]]:
        """Take the next samples, (n,) at SAMPLE_RATE; return speech probabilities as (end of the
        window in seconds from the first sample ever, probability).

        Raises InferenceError.
        """


class Transcriber(Protocol):
    """Turns speech into words. No state between calls. One thread at a time."""

    def transcribe(self, samples: Samples) -> list[Word]:
        """Return the words in samples, (n,) at SAMPLE_RATE, at most 30 s, in order of time.

        Raises InferenceError; never returns what may be incomplete without saying so that way.
        """


class Tagger(Protocol):
    """Finds what is private in words."""

    def tag(self, words: Sequence[Word]) -> list[SpokenSpan]:
        """Return private spans in order, possibly overlapping. Raises InferenceError."""
