"""Pictures of the host, brought to the GPU as they are, through page-locked memory; where both
share one memory, they are read from there."""

from __future__ import annotations

from typing import Final, Protocol

from edge.frame import ByteArray, PlaneLayout, Planes
from edge.inference.cuda import Cuda
from edge.inference.picture import DevicePicture
from edge.inference.pool import Piece, Pool

_PITCH: Final = 64
"""Rows begin at multiples of it: whole sectors for every warp."""


class Source(Protocol):
    """What a picture has to offer; edge.frame.Picture does."""

    @property
    def width(self) -> int:
        """Width in pixels, even."""

    @property
    def height(self) -> int:
        """Height in pixels, even."""

    @property
    def layout(self) -> PlaneLayout:
        """How chroma is stored."""

    @property
    def full_range(self) -> bool:
        """True where luma uses 0..255 instead of 16..235."""

    def copy_planes(self, out: Planes) -> None:
        """Copy all samples into planes of the same layout and size."""


class PictureStage:
    """Room for one picture on the host and on the GPU. Not thread-safe."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._pools: tuple[Pool, ...] = ()
        self._host: Piece | None = None
        self._address = 0
        self._size = 0

    def load(self, picture: Source, stream: int) -> DevicePicture:
        """Queue bringing a picture to the GPU on `stream`, and do not wait.

        What was queued with the picture before has to be done. Raises InferenceError.
        """
        width, height, layout = picture.width, picture.height, picture.layout
        packed = layout == "nv12"
        luma = _padded(width)
        chroma = luma if packed else _padded(width // 2)
        rows = height // 2 * (1 if packed else 2)
        self._reserve(luma * height + chroma * rows)
        assert self._host is not None
        assert self._host.host is not None
        memory = self._host.host
        planes = Planes(
            layout,
            memory[: luma * height].reshape(height, luma)[:, :width],
            _chroma(memory[luma * height :], chroma, width, height, packed=packed),
        )
        picture.copy_planes(planes)
        if not self._cuda.integrated:
            self._cuda.upload(self._address, self._host.host_address, self._size, stream)
        u = self._address + luma * height
        v = u + 1 if packed else u + chroma * (height // 2)
        return DevicePicture(
            layout, width, height, self._address, u, v, luma, chroma, picture.full_range
        )

    def close(self) -> None:
        """Give the memory back: nothing may be queued that reads it."""
        pools, self._pools, self._host, self._size = self._pools, (), None, 0
        for pool in pools:
            pool.close()

    def _reserve(self, size: int) -> None:
        if size == self._size:
            return
        self.close()
        pinned = Pool(self._cuda, 1, size, pinned=True)
        self._pools = (pinned,)
        self._host = pinned.take()
        self._address = self._host.address
        if not self._cuda.integrated:
            there = Pool(self._cuda, 1, size, pinned=False)
            self._pools = (pinned, there)
            self._address = there.take().address
        self._size = size


def _padded(length: int) -> int:
    return -(-length // _PITCH) * _PITCH


def _chroma(
    memory: ByteArray, pitch: int, width: int, height: int, *, packed: bool
) -> tuple[ByteArray, ...]:
    rows = height // 2
    if packed:
        both = memory[: rows * pitch].reshape(rows, pitch)[:, :width]
        return (both.reshape(rows, width // 2, 2),)
    u, v = memory[: 2 * rows * pitch].reshape(2, rows, pitch)[:, :, : width // 2]
    return u, v
