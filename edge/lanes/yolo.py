"""Plates from the YOLO detectors that users bring as ONNX: v5 to v26, with or without selection.

Input (1, 3, H, W) float32 or float16, RGB 0..1, the picture in the middle on grey 114. What comes
out is told from the shapes and the metadata, once, on a grey picture: yolo_head.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.detection import Detections, FloatArray
from edge.errors import InferenceError, ModelError
from edge.frame import Picture
from edge.inference.engine import Engine, Tensors
from edge.lanes.letterbox import LetterboxBuffer, Placement
from edge.lanes.plate_boxes import clockwise, distinct_plates
from edge.lanes.yolo_card import read_card
from edge.lanes.yolo_head import Extra, Head, Layout, framing, picture_input, understand

DEFAULT_CONF = 0.25
"""Ultralytics' own for prediction; files with built-in selection have dropped what is below."""
_NMS_IOU = 0.45
_PROBE_SIZE = (1280, 720)
"""Of the grey picture that a network is told by; any would do."""
_SLACK = 0.02
"""How far beyond 0..1 a score may be: int8 and half precision round."""
_LEAST_PIXELS = 2.0
"""No network finds only things that end within the first two pixels of its input: coordinates that
all do are shares of the input's sides."""
_INSIDE_OUT_PX = 1.0
"""A box may be inside out by so many input pixels: rounding, in half precision."""


class Yolo:
    """Implements edge.lanes.lane.Detector."""

    def __init__(self, engine: Engine, *, input_size: int, weakest: float) -> None:
        """Tell the head by a look at a grey picture.

        input_size: pixels of the input's longer side where the model does not fix it. weakest:
        score below which nothing is reported. Raises ModelError for what is no YOLO detector that
        finds plates.
        """
        spec = picture_input(engine)
        card = read_card(engine.metadata, engine.name)
        card.wanted(engine.name)  # before anything is run: the clearest of complaints
        self._engine = engine
        self._weakest = weakest
        frame = framing(spec, card, input_size)
        self._input = LetterboxBuffer(frame, order=(0, 1, 2), dtype=spec.dtype)
        place = frame.place(*_PROBE_SIZE)
        grey = np.full((1, 3, place.height, place.width), frame.grey / 255, spec.dtype)
        try:
            outputs = engine.run({spec.name: grey})
            size = place.width, place.height
            self._head = understand(outputs, engine.outputs, card, size, engine.name)
            _check_units(np.asarray(outputs[self._head.output]), self._head, engine.name)
            decode(outputs, self._head, place, weakest)
        except InferenceError as error:
            raise ModelError(
                f"model {engine.name} cannot be used: {error}. Export it again with Ultralytics."
            ) from error

    @property
    def head(self) -> Head:
        """How the network's answer is read."""
        return self._head

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        """Return the plates in a picture; with corners where the head has them.

        Raises InferenceError.
        """
        outputs, place = self._input.show(self._engine, image)
        return frame_id, decode(outputs, self._head, place, self._weakest)


def decode(outputs: Tensors, head: Head, place: Placement, weakest: float) -> Detections:
    """Turn a network's answer into plates in picture pixels. Raises InferenceError."""
    try:
        raw = np.asarray(outputs[head.output])
    except KeyError as error:
        raise InferenceError(f"the YOLO gave no output {error}") from error
    rest, boxes, scores = _READERS[head.layout](raw, head, weakest)
    if not np.isfinite(rest).all() or not np.isfinite(boxes).all():
        raise InferenceError("the YOLO put a plate where no picture can be")
    quads = _quads(rest, boxes, head)
    if head.extra is Extra.ANGLE:
        boxes = np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1)
    elif head.layout in (Layout.CELLS, Layout.ANCHORS):
        half = boxes[:, 2:] / 2
        boxes = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    elif len(boxes) and boxes.max() < _LEAST_PIXELS:
        raise InferenceError("the YOLO's boxes are not in pixels")
    boxes = _upright(boxes)
    with np.errstate(over="ignore", invalid="ignore"):  # refused by distinct_plates
        boxes = place.to_picture(boxes)
        quads = place.to_picture(quads.reshape(-1, 8)).reshape(-1, 4, 2)
    return distinct_plates(boxes, scores, clockwise(quads), _NMS_IOU)


Rows = tuple[FloatArray, FloatArray, FloatArray]
"""For each plate what follows box and scores (N, E), four values of its box (N, 4), score (N,)."""


def _read_cells(raw: NDArray[Any], head: Head, weakest: float) -> Rows:
    """(1, 4 + classes + extra, cells)."""
    if raw.ndim != 3 or raw.shape[0] != 1 or raw.shape[1] < 4 + head.classes:
        raise _unexpected(raw, head)
    table = raw[0]
    scores = _checked_scores(table[4 + head.wanted].astype(np.float32)).max(axis=0)
    hit = np.flatnonzero(scores >= weakest)
    values = table[:, hit].T.astype(np.float32)
    return values[:, 4 + head.classes :], values[:, :4], scores[hit]


