"""Decoder of the YuNet family of face detectors (Wu, Peng, Yu: YuNet, 2023).

Input (B, 3, H, W) float32, BGR 0..255, sides multiples of 32. For each stride s in 8, 16, 32, on
a grid of (H/s)·(W/s) cells in row order: cls_s and obj_s in 0..1 (score = √(cls·obj)), bbox_s
(dx, dy, log w, log h), kps_s (five dx, dy).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edge.detection import Detections, FloatArray
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
    cells = _cells(fit.width, fit.height)
    maps = [_maps(outputs, stride, fit) for stride in STRIDES]
    cls, obj = (np.concatenate([one[kind][0, :, 0] for one in maps]) for kind in (0, 1))
    if not (np.isfinite(cls).all() and np.isfinite(obj).all()):
        raise InferenceError("YuNet gave NaN or infinity as a score")
    score = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))
    hit = np.flatnonzero(score >= weakest)
    # Of boxes and landmarks, which are many numbers a cell, only those that count are gathered.
    parts = [
        part - first
        for part, first in zip(
            np.split(hit, np.searchsorted(hit, cells.firsts[1:])), cells.firsts, strict=True
        )
    ]
    bbox, kps = (
        np.concatenate([one[kind][0, part] for one, part in zip(maps, parts, strict=True)])
        for kind in (2, 3)
    )
    cell, stride = cells.places[hit], cells.strides[hit]
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        centre = (cell + bbox[:, :2]) * stride
        half = np.exp(np.minimum(bbox[:, 2:], _MAX_LOG_SIZE)) * (stride / 2)
        box = fit.to_picture(np.concatenate([centre - half, centre + half], axis=1))
        mark = fit.to_picture((np.tile(cell, 5) + kps) * stride).reshape(-1, 5, 2)
    return distinct(box, score[hit], mark, _NMS_IOU)


def _maps(outputs: Tensors, stride: int, fit: Fit) -> tuple[FloatArray, ...]:
    """Return cls, obj, bbox and kps of one stride as float32. Raises InferenceError."""
    try:
        cls, obj, bbox, kps = (
            np.asarray(outputs[f"{kind}_{stride}"], np.float32)
            for kind in ("cls", "obj", "bbox", "kps")
        )
    except KeyError as error:
        raise InferenceError(f"this is no YuNet model: it has no output {error}") from error
    cells = (fit.width // stride) * (fit.height // stride)
    if (cls.shape, obj.shape) != ((1, cells, 1),) * 2 or (bbox.shape, kps.shape) != (
        (1, cells, 4),
        (1, cells, 10),
    ):
        raise InferenceError(
            f"YuNet's outputs at stride {stride} have shapes {cls.shape}, {obj.shape}, "
            f"{bbox.shape}, {kps.shape} for an input of {fit.width}x{fit.height}"
        )
    return cls, obj, bbox, kps


@dataclass(frozen=True, slots=True)
class _Cells:
    """All cells of an input, stride by stride.

    places: (N, 2) column and row. strides: (N, 1). firsts: index of each stride's first cell.
    """

    places: FloatArray
    strides: FloatArray
    firsts: tuple[int, ...]


@lru_cache(maxsize=8)
def _cells(width: int, height: int) -> _Cells:
    places, strides, firsts, count = [], [], [], 0
    for stride in STRIDES:
        rows, columns = np.indices((height // stride, width // stride), np.float32)
        places.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        strides.append(np.full((columns.size, 1), stride, np.float32))
        firsts.append(count)
        count += columns.size
    return _Cells(np.concatenate(places), np.concatenate(strides), tuple(firsts))
