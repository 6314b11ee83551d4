"""A line of text as hashed character n-grams: the classifier's view, in training and at runtime."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.pii.reading import fold

N_BUCKETS: Final = 1 << 16
"""Bucket 0 is padding."""
MAX_CHARACTERS: Final = 120
"""Of a line; what follows is not looked at. Longer lines are prose."""
_SIZES: Final = (2, 3, 4, 5)
_DIGIT_RUN = re.compile(r"\d+")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|[^\w\s]|_")


def buckets(text: str) -> NDArray[np.int64]:
    """Return the buckets, 1..N_BUCKETS - 1 and sorted, of a line's features; empty for none.

    Features: n-grams of 2 to 5 characters within words, whole words, neighbouring words, and the
    shapes of words (capitals, digits). Digits are alike but for how many there are: no number can
    be learnt by heart. The hash is CRC-32 of UTF-8, the same on every machine.
    """
    raw = text[:MAX_CHARACTERS]
    words = [
        (_digits_alike(match[0]), raw[match.start() : match.end()])
        for match in _WORD.finditer(fold(raw))
    ]
    features: set[str] = set()
    previous = "^"
    shapes: list[str] = []
    for word, original in words:
        marked = f"<{word}>"
        features.add("w" + word)
        features.add(f"p{previous} {word}")
        for size in _SIZES:
            features.update(marked[n : n + size] for n in range(len(marked) - size + 1))
        shapes.append(_shape(original))
        previous = word
    features.add(f"p{previous} $")
    features.add(f"n{min(len(words), 8)}")
    features.add("s" + "".join(shapes[:8]))
    features.update(f"t{a}{b}" for a, b in zip(["^", *shapes], [*shapes, "$"], strict=True))
    if not words:
        return np.zeros(0, np.int64)
    hashed = {1 + zlib.crc32(feature.encode()) % (N_BUCKETS - 1) for feature in features}
    return np.array(sorted(hashed), np.int64)


def batch(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return (n, longest) buckets, padded with 0, and (n, 1) weights: 1 / √count, 0 for no text."""
    rows = [buckets(text) for text in texts]
    width = max((len(row) for row in rows), default=0) or 1
    ids = np.zeros((len(rows), width), np.int64)
    weights = np.zeros((len(rows), 1), np.float32)
    for n, row in enumerate(rows):
        ids[n, : len(row)] = row
        weights[n] = 1.0 / np.sqrt(max(1, len(row)))
    return ids, weights


def _digits_alike(word: str) -> str:
    return _DIGIT_RUN.sub(lambda match: "0" * min(len(match[0]), 7), word)


def _shape(word: str) -> str:
    if word.isdigit():
        return "9"
    if any(character.isdigit() for character in word):
        return "m"
    if not word[0].isalpha():
        return word[0] if word[0] in ".,-/&:#'@" else "?"
    if len(word) > 1 and word.isupper():
        return "X"
    if word[0].isupper():
        return "i" if len(word) == 1 else ("C" if word[1:].islower() else "M")
    return "x"
