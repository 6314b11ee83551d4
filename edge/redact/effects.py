"""What is hidden and how strongly: boxes become regions, and every effect is defined here once.

Nothing here touches a picture. cpu.py (and a CUDA redactor beside it) carry out what these
functions say, in integers or in floats that are exact, so that they agree bit for bit.

A region is cut into whole 2×2 blocks of luma, one chroma sample each, and into cells of whole
blocks. The only thing of the original that survives is the mean of each cell: the mosaic shows
the means as they are, gaussian shows a smooth surface through them, solid shows nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_CELLS = 8
"""Cells across a face's longer side, at most: no style may ask for more. benchmarks/reid.py
measures whether a face matcher still gets anything from what is left."""

MIN_CELL_PX = 12
"""Least side of a cell, so faces under 96 px get fewer than 8 cells and a 20 px face two. In
a clip with true boxes, 72 % of the faces under 40 px still correlated with the original in fine
detail (as benchmarks/leak.py measures it) with 4 px cells, 23 % with 8 px, and none with 12 px,
SOFT_BELOW_PX and 5 px of padding."""

SOFT_BELOW_PX = 4 * MIN_CELL_PX
"""A face with fewer than four cells shows its mosaic smoothed. Of so few hard edges some lie on
the hairline or the chin, and that was most of what correlated; smoothed, it is gone."""

SUPERELLIPSE_EXPONENTS = (4, 8, 16)
"""|x|^k + |y|^k <= 1, inscribed in the padded region: k = 4 looks round and holds the unpadded box
where the padding is at least 9.5 % a side. With less padding the next k that holds the box is
taken, and a rectangle where none does. Powers of two: repeated squaring gives the same bits
everywhere."""

RECTANGLE_EXPONENT = 0
"""Marks a region without cut corners."""

GAUSSIAN_SIGMA_CELLS = 0.85
"""Smoothing in cells. At 0.5 the surface follows the face closely enough to correlate with it more
than the mosaic does; from 0.85 on it no longer did."""

_FAR_PX = float(2**20)
"""Boxes are cut off here, far outside of any picture, so that integers cannot overflow."""


class Effect(StrEnum):
    """What is painted into a region."""

    MOSAIC = "mosaic"
    GAUSSIAN = "gaussian"
    SOLID = "solid"


class Shape(StrEnum):
    """Outline of a region."""

    ELLIPSE = "ellipse"
    RECTANGLE = "rectangle"


@dataclass(frozen=True, slots=True)
class RedactionStyle:
    """How faces are hidden.

    pad: grows a box on each side by this fraction of its width or height; 0.15 covers hair, chin
    and what motion gets wrong. min_pad_px: the least growth in pixels, which counts on faces of
    20 to 30 px. cells: mosaic cells across the longer side of the unpadded box, 1..MAX_CELLS.
    Raises ValueError for values outside of these ranges.
    """

    effect: Effect = Effect.MOSAIC
    shape: Shape = Shape.ELLIPSE
    pad: float = 0.15
    min_pad_px: float = 5.0
    cells: int = MAX_CELLS

    def __post_init__(self) -> None:
        # Plain strings are as good; anything else raises instead of meaning some other effect.
        object.__setattr__(self, "effect", Effect(self.effect))
        object.__setattr__(self, "shape", Shape(self.shape))
        if not 1 <= self.cells <= MAX_CELLS:
            raise ValueError(f"cells is {self.cells}, expected 1..{MAX_CELLS}")
        for name, value in (("pad", self.pad), ("min_pad_px", self.min_pad_px)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}, expected a finite number >= 0")


@dataclass(frozen=True, slots=True)
class Region:
    """One part of a picture to hide, in luma pixels; all coordinates are even.

    effect: what is painted here; for a small face not always what the style asks for.
    (x1, y1, x2, y2): the padded box clipped to the picture, x2/y2 exclusive, never empty.
    (left, top, right, bottom): the same before clipping: the outline is inscribed in it, so that
    a face that leaves the picture does not grow new corners at the border.
    cell: least side of a mosaic cell. exponent: of the superellipse, or RECTANGLE_EXPONENT.
    """

    effect: Effect
    x1: int
    y1: int
    x2: int
    y2: int
    left: int
    top: int
    right: int
    bottom: int
    cell: int
    exponent: int

    @property
    def cells_x(self) -> int:
        """Number of cell columns: every one is at least `cell` wide unless the region is not."""
        return max(1, (self.x2 - self.x1) // self.cell)

    @property
    def cells_y(self) -> int:
        """Number of cell rows."""
        return max(1, (self.y2 - self.y1) // self.cell)


def make_regions(boxes: ArrayLike, style: RedactionStyle, width: int, height: int) -> list[Region]:
    """Turn boxes into regions of a width × height picture, in the order in which to paint them.

    boxes: (N, 4) x1 y1 x2 y2 in luma pixels, unpadded, may reach over the border. Padded boxes
    are aligned outward to even pixels; those wholly outside of the picture vanish. The coarsest
    region comes last and so lies on top: a small false box on a large face must not show the
    large face in finer cells. The order does not depend on that of the boxes.
    Raises ValueError where boxes has another shape, a number is not finite or a box is inside
    out: nobody knows then where the face is, and the whole picture has to be masked.
    """
    corners = np.asarray(boxes, np.float64)
    if corners.size == 0 and corners.ndim <= 2:
        return []
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise ValueError(f"boxes have shape {corners.shape}, expected (N, 4)")
    if not np.isfinite(corners).all():
        raise ValueError("a box is not finite")
    if (corners[:, 2:] < corners[:, :2]).any():
        raise ValueError("a box ends before it begins")
    corners = corners.clip(-_FAR_PX, _FAR_PX)
    low, high = corners[:, :2], corners[:, 2:]
    size = high - low

    pad = np.maximum(size * style.pad, style.min_pad_px).clip(max=_FAR_PX)
    outer_low = np.floor((low - pad) / 2) * 2
    outer_high = np.ceil((high + pad) / 2) * 2
    limit = np.array((width, height), np.float64)
    inner_low = np.maximum(outer_low, 0)
    inner_high = np.minimum(outer_high, limit)

    visible = (inner_low < inner_high).all(axis=1)
    if not visible.any():
        return []
    side = size.max(axis=1)
    cell = np.maximum(np.ceil(side / style.cells / 2) * 2, MIN_CELL_PX)
    exponent = _exponents(low, high, outer_low, outer_high, style.shape)
    columns = np.column_stack((inner_low, inner_high, outer_low, outer_high, cell, exponent))
    rows = columns[visible].astype(np.int64).tolist()
    soft = (side < SOFT_BELOW_PX)[visible].tolist()
    small = Effect.GAUSSIAN if style.effect is Effect.MOSAIC else style.effect
    regions = [
        Region(small if is_small else style.effect, *row)
        for row, is_small in zip(rows, soft, strict=True)
    ]
    regions.sort(key=_paint_order)
    return regions


def _paint_order(region: Region) -> tuple[int, ...]:
    return (region.cell, region.x1, region.y1, region.x2, region.y2,
            region.left, region.top, region.right, region.bottom, region.exponent)  # fmt: skip


def _exponents(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    outer_low: NDArray[np.float64],
    outer_high: NDArray[np.float64],
    shape: Shape,
) -> NDArray[np.float64]:
    """The roundest superellipse inside the padded boxes that holds the unpadded ones: (N,)."""
    exponent = np.full(len(low), float(RECTANGLE_EXPONENT))
    if shape is Shape.RECTANGLE:
        return exponent
    centre = (outer_low + outer_high) / 2
    half = np.maximum((outer_high - outer_low) / 2, 1)
    # Aligned outward, the padded box is not quite concentric: take the corner farthest out.
    reach = np.maximum(centre - low, high - centre) / half
    for k in reversed(SUPERELLIPSE_EXPONENTS):
        exponent[(reach**k).sum(axis=1) <= 1] = k
    return exponent


def block_mask(region: Region) -> NDArray[np.uint8]:
    """Which 2×2 blocks of the region are hidden: 255 or 0, (height / 2, width / 2).

    A block is hidden as soon as the centre of one of its four pixels lies in the superellipse.
    """
    if region.exponent == RECTANGLE_EXPONENT:
        return np.full(((region.y2 - region.y1) // 2, (region.x2 - region.x1) // 2), 255, np.uint8)
    across = _powers(region.left, region.right, region.x1, region.x2, region.exponent)
    down = _powers(region.top, region.bottom, region.y1, region.y2, region.exponent)
    return np.where(down[:, None] + across <= 1.0, np.uint8(255), np.uint8(0))


def _powers(start: int, stop: int, first: int, last: int, exponent: int) -> NDArray[np.float64]:
    """(distance from the centre / half size)^exponent of the blocks between first and last."""
    pixel_centres = np.arange(first, last) + 0.5
    distance = np.abs(pixel_centres - (start + stop) / 2) / ((stop - start) / 2)
    nearest: NDArray[np.float64] = distance.reshape(-1, 2).min(axis=1)
    for _ in range(exponent.bit_length() - 1):
        nearest *= nearest
    return nearest


def whole_picture_cells(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of the mosaic that hides a whole picture.

    A face that fills the picture is no larger than its short side, which gets MAX_CELLS cells.
    """
    cell = max(MIN_CELL_PX, math.ceil(min(width, height) / MAX_CELLS))
    return max(1, width // cell), max(1, height // cell)


@dataclass(frozen=True, slots=True)
class Axis:
    """Cells along one side of a region, in one plane's pixels.

    edges: (cells + 1,) first pixel of each cell, then the length. sizes: (cells,) pixels in each.
    index: (length,) the cell that each pixel lies in. All are shared and must not be written to.
    """

    edges: NDArray[np.intp]
    sizes: NDArray[np.int64]
    index: NDArray[np.intp]


@lru_cache(maxsize=1024)
def axis(length: int, cells: int, scale: int = 1) -> Axis:
    """Divide `length` units of `scale` pixels into cells whose sizes differ by one unit at most.

    Luma has scale 2 where chroma has 1, so that both planes are cut along the same lines.
    """
    cells = min(cells, length)
    edges = (np.arange(cells + 1) * length // cells * scale).astype(np.intp)
    sizes = np.diff(edges).astype(np.int64)
    index = np.repeat(np.arange(cells, dtype=np.intp), sizes)
    for array in (edges, sizes, index):
        array.flags.writeable = False
    return Axis(edges, sizes, index)


@lru_cache(maxsize=256)
def gaussian_weights(length: int, cells: int, scale: int = 1) -> NDArray[np.float32]:
    """How much each cell of axis(length, cells, scale) adds to each pixel: (pixels, cells).

    A Gaussian of the distance to the cell's centre. Rows sum to 1 and every weight is a multiple
    of 1/256: applied twice (down, across) to 8-bit means, all products and sums have at most 24
    bits, so that float32 arithmetic is exact in whatever order it is done.
    """
    line = axis(length, cells, scale)
    centres = (line.edges[:-1] + line.edges[1:]) / 2
    sigma = GAUSSIAN_SIGMA_CELLS * length * scale / len(centres)
    distance = (np.arange(length * scale) + 0.5)[:, None] - centres
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    weights = np.floor(256 * weights / weights.sum(axis=1, keepdims=True))
    rows = np.arange(len(weights))
    weights[rows, weights.argmax(axis=1)] += 256 - weights.sum(axis=1)
    result: NDArray[np.float32] = (weights / 256).astype(np.float32)
    result.flags.writeable = False
    return result