def _read_anchors(raw: NDArray[Any], head: Head, weakest: float) -> Rows:
    """(1, 3 · cells, 5 + classes + extra)."""
    if raw.ndim != 3 or raw.shape[0] != 1 or raw.shape[2] < 5 + head.classes:
        raise _unexpected(raw, head)
    table = raw[0]
    objectness = _checked_scores(table[:, 4].astype(np.float32))
    likely = np.flatnonzero(objectness >= weakest)
    values = table[likely].astype(np.float32)
    shares = _checked_scores(values[:, 5 + head.wanted])
    scores = objectness[likely] * (shares.max(axis=1) if len(likely) else shares.sum(axis=1))
    hit = scores >= weakest
    return values[hit, 5 + head.classes :], values[hit, :4], scores[hit]


def _read_final(raw: NDArray[Any], head: Head, weakest: float) -> Rows:
    """(1, rows, 6 + extra): box, score, class."""
    if raw.ndim != 3 or raw.shape[0] != 1 or raw.shape[2] < 6:
        raise _unexpected(raw, head)
    values = raw[0].astype(np.float32)
    hit = _chosen(values[:, 4], values[:, 5], head, weakest)
    return values[hit, 6:], values[hit, :4], values[hit, 4]


def _read_listed(raw: NDArray[Any], head: Head, weakest: float) -> Rows:
    """(plates, 7): picture, box, class, score."""
    if raw.ndim != 2 or raw.shape[1] != 7:
        raise _unexpected(raw, head)
    values = raw.astype(np.float32)
    if (values[:, 0] != 0).any():
        raise InferenceError("the YOLO found something in a picture that it was not given")
    hit = _chosen(values[:, 6], values[:, 5], head, weakest)
    return values[hit, 7:], values[hit, 1:5], values[hit, 6]


_READERS = {
    Layout.CELLS: _read_cells,
    Layout.ANCHORS: _read_anchors,
    Layout.FINAL: _read_final,
    Layout.LISTED: _read_listed,
}


def _chosen(scores: FloatArray, classes: FloatArray, head: Head, weakest: float) -> NDArray[Any]:
    """Indices of the rows that are plates, where a row names its class."""
    hit = np.flatnonzero(_checked_scores(scores) >= weakest)
    kind = classes[hit]
    if not ((kind >= 0) & (kind < head.classes) & (kind == np.floor(kind))).all():
        raise InferenceError(f"the YOLO found a thing of a class beyond its {head.classes}")
    return hit[np.isin(kind.astype(np.intp), head.wanted)]


def _checked_scores(scores: FloatArray) -> FloatArray:
    """Return scores within 0..1. Raises InferenceError for what are no probabilities.

    A head without its last sigmoid gives logits, of which most plates' would be below any
    threshold; NaN is below every one.
    """
    if not (scores >= -_SLACK).all() or not (scores <= 1 + _SLACK).all():
        raise InferenceError("the YOLO's scores are not within 0..1")
    result: FloatArray = np.clip(scores, 0, 1)
    return result


def _quads(rest: FloatArray, boxes: FloatArray, head: Head) -> FloatArray:
    """Corners (N, 4, 2) in input pixels; (0, 4, 2) where the head has none."""
    if head.extra is Extra.CORNERS:
        return rest.reshape(len(rest), 4, head.point_values)[:, :, :2]
    if head.extra is not Extra.ANGLE:
        return np.zeros((0, 4, 2), np.float32)
    centre, size, angle = boxes[:, :2], boxes[:, 2:], rest[:, 0]
    if (size < 0).any():
        raise InferenceError("the YOLO gave a turned plate of negative size")
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1) * size[:, :1] / 2
    across = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * size[:, 1:] / 2
    quads: FloatArray = np.stack(
        [centre - along - across, centre + along - across,
         centre + along + across, centre - along + across], axis=1,
    ).astype(np.float32)  # fmt: skip
    return quads


def _upright(boxes: FloatArray) -> FloatArray:
    """Put right boxes that rounding has turned inside out. Raises InferenceError for others."""
    low, high = boxes[:, :2], boxes[:, 2:]
    if (low - high > _INSIDE_OUT_PX).any():
        raise InferenceError("the YOLO gave a plate that ends before it begins")
    result: FloatArray = np.concatenate([np.minimum(low, high), np.maximum(low, high)], axis=1)
    return result


def _check_units(raw: NDArray[Any], head: Head, model: str) -> None:
    """Refuse a network whose cells all lie within its input's first pixels. Raises ModelError."""
    if head.layout is Layout.CELLS:
        centres = raw[0, :2]
    elif head.layout is Layout.ANCHORS:
        centres = raw[0, :, :2]
    else:
        return
    if float(centres.max()) < _LEAST_PIXELS:
        raise ModelError(
            f"model {model} gives coordinates as shares of the picture, not in pixels. "
            f"Export it again with `yolo export format=onnx`."
        )


def _unexpected(raw: NDArray[Any], head: Head) -> InferenceError:
    return InferenceError(f"the YOLO's {head.layout.value} have the shape {raw.shape}")
