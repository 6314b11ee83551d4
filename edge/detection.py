"""Detections: what a detector saw in one frame, as columns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

_NMS_BLOCK = 64
"""Boxes compared with all others at a time: as quick as all at once where there are few."""


def _empty(*shape: int) -> FloatArray:
    return np.zeros(shape, np.float32)


@dataclass(frozen=True, slots=True)
class Detections:
    """N detections of one label in full-frame pixels.

    boxes: (N, 4) float32, x1 y1 x2 y2, x2/y2 exclusive; may reach over the picture's border.
    scores: (N,) float32 in 0..1.
    landmarks: (N, 5, 2) float32 pixels (right eye, left eye, nose, right and left mouth corner as
    the pictured person has them), or (0, 5, 2) where the detector gives none.
    quads: (N, 4, 2) float32 pixels (corners of a plate or a line of text: top left, then clockwise
    in reading direction), or (0, 4, 2) where the detector gives none.
    """

    boxes: FloatArray = field(default_factory=lambda: _empty(0, 4))
    scores: FloatArray = field(default_factory=lambda: _empty(0))
    landmarks: FloatArray = field(default_factory=lambda: _empty(0, 5, 2))
    label: str = "face"
    quads: FloatArray = field(default_factory=lambda: _empty(0, 4, 2))

    def __post_init__(self) -> None:
        n = len(self.boxes)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,):
            raise ValueError(f"boxes {self.boxes.shape} and scores {self.scores.shape} differ")
        if self.landmarks.shape not in ((n, 5, 2), (0, 5, 2)):
            raise ValueError(f"landmarks have shape {self.landmarks.shape}, expected ({n}, 5, 2)")
        if self.quads.shape not in ((n, 4, 2), (0, 4, 2)):
            raise ValueError(f"quads have shape {self.quads.shape}, expected ({n}, 4, 2)")

    def __len__(self) -> int:
        return len(self.boxes)

    def keep(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Detections:
        """Return the detections that a boolean mask or an index array names."""
        marks = self.landmarks[which] if len(self.landmarks) else self.landmarks
        quads = self.quads[which] if len(self.quads) else self.quads
        return Detections(self.boxes[which], self.scores[which], marks, self.label, quads)


def iou_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of every box in a (N, 4) with every box in b (M, 4): (N, M)."""
    if not len(a) or not len(b):
        return _empty(len(a), len(b))
    ax1, ay1, ax2, ay2 = a.T[:, :, None]
    bx1, by1, bx2, by2 = b.T[:, None, :]
    width = np.minimum(ax2, bx2) - np.maximum(ax1, bx1)
    height = np.minimum(ay2, by2) - np.maximum(ay1, by1)
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    area_a = np.maximum(ax2 - ax1, 0) * np.maximum(ay2 - ay1, 0)
    area_b = np.maximum(bx2 - bx1, 0) * np.maximum(by2 - by1, 0)
    union = area_a + area_b - inter
    result: FloatArray = (inter / np.maximum(union, 1e-6)).astype(np.float32)
    return result


def nms(
    boxes: FloatArray, scores: FloatArray, iou: float, most: int | None = None
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the kept boxes, best score first.

    most: stop when that many are kept. Memory grows with the number of boxes, not with its
    square: a model gone wrong fires in every cell.
    """
    if not len(boxes):
        return np.zeros(0, np.intp)
    order = np.argsort(-scores, kind="stable")
    ranked = boxes[order]
    alive = np.ones(len(order), bool)
    for start in range(0, len(order), _NMS_BLOCK):
        block = start + np.flatnonzero(alive[start : start + _NMS_BLOCK])
        double = iou_matrix(ranked[block], ranked[start:]) > iou
        for i, doubles in zip(block.tolist(), double, strict=True):
            if alive[i]:
                alive[i + 1 :] &= ~doubles[i + 1 - start :]
        if most is not None and np.count_nonzero(alive[: start + _NMS_BLOCK]) >= most:
            break
    return order[alive][:most]
