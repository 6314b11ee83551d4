"""Decoder of PP-OCR text detectors (Liao et al.: Real-time Scene Text Detection with Differentiable
Binarization, 2020; Du et al.: PP-OCR, 2020).

Input (1, 3, H, W) float32, BGR, ImageNet's mean and deviation on 0..1, sides multiples of 32.
Output (1, 1, H, W): the probability that a pixel belongs to the core of a line, which is the line
shrunk towards its middle. Each connected core becomes the rotated rectangle around it, grown back.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.detection import Detections, FloatArray
from edge.errors import InferenceError
from edge.frame import Picture
from edge.inference.engine import Engine
from edge.lanes.geometry import MAX_DETECTIONS, Fit, InputBuffer

DEFAULT_CONF = 0.5
"""Mean probability over a line from which it counts: as in PP-OCR's own settings (0.5 to 0.6)."""
_CORE = 0.3
"""Probability from which a pixel is core: the binarisation threshold of paper and PP-OCR."""
_UNCLIP = 1.6
"""How far a core is grown: offset = area · ratio / perimeter. PP-OCR uses 1.5 to 2.0."""
_MIN_SIDE_PX = 3.0
"""Short side in input pixels below which a core is noise: such a line would be 5 px high."""
_MULTIPLE = 32
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


class PpocrDetector:
    """Finds lines of text. Implements edge.lanes.lane.Detector."""

    def __init__(self, engine: Engine, *, input_size: int, weakest: float) -> None:
        """input_size: long side of the network's input in pixels. weakest: score below which
        nothing is reported."""
        self._engine = engine
        self._weakest = weakest
        self._input = InputBuffer(
            input_size,
            multiple=_MULTIPLE,
            order=(2, 1, 0),
            scale=1 / (255 * _STD),
            bias=-_MEAN / _STD,
        )

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        """Return the lines in a picture, with quads. Raises InferenceError."""
        outputs, fit = self._input.show(self._engine, image)
        return frame_id, decode(outputs[self._engine.outputs[0]], fit, self._weakest)


def decode(probability: FloatArray, fit: Fit, weakest: float) -> Detections:
    """Turn a probability map into lines in picture pixels.

    probability: (1, 1, fit.height, fit.width) float32. Raises InferenceError for another shape,
    NaN, and more lines than any picture has.
    """
    if probability.shape != (1, 1, fit.height, fit.width):
        raise InferenceError(
            f"the text detector's output has shape {probability.shape} for an input of "
            f"{fit.width}x{fit.height}"
        )
    if not np.isfinite(probability).all():
        raise InferenceError("the text detector gave NaN or infinity")
    chance = np.ascontiguousarray(probability[0, 0, : fit.inner_height, : fit.inner_width])
    contours, hierarchy = cv2.findContours(
        (chance > _CORE).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    rectangles: list[tuple[float, float, float, float, float]] = []
    scores: list[float] = []
    for contour, link in zip(contours, hierarchy[0] if len(contours) else (), strict=True):
        if link[3] >= 0:
            continue  # a hole in a core; what lies within it is a core of its own
        (x, y), (width, height), angle = cv2.minAreaRect(contour)
        # A contour runs through the centres of the outermost pixels.
        width, height = width + 1, height + 1
        if min(width, height) < _MIN_SIDE_PX:
            continue
        rectangle = (x + 0.5, y + 0.5, width, height, angle)
        score = _mean_within(chance, corners(np.array([rectangle], np.float32))[0])
        if score >= weakest:
            rectangles.append(rectangle)
            scores.append(score)
        if len(scores) > MAX_DETECTIONS:
            raise InferenceError(f"the text detector saw more than {MAX_DETECTIONS} lines")
    found = np.array(rectangles, np.float32).reshape(-1, 5)
    quads = fit.to_picture(corners(unclip(found, _UNCLIP)).reshape(-1, 8)).reshape(-1, 4, 2)
    return Detections(
        np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1).astype(np.float32),
        np.minimum(np.array(scores, np.float32), 1.0),
        label="text",
        quads=quads.astype(np.float32),
    )


def unclip(rectangles: FloatArray, ratio: float) -> FloatArray:
    """Grow rotated rectangles by area · ratio / perimeter on every side.

    rectangles: (N, 5) float32: centre x, centre y, width, height, angle in degrees. The offset of
    a rectangle by round corners has the grown rectangle as its own smallest one: no polygon
    clipping is needed.
    """
    grown = rectangles.copy()
    width, height = rectangles[:, 2], rectangles[:, 3]
    offset = width * height * ratio / np.maximum(2 * (width + height), 1e-6)
    grown[:, 2:4] += 2 * offset[:, None]
    return grown


def corners(rectangles: FloatArray) -> FloatArray:
    """Corners of rotated rectangles, (N, 4, 2): as they lie in the picture, top left first, then
    clockwise. Whether a tall or slanted line is read up or down is for its reader to find out.

    rectangles: (N, 5): centre x, centre y, width, height, angle in degrees (clockwise, as OpenCV
    has it).
    """
    centre, size = rectangles[:, :2], rectangles[:, 2:4]
    angle = np.deg2rad(rectangles[:, 4])
    across = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    # Of the four directions of the sides, the one that points most to the right is the top's.
    upended = np.abs(across[:, 1]) > np.abs(across[:, 0])
    right = np.where(upended[:, None], np.stack([-across[:, 1], across[:, 0]], axis=1), across)
    right *= np.where(right[:, :1] < 0, -1, 1)
    down = np.stack([-right[:, 1], right[:, 0]], axis=1)
    half = np.where(upended[:, None], size[:, ::-1], size) / 2
    a, b = right * half[:, :1], down * half[:, 1:]
    quads: NDArray[np.float32] = np.stack(
        [centre - a - b, centre + a - b, centre + a + b, centre - a + b], axis=1
    ).astype(np.float32)
    return quads


def _mean_within(chance: FloatArray, quad: FloatArray) -> float:
    """Mean probability over the pixels of a quad."""
    rows, columns = chance.shape
    left, top = np.clip(np.floor(quad.min(axis=0)).astype(int), 0, (columns - 1, rows - 1))
    right, bottom = np.clip(np.ceil(quad.max(axis=0)).astype(int), 1, (columns, rows))
    mask = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(quad - (left + 0.5, top + 0.5)).astype(np.int32), 1)
    inside = int(np.count_nonzero(mask))
    if not inside:
        return 0.0
    return float(np.vdot(chance[top:bottom, left:right], mask)) / inside
