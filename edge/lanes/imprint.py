"""Whether a line of text still says the same, told from its looks and not by reading it.

A place can change what it says: subtitles, a ticker, a scrolling phone. An imprint is a line's
luma in a small size; two of them are compared piece by piece, so that detections which differ by a
few pixels, and lines of which only a part has changed, are told apart.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.detection import FloatArray
from edge.frame import ByteArray
from edge.lanes.rectify import rectify

ROWS = 16
_MARGIN = 3
"""Rows above and below by which a box may be off."""
_PIECE = 32
"""Columns that are compared at once: three to four characters."""
_REACH = 10
"""Columns by which a piece may be off after scaling to the same width."""
_FLAT = 4.0
"""Standard deviation in levels below which there is nothing to compare."""


def imprint(luma: ByteArray, quad: FloatArray) -> ByteArray:
    """The imprint of the line in a quad, (ROWS, columns) uint8. luma: (H, W) uint8."""
    return rectify(luma, quad, ROWS)


def likeness(before: ByteArray, now: ByteArray) -> float:
    """How alike two imprints are in their least alike piece: -1..1, 1 for the same.

    Normalised cross-correlation at the best place nearby.
    """
    width = before.shape[1]
    if now.shape[1] != width:
        now = np.asarray(cv2.resize(now, (width, ROWS), interpolation=cv2.INTER_LINEAR), np.uint8)
    now = np.pad(now, ((0, 0), (_REACH, _REACH)), mode="edge")
    size = min(_PIECE, width)
    starts = [*range(0, width - size, size), width - size]
    worst = 1.0
    for start in starts:
        piece = before[_MARGIN : ROWS - _MARGIN, start : start + size]
        if float(piece.std()) < _FLAT:
            continue
        around = now[:, start : start + size + 2 * _REACH]
        found = cv2.matchTemplate(around, np.ascontiguousarray(piece), cv2.TM_CCOEFF_NORMED)
        worst = min(worst, float(found.max()))
    return worst
