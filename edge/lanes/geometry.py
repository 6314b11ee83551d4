"""How a picture is fitted into a detector's input, and what it saw back into the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edge.detection import Detections, FloatArray, nms
from edge.errors import InferenceError
from edge.frame import Picture
from edge.inference.engine import Engine, Tensors
from edge.inference.preprocess import InputSpec
from edge.inference.sight import show

MAX_DETECTIONS = 2000
"""More in one picture is a model gone wrong: the densest pictures of WIDER FACE have fewer."""
_FARTHEST_PX = 1e7
"""No box reaches further, whatever the network's logarithms of sizes overflow to."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A picture scaled without distortion into the top left of a width × height input.

    The rest of the input is black. inner_width, inner_height: the part that shows the picture.
    """

    width: int
    height: int
    inner_width: int
    inner_height: int
    scale_x: float
    scale_y: float

    @classmethod
    def of(cls, width: int, height: int, long_side: int, multiple: int) -> Fit:
        """Fit a picture into an input with at most about `long_side` px, never enlarging it.

        The input's sides are multiples of `multiple`, as strided networks need.
        """
        scale = min(1.0, long_side / max(width, height))
        inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
        return cls(
            width=-(-inner_width // multiple) * multiple,
            height=-(-inner_height // multiple) * multiple,
            inner_width=inner_width,
            inner_height=inner_height,
            scale_x=width / inner_width,
            scale_y=height / inner_height,
        )

    def to_picture(self, points: FloatArray) -> FloatArray:
        """Map x, y pairs in the last axis from input pixels to picture pixels."""
        pairs = points.shape[-1] // 2
        factors = np.tile(np.array([self.scale_x, self.scale_y], np.float32), pairs)
        return points * factors


class InputBuffer:
    """One detector's input tensor, kept from picture to picture."""

    def __init__(
        self,
        long_side: int,
        *,
        multiple: int,
        order: tuple[int, int, int],
        scale: ArrayLike = (1.0, 1.0, 1.0),
        bias: ArrayLike = (0.0, 0.0, 0.0),
    ) -> None:
        """order: which of R, G, B (0, 1, 2) goes into each plane; a value is level * scale + bias,
        level 0..255; the rest as for Fit.of."""
        self._long_side = long_side
        self._multiple = multiple
        self._order = order
        self._scale = np.asarray(scale, np.float32)
        self._bias = np.asarray(bias, np.float32)
        self._size = (0, 0)
        self._fit = Fit(0, 0, 0, 0, 1.0, 1.0)
        self._spec: InputSpec | None = None
        self._tensor: FloatArray = np.zeros((1, 3, 0, 0), np.float32)

    def load(self, image: Picture) -> tuple[FloatArray, Fit]:
        """Scale a picture into the tensor, (1, 3, H, W) float32, valid until the next."""
        fit, _ = self._place(image)
        if self._tensor.shape[2:] != (fit.height, fit.width):
            black = self._bias[None, :, None, None]
            self._tensor = np.tile(black, (1, 1, fit.height, fit.width))
        rgb = image.shrink(fit.inner_width, fit.inner_height)
        for plane, channel in enumerate(self._order):
            inside = self._tensor[0, plane, : fit.inner_height, : fit.inner_width]
            np.multiply(rgb[channel], self._scale[plane], out=inside, dtype=np.float32)
            if self._bias[plane]:
                inside += self._bias[plane]
        return self._tensor, fit

    def show(self, engine: Engine, image: Picture) -> tuple[Tensors, Fit]:
        """Run an engine on a picture. Raises InferenceError."""
        fit, spec = self._place(image)
        return show(engine, image, spec, lambda: self.load(image)[0]), fit

    def _place(self, image: Picture) -> tuple[Fit, InputSpec]:
        if self._size != (image.width, image.height) or self._spec is None:
            fit = Fit.of(image.width, image.height, self._long_side, self._multiple)
            self._spec = InputSpec(
                fit.width, fit.height, 0, 0, fit.inner_width, fit.inner_height, self._order,
                _three(self._scale), _three(self._bias),
            )  # fmt: skip
            self._fit, self._size = fit, (image.width, image.height)
            self._tensor = np.zeros((1, 3, 0, 0), np.float32)
        return self._fit, self._spec


def _three(values: FloatArray) -> tuple[float, float, float]:
    a, b, c = (float(value) for value in values)
    return a, b, c


def distinct(
    boxes: FloatArray, scores: FloatArray, landmarks: FloatArray, iou: float
) -> Detections:
    """Drop doubles of one thing, the best score first.

    Arguments as the columns of Detections; iou: overlap above which two are one thing. Raises
    InferenceError for what no detector in its right mind says: one such box would swallow others
    in the suppression of doubles.
    """
    if not (np.abs(boxes) <= _FARTHEST_PX).all() or not np.isfinite(landmarks).all():
        raise InferenceError("the detector put a box or landmark where no picture can be")
    kept = nms(boxes, scores, iou, MAX_DETECTIONS + 1)
    if len(kept) > MAX_DETECTIONS:
        raise InferenceError(f"the detector saw more than {MAX_DETECTIONS} things in one picture")
    return Detections(boxes, scores, landmarks).keep(kept)
