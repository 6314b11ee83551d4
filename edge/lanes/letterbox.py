"""The letterbox of plate detectors: a picture scaled without distortion onto a grey input.

Beside geometry.py's Fit, which places a picture at the top left of a black input and never
enlarges it: the networks here were trained on grey borders, some of them around a picture in the
middle, and small pictures are enlarged to the size that plates had in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.detection import FloatArray
from edge.frame import Picture
from edge.inference.engine import Engine, Tensors
from edge.inference.preprocess import InputSpec
from edge.inference.sight import show

_LEVEL = np.float32(1 / 255)
"""One of 255 steps between black and white."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies in an input of width × height pixels.

    left, top, inner_width, inner_height: the part of the input that shows the picture. scale_x,
    scale_y: picture pixels per input pixel, each from its own rounded side, so that the way back
    is exact.
    """

    width: int
    height: int
    left: int
    top: int
    inner_width: int
    inner_height: int
    scale_x: float
    scale_y: float

    def to_picture(self, points: FloatArray) -> FloatArray:
        """Map x, y pairs in the last axis from input pixels to picture pixels."""
        pairs = points.shape[-1] // 2
        corner = np.tile(np.array([self.left, self.top], np.float32), pairs)
        scale = np.tile(np.array([self.scale_x, self.scale_y], np.float32), pairs)
        return (points - corner) * scale

    def to_input(self, points: FloatArray) -> FloatArray:
        """Map x, y pairs in the last axis from picture pixels to input pixels."""
        pairs = points.shape[-1] // 2
        corner = np.tile(np.array([self.left, self.top], np.float32), pairs)
        scale = np.tile(np.array([self.scale_x, self.scale_y], np.float32), pairs)
        return points / scale + corner


@dataclass(frozen=True, slots=True)
class Framing:
    """How a network wants its pictures framed.

    height, width: of the input where the model fixes them, else None. long_side: pixels of the
    picture's longer side where the input is free. multiple: of which a free side must be.
    centred: the picture in the middle, as Ultralytics trains, or at the top left. enlarge: whether
    small pictures are scaled up. grey: 0..255 around the picture.
    """

    height: int | None
    width: int | None
    long_side: int
    multiple: int
    centred: bool
    enlarge: bool
    grey: int

    def place(self, width: int, height: int) -> Placement:
        """Place a picture of width × height pixels."""
        room_x, room_y = self.width or self.long_side, self.height or self.long_side
        scale = min(room_x / width, room_y / height)
        if not self.enlarge:
            scale = min(scale, 1.0)
        inner_width = min(max(1, round(width * scale)), room_x)
        inner_height = min(max(1, round(height * scale)), room_y)
        outer_width = self.width or -(-inner_width // self.multiple) * self.multiple
        outer_height = self.height or -(-inner_height // self.multiple) * self.multiple
        # An odd pixel of border goes to the right and below.
        left = (outer_width - inner_width) // 2 if self.centred else 0
        top = (outer_height - inner_height) // 2 if self.centred else 0
        return Placement(
            outer_width,
            outer_height,
            left,
            top,
            inner_width,
            inner_height,
            width / inner_width,
            height / inner_height,
        )


class LetterboxBuffer:
    """One detector's input tensor, kept from picture to picture; values in 0..1."""

    def __init__(
        self, framing: Framing, *, order: tuple[int, int, int], dtype: np.dtype[Any] | None = None
    ) -> None:
        """order: which of R, G, B (0, 1, 2) goes into each plane. dtype: float32 or float16."""
        self._framing = framing
        self._order = order
        self._dtype = np.dtype(np.float32) if dtype is None else dtype
        self._size = (0, 0)
        self._placement = Placement(0, 0, 0, 0, 0, 0, 1.0, 1.0)
        self._spec: InputSpec | None = None
        self._tensor: NDArray[Any] = np.zeros((1, 3, 0, 0), self._dtype)

    def load(self, image: Picture) -> tuple[NDArray[Any], Placement]:
        """Scale a picture into the tensor, (1, 3, H, W) in 0..1, valid until the next call."""
        place, _ = self._place(image)
        if self._tensor.shape[2:] != (place.height, place.width):
            grey = self._framing.grey * _LEVEL
            self._tensor = np.full((1, 3, place.height, place.width), grey, self._dtype)
        rgb = image.shrink(place.inner_width, place.inner_height)
        rows = slice(place.top, place.top + place.inner_height)
        columns = slice(place.left, place.left + place.inner_width)
        for plane, channel in enumerate(self._order):
            inside = self._tensor[0, plane, rows, columns]
            np.multiply(rgb[channel], _LEVEL, out=inside, dtype=np.float32, casting="same_kind")
        return self._tensor, place

    def show(self, engine: Engine, image: Picture) -> tuple[Tensors, Placement]:
        """Run an engine on a picture. Raises InferenceError."""
        place, spec = self._place(image)
        return show(engine, image, spec, lambda: self.load(image)[0]), place

    def _place(self, image: Picture) -> tuple[Placement, InputSpec]:
        if self._size != (image.width, image.height) or self._spec is None:
            place = self._framing.place(image.width, image.height)
            level = float(_LEVEL)
            self._spec = InputSpec(
                place.width, place.height, place.left, place.top, place.inner_width,
                place.inner_height, self._order, (level, level, level),
                border=self._framing.grey, half=self._dtype == np.float16,
            )  # fmt: skip
            self._placement, self._size = place, (image.width, image.height)
            self._tensor = np.zeros((1, 3, 0, 0), self._dtype)
        return self._placement, self._spec
