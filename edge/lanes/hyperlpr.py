"""Decoder of HyperLPR's plate detector (a YOLOv5 with corners, trained on Chinese plates).

Input (1, 3, H, W) float32, BGR 0..1, sides multiples of 32, the picture at the top left on grey.
Outputs p8, p16, p32, each (1, 45, H/s, W/s): for each of three anchors x, y, w, h, objectness,
four corners as x, y, and two classes (plates of one and of two lines), before any sigmoid:

    centre  = (2 σ(xy) - 0.5 + cell) · s        score  = σ(objectness)
    size    = (2 σ(wh))² · anchor               corner = raw · anchor + cell · s

It knows plates of 15 to about 130 px at its input and overlooks larger ones, so every picture is
looked at twice: as large as asked for, and again small, for those that are near.
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
from edge.lanes.plate_boxes import LABEL, clockwise, distinct_plates, grown, holding

ANCHORS = {
    8: ((4, 5), (8, 10), (13, 16)),
    16: ((23, 29), (43, 55), (73, 105)),
    32: ((146, 217), (231, 300), (335, 433)),
}
"""Width and height in input pixels by stride, as the network was trained with."""
DEFAULT_CONF = 0.3
GROWTH = 0.1
"""On each side. Its boxes are drawn closely around Chinese plates: without growth 0.1 % of the area
of 60 US plates was to be seen beside the redactor's padding, with 5 % or 10 % nothing."""
COARSE = 0.3
"""Size of the second look, as a share of the first. On 391 crops of real plates, enlarged until a
plate took 10 to 60 % of the picture, the first look at 640 px gave a score of 0.3 to 92 % of plates
that take 30 %, 68 % of those that take 40 % and 7 % of those that take 60 %; one at 192 px to 98 %
of each, and a score of 0.6 to 77 % and more."""
COARSE_FROM = 1 / 6
"""Share of the picture's longer side that a plate has to take to be believed to the second look:
up to there the first one sees 98 %, and all that would be added are false alarms."""
COARSE_TRUST = 0.55
"""What the second look's scores are multiplied with: in a small picture large lettering on a shirt
or a sign looks like a plate, and scored 0.52 in one of 16 photographs without any."""
_NMS_IOU = 0.5
_VALUES = 15
_MULTIPLE = 32
_GREY = 127
_NO_BOXES, _NO_CORNERS = np.zeros((0, 4), np.float32), np.zeros((0, 8), np.float32)


class HyperLpr:
    """Implements edge.lanes.lane.Detector."""

    def __init__(self, engine: Engine, *, input_size: int, weakest: float) -> None:
        """input_size: pixels of the picture's longer side that the network sees. weakest: score
        below which nothing is reported."""
        self._engine = engine
        self._weakest = weakest
        coarse = max(_MULTIPLE, round(input_size * COARSE / _MULTIPLE) * _MULTIPLE)
        self._fine, self._coarse = (
            LetterboxBuffer(
                Framing(
                    height=None,
                    width=None,
                    long_side=long_side,
                    multiple=_MULTIPLE,
                    centred=False,
                    enlarge=True,
                    grey=_GREY,
                ),
                order=(2, 1, 0),
            )
            for long_side in (input_size, coarse)
        )

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        """Return the plates in a picture, with corners. Raises InferenceError."""
        fine = self._look(self._fine, image, self._weakest)
        # A weak score of the second look would end up below `weakest`.
        coarse = self._look(self._coarse, image, self._weakest / COARSE_TRUST)
        if not len(coarse):
            return frame_id, fine
        widths = coarse.boxes[:, 2] - coarse.boxes[:, 0]
        coarse = coarse.keep(widths >= COARSE_FROM * max(image.width, image.height))
        seen = distinct_plates(
            np.concatenate([fine.boxes, coarse.boxes]),
            np.concatenate([fine.scores, coarse.scores * np.float32(COARSE_TRUST)]),
            np.concatenate([fine.quads, coarse.quads]),
            _NMS_IOU,
        )
        return frame_id, seen

    def _look(self, buffer: LetterboxBuffer, image: Picture, weakest: float) -> Detections:
        outputs, place = buffer.show(self._engine, image)
        return decode(outputs, place, weakest)


def decode(outputs: Tensors, place: Placement, weakest: float) -> Detections:
    """Turn the network's outputs for one look into plates in picture pixels.

    weakest: score from which they are reported; 1 and more reports none. Raises InferenceError.
    """
    # Compared before the sigmoid, so that it is taken of the few values that count only.
    least = math.log(weakest / (1 - weakest)) if weakest < 1 else math.inf
    rows = [_read(outputs, stride, anchors, place, least) for stride, anchors in ANCHORS.items()]
    boxes, scores, quads = (np.concatenate(column) for column in zip(*rows, strict=True))
    if not len(boxes):
        return Detections(label=LABEL)
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        boxes = place.to_picture(boxes)
        quads = place.to_picture(quads).reshape(-1, 4, 2)
    if not (np.isfinite(quads).all() and np.isfinite(boxes).all()):
        raise InferenceError("HyperLPR gave a plate at no place")
    boxes = holding(grown(boxes, GROWTH), quads)
    return distinct_plates(boxes, scores, clockwise(quads), _NMS_IOU)


def _read(
    outputs: Tensors,
    stride: int,
    anchors: tuple[tuple[int, int], ...],
    place: Placement,
    least: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Read one stride's map: boxes (N, 4), scores (N,), corners (N, 8), in input pixels."""
    rows, columns = place.height // stride, place.width // stride
    name = f"p{stride}"
    if name not in outputs:
        raise InferenceError(f"this is no HyperLPR model: it has no output {name}")
    raw = np.asarray(outputs[name])
    expected = (1, len(anchors) * _VALUES, rows, columns)
    if raw.shape != expected:
        raise InferenceError(f"HyperLPR's output {name} has shape {raw.shape}, expected {expected}")
    maps = raw.reshape(len(anchors), _VALUES, rows, columns)
    objectness = maps[:, 4]
    if not np.isfinite(objectness).all():
        raise InferenceError(f"HyperLPR gave NaN or infinity as a score in {name}")
    hit = np.flatnonzero(objectness >= least)
    if not len(hit):
        return _NO_BOXES, _NO_BOXES[:, 0], _NO_CORNERS
    which, y, x = np.unravel_index(hit, objectness.shape)
    values = maps[which, :, y, x].astype(np.float64)
    anchor = np.array(anchors, np.float64)[which]
    cell = np.stack([x, y], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):  # refused by the caller
        centre = (2 * _sigmoid(values[:, :2]) - 0.5 + cell) * stride
        half = (2 * _sigmoid(values[:, 2:4])) ** 2 * anchor / 2
        corners = values[:, 5:13] * np.tile(anchor, 4) + np.tile(cell * stride, 4)
        boxes = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
        quads = corners.astype(np.float32)
    return boxes, _sigmoid(values[:, 4]).astype(np.float32), quads


def _sigmoid(value: NDArray[np.float64]) -> NDArray[np.float64]:
    # Beyond ±60 the result is 0 or 1 in any precision, and exp would overflow.
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(value, -60, 60)))
    return result
