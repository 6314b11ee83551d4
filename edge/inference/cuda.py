"""The few calls of the CUDA driver that an engine needs: memory, copies, a stream.

Straight from libcuda, which comes with the driver: no package has to fit its version. They work in
the device's primary context, which is the one that TensorRT uses.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError, ModelError

_NON_BLOCKING: Final = 1
"""CU_STREAM_NON_BLOCKING: does not wait for what others queue on the default stream."""


class Cuda:
    """The first GPU. Calls may come from any thread; `enter` goes before them."""

    def __init__(self) -> None:
        """Raises ModelError where there is no driver, or no GPU."""
        self._context = ctypes.c_void_p()
        device = ctypes.c_int()
        try:
            self._api = ctypes.CDLL("libcuda.so.1")
            failed = (
                self._api.cuInit(0)
                or self._api.cuDeviceGet(ctypes.byref(device), 0)
                or self._api.cuDevicePrimaryCtxRetain(ctypes.byref(self._context), device)
            )
        except (OSError, AttributeError):
            failed = -1
        if failed:
            raise ModelError(
                f"no NVIDIA GPU answers (CUDA error {failed}). Install its driver, or set "
                "runtime.device to cpu."
            )

    def enter(self) -> None:
        """Make the GPU this thread's. Raises InferenceError."""
        self.call("cuCtxSetCurrent", self._context)

    def call(self, name: str, *arguments: Any) -> None:
        """Call one function of the driver. Raises InferenceError with its number."""
        if code := getattr(self._api, name)(*arguments):
            raise InferenceError(f"CUDA's {name} failed with error {code}")

    def stream(self) -> int:
        """Return the handle of a new stream."""
        handle = ctypes.c_void_p()
        self.call("cuStreamCreate", ctypes.byref(handle), ctypes.c_uint(_NON_BLOCKING))
        return int(handle.value or 0)

    def wait(self, stream: int) -> None:
        """Wait until all that was queued on a stream is done. Raises what failed in it."""
        self.call("cuStreamSynchronize", ctypes.c_void_p(stream))


class Buffer:
    """A piece of the GPU's memory that grows, and page-locked host memory of the same size."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.size = 0
        self.device = ctypes.c_uint64()
        self._host = ctypes.c_void_p()

    def reserve(self, size: int) -> None:
        """Make room for `size` bytes; what was in it is lost. Raises InferenceError."""
        if size <= self.size:
            return
        self.free()
        self._cuda.call("cuMemAlloc_v2", ctypes.byref(self.device), ctypes.c_size_t(size))
        self._cuda.call("cuMemAllocHost_v2", ctypes.byref(self._host), ctypes.c_size_t(size))
        self.size = size

    def host(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the host's memory as an array; it is valid until more is reserved."""
        count = int(np.prod(shape, dtype=np.int64))
        kind = ctypes.c_uint8 * max(1, count * dtype.itemsize)
        raw = np.ctypeslib.as_array(kind.from_address(int(self._host.value or 0)))
        array: NDArray[Any] = raw[: count * dtype.itemsize].view(dtype).reshape(shape)
        return array

    def upload(self, size: int, stream: int) -> None:
        """Queue a copy from host to device."""
        self._cuda.call("cuMemcpyHtoDAsync_v2", self.device, self._host, ctypes.c_size_t(size),
                        ctypes.c_void_p(stream))  # fmt: skip

    def download(self, size: int, stream: int) -> None:
        """Queue a copy from device to host."""
        self._cuda.call("cuMemcpyDtoHAsync_v2", self._host, self.device, ctypes.c_size_t(size),
                        ctypes.c_void_p(stream))  # fmt: skip

    def free(self) -> None:
        """Give the memory back."""
        if self.size:
            self._cuda.call("cuMemFree_v2", self.device)
            self._cuda.call("cuMemFreeHost", self._host)
            self.size = 0
