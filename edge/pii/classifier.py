"""Names and addresses have no checksum: a small network tells them from ordinary lines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError, ModelError
from edge.inference.engine import Engine
from edge.inference.onnx import OnnxEngine
from edge.pii import ngrams

WEIGHTS: Final = "lines.onnx"
WEIGHTS_SHA256: Final = "81dcc61047e63cdd9690003638633309b6c5a16a6dd060a54afd0a91fbe20c88"
"""Of the file in edge/pii/weights; `python -m export.train.lines` prints it."""
MAX_BYTES: Final = 2_000_000
CLASSES: Final = ("ordinary", "name", "address")
MAX_BATCH: Final = 256
"""Lines of one run. Few pictures have as many."""


class TextClassifier:
    """Says how likely a line is a person's name or an address. One thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def load(cls) -> TextClassifier:
        """Load the weights that come with the package.

        Raises ModelError where they are missing or damaged.
        """
        # On the CPU: a line takes it less time than a GPU takes to be asked.
        return cls(OnnxEngine(read_weights(), WEIGHTS))

    def classify(self, lines: Sequence[str]) -> NDArray[np.float32]:
        """Return calibrated probabilities, (n, 3) in the order of CLASSES.

        A line without a letter or digit is ordinary for certain. Raises InferenceError.
        """
        if not lines:
            return np.zeros((0, len(CLASSES)), np.float32)
        parts = [
            self._run(lines[start : start + MAX_BATCH]) for start in range(0, len(lines), MAX_BATCH)
        ]
        return np.concatenate(parts)

    def _run(self, lines: Sequence[str]) -> NDArray[np.float32]:
        ids, weights = ngrams.batch(lines)
        outputs = self._engine.run({"ids": ids, "weights": weights})
        result = outputs.get("probabilities")
        if result is None or result.shape != (len(lines), len(CLASSES)):
            raise InferenceError(f"model {WEIGHTS} gave no probabilities of the right shape")
        probabilities = np.array(result, np.float32)
        if not (np.isfinite(probabilities).all() and (abs(probabilities.sum(1) - 1) < 1e-3).all()):
            raise InferenceError(f"model {WEIGHTS} gave what are no probabilities")
        probabilities[[not any(map(str.isalnum, line)) for line in lines]] = (1.0, 0.0, 0.0)
        return probabilities


def read_weights() -> bytes:
    """Return the classifier's file as it was released.

    Raises ModelError where it is missing, too large, or not the one whose hash is pinned here.
    """
    try:
        data = (resources.files("edge.pii") / "weights" / WEIGHTS).read_bytes()
    except OSError as error:
        raise ModelError(
            f"the text classifier {WEIGHTS} is missing from the installation. "
            f"Install privaedge again."
        ) from error
    if len(data) > MAX_BYTES or hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256:
        raise ModelError(
            f"the text classifier {WEIGHTS} is not the file that was released. "
            f"Install privaedge again."
        )
    return data
