"""Memory that an engine's inputs and outputs are bound to, once and for good: the GPU's with
page-locked memory beside it, or the host's, where the very same engine runs on the CPU.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import DeviceError
from edge.frame import ByteArray
from edge.inference.cuda import Cuda
from edge.inference.driver import host_bytes
from edge.inference.pool import Pool

DeviceType = Literal["cuda", "cpu"]
"""As ONNX Runtime names them."""
_ALIGNMENT: Final = 64
"""Bytes; a cache line, and what ONNX Runtime aligns its own tensors to."""
_log = logging.getLogger(__name__)


class Slot(Protocol):
    """Room for one tensor, which grows and never shrinks."""

    @property
    def address(self) -> int:
        """Where the engine reads or writes."""

    @property
    def host_address(self) -> int:
        """Where `view` reads or writes."""

    def reserve(self, size: int) -> None:
        """Make room for `size` bytes; what was in it is lost where it grows. Raises
        InferenceError."""

    def view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the host's memory as an array, valid until more is reserved."""

    def send(self, size: int) -> None:
        """Queue bringing the first `size` bytes from the host to where the engine reads."""

    def fetch(self, size: int) -> None:
        """Queue bringing the first `size` bytes from where the engine writes to the host."""

    def close(self) -> None:
        """Give the memory back."""


class Memory(Protocol):
    """Where the tensors of one engine lie, and the stream that orders what is done with them."""

    @property
    def device_type(self) -> DeviceType:
        """What an engine that is bound to it runs on."""

    @property
    def stream(self) -> int:
        """Handle of the stream; 0 where there is none."""

    def enter(self) -> None:
        """Make the device this thread's."""

    def slot(self) -> Slot:
        """Return room for one more tensor."""

    def copy(self, to: int, address: int, size: int) -> None:
        """Queue a copy within the device."""

    def follow(self, event: int) -> None:
        """Let what is queued from now on wait for an event."""

    def wait(self) -> None:
        """Wait until all that was queued is done. Raises what failed in it."""

    def close(self) -> None:
        """Give everything back: slots, and the stream where it is its own."""


class HostMemory:
    """The host's own memory: nothing has to be brought anywhere. Implements Memory."""

    device_type: DeviceType = "cpu"
    stream = 0

    def enter(self) -> None:
        """Do nothing: the host is every thread's."""

    def slot(self) -> HostSlot:
        """Return room for one more tensor."""
        return HostSlot()

    def copy(self, to: int, address: int, size: int) -> None:
        """Copy at once."""
        np.copyto(host_bytes(to, size), host_bytes(address, size))

    def follow(self, event: int) -> None:
        """Do nothing: all is done at once."""

    def wait(self) -> None:
        """Return: all is done at once."""

    def close(self) -> None:
        """Do nothing: slots are freed as they are dropped."""


class HostSlot:
    """Aligned memory of the host. Implements Slot."""

    def __init__(self) -> None:
        self._memory: ByteArray = np.empty(0, np.uint8)
        self.address = 0

    @property
    def host_address(self) -> int:
        """The same memory."""
        return self.address

    def reserve(self, size: int) -> None:
        """Make room for `size` bytes."""
        if size > self._memory.size:
            raw = np.empty(size + _ALIGNMENT, np.uint8)
            skip = -raw.ctypes.data % _ALIGNMENT
            self._memory = raw[skip : skip + size]
            self.address = int(self._memory.ctypes.data)

    def view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the memory as an array."""
        return _shaped(self._memory, shape, dtype)

    def send(self, size: int) -> None:
        """Do nothing: it is there."""

    def fetch(self, size: int) -> None:
        """Do nothing: it is there."""

    def close(self) -> None:
        """Forget the memory."""
        self._memory, self.address = np.empty(0, np.uint8), 0


class CudaMemory:
    """A GPU's memory. On a shared one, engines read and write the host's in place. Implements
    Memory."""

    def __init__(
        self, cuda: Cuda, *, stream: int | None = None, device_type: DeviceType = "cuda"
    ) -> None:
        """stream: whose order is kept; None for one of its own. device_type: cpu where the driver
        is a stand-in whose addresses are the host's. Raises InferenceError."""
        self.device_type: DeviceType = device_type
        self.cuda = cuda
        cuda.enter()
        self._own = stream is None
        self.stream = cuda.stream() if stream is None else stream
        self._slots: list[CudaSlot] = []

    def enter(self) -> None:
        """Make the GPU this thread's."""
        self.cuda.enter()

    def slot(self) -> CudaSlot:
        """Return room for one more tensor."""
        slot = CudaSlot(self.cuda, self.stream)
        self._slots.append(slot)
        return slot

    def copy(self, to: int, address: int, size: int) -> None:
        """Queue a copy within the GPU."""
        self.cuda.copy(to, address, size, self.stream)

    def follow(self, event: int) -> None:
        """Let what is queued from now on wait for an event; the host does not wait."""
        self.cuda.follow(self.stream, event)

    def wait(self) -> None:
        """Wait for the stream. Raises DeviceError."""
        self.cuda.wait(self.stream)

    def close(self) -> None:
        """Give everything back. What a lost device refuses to take is lost with it."""
        slots, self._slots = self._slots, []
        self._attempt(self.cuda.enter)
        if self.stream:
            self._attempt(self.wait)
        for slot in slots:
            self._attempt(slot.close)
        if self._own and self.stream:
            self._attempt(lambda: self.cuda.drop_stream(self.stream))
        self.stream = 0

    @staticmethod
    def _attempt(step: Callable[[], None]) -> None:
        try:
            step()
        except DeviceError:
            _log.debug("memory of an engine could not be given back", exc_info=True)


class CudaSlot:
    """Page-locked memory and as much of the GPU's; one and the same where they share it.
    Implements Slot."""

    def __init__(self, cuda: Cuda, stream: int) -> None:
        self._cuda, self._stream = cuda, stream
        self._pools: tuple[Pool, ...] = ()
        self._host: ByteArray = np.empty(0, np.uint8)
        self.address = self.host_address = 0

    def reserve(self, size: int) -> None:
        """Make room for `size` bytes. Raises DeviceError where memory is short."""
        if size <= self._host.size:
            return
        self.close()
        pinned = Pool(self._cuda, 1, size, pinned=True)
        self._pools = (pinned,)
        piece = pinned.take()
        address = piece.address
        if not self._cuda.integrated:
            try:
                there = Pool(self._cuda, 1, size, pinned=False)
            except DeviceError:
                self.close()
                raise
            self._pools = (pinned, there)
            address = there.take().address
        assert piece.host is not None
        self._host, self.host_address, self.address = piece.host, piece.host_address, address

    def view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the page-locked memory as an array."""
        return _shaped(self._host, shape, dtype)

    def send(self, size: int) -> None:
        """Queue an upload."""
        if not self._cuda.integrated:
            self._cuda.upload(self.address, self.host_address, size, self._stream)

    def fetch(self, size: int) -> None:
        """Queue a download."""
        if not self._cuda.integrated:
            self._cuda.download(self.host_address, self.address, size, self._stream)

    def close(self) -> None:
        """Give the memory back: nothing may be queued that uses it."""
        pools, self._pools = self._pools, ()
        self._host = np.empty(0, np.uint8)
        self.address = self.host_address = 0
        for pool in pools:
            pool.close()


def tensor_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return what a tensor takes."""
    return math.prod(shape) * dtype.itemsize


def _shaped(memory: ByteArray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    array: NDArray[Any] = memory[: tensor_bytes(shape, dtype)].view(dtype).reshape(shape)
    return array
