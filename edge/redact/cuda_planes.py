"""Planes of the host's where a GPU can edit them: in memory that both reach, else copied there and
back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from edge.errors import DeviceError, InferenceError
from edge.frame import ByteArray, PageLocked, Planes
from edge.inference.cuda import Cuda
from edge.inference.picture import DevicePicture
from edge.inference.pool import Piece, Pool

PITCH: Final = 64
"""Rows begin at multiples of it: whole sectors for every warp."""


class Reached(Protocol):
    """Parts of planes while a GPU edits them; a context manager.

    addresses, pitches: of each part, on the GPU. When the block ends with an exception, nothing
    that was queued touches the planes any more.
    """

    addresses: list[int]
    pitches: list[int]

    def __enter__(self) -> Reached: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None: ...

    def finish(self) -> None:
        """Wait until the host has what the GPU made of it. Raises DeviceError."""


class Staged:
    """Parts of planes in memory of our own, and from there on the GPU. Implements Reached.

    What raises has changed nothing.
    """

    def __init__(
        self,
        cuda: Cuda,
        staging: Pool,
        device: Pool | None,
        parts: Sequence[ByteArray],
        stream: int,
    ) -> None:
        """staging: page-locked. device: None where the GPU works on that."""
        self._cuda, self._staging, self._device, self._stream = cuda, staging, device, stream
        self._parts = parts
        self.pitches = [
            -(-(part.size // len(part)) // PITCH) * PITCH for part in parts
        ]  # a row of interleaved chroma has all of its channels
        sizes = [len(part) * pitch for part, pitch in zip(parts, self.pitches, strict=True)]
        self._offsets = [sum(sizes[:i]) for i in range(len(sizes))]
        self._size = sum(sizes)
        if self._size > staging.size:
            raise InferenceError("a picture is larger than the GPU is set up for")
        self._host: Piece | None = None
        self._there: Piece | None = None
        self.addresses: list[int] = []

    def __enter__(self) -> Staged:
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._host is not None:
            self._staging.give(self._host)
        if self._device is not None and self._there is not None:
            self._device.give(self._there)

    def finish(self) -> None:
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


class InPlace:
    """Parts of planes that lie in page-locked memory: edited there, or copied between there and the
    GPU without the host. Implements Reached.

    What raises may have changed a part of them; the GPU has let go of them all the same.
    """

    def __init__(
        self,
        cuda: Cuda,
        device: Pool | None,
        memory: PageLocked,
        parts: Sequence[ByteArray],
        stream: int,
    ) -> None:
        """device: None where the GPU works on the host's memory. Raises ValueError where the parts
        are not in `memory`."""
        self._cuda, self._device, self._stream = cuda, device, stream
        self._hosts = [memory.address(part) - memory.device + memory.host for part in parts]
        self.addresses = [memory.address(part) for part in parts]
        # The stride of a single row is whatever numpy says.
        self.pitches = [max(part.strides[0], part.size // len(part)) for part in parts]
        # Of the last row no padding: there the next plane begins, or the memory ends.
        self._sizes = [
            (len(part) - 1) * pitch + part.size // len(part)
            for part, pitch in zip(parts, self.pitches, strict=True)
        ]
        self._there: Piece | None = None
        spans = [len(part) * pitch for part, pitch in zip(parts, self.pitches, strict=True)]
        self._offsets = [sum(spans[:i]) for i in range(len(spans))]
        if device is not None and sum(spans) > device.size:
            raise InferenceError("a picture is larger than the GPU is set up for")

    def __enter__(self) -> InPlace:
        if self._device is not None:
            self._there = self._device.take()
            self.addresses = [self._there.address + offset for offset in self._offsets]
            try:
                for there, host, size in zip(self.addresses, self._hosts, self._sizes, strict=True):
                    self._cuda.upload(there, host, size, self._stream)
            except BaseException:
                self._let_go()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._give()
        else:
            self._let_go()

    def finish(self) -> None:
        """Wait until the GPU is done, and the host has its own part of it."""
        if self._there is not None:
            for there, host, size in zip(self.addresses, self._hosts, self._sizes, strict=True):
                self._cuda.download(host, there, size, self._stream)
        self._cuda.wait(self._stream)

    def _let_go(self) -> None:
        # Kernels or copies may still be at work on the planes, which the CPU masks next. A GPU that
        # does not even answer this is lost, with all that ran on it.
        with suppress(DeviceError):
            self._cuda.wait(self._stream)
        self._give()

    def _give(self) -> None:
        if self._device is not None and self._there is not None:
            self._device.give(self._there)
            self._there = None


def describe(
    reached: Reached, planes: Planes, height: int, width: int, first: int
) -> DevicePicture:
    """Describe parts that are reached as a whole picture, of which rows from `first` (chroma rows)
    on are there; the others are never touched."""
    y, u, *rest = reached.addresses
    v = rest[0] if rest else u + 1
    luma, chroma = reached.pitches[0], reached.pitches[1]
    back = first * chroma
    return DevicePicture(
        planes.layout, width, height, y - 2 * first * luma, u - back, v - back, luma, chroma,
        planes.full_range,
    )  # fmt: skip
