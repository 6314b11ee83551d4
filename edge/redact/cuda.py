"""The redactor on a GPU: the same samples as cpu.py, by the kernels of kernels.cu.

All memory is taken when a redactor is made, for pictures up to a given size. Two launches hide all
regions of a picture, whatever their number; kernels.cu says why they cannot race. What the fixed
tables cannot hold raises before a sample has changed: the caller then masks the whole picture.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.errors import DeviceError, InferenceError
from edge.frame import ByteArray, Planes
from edge.inference.cuda import Cuda
from edge.inference.picture import PLANES, DevicePicture
from edge.inference.pool import Piece, Pool
from edge.redact.cpu import CpuRedactor, check_planes
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
_PITCH: Final = 64
"""Rows begin at multiples of it: whole sectors for every warp."""
_AHEAD: Final = 4
"""Pictures whose tables may be queued before the host waits for the first."""
_THREADS: Final = 128


class CudaRedactor:
    """Hides regions of 4:2:0 pictures. Not thread-safe: one for each thread.

    A drop-in for CpuRedactor where pictures are in the host's memory, and `redact_device` for those
    that are in the GPU's.
    """

    def __init__(
        self, style: RedactionStyle, cuda: Cuda, image: bytes, width: int, height: int
    ) -> None:
        """image: the compiled kernels, which the manifest vouches for. width, height: of the
        largest picture. Raises InferenceError where memory is short or the kernels do not fit the
        GPU."""
        self.style = style
        self._cuda = cuda
        self._cpu = CpuRedactor(style)
        cuda.enter()
        self._kernels = cuda.kernels(image, KERNELS)
        self.stream = cuda.stream()
        size = 2 * (width + 2 * _PITCH) * (height + 2)
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
        events = tuple(event for _, event in self._ring)
        # Streams come and go for months: what is dropped without close() is given back as well.
        self._give_back = weakref.finalize(self, _give_back, cuda, self.stream, events, pools)
        self._give_back.atexit = False

    def redact(self, planes: Planes, boxes: ArrayLike) -> None:
        """Hide the boxes, (N, 4) unpadded luma pixels, in place; as CpuRedactor.redact.

        Raises ValueError where the boxes or the planes make no sense and InferenceError where the
        GPU fails, in both cases before a pixel has changed; the caller then has to mask the whole
        picture.
        """
        height, width = check_planes(planes)
        regions = make_regions(boxes, self.style, width, height)
        if not regions:
            return
        rows = slice(min(r.y1 for r in regions) // 2, max(r.y2 for r in regions) // 2)
        parts = [planes.y[2 * rows.start : 2 * rows.stop], *(c[rows] for c in planes.chroma)]
        self._cuda.enter()
        with _Staged(self._cuda, self._staging, self._pictures, parts, self.stream) as staged:
            self._queue(staged.picture(planes, height, width, rows.start), regions)
            staged.fetch()

    def mask_whole(self, planes: Planes) -> None:
        """Pixelate the whole picture; as CpuRedactor.mask_whole, which does it where the GPU does
        not: a picture that must be masked is."""
        try:
            self.mask_by_gpu(planes)
        except InferenceError:
            self._cpu.mask_whole(planes)

    def redact_device(self, picture: DevicePicture, boxes: ArrayLike) -> None:
        """Queue on `stream` what hides the boxes of a picture on the GPU, and do not wait.

        Let the stream follow the event after which the picture is complete. Raises as `redact`.
        """
        regions = make_regions(boxes, self.style, picture.width, picture.height)
        if regions:
            self._cuda.enter()
            self._queue(picture, regions)

    def mask_device(self, picture: DevicePicture) -> None:
        """Queue on `stream` the mask of a whole picture on the GPU, and do not wait."""
        self._cuda.enter()
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
        """As mask_whole, but raises InferenceError where the GPU fails, with nothing changed."""
        height, width = planes.y.shape
        parts = [plane for plane in (planes.y, *planes.chroma) if plane.size]
        if not planes.y.size:
            raise InferenceError("a picture without luma")
        self._cuda.enter()
        with _Staged(self._cuda, self._staging, self._pictures, parts, self.stream) as staged:
            table = []
            for part, address, pitch in zip(parts, staged.addresses, staged.pitches, strict=True):
                step = part.shape[2] if part.ndim == 3 else 1
                table += [
                    (address + k, pitch, step, part.shape[1], part.shape[0]) for k in range(step)
                ]
            self._queue_whole(table, width, height)
            staged.fetch()

    def _queue(self, picture: DevicePicture, regions: Sequence[Region]) -> None:
        _check_size(picture.width, picture.height)
        packed = pack(regions)
        cuda = self._cuda
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
        cuda = self._cuda
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
        self._cuda.wait_event(sent)  # the copy before last from this piece may still be queued
        assert piece.host is not None
        at = 0
        for table in tables:
            piece.host[at : at + table.nbytes] = table.reshape(-1).view(np.uint8)
            at += table.nbytes
        self._cuda.upload(self._table, piece.host_address, at, self.stream)
        self._cuda.record(sent, self.stream)


class _Staged:
    """Planes of the host in memory that the GPU sees, for as long as it takes."""

    def __init__(
        self,
        cuda: Cuda,
        staging: Pool,
        device: Pool | None,
        parts: Sequence[ByteArray],
        stream: int,
    ) -> None:
        self._cuda, self._staging, self._device, self._stream = cuda, staging, device, stream
        self._parts = parts
        self.pitches = [
            -(-(part.size // len(part)) // _PITCH) * _PITCH for part in parts
        ]  # a row of interleaved chroma has all of its channels
        sizes = [len(part) * pitch for part, pitch in zip(parts, self.pitches, strict=True)]
        self._offsets = [sum(sizes[:i]) for i in range(len(sizes))]
        self._size = sum(sizes)
        if self._size > staging.size:
            raise InferenceError("a picture is larger than the GPU is set up for")
        self._host: Piece | None = None
        self._there: Piece | None = None
        self.addresses: list[int] = []

    def __enter__(self) -> _Staged:
        self._host = self._staging.take()
        self._there = self._device.take() if self._device is not None else self._host
        self.addresses = [self._there.address + offset for offset in self._offsets]
        for part, view in zip(self._parts, self._views(), strict=True):
            view[...] = part
        if self._there is not self._host:
            self._cuda.upload(
                self._there.address, self._host.host_address, self._size, self._stream
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._host is not None:
            self._staging.give(self._host)
        if self._device is not None and self._there is not None:
            self._device.give(self._there)

    def picture(self, planes: Planes, height: int, width: int, first: int) -> DevicePicture:
        """Describe what is staged as a whole picture, of which rows from `first` (chroma rows) on
        are there; the others are never touched."""
        y, u, *rest = self.addresses
        v = rest[0] if rest else u + 1
        luma, chroma = self.pitches[0], self.pitches[1]
        back = first * chroma
        return DevicePicture(
            planes.layout, width, height, y - 2 * first * luma, u - back, v - back, luma, chroma,
            planes.full_range,
        )  # fmt: skip

    def fetch(self) -> None:
        """Wait for the GPU, then copy everything back: all of it, or (it raises) nothing."""
        assert self._host is not None
        assert self._there is not None
        if self._there is not self._host:
            self._cuda.download(
                self._host.host_address, self._there.address, self._size, self._stream
            )
        self._cuda.wait(self._stream)
        for part, view in zip(self._parts, self._views(), strict=True):
            part[...] = view

    def _views(self) -> list[ByteArray]:
        assert self._host is not None
        assert self._host.host is not None
        views = []
        for part, offset, pitch in zip(self._parts, self._offsets, self.pitches, strict=True):
            rows = self._host.host[offset : offset + len(part) * pitch].reshape(len(part), pitch)
            views.append(rows[:, : part.size // len(part)].reshape(part.shape))
        return views


def _give_back(
    cuda: Cuda, stream: int, events: Sequence[int], pools: Sequence[Pool | None]
) -> None:
    def quietly(give_back: Callable[..., None], *arguments: int) -> None:
        with suppress(DeviceError):  # of a lost device nothing can be given back
            give_back(*arguments)

    quietly(cuda.enter)
    quietly(cuda.wait, stream)
    for pool in pools:
        if pool is not None:
            quietly(pool.close)
    for event in events:
        quietly(cuda.drop_event, event)
    quietly(cuda.drop_stream, stream)


def _check_size(width: int, height: int) -> None:
    if max(width, height) > MOST_SIDE:
        raise InferenceError(f"a picture of {width}x{height} is beyond what the kernels can count")
