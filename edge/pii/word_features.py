"""Words as hashed features: what the small tagger sees of a word, in training and at run time.

The words around decide as much as the word, but names are open: a name that was never seen is
known by its parts. So each word gives one bucket for itself, one for how it is written, and up to
MAX_PARTS for its beginnings, endings and letter triples. Hashing needs no vocabulary, so no list of
names travels with the model.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

WORD_BUCKETS: Final = 1 << 14
PART_BUCKETS: Final = 1 << 14
SHAPES: Final = 32
MAX_PARTS: Final = 20
WIDTH: Final = 2 + MAX_PARTS
"""Columns of the feature array: word, shape, parts."""

SCHEME: Final = "fnv1a-14-14-20/1"
"""Names this way of making features; a model states which one it was trained with."""

_EDGE: Final = ".,!?;:\"'“”‘’()[]{}…"
_SENTENCE_END: Final = (".", "!", "?")


def fnv1a(text: str) -> int:
    """Return the 32-bit FNV-1a hash of a text's UTF-8 bytes (Fowler, Noll, Vo).

    Python's own hash differs from one process to the next.
    """
    value = 0x811C9DC5
    for byte in text.encode("utf-8"):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def plain(word: str) -> str:
    """Return a word in lower case, without accents, surrounding punctuation and possessive 's."""
    decomposed = unicodedata.normalize("NFKD", word)
    bare = "".join(c for c in decomposed if not unicodedata.combining(c)).lower().strip(_EDGE)
    bare = bare.replace("’", "'")
    return bare[:-2] if bare.endswith("'s") and len(bare) > 3 else bare


def features(words: Sequence[str]) -> NDArray[np.int64]:
    """Return the buckets of n words, (n, WIDTH) int64; 0 fills unused part columns."""
    rows = np.zeros((len(words), WIDTH), np.int64)
    begins = True
    for row, word in zip(rows, words, strict=True):
        row[:] = word_features(word, begins=begins)
        begins = ends_sentence(word)
    return rows


def ends_sentence(word: str) -> bool:
    """Whether the punctuation after a word says that a sentence ends there."""
    return word.endswith(_SENTENCE_END)


def word_features(word: str, *, begins: bool) -> list[int]:
    """Return the buckets of one word, WIDTH of them; begins: a sentence begins with it."""
    bare = plain(word)
    masked = "".join("0" if c.isdigit() else c for c in bare)
    parts = [1 + fnv1a(part) % (PART_BUCKETS - 1) for part in _parts(masked)]
    word_bucket = 1 + fnv1a(masked) % (WORD_BUCKETS - 1)
    shape = _shape(word, bare, begins=begins)
    return [word_bucket, shape, *parts, *[0] * (MAX_PARTS - len(parts))]


def _shape(word: str, bare: str, *, begins: bool) -> int:
    """Return 0..SHAPES-1: case, digits, punctuation after it, whether a sentence begins here."""
    letters = [c for c in word if c.isalpha()]
    if any(c.isdigit() for c in word):
        case = 3
    elif not letters or letters[0].islower():
        case = 0
    elif len(letters) > 1 and all(c.isupper() for c in letters):
        case = 2
    else:
        case = 1
    pause = word.endswith((",", ";", ":", *_SENTENCE_END))
    possessive = len(bare) > 1 and word.rstrip(_EDGE).lower().endswith(("'s", "’s"))
    return case + 4 * begins + 8 * pause + 16 * possessive


def _parts(bare: str) -> list[str]:
    """Return beginnings and endings of 2 to 4 letters and letter triples, MAX_PARTS at most."""
    ends = [f"<{bare[:n]}" for n in (2, 3, 4) if len(bare) > n]
    ends += [f"{bare[-n:]}>" for n in (2, 3, 4) if len(bare) > n]
    ends.append(f"#{min(len(bare), 12)}")
    triples = [bare[i : i + 3] for i in range(len(bare) - 2)]
    return (ends + triples)[:MAX_PARTS]
