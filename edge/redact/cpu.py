"""The redactor for pictures in host memory: edits planes in place, only inside the regions.

OpenCV does the work per pixel (and releases the GIL meanwhile); NumPy handles the few hundred cell
means. All arithmetic is on integers or exact, so NV12 and YUV420P give the same samples.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.frame import ByteArray, Planes
from edge.redact.effects import (
    RECTANGLE_EXPONENT,
    Axis,
    Effect,
    RedactionStyle,
    Region,
    axis,
    block_mask,
    gaussian_weights,
    make_regions,
    whole_picture_cells,
)

FloatArray = NDArray[np.float32]

BLACK_LIMITED = 16
BLACK_FULL = 0
NEUTRAL_CHROMA = 128
"""Luma of black and chroma of grey, ITU-R BT.601 and BT.709; full range as in JFIF."""

_INTEGRAL_MAX_PX = 1 << 16
"""Up to here one summed-area table is faster than summing row by row (measured), and its 32-bit
sums cannot overflow."""

_BLAS_MAX_PRODUCTS = 1 << 17
"""A larger matrix product would start OpenBLAS's threads, which spin and wait for a core: measured
at 20 times the cost on a busy machine. OpenCV's product stays on this thread."""

_MASK_BUDGET_BYTES = 16 << 20
"""Masks kept for reuse: a steady face keeps its size for many frames."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One region of one plane: where, the cells along both sides, and the means of the original."""

    target: ByteArray
    scale: int
    region: Region
    means: ByteArray | None


