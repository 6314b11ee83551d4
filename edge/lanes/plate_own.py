"""Decoder of privaedge's own plate detector, which was trained on drawn scenes.

Input (1, 3, H, W) float32, RGB 0..1, sides multiples of 32, the picture at the top left on grey.
Outputs plates_8, plates_16, plates_32, each (1, 9, H/s, W/s): a score before the sigmoid and four
corners clockwise from the top left one, as x and y from the middle of the cell:

    score = σ(value 0)        corner = (cell + 0.5) · s + value · UNIT · s

A plate's box is the upright one around its corners, grown a little.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge.detection import Detections, FloatArray
from edge.errors import InferenceError
from edge.frame import Picture
from edge.inference.engine import Engine, Tensors
from edge.lanes.letterbox import Framing, LetterboxBuffer, Placement
from edge.lanes.plate_boxes import clockwise, distinct_plates, grown, holding

STRIDES = (8, 16, 32)
UNIT = 2.0
"""Strides that a corner's value of 1 stands for."""
OUTPUTS = tuple(f"plates_{stride}" for stride in STRIDES)
DEFAULT_CONF = 0.9
"""Up to 0.86 more than one photograph in twenty without a plate shows one. Of 60 plates it hides 54
alone and, with the text lane beside it, 58 (docs/plates_own.md)."""
GROWTH = 0.15
"""On each side, of the box's width and height. On drawn scenes 10 % hide 1 % fewer plates, 20 % no
more."""
_NMS_IOU = 0.4
_VALUES = 9
_MULTIPLE = 32
_GREY = 114


class OwnPlates:
    """Implements edge.lanes.lane.Detector."""

    def __init__(self, engine: Engine, *, input_size: int, weakest: float) -> None:
        """input_size: pixels of the picture's longer side that the network sees. weakest: score
        below which nothing is reported."""
        self._engine = engine
        self._weakest = weakest
        framing = Framing(
            height=None,
            width=None,
            long_side=input_size,
            multiple=_MULTIPLE,
            centred=False,
            enlarge=True,
            grey=_GREY,
        )
        self._buffer = LetterboxBuffer(framing, order=(0, 1, 2))

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        """Return the plates in a picture, with corners. Raises InferenceError."""
        outputs, place = self._buffer.show(self._engine, image)
        return frame_id, decode(outputs, place, self._weakest)


def decode(
    outputs: Tensors, place: Placement, weakest: float, growth: float = GROWTH
) -> Detections:
    """Turn the network's outputs into plates in picture pixels.

    weakest: score from which they are reported; 1 and more reports none. growth: share of its size
    by which a box grows on each side. Raises InferenceError.
    """
    # Compared before the sigmoid, so that it is taken of the few values that count only.
    least = math.log(weakest / (1 - weakest)) if weakest < 1 else math.inf
    rows = [_read(outputs, stride, place, least) for stride in STRIDES]
    scores, quads = (np.concatenate(column) for column in zip(*rows, strict=True))
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        quads = place.to_picture(quads).reshape(-1, 4, 2)
    if not np.isfinite(quads).all():
        raise InferenceError("the plate detector gave a plate at no place")
    tight = np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1)
    boxes = holding(grown(tight, growth), quads)
    return distinct_plates(boxes, scores, clockwise(quads), _NMS_IOU)


def _read(
    outputs: Tensors, stride: int, place: Placement, least: float
) -> tuple[FloatArray, FloatArray]:
    """Read one stride's map: scores (N,), corners (N, 8), in input pixels."""
    rows, columns = place.height // stride, place.width // stride
    name = f"plates_{stride}"
    if name not in outputs:
        raise InferenceError(f"this is no plate detector of privaedge: it has no output {name}")
    raw = np.asarray(outputs[name])
    expected = (1, _VALUES, rows, columns)
    if raw.shape != expected:
        raise InferenceError(f"output {name} has shape {raw.shape}, expected {expected}")
    logits = raw[0, 0]
    if not np.isfinite(logits).all():
        raise InferenceError(f"the plate detector gave NaN or infinity as a score in {name}")
    y, x = np.nonzero(logits >= least)
    middle = (np.stack([x, y], axis=1) + 0.5) * stride
    with np.errstate(over="ignore", invalid="ignore"):  # refused by the caller
        away = raw[0, 1:, y, x].astype(np.float64) * (UNIT * stride)
        quads = (away + np.tile(middle, 4)).astype(np.float32)
    return _sigmoid(logits[y, x].astype(np.float64)).astype(np.float32), quads


def _sigmoid(value: NDArray[np.float64]) -> NDArray[np.float64]:
    # Beyond ±60 the result is 0 or 1 in any precision, and exp would overflow.
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(value, -60, 60)))
    return result
