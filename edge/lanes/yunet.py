"""Decoder of the YuNet family of face detectors (Wu, Peng, Yu: YuNet, 2023).

Input (B, 3, H, W) float32, BGR 0..255, sides multiples of 32. For each stride s in 8, 16, 32, on
a grid of (H/s)·(W/s) cells in row order: cls_s and obj_s in 0..1 (score = √(cls·obj)), bbox_s
(dx, dy, log w, log h), kps_s (five dx, dy).
"""

from __future__ import annotations

import numpy as np

from edge.detection import Detections
from edge.errors import InferenceError
from edge.frame import Picture
from edge.inference.engine import Engine, Tensors
from edge.lanes.geometry import Fit, InputBuffer, distinct

STRIDES = (8, 16, 32)
DEFAULT_CONF = 0.3
_NMS_IOU = 0.3
_MULTIPLE = 32
_MAX_LOG_SIZE = 10.0
"""exp(10) · 32 is far beyond any picture; a larger value is an overflow, not a face."""


class YuNet:
    """Implements edge.lanes.lane.Detector."""

    def __init__(self, engine: Engine, *, input_size: int, weakest: float) -> None:
        """`weakest`: score below which nothing is reported."""
        self._engine = engine
        self._weakest = weakest
        self._input = InputBuffer(input_size, multiple=_MULTIPLE, order=(2, 1, 0))

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        """Return the faces in a picture. Raises InferenceError."""
        outputs, fit = self._input.show(self._engine, image)
        return frame_id, decode(outputs, fit, self._weakest)


def decode(outputs: Tensors, fit: Fit, weakest: float) -> Detections:
    """Turn the network's outputs into faces in picture pixels. Raises InferenceError."""
    boxes, scores, marks = [], [], []
    for stride in STRIDES:
        columns, rows = fit.width // stride, fit.height // stride
        try:
            cls, obj, bbox, kps = (
                np.asarray(outputs[f"{kind}_{stride}"]) for kind in ("cls", "obj", "bbox", "kps")
            )
        except KeyError as error:
            raise InferenceError(f"this is no YuNet model: it has no output {error}") from error
        cells = columns * rows
        if (cls.shape, obj.shape) != ((1, cells, 1),) * 2 or (bbox.shape, kps.shape) != (
            (1, cells, 4),
            (1, cells, 10),
        ):
            raise InferenceError(
                f"YuNet's outputs at stride {stride} have shapes {cls.shape}, {obj.shape}, "
                f"{bbox.shape}, {kps.shape} for an input of {fit.width}x{fit.height}"
            )
        if not (np.isfinite(cls).all() and np.isfinite(obj).all()):
            raise InferenceError(f"YuNet gave NaN or infinity as a score at stride {stride}")
        score = np.sqrt(np.clip(cls[0, :, 0], 0, 1) * np.clip(obj[0, :, 0], 0, 1))
        hit = np.flatnonzero(score >= weakest)
        cell = np.stack([hit % columns, hit // columns], axis=1).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            centre = (cell + bbox[0, hit, :2]) * stride
            half = np.exp(np.minimum(bbox[0, hit, 2:], _MAX_LOG_SIZE)) * (stride / 2)
            boxes.append(np.concatenate([centre - half, centre + half], axis=1))
            marks.append((np.tile(cell, 5) + kps[0, hit]) * stride)
        scores.append(score[hit])
    with np.errstate(over="ignore"):
        box = fit.to_picture(np.concatenate(boxes).astype(np.float32))
        mark = fit.to_picture(np.concatenate(marks).astype(np.float32)).reshape(-1, 5, 2)
    return distinct(box, np.concatenate(scores).astype(np.float32), mark, _NMS_IOU)
