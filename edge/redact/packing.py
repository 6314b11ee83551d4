"""Regions as kernels.cu reads them: flat tables, and how much work they are.

Field order, types and sizes are those of the structures in planes.cuh, kernels.cu and looking.cuh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError
from edge.redact.effects import Effect, Region, axis, gaussian_weights

MOST_REGIONS: Final = 1024
MOST_CELLS: Final = 1 << 16
MOST_ROWS: Final = 1 << 17
"""Rows of 2×2 blocks, over all regions: 1024 of them 256 px high."""
MOST_TAPS: Final = 1 << 16
MOST_SIDE: Final = 1 << 14
"""Limits of the fixed tables. What goes beyond them raises, and the whole picture is masked."""

TILE: Final = (32, 8)
WARP: Final = 32
TAPS: Final = 8
_TAPS_BEFORE: Final = 3
_UNITS_A_SLICE: Final = 1024
"""A warp sums up to so many 2×2 blocks: 32 for each thread."""
_SAMPLES_A_SLICE: Final = 4096
_EFFECTS: Final = {Effect.MOSAIC: 0, Effect.GAUSSIAN: 1, Effect.SOLID: 2}

REGION: Final = np.dtype([(name, np.int32) for name in (
    "x1", "y1", "x2", "y2", "left", "top", "right", "bottom", "cells_x", "cells_y", "first_cell",
    "first_slice", "slices", "first_row", "first_tile", "taps_x", "taps_y", "effect", "exponent",
    "spare",
)])  # fmt: skip
SUMS_BYTES: Final = 32
SPAN_BYTES: Final = 8
TAPS_BYTES: Final = 2 * TAPS


PLANE: Final = np.dtype([
    ("data", np.uint64), ("pitch", np.int64),
    *((name, np.int32) for name in ("step", "width", "height", "cells_x", "cells_y", "first_cell",
                                    "first_slice", "slices")),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Packed:
    """regions: (N,) REGION. taps: (T, TAPS) uint16. The rest: how many there are of each."""

    regions: NDArray[Any]
    taps: NDArray[np.uint16]
    cells: int
    slices: int
    rows: int
    tiles: int


def pack(regions: Sequence[Region]) -> Packed:
    """Pack regions in the order of painting. Raises InferenceError where the tables are too small
    for them."""
    table = np.zeros(len(regions), REGION)
    taps: dict[tuple[int, int], int] = {}
    weights: list[NDArray[np.uint16]] = []
    cells = slices = rows = tiles = held = 0

    def place_taps(length: int, count: int) -> int:
        nonlocal held
        start = taps.get((length, count))
        if start is None:
            start = taps[length, count] = held
            weights.append(axis_taps(length, count))
            held += 3 * length
        return start

    if len(regions) > MOST_REGIONS:
        raise InferenceError(f"{len(regions)} regions are more than the GPU is set up for")
    lines = []
    for region in regions:
        width, height = (region.x2 - region.x1) // 2, (region.y2 - region.y1) // 2
        columns, lines_of_cells = min(region.cells_x, width), min(region.cells_y, height)
        count, parts, taps_x, taps_y = columns * lines_of_cells, 0, 0, 0
        if region.effect is not Effect.SOLID:
            parts = _slices(width, height, columns, lines_of_cells, _UNITS_A_SLICE)
        if region.effect is Effect.GAUSSIAN:
            taps_x, taps_y = place_taps(width, columns), place_taps(height, lines_of_cells)
        lines.append(
            (region.x1 // 2, region.y1 // 2, region.x2 // 2, region.y2 // 2,
             region.left, region.top, region.right, region.bottom, columns, lines_of_cells, cells,
             slices, parts, rows, tiles, taps_x, taps_y, _EFFECTS[region.effect], region.exponent,
             0)
        )  # fmt: skip
        cells += count
        slices += count * parts
        rows += height
        tiles += -(-width // TILE[0]) * -(-height // TILE[1])
    if cells > MOST_CELLS or rows > MOST_ROWS or held > MOST_TAPS:
        raise InferenceError("the regions of a picture are more than the GPU is set up for")
    table[:] = lines
    joined = np.concatenate(weights) if weights else np.zeros((0, TAPS), np.uint16)
    return Packed(table, joined, cells, slices, rows, tiles)


def plane_table(
    planes: Sequence[tuple[int, int, int, int, int]], columns: int, rows: int
) -> tuple[NDArray[Any], int, int]:
    """Pack planes (address, pitch, step, width, height; none of them empty), each cut into columns
    × rows cells. Returns (N,) PLANE, cells and slices. Raises InferenceError."""
    table = np.zeros(len(planes), PLANE)
    cells = slices = 0
    for i, (address, pitch, step, width, height) in enumerate(planes):
        across, down = min(columns, width), min(rows, height)
        parts = _slices(width, height, across, down, _SAMPLES_A_SLICE)
        table[i] = (address, pitch, step, width, height, across, down, cells, slices, parts)
        cells += across * down
        slices += across * down * parts
    if cells > MOST_CELLS:
        raise InferenceError("a picture is larger than the GPU is set up for")
    return table, cells, slices


def _slices(width: int, height: int, columns: int, rows: int, most: int) -> int:
    """In how many parts each cell is summed: never more than it has rows."""
    across, down = -(-width // columns), -(-height // rows)
    return max(1, min(-(-across * down // most), height // rows))


@lru_cache(maxsize=512)
def axis_taps(length: int, cells: int) -> NDArray[np.uint16]:
    """Weights of gaussian_weights in 256ths: (3 * length, TAPS), for each block two of luma and
    one of chroma. Only the TAPS cells about a block have weight; kernels.cu's window_start says
    which. Raises InferenceError where that is not so."""
    index = axis(length, cells).index
    start = np.clip(np.minimum(index - _TAPS_BEFORE, cells - TAPS), 0, None)
    luma, chroma = gaussian_weights(length, cells, 2), gaussian_weights(length, cells, 1)
    whole = np.stack((luma[0::2], luma[1::2], chroma), axis=1)
    padded = np.zeros((length, 3, max(cells, TAPS)), np.float32)
    padded[:, :, :cells] = whole
    window = start[:, None] + np.arange(TAPS)
    taken = np.take_along_axis(padded, window[:, None, :], axis=2)
    if (taken.sum(axis=2) != 1).any():
        raise InferenceError("a smoothed region is wider than the GPU's table of weights")
    result: NDArray[np.uint16] = (taken * 256).astype(np.uint16).reshape(3 * length, TAPS)
    result.flags.writeable = False
    return result
