"""Which box of now is which box of before: by overlap first, then by nearness. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.detection import FloatArray, iou_matrix

Box = NDArray[np.float64]
"""(x1, y1, x2, y2) in pixels."""

_FAR_MATCH_SIZES = 1.5
"""How far a thing may have moved against the camera between two looks, in its own sizes, to be
taken for the same one when no box overlaps: a quick walker crossing at 4 looks a second."""
_SIZE_RATIO = 1.6
"""Largest ratio of sizes of two sightings that are joined over such a distance."""


def associate(carried: NDArray[np.floating], seen: FloatArray, iou_thresh: float) -> dict[int, int]:
    """Return index of a carried box → index of the box that was seen in its place.

    carried: (N, 4) boxes of before, where they would be now. seen: (M, 4). iou_thresh: overlap that
    makes two of them one thing. Each is given one at most, the best pair first (greedy).
    """
    matched: dict[int, int] = {}
    if len(carried) and len(seen):
        overlaps = iou_matrix(carried.astype(np.float32), seen)
        _assign(overlaps, iou_thresh, matched)
        _assign(_nearness(carried, seen), 1e-6, matched)
    return matched


def is_unexplained(these: Sequence[Box], those: Sequence[Box] | NDArray[np.float64]) -> bool:
    """Whether one of these boxes has none of those within half its size."""
    for box in these:
        centre, size = (box[:2] + box[2:]) / 2, _size(box[None])[0]
        if not any(np.abs((b[:2] + b[2:]) / 2 - centre).max() <= size / 2 for b in those):
            return True
    return False


def hull(a: Box, b: Box) -> Box:
    """Return the smallest box around both."""
    return np.concatenate([np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])])


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, for one pair in a tenth of the time that iou_matrix takes."""
    ax1, ay1, ax2, ay2 = a.tolist()
    bx1, by1, bx2, by2 = b.tolist()
    inter = max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - inter
    return float(inter / max(union, 1e-6))


def _assign(value: FloatArray, least: float, matched: dict[int, int]) -> None:
    """Give rows that have none yet their best free column, from `least` on."""
    taken = set(matched.values())
    rows, columns = np.nonzero(value >= least)
    order = np.argsort(-value[rows, columns], kind="stable")
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if i not in matched and j not in taken:
            matched[i] = j
            taken.add(j)


def _size(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def _nearness(carried: NDArray[np.floating], boxes: NDArray[np.floating]) -> FloatArray:
    """1 where centres coincide, down to 0 at _FAR_MATCH_SIZES; 0 where sizes differ: (N, M)."""
    centre_a, centre_b = (carried[:, :2] + carried[:, 2:]) / 2, (boxes[:, :2] + boxes[:, 2:]) / 2
    size_a, size_b = _size(carried)[:, None], _size(boxes)[None, :]
    larger, smaller = np.maximum(size_a, size_b), np.minimum(size_a, size_b)
    distance = np.linalg.norm(centre_a[:, None] - centre_b[None], axis=2)
    near = 1 - distance / np.maximum(larger * _FAR_MATCH_SIZES, 1e-6)
    alike = larger <= smaller * _SIZE_RATIO
    result: FloatArray = np.where(alike, np.maximum(near, 0), 0).astype(np.float32)
    return result
