"""Which box of now is which box of before: by overlap first, then by nearness. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.carry import Box
from edge.detection import FloatArray, iou_matrix

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
        if len(matched) < min(len(carried), len(seen)):
            _assign(_nearness(carried, seen), 1e-6, matched)
    return matched


def is_unexplained(these: Iterable[Box], those: Sequence[Box]) -> bool:
    """Whether one of these boxes has none of those within half its size."""
    middles = [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in those]
    for x1, y1, x2, y2 in these:
        x, y, near = (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1) / 2
        if not any(abs(x - there) <= near and abs(y - down) <= near for there, down in middles):
            return True
    return False


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
