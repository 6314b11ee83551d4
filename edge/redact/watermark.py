"""An optional text in the picture that tells viewers that faces are hidden."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import ByteArray, PlaneLayout, Planes

DEFAULT_TEXT = "Privacy Filter ON"

_CAP_HEIGHT_OF_PICTURE = 1 / 32
_MARGIN_OF_PICTURE = 1 / 40
_MIN_CAP_HEIGHT_PX = 6
"""Below this, letters cannot be told apart: nothing is drawn."""

_OVERSAMPLING = 4
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_STROKE_OF_CAP_HEIGHT = 1 / 8
_OUTLINE_OF_CAP_HEIGHT = 1 / 6
_OUTLINE_ALPHA = 0.75

_WHITE_BLACK_LIMITED = (235, 16)
_WHITE_BLACK_FULL = (255, 0)
_NEUTRAL_CHROMA = 128


@dataclass(frozen=True, slots=True)
class MarkTables:
    """sample * keep / 255 + add, for a part of a picture whose top left pixel is x, y (even).

    keep, add: (h, w) uint8 for luma. keep_chroma, add_chroma: (h / 2, w / 2), for U and V alike.
    """

    x: int
    y: int
    keep: ByteArray
    add: ByteArray
    keep_chroma: ByteArray
    add_chroma: ByteArray


class Watermark:
    """White text with a dark outline at the bottom left, rendered once for a picture size."""

    def __init__(self, width: int, height: int, text: str = DEFAULT_TEXT) -> None:
        """Render the text for pictures of width × height pixels; too small a picture gets none."""
        self._size = (height, width)
        self._x = self._y = 0
        self._text: ByteArray | None = None
        self._alpha: ByteArray | None = None
        self._blends: dict[tuple[PlaneLayout, bool], list[tuple[ByteArray, ByteArray]]] = {}

        margin = max(2, round(height * _MARGIN_OF_PICTURE / 2) * 2)
        room = width - 2 * margin
        rendered = _render(text, round(height * _CAP_HEIGHT_OF_PICTURE), room)
        if rendered is None or rendered[0].shape[0] + margin > height:
            return
        self._text, self._alpha = rendered
        self._x = margin
        self._y = (height - margin - self._text.shape[0]) // 2 * 2

    @property
    def visible(self) -> bool:
        """False where the picture is too small for a legible text."""
        return self._text is not None

    def tables(self, *, full_range: bool) -> MarkTables | None:
        """Return what `apply` does to each sample; None where nothing is drawn."""
        if self._text is None:
            return None
        (keep, add), (keep_chroma, add_chroma) = self._blend("yuv420p", full_range)[:2]
        return MarkTables(self._x, self._y, keep, add, keep_chroma, add_chroma)

    def apply(self, planes: Planes) -> None:
        """Draw the text onto the planes, in place.

        Raises ValueError where the picture has another size than the one rendered for.
        """
        if planes.y.shape != self._size:
            raise ValueError(f"a picture of another size: {planes.y.shape}, expected {self._size}")
        if self._text is None:
            return
        key = (planes.layout, planes.full_range)
        if key not in self._blends:
            self._blends[key] = self._blend(*key)
        for i, (plane, (keep, add)) in enumerate(
            zip((planes.y, *planes.chroma), self._blends[key], strict=True)
        ):
            scale = 1 if i == 0 else 2
            y, x = self._y // scale, self._x // scale
            target = plane[y : y + keep.shape[0], x : x + keep.shape[1]]
            target[...] = cv2.add(cv2.multiply(target, keep, scale=1 / 255), add)

    def _blend(self, layout: PlaneLayout, full_range: bool) -> list[tuple[ByteArray, ByteArray]]:
        """For each plane: what to keep of it (0..255), and what to add to that."""
        assert self._text is not None
        assert self._alpha is not None
        white, black = _WHITE_BLACK_FULL if full_range else _WHITE_BLACK_LIMITED
        text, alpha = self._text.astype(np.float32), self._alpha.astype(np.float32)
        luma = _rounded((white * text + black * (alpha - text)) / 255)
        half = self._alpha.reshape(len(alpha) // 2, 2, -1, 2).mean(axis=(1, 3))
        keep, add = _rounded(255 - half), _rounded(_NEUTRAL_CHROMA * half / 255)
        if layout == "nv12":
            chroma = [(np.dstack((keep, keep)), np.dstack((add, add)))]
        else:
            chroma = [(keep, add)] * 2
        return [(255 - self._alpha, luma), *chroma]


def _rounded(values: NDArray[np.floating]) -> ByteArray:
    result: ByteArray = np.rint(values).astype(np.uint8)
    return result


def _render(text: str, cap_height: int, room: int) -> tuple[ByteArray, ByteArray] | None:
    """Coverage of the text, and of text and outline together: (h, w) each, h and w even.

    None where the text cannot be legible in `room` pixels of width.
    """
    while cap_height >= _MIN_CAP_HEIGHT_PX:
        large = cap_height * _OVERSAMPLING
        stroke = max(1, round(large * _STROKE_OF_CAP_HEIGHT))
        outline = max(1, round(large * _OUTLINE_OF_CAP_HEIGHT))
        scale = cv2.getFontScaleFromHeight(_FONT, large, stroke)
        (width, ascent), descent = cv2.getTextSize(text, _FONT, scale, stroke)
        border = outline + stroke
        unit = 2 * _OVERSAMPLING
        canvas_width = -(-(width + 2 * border) // unit) * unit
        canvas_height = -(-(ascent + descent + 2 * border) // unit) * unit
        if canvas_width // _OVERSAMPLING <= room:
            break
        # Width grows in proportion to height, so this ends after a step or two.
        cap_height = min(cap_height - 1, cap_height * room * _OVERSAMPLING // canvas_width)
    else:
        return None
    letters = np.zeros((canvas_height, canvas_width), np.uint8)
    cv2.putText(letters, text, (border, border + ascent), _FONT, scale, 255, stroke, cv2.LINE_AA)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * outline + 1, 2 * outline + 1))
    halo = cv2.dilate(letters, disc)
    size = (canvas_width // _OVERSAMPLING, canvas_height // _OVERSAMPLING)
    small_letters = cv2.resize(letters, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    small_halo = cv2.resize(halo, size, interpolation=cv2.INTER_AREA)
    alpha = np.maximum(small_letters, _rounded(_OUTLINE_ALPHA * small_halo))
    return small_letters, alpha
