"""Lines of text for readers: cut from photographs of print, and rendered."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from export.material import ByteArray, Material

_FONTS: Final = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)  # fmt: skip
_HEIGHTS_PX: Final = (12, 60)
_PHOTOGRAPHS: Final = 10
_MOST_CUT: Final = 0.6
"""Share of the lines that are cut from photographs, where there are as many."""
_WIDEST: Final = 12
"""Times its height: longer ones are two columns, or a paragraph."""


def line_pictures(
    material: Material, count: int
) -> Iterator[tuple[ByteArray, NDArray[np.float32]]]:
    """Yield pictures, (H, W, 3) uint8 RGB, with the quad (4, 2) of one line in each."""
    cut = list(islice(_cut(material), int(count * _MOST_CUT)))
    yield from cut
    signs = [sign for sign in material.signs() if sign.isascii() and len(sign) < 32]
    step = max(1, len(signs) // max(1, count - len(cut)))
    for at, sign in enumerate(signs[::step][: count - len(cut)]):
        yield _rendered(sign, at)


def _cut(material: Material) -> Iterator[tuple[ByteArray, NDArray[np.float32]]]:
    for photo in material.pictures(_PHOTOGRAPHS):
        for left, top, width, height in _lines_in(photo.rgb):
            right, bottom = left + width, top + height
            corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            yield photo.rgb, np.array(corners, np.float32)


def _lines_in(rgb: ByteArray) -> list[tuple[int, int, int, int]]:
    """Find what looks like print: dark strokes close to each other in a row."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    strokes = cv2.adaptiveThreshold(
        grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 25, 20
    )
    joined = cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, np.ones((1, 15), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    least, most = _HEIGHTS_PX
    return [
        (int(x), int(y), int(w), int(h))
        for x, y, w, h, _ in stats[1:]
        if least <= h <= most and 2 * h <= w <= _WIDEST * h
    ]


def _rendered(text: str, at: int) -> tuple[ByteArray, NDArray[np.float32]]:
    font, scale = _FONTS[at % len(_FONTS)], 0.6 + 0.2 * (at % 5)
    (width, height), base = cv2.getTextSize(text, font, scale, 2)
    sides = ((height + base + 20) // 2 * 2, (width + 20) // 2 * 2)
    paper = np.random.default_rng(at).integers(150, 256)
    canvas = np.full((*sides, 3), paper, np.uint8)
    cv2.putText(canvas, text, (10, height + 10), font, scale, (20, 30, 60), 2, cv2.LINE_AA)
    right, bottom = sides[1] - 4, sides[0] - 4
    corners = [(4, 4), (right, 4), (right, bottom), (4, bottom)]
    return canvas, np.array(corners, np.float32)
