"""Detections: what a detector saw in one frame, as columns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def _empty(*shape: int) -> FloatArray:
    return np.zeros(shape, np.float32)


@dataclass(frozen=True, slots=True)
class Detections:
    """N detections of one label in full-frame pixels.

    boxes: (N, 4) float32, x1 y1 x2 y2, x2/y2 exclusive; may reach over the picture's border.
    scores: (N,) float32 in 0..1.
    landmarks: (N, 5, 2) float32 pixels (right eye, left eye, nose, right and left mouth corner as
    the pictured person has them), or (0, 5, 2) where the detector gives none.
    """

    boxes: FloatArray = field(default_factory=lambda: _empty(0, 4))
    scores: FloatArray = field(default_factory=lambda: _empty(0))
    landmarks: FloatArray = field(default_factory=lambda: _empty(0, 5, 2))
    label: str = "face"

    def __post_init__(self) -> None:
        n = len(self.boxes)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,):
            raise ValueError(f"boxes {self.boxes.shape} and scores {self.scores.shape} differ")
        if self.landmarks.shape not in ((n, 5, 2), (0, 5, 2)):
            raise ValueError(f"landmarks have shape {self.landmarks.shape}, expected ({n}, 5, 2)")

    def __len__(self) -> int:
        return len(self.boxes)

    def keep(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Detections:
        """Return the detections that a boolean mask or an index array names."""
        marks = self.landmarks[which] if len(self.landmarks) else self.landmarks
        return Detections(self.boxes[which], self.scores[which], marks, self.label)


def iou_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of every box in a (N, 4) with every box in b (M, 4): (N, M)."""
    if not len(a) or not len(b):
        return _empty(len(a), len(b))
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.prod(np.maximum(bottom_right - top_left, 0), axis=2)
    area_a = np.prod(np.maximum(a[:, 2:] - a[:, :2], 0), axis=1)
    area_b = np.prod(np.maximum(b[:, 2:] - b[:, :2], 0), axis=1)
    union = area_a[:, None] + area_b[None, :] - inter
    result: FloatArray = (inter / np.maximum(union, 1e-6)).astype(np.float32)
    return result


def nms(boxes: FloatArray, scores: FloatArray, iou: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the kept boxes, best score first."""
    order = np.argsort(-scores, kind="stable")
    overlap = iou_matrix(boxes[order], boxes[order])
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= overlap[i, i + 1 :] <= iou
    return order[alive]
