"""What reads lines of text, whatever the model family."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edge.detection import FloatArray
from edge.frame import Picture


@dataclass(frozen=True, slots=True)
class Reading:
    """What a line says. The text is in no repr: it may be private.

    confidence: 0..1, mean over the characters; 0 where nothing could be read.
    """

    text: str = field(repr=False)
    confidence: float


class Reader(Protocol):
    """Reads lines of text. Used by one thread at a time."""

    def read(self, picture: Picture, quads: FloatArray) -> list[Reading]:
        """Read the lines in (N, 4, 2) quads, corners clockwise in picture pixels; one each.

        Raises InferenceError (or anything else) when it cannot.
        """
