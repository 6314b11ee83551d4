"""Paint shapes that are stated in millimetres of a plane into a picture that sees it aslant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]
Tone = Sequence[float] | NDArray[Any]
"""A colour: red, green and blue, 0..255; what lies beyond is cut off."""

_FAR = 20000.0
"""Pixels from the picture beyond which it makes no difference where a point lies."""


def view(
    rng: np.random.Generator, centre: tuple[float, float], px_per_mm: float, tilt: float = 1.0
) -> Matrix:
    """Return a homography, (3, 3), from a plane in mm to pixels as a camera may see it.

    centre: pixels at which the plane's origin lies. tilt: 0 straight from the front, 1 the whole
    range: yaw to 50°, pitch to 35°, roll to 18°, most of them far less.
    """
    yaw, pitch, roll = (
        tilt * np.radians(limit) * np.clip(rng.normal(0, 0.42), -1, 1) for limit in (50, 35, 18)
    )
    distance = rng.uniform(2500, 9000)  # mm, of the plane's origin from the camera
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    about_z = np.array(
        [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    )
    turned = about_z @ about_x @ about_y
    focal = px_per_mm * distance
    camera = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    plane = np.column_stack([turned[:, 0], turned[:, 1], [0, 0, distance]])
    result: Matrix = camera @ plane
    return result


def project(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points (N, 2) in mm to pixels. Points behind the camera end up far away."""
    flat = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    depth = np.maximum(flat[:, 2:], 1.0)
    result: NDArray[np.float64] = np.minimum(np.maximum(flat[:, :2] / depth, -_FAR), _FAR)
    return result


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> NDArray[np.float64]:
    """Return the outline of a rectangle with round corners, (N, 2)."""
    if radius <= 0:
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)
    radius = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    turns = np.linspace(0, np.pi / 2, 4)
    corners = ((x1 - radius, y1 - radius, 0), (x0 + radius, y1 - radius, 1),
               (x0 + radius, y0 + radius, 2), (x1 - radius, y0 + radius, 3))  # fmt: skip
    points = [
        (x + radius * np.cos(a + k * np.pi / 2), y + radius * np.sin(a + k * np.pi / 2))
        for x, y, k in corners
        for a in turns
    ]
    return np.array(points)


def round_shape(x: float, y: float, a: float, b: float) -> NDArray[np.float64]:
    """Return an ellipse about (x, y) with half axes a and b as a polygon, (20, 2)."""
    turns = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return np.stack([x + a * np.cos(turns), y + b * np.sin(turns)], 1)


