"""The redactor on a GPU: the same samples as cpu.py, by the kernels of kernels.cu.

All memory is taken when a redactor is made, for pictures up to a given size. Two launches hide all
regions of a picture, whatever their number; kernels.cu says why they cannot race. What the fixed
tables cannot hold raises before a sample has changed: the caller then masks the whole picture.
Planes in memory that the GPU reaches are edited there, or copied without the host (cuda_planes.py).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.errors import InferenceError
from edge.frame import ByteArray, Planes
from edge.inference.cuda import Cuda, give_back
from edge.inference.picture import PLANES, DevicePicture
from edge.inference.pool import Pool
from edge.redact.cpu import CpuRedactor, check_planes
from edge.redact.cuda_planes import PITCH, InPlace, Reached, Staged, describe
from edge.redact.effects import RedactionStyle, Region, make_regions, whole_picture_cells
from edge.redact.packing import (
    MOST_CELLS,
    MOST_REGIONS,
    MOST_ROWS,
    MOST_SIDE,
    MOST_TAPS,
    REGION,
    SPAN_BYTES,
    SUMS_BYTES,
    TAPS_BYTES,
    TILE,
    WARP,
    pack,
    plane_table,
)

KERNELS: Final = {
    "cell_means": f"{PLANES} P i i i P P P",
    "paint": f"{PLANES} P i P P P",
    "whole_means": "P i i P P",
    "whole_fill": "P P",
}
"""Those of kernels.cu, and their parameters."""
_AHEAD: Final = 4
"""Pictures whose tables may be queued before the host waits for the first."""
_THREADS: Final = 128


class CudaRedactor:
    """Hides regions of 4:2:0 pictures. Not thread-safe: one for each thread.

    A drop-in for CpuRedactor where pictures are in the host's memory, and `redact_device` for those
    that are in the GPU's. cuda: through which it uses the GPU.
    """

    def __init__(
        self, style: RedactionStyle, cuda: Cuda, image: bytes, width: int, height: int
    ) -> None:
        """image: the compiled kernels, which the manifest vouches for. width, height: of the
        largest picture. Raises InferenceError where memory is short or the kernels do not fit the
        GPU."""
        self.style = style
        self.cuda = cuda
        self._cpu = CpuRedactor(style)
        cuda.enter()
        self._kernels = cuda.kernels(image, KERNELS)
        self.stream = cuda.stream()
        size = 2 * (width + 2 * PITCH) * (height + 2)
        self._staging = Pool(cuda, 1, size, pinned=True)
        self._pictures = None if cuda.integrated else Pool(cuda, 1, size, pinned=False)
        table_size = MOST_REGIONS * REGION.itemsize + MOST_TAPS * TAPS_BYTES
        self._tables = Pool(cuda, _AHEAD, table_size, pinned=True)
        self._scratch = Pool(
            cuda, 1, table_size + MOST_CELLS * (SUMS_BYTES + 4) + MOST_ROWS * SPAN_BYTES,
            pinned=False,
        )  # fmt: skip
        scratch = self._scratch.take().address
        self._table = scratch
        self._sums = self._table + table_size
        self._means = self._sums + MOST_CELLS * SUMS_BYTES
        self._spans = self._means + MOST_CELLS * 4
        self._ring = [(self._tables.take(), cuda.event()) for _ in range(_AHEAD)]
        self._turn = 0
        pools = (self._staging, self._pictures, self._tables, self._scratch)
        steps: list[Callable[[], object]] = [
            partial(cuda.wait, self.stream),
            *(pool.close for pool in pools if pool is not None),
            *(partial(cuda.drop_event, event) for _, event in self._ring),
            partial(cuda.drop_stream, self.stream),
        ]
        # Streams come and go for months: what is dropped without close() is given back as well.
        self._give_back = weakref.finalize(self, give_back, cuda, steps)
        self._give_back.atexit = False

    def redact(self, planes: Planes, boxes: ArrayLike) -> None:
        """Hide the boxes, (N, 4) unpadded luma pixels, in place; as CpuRedactor.redact.

        Raises ValueError where the boxes or the planes make no sense and InferenceError where the
        GPU fails; the caller then has to mask the whole picture. By then the GPU has let go of it;
        of planes in memory that the GPU reaches a part may have changed, of others none has.
        """
        height, width = check_planes(planes)
        regions = make_regions(boxes, self.style, width, height)
        if not regions:
            return
        rows = slice(min(r.y1 for r in regions) // 2, max(r.y2 for r in regions) // 2)
        parts = [planes.y[2 * rows.start : 2 * rows.stop], *(c[rows] for c in planes.chroma)]
        self.cuda.enter()
        with self._reach(planes, parts) as reached:
            self._queue(describe(reached, planes, height, width, rows.start), regions)
            reached.finish()

    def mask_whole(self, planes: Planes) -> None:
        """Pixelate the whole picture; as CpuRedactor.mask_whole, which does it where the GPU does
        not: a picture that must be masked is."""
        try:
            self.mask_by_gpu(planes)
        except (InferenceError, ValueError):
            self._cpu.mask_whole(planes)

    def redact_device(self, picture: DevicePicture, boxes: ArrayLike) -> None:
        """Queue on `stream` what hides the boxes of a picture on the GPU, and do not wait.

        Let the stream follow the event after which the picture is complete. Raises as `redact`.
        """
        regions = make_regions(boxes, self.style, picture.width, picture.height)
        if regions:
            self.cuda.enter()
            self._queue(picture, regions)

    def redact_surface(self, picture: DevicePicture, boxes: ArrayLike) -> None:
        """As redact_device, and wait until it is done."""
        self.redact_device(picture, boxes)
        self.cuda.enter()
        self.cuda.wait(self.stream)

    def mask_device(self, picture: DevicePicture) -> None:
        """Queue on `stream` the mask of a whole picture on the GPU, and do not wait."""
        self.cuda.enter()
        p, half = picture, (picture.width // 2, picture.height // 2)
        step = 2 if p.layout == "nv12" else 1
        self._queue_whole(
            [(p.y, p.y_pitch, 1, p.width, p.height), (p.u, p.chroma_pitch, step, *half),
             (p.v, p.chroma_pitch, step, *half)], p.width, p.height,
        )  # fmt: skip

    def close(self) -> None:
        """Give everything back; the redactor cannot be used any more."""
        self._give_back()

    def mask_by_gpu(self, planes: Planes) -> None:
        """As mask_whole, but raises InferenceError where the GPU fails; see `redact`."""
        height, width = planes.y.shape
        parts = [plane for plane in (planes.y, *planes.chroma) if plane.size]
        if not planes.y.size:
            raise InferenceError("a picture without luma")
        self.cuda.enter()
        with self._reach(planes, parts) as reached:
            table = []
            for part, address, pitch in zip(parts, reached.addresses, reached.pitches, strict=True):
                step = part.shape[2] if part.ndim == 3 else 1
                table += [
                    (address + k, pitch, step, part.shape[1], part.shape[0]) for k in range(step)
                ]
            self._queue_whole(table, width, height)
            reached.finish()

    def _reach(self, planes: Planes, parts: Sequence[ByteArray]) -> Reached:
        if planes.memory is None:
            return Staged(self.cuda, self._staging, self._pictures, parts, self.stream)
        return InPlace(self.cuda, self._pictures, planes.memory, parts, self.stream)

    def _queue(self, picture: DevicePicture, regions: Sequence[Region]) -> None:
        _check_size(picture.width, picture.height)
        packed = pack(regions)
        cuda = self.cuda
        self._upload(packed.regions, packed.taps)
        cuda.clear(self._sums, packed.cells * SUMS_BYTES, self.stream)
        planes, table, count = picture.argument(), self._table, len(regions)
        threads = WARP * (packed.slices + -(-packed.rows // WARP))
        cuda.launch(
            self._kernels["cell_means"], (-(-threads // _THREADS), 1, 1), (_THREADS, 1, 1),
            (*planes, table, count, packed.slices, packed.rows, self._sums, self._means,
             self._spans), self.stream,
        )  # fmt: skip
        cuda.launch(
            self._kernels["paint"], (packed.tiles, 1, 1), (*TILE, 1),
            (*planes, table, count, self._means, self._spans, table + packed.regions.nbytes),
            self.stream,
        )  # fmt: skip

    def _queue_whole(
        self, planes: Sequence[tuple[int, int, int, int, int]], width: int, height: int
    ) -> None:
        for *_, plane_width, plane_height in planes:
            _check_size(plane_width, plane_height)
        columns, rows = whole_picture_cells(width, height)
        table, cells, slices = plane_table(planes, columns, rows)
        cuda = self.cuda
        self._upload(table)
        cuda.clear(self._sums, cells * SUMS_BYTES, self.stream)
        cuda.launch(
            self._kernels["whole_means"], (-(-WARP * slices // _THREADS), 1, 1), (_THREADS, 1, 1),
            (self._table, len(table), slices, self._sums, self._means), self.stream,
        )  # fmt: skip
        widest, highest = int(table["width"].max()), int(table["height"].max())
        cuda.launch(
            self._kernels["whole_fill"],
            (-(-widest // TILE[0]), -(-highest // TILE[1]), len(table)), (*TILE, 1),
            (self._table, self._means), self.stream,
        )  # fmt: skip

    def _upload(self, *tables: NDArray[Any]) -> None:
        """Queue a copy of tables, one after the other, to the GPU."""
        piece, sent = self._ring[self._turn]
        self._turn = (self._turn + 1) % _AHEAD
        self.cuda.wait_event(sent)  # the copy before last from this piece may still be queued
        assert piece.host is not None
        at = 0
        for table in tables:
            piece.host[at : at + table.nbytes] = table.reshape(-1).view(np.uint8)
            at += table.nbytes
        self.cuda.upload(self._table, piece.host_address, at, self.stream)
        self.cuda.record(sent, self.stream)


def _check_size(width: int, height: int) -> None:
    if max(width, height) > MOST_SIDE:
        raise InferenceError(f"a picture of {width}x{height} is beyond what the kernels can count")
