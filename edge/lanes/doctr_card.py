"""What a docTR file says of itself: its architecture, its characters, how pictures are normalised.

`privaedge export` writes it as metadata: `doctr` (the architecture), `vocab`, `mean`, `std`.
Without mean and std those that all of docTR's published models have are meant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import numpy as np

from edge.detection import FloatArray
from edge.errors import ModelError

ARCHITECTURE: Final = "doctr"
VOCABULARY: Final = "vocab"
DETECTION: Final = ((0.798, 0.785, 0.772), (0.264, 0.2749, 0.287))
RECOGNITION: Final = ((0.694, 0.695, 0.693), (0.299, 0.296, 0.301))
"""Mean and deviation of red, green and blue in 0..1: of docTR's training data, as its
configurations state them."""
CTC_ARCHITECTURES: Final = ("crnn_",)
"""Read as connectionist temporal classification; all others put one character after the other."""

Norm = tuple[tuple[float, float, float], tuple[float, float, float]]


def read_norm(
    metadata: Mapping[str, str], published: Norm, model: str
) -> tuple[FloatArray, FloatArray]:
    """Return mean and deviation, (3,) float32 each. Raises ModelError for what is none."""
    pair = []
    for key, default in zip(("mean", "std"), published, strict=True):
        try:
            values = np.array(json.loads(metadata[key]) if key in metadata else default, np.float32)
        except (ValueError, TypeError):
            values = np.zeros(0, np.float32)
        if values.shape != (3,) or not np.isfinite(values).all() or (values <= 0).any():
            raise ModelError(
                f"model {model} states a {key} that is not three positive numbers. Export it again."
            )
        pair.append(values)
    return pair[0], pair[1]


def read_vocabulary(metadata: Mapping[str, str], model: str) -> str:
    """Return a recogniser's characters in the order of its classes. Raises ModelError."""
    vocabulary = metadata.get(VOCABULARY, "")
    if not vocabulary or len(set(vocabulary)) != len(vocabulary):
        raise ModelError(
            f"model {model} brings no usable characters (metadata '{VOCABULARY}'). Export it with "
            "`privaedge export --family doctr-rec`."
        )
    return vocabulary
