"""docTR's text detectors (Mindee; Liao et al.: Differentiable Binarization, 2020): db_resnet50,
db_mobilenet_v3_large.

Input (1, 3, H, W) float32, RGB, sides multiples of 32, normalised by docTR's own mean and
deviation. Output (1, 1, H, W): the logit that a pixel belongs to the core of a word. That is read
as PP-OCR's answer is, whose cores are shrunk by the same rule; but these are words, and what is
private is told from lines: words that stand in a row become one.
"""

from __future__ import annotations

import numpy as np

from edge.detection import Detections, FloatArray
from edge.errors import InferenceError
from edge.frame import Picture
from edge.inference.engine import Engine
from edge.lanes.doctr_card import DETECTION, read_norm
from edge.lanes.geometry import Fit, InputBuffer
from edge.lanes.ppocr_det import decode as decode_cores
from edge.lanes.word_rows import join_words

DEFAULT_CONF = 0.1
"""Mean probability over a word from which it counts: docTR's own (box_thresh)."""
_MULTIPLE = 32
_FAR = 80.0
"""A logit beyond this is as sure as float32 can say."""


class DoctrDetector:
    """Finds lines of text, word by word. Implements edge.lanes.lane.Detector."""

    def __init__(self, engine: Engine, *, input_size: int, weakest: float) -> None:
        """input_size: long side of the network's input in pixels. weakest: score below which
        nothing is reported. Raises ModelError where the file states no usable normalisation."""
        self._engine = engine
        self._weakest = weakest
        mean, std = read_norm(engine.metadata, DETECTION, engine.name)
        self._input = InputBuffer(
            input_size,
            multiple=_MULTIPLE,
            order=(0, 1, 2),
            scale=1 / (255 * std),
            bias=-mean / std,
        )

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        """Return the lines in a picture, with quads. Raises InferenceError."""
        outputs, fit = self._input.show(self._engine, image)
        return frame_id, decode(outputs[self._engine.outputs[0]], fit, self._weakest)


def decode(logits: FloatArray, fit: Fit, weakest: float) -> Detections:
    """Turn logits into lines in picture pixels.

    logits: (1, 1, fit.height, fit.width) float32. Raises InferenceError for another shape, NaN,
    and more words than any picture has.
    """
    if not np.isfinite(logits).all():
        raise InferenceError("the text detector gave NaN or infinity")
    probability = 1 / (1 + np.exp(-np.clip(logits, -_FAR, _FAR)))
    return join_words(decode_cores(probability.astype(np.float32), fit, weakest))
