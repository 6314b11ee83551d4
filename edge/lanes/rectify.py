"""Cut a line of text or a plate out of a picture, upright, whatever its angle and perspective.

Crops come from luma in the picture's full resolution.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.detection import FloatArray
from edge.frame import ByteArray

MAX_ASPECT = 33.0
"""Width by height up to which a line keeps its proportions: about 70 characters. A longer one is
squeezed, so that none is left unread."""
_TALL = 1.5
"""Height by width from which a line is taken for one that runs downwards, as in PP-OCR."""


def rectify(luma: ByteArray, quad: FloatArray, rows: int) -> ByteArray:
    """Cut a line out of a picture, `rows` px high and as wide as its proportions say.

    luma: (H, W) uint8. quad: (4, 2), clockwise. A tall one is turned a quarter to the left. Parts
    beyond the picture repeat its border. Returns a contiguous (rows, columns) uint8.
    """
    corners = quad.astype(np.float32)
    width, height = sides(corners)
    if height >= _TALL * width:
        corners = np.roll(corners, -1, axis=0)
        width, height = height, width
    aspect = min(max(width / max(height, 1.0), 1.0), MAX_ASPECT)
    columns = round(rows * aspect)
    shrink = height / rows
    if shrink > 1.5:  # bilinear interpolation would skip pixels
        luma, corners = _smaller(luma, corners, shrink)
    right, bottom = columns - 0.5, rows - 0.5
    target = np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners - 0.5, target)
    line = cv2.warpPerspective(
        luma, matrix, (columns, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(line, np.uint8)


def sides(quad: FloatArray) -> tuple[float, float]:
    """Width and height of a quad: of each pair of opposite sides the longer."""
    lengths = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    return float(max(lengths[0], lengths[2])), float(max(lengths[1], lengths[3]))


def _smaller(luma: ByteArray, quad: FloatArray, factor: float) -> tuple[ByteArray, FloatArray]:
    """Shrink the part of a picture around a quad by area averaging; the quad goes with it."""
    size_of = (luma.shape[1], luma.shape[0])
    left, top = np.clip(np.floor(quad.min(axis=0)).astype(int), 0, np.subtract(size_of, 1))
    right, bottom = np.clip(np.ceil(quad.max(axis=0)).astype(int), (left + 1, top + 1), size_of)
    size = max(1, round((right - left) / factor)), max(1, round((bottom - top) / factor))
    part = cv2.resize(luma[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    scale = np.array([size[0] / (right - left), size[1] / (bottom - top)], np.float32)
    return np.asarray(part, np.uint8), (quad - np.array([left, top], np.float32)) * scale
