"""Which words are names, places and the like: the interface, and the small tagger of our own.

The tagger's weights travel with the package. They were trained by `python -m export.train.tagger`;
weights/tagger.md states the figures they reach.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError, ModelError
from edge.inference.engine import Engine
from edge.inference.onnx import OnnxEngine
from edge.pii.spans import Kind
from edge.pii.word_features import features

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Label:
    """What a tagger can say of a word: nothing (kind None), or begins or goes on with a kind."""

    kind: Kind | None
    begins: bool


class TokenTagger(Protocol):
    """Labels words. One thread at a time; no state between calls."""

    @property
    def labels(self) -> tuple[Label, ...]:
        """The meaning of each column of scores."""

    def scores(self, words: Sequence[str]) -> Scores:
        """Return (n, labels) float32 for n words: each row sums to 1. Raises InferenceError."""


OUTSIDE: Final = Label(None, begins=False)
LABELS: Final = (OUTSIDE, *(Label(kind, begins) for kind in Kind for begins in (True, False)))
"""Columns of the small tagger: outside, then begin and inside of every kind."""

FILE: Final = "tagger.onnx"
SHA256: Final = "55e65707ed36763b09c8c61d677cbf00a9dfa8f94ee5f1b8311d50b0b817c03f"
"""Of the weights in this package. Anything else is not loaded."""


class WordTagger:
    """The small tagger: hashed features of each word through a bidirectional LSTM."""

    def __init__(self, engine: Engine) -> None:
        """Use an engine with input features (n, WIDTH) int64 and output (n, len(LABELS))."""
        self._engine = engine

    @property
    def labels(self) -> tuple[Label, ...]:
        """See LABELS."""
        return LABELS

    def scores(self, words: Sequence[str]) -> Scores:
        """Return (n, labels) float32. Raises InferenceError."""
        if not words:
            return np.zeros((0, len(LABELS)), np.float32)
        outputs = self._engine.run({self._engine.inputs[0]: features(words)})
        return checked(outputs[self._engine.outputs[0]], len(words), len(LABELS))


def checked(scores: NDArray[np.generic], words: int, labels: int) -> Scores:
    """Return scores as they must be, (words, labels) with rows that sum to 1, or raise.

    Raises InferenceError: what a tagger said cannot be trusted then.
    """
    if scores.shape != (words, labels):
        raise InferenceError(
            f"the tagger gave an array of shape {scores.shape}, expected {(words, labels)}. "
            "Use another model for audio.tagger."
        )
    values = np.asarray(scores, np.float32)
    if not np.isfinite(values).all() or np.abs(values.sum(axis=1) - 1).max(initial=0) > 1e-2:
        raise InferenceError(
            "the tagger gave scores that are no probabilities. Use another model for audio.tagger."
        )
    return values


def load_word_tagger(*, threads: int = 1) -> WordTagger:
    """Load the small tagger that comes with the package.

    Raises ModelError where the file is missing or is not the one that belongs to this version.
    """
    try:
        data = (resources.files("edge.pii") / "weights" / FILE).read_bytes()
    except OSError as error:
        raise ModelError(
            f"the tagger's weights {FILE} are missing from the package. Install privaedge again."
        ) from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ModelError(
            f"the tagger's weights {FILE} have the wrong SHA-256. Install privaedge again."
        )
    # On the CPU: a sentence takes it less time than a GPU takes to be asked.
    return WordTagger(OnnxEngine(data, FILE, threads=threads))