class CpuRedactor:
    """Hides regions of 4:2:0 pictures. Not thread-safe: one for each thread."""

    def __init__(self, style: RedactionStyle) -> None:
        self.style = style
        self._masks = _MaskCache(_MASK_BUDGET_BYTES)

    def redact(self, planes: Planes, boxes: ArrayLike) -> None:
        """Hide the boxes, (N, 4) unpadded luma pixels, in place.

        All cell means are those of the original picture; where regions overlap, the one with the
        largest cells lies on top. Raises ValueError, before a pixel has changed, where the boxes
        or the planes make no sense; the caller then has to mask the whole picture.
        """
        height, width = check_planes(planes)
        regions = make_regions(boxes, self.style, width, height)
        jobs = [
            self._job(plane, scale, region)
            for region in regions
            for plane, scale in ((planes.y, 2), *((chroma, 1) for chroma in planes.chroma))
        ]
        black = BLACK_FULL if planes.full_range else BLACK_LIMITED
        for job in jobs:
            self._paint(job, black)

    def mask_whole(self, planes: Planes) -> None:
        """Pixelate the whole picture, so coarsely that a face as large as the picture is hidden.

        Always a mosaic, whatever the style: viewers see that a stream is alive. Takes planes of
        any size, also such that do not fit each other.
        """
        height, width = planes.y.shape
        columns, rows = whole_picture_cells(width, height)
        for plane in (planes.y, *planes.chroma):
            if not plane.size:
                continue
            down, across = axis(plane.shape[0], rows), axis(plane.shape[1], columns)
            lines = _cell_means(plane, down, across).take(across.index, axis=1)
            for line, start, stop in zip(lines, down.edges[:-1], down.edges[1:], strict=True):
                plane[start:stop] = line

    def _job(self, plane: ByteArray, scale: int, region: Region) -> _Job:
        top, bottom = region.y1 // 2 * scale, region.y2 // 2 * scale
        left, right = region.x1 // 2 * scale, region.x2 // 2 * scale
        target = plane[top:bottom, left:right]
        if region.effect is Effect.SOLID:
            return _Job(target, scale, region, None)
        down = axis((region.y2 - region.y1) // 2, region.cells_y, scale)
        across = axis((region.x2 - region.x1) // 2, region.cells_x, scale)
        return _Job(target, scale, region, _cell_means(target, down, across))

    def _paint(self, job: _Job, black: int) -> None:
        if job.means is None:
            patch = np.full(job.target.shape, black if job.scale == 2 else NEUTRAL_CHROMA, np.uint8)
        elif job.region.effect is Effect.GAUSSIAN:
            patch = _smooth(job.means, job.region, job.scale)
        else:
            patch = _mosaic(job.means, job.region, job.scale)
        if job.region.exponent == RECTANGLE_EXPONENT:
            job.target[...] = patch
        else:
            # Through a copy: OpenCV refuses to write to flipped or interleaved views.
            edited = job.target.copy()
            cv2.copyTo(patch, self._masks.get(job.region)[job.scale - 1], edited)
            job.target[...] = edited


def check_planes(planes: Planes) -> tuple[int, int]:
    """Return (height, width), or raise ValueError where the planes cannot be edited as 4:2:0."""
    height, width = planes.y.shape
    half = (height // 2, width // 2)
    expected = [half, half] if planes.layout == "yuv420p" else [(*half, 2)]
    if height % 2 or width % 2 or [chroma.shape for chroma in planes.chroma] != expected:
        shapes = [planes.y.shape, *(chroma.shape for chroma in planes.chroma)]
        raise ValueError(f"planes {shapes} are not 4:2:0 with even sides as {planes.layout}")
    for plane in (planes.y, *planes.chroma):
        if plane.dtype != np.uint8:
            raise ValueError(f"the planes are {plane.dtype}, expected uint8")
        if not plane.flags.writeable:
            raise ValueError("the planes are read-only")
    return height, width


def _cell_means(plane: ByteArray, down: Axis, across: Axis) -> ByteArray:
    """Mean of each cell, halves rounded up: (rows, columns), and channels where plane has them."""
    if plane.shape[0] * plane.shape[1] <= _INTEGRAL_MAX_PX:
        table = cv2.integral(plane).take(down.edges, axis=0).take(across.edges, axis=1)
        strips = table[1:] - table[:-1]
        sums = strips[:, 1:] - strips[:, :-1]
    else:
        strips = np.empty((len(down.sizes), *plane.shape[1:]), np.int32)
        for i in range(len(strips)):
            rows = plane[down.edges[i] : down.edges[i + 1]]
            cv2.reduce(rows, 0, cv2.REDUCE_SUM, strips[i : i + 1], dtype=cv2.CV_32S)
        sums = np.add.reduceat(strips, across.edges[:-1], axis=1, dtype=np.int64)
    area = down.sizes[:, None] * across.sizes
    if plane.ndim == 3:
        area = area[:, :, None]
    means: ByteArray = ((sums + area // 2) // area).astype(np.uint8)
    return means


def _mosaic(means: ByteArray, region: Region, scale: int) -> ByteArray:
    down = axis((region.y2 - region.y1) // 2, region.cells_y, scale)
    across = axis((region.x2 - region.x1) // 2, region.cells_x, scale)
    return means.take(across.index, axis=1).take(down.index, axis=0)


def _smooth(means: ByteArray, region: Region, scale: int) -> ByteArray:
    down = gaussian_weights((region.y2 - region.y1) // 2, region.cells_y, scale)
    across = gaussian_weights((region.x2 - region.x1) // 2, region.cells_x, scale).T
    if means.ndim == 3:
        return np.dstack([_surface(means[..., k], down, across) for k in range(means.shape[2])])
    return _surface(means, down, across)


def _surface(means: ByteArray, down: FloatArray, across: FloatArray) -> ByteArray:
    # Exact in float32 (see gaussian_weights), then rounded half to even.
    lines = means.astype(np.float32) @ across
    if down.size * lines.shape[1] <= _BLAS_MAX_PRODUCTS:
        smooth = down @ lines
    else:
        smooth = cv2.gemm(down, lines, 1, np.empty(0, np.float32), 0).astype(np.float32, copy=False)
    return cv2.convertScaleAbs(smooth).astype(np.uint8, copy=False)


class _MaskCache:
    """Masks by the geometry they depend on, least recently used out first, bounded in bytes."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._held = 0
        self._masks: OrderedDict[tuple[int, ...], tuple[ByteArray, ByteArray]] = OrderedDict()

    def get(self, region: Region) -> tuple[ByteArray, ByteArray]:
        """The region's masks for chroma and for luma, 255 where pixels are hidden."""
        key = (
            region.x2 - region.x1,
            region.y2 - region.y1,
            region.x1 - region.left,
            region.y1 - region.top,
            region.right - region.left,
            region.bottom - region.top,
            region.exponent,
        )
        masks = self._masks.get(key)
        if masks is not None:
            self._masks.move_to_end(key)
            return masks
        blocks = block_mask(region)
        masks = (blocks, blocks.repeat(2, axis=0).repeat(2, axis=1))
        self._masks[key] = masks
        self._held += _nbytes(masks)
        while self._held > self._budget and len(self._masks) > 1:
            self._held -= _nbytes(self._masks.popitem(last=False)[1])
        return masks


def _nbytes(masks: tuple[ByteArray, ByteArray]) -> int:
    return masks[0].nbytes + masks[1].nbytes