class Painter:
    """Paints into a picture, (H, W, 3) uint8 RGB, through a homography."""

    def __init__(self, picture: Pixels, matrix: Matrix) -> None:
        self.picture = picture
        self.matrix = matrix

    def fill(self, outline: NDArray[np.float64], colour: Tone, alpha: float = 1.0) -> None:
        """Fill a polygon, (N, 2) in mm, wholly or translucently."""
        points = np.round(project(self.matrix, outline) * 16).astype(np.int32)
        shade = tuple(min(max(float(v), 0.0), 255.0) for v in colour)
        if alpha >= 1:
            cv2.fillPoly(self.picture, [points], shade, cv2.LINE_AA, 4)
            return
        inside = self._inside(points)
        if inside is None:
            return
        rows, columns, mask = inside
        part = self.picture[rows, columns]
        weight = mask[..., None] * (alpha / 255)
        part[:] = part * (1 - weight) + np.array(shade, np.float32) * weight

    def shade(self, outline: NDArray[np.float64], above: Tone, below: Tone) -> None:
        """Fill a polygon with a gradient from its highest to its lowest visible pixel."""
        points = np.round(project(self.matrix, outline) * 16).astype(np.int32)
        inside = self._inside(points)
        if inside is None:
            return
        rows, columns, mask = inside
        part = self.picture[rows, columns]
        ramp = np.linspace(0, 1, part.shape[0], dtype=np.float32)[:, None, None]
        colour = np.array(above, np.float32) * (1 - ramp) + np.array(below, np.float32) * ramp
        weight = mask[..., None] / np.float32(255)
        part[:] = np.clip(part * (1 - weight) + colour * weight, 0, 255)

    def line(self, points: NDArray[np.float64], colour: Tone, width_mm: float) -> None:
        """Draw an open line through points, (N, 2) in mm, at least a pixel wide."""
        shown = np.round(project(self.matrix, points) * 16).astype(np.int32)
        shade = tuple(min(max(float(v), 0.0), 255.0) for v in colour)
        width = max(1, round(width_mm * self.scale()))
        cv2.polylines(self.picture, [shown], False, shade, width, cv2.LINE_AA, 4)

    def paste(
        self, pixels: Pixels, box: tuple[float, float, float, float], alpha: float = 1.0
    ) -> NDArray[np.float64]:
        """Show a picture on a box of the plane (x0, y0, x1, y1 in mm); return its corners, (4, 2).

        alpha: 1 covers what was there. The corners are in pixels, clockwise from the picture's own
        top left one.
        """
        corners = project(self.matrix, rounded(*box))
        moved = self._warped(pixels, corners)
        if moved is not None:
            rows, columns, seen, mask = moved
            part = self.picture[rows, columns]
            weight = mask[..., None] * np.float32(alpha / 255)
            part[:] = part * (1 - weight) + seen * weight
        return corners

    def stencil(self, mask: Pixels, box: tuple[float, float, float, float], colour: Tone) -> None:
        """Paint a colour through a mask, (H, W) uint8, that is laid on a box in mm."""
        moved = self._warped(mask, project(self.matrix, rounded(*box)))
        if moved is not None:
            rows, columns, seen, inside = moved
            part = self.picture[rows, columns]
            weight = (seen.astype(np.float32) * inside / 65025)[..., None]
            shade = np.clip(np.asarray(colour, np.float32), 0, 255)
            part[:] = part * (1 - weight) + shade * weight

    def _warped(
        self, pixels: Pixels, corners: NDArray[np.float64]
    ) -> tuple[slice, slice, Pixels, Pixels] | None:
        """Return rows, columns, a picture that was moved to corners, and where it lies there."""
        points = np.round((corners - 0.5) * 16).astype(np.int32)
        inside = self._inside(points)
        if inside is None:
            return None
        rows, columns, mask = inside
        seen = max(4.0, float(np.linalg.norm(corners[1] - corners[0])))
        if pixels.shape[1] > 1.3 * seen:  # shrunk first, or it would alias
            width = max(4, round(1.2 * seen))
            height = max(3, round(pixels.shape[0] * width / pixels.shape[1]))
            pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
        height, width = pixels.shape[:2]
        source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
        target = (corners - 0.5 - [columns.start, rows.start]).astype(np.float32)
        warp = cv2.getPerspectiveTransform(source, target)
        moved = cv2.warpPerspective(pixels, warp, mask.shape[::-1], flags=cv2.INTER_LINEAR,
                                    borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        return rows, columns, np.asarray(moved, np.uint8), mask

    def scale(self) -> float:
        """Pixels per mm near the plane's origin."""
        pair = project(self.matrix, np.array([[-50.0, 0.0], [50.0, 0.0]]))
        return float(np.linalg.norm(pair[1] - pair[0])) / 100

    def _inside(self, points: NDArray[np.int32]) -> tuple[slice, slice, NDArray[np.uint8]] | None:
        """Return rows, columns and mask of a polygon in 1/16 pixels; None where it is outside."""
        low = np.maximum(points.min(0) // 16 - 1, 0)
        high = np.minimum(points.max(0) // 16 + 2, self.picture.shape[1::-1])
        if (high <= low).any():
            return None
        mask = np.zeros((int(high[1] - low[1]), int(high[0] - low[0])), np.uint8)
        cv2.fillPoly(mask, [points - low.astype(np.int32) * 16], 255, cv2.LINE_AA, 4)
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])), mask
