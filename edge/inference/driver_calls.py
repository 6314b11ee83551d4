"""What bindings share that call the driver's functions by their names in cuda.h."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

from edge.errors import DeviceError
from edge.inference.driver import (
    BLOCKING_SYNC,
    NON_BLOCKING,
    NOT_READY,
    PORTABLE_AND_MAPPED,
    CudaError,
    Parameters,
    Size3,
)


class CallingDriver(ABC):
    """Most of edge.inference.driver.Driver, over two ways to call a function."""

    _device: Any
    _context: Any

    def __init__(self) -> None:
        self._modules: list[Any] = []

    @abstractmethod
    def _call(self, name: str, *arguments: Any) -> None:
        """Call what returns nothing but an error. Raises CudaError."""

    @abstractmethod
    def _make(self, name: str, *arguments: Any) -> Any:
        """Call what gives a handle or an address, and return that. Raises CudaError."""

    def _retain(self) -> Any:
        """Hold the primary context, with the flags under which FFmpeg shares it, and return it."""
        with suppress(DeviceError):  # drivers before CUDA 11, where it is at work already
            self._call("cuDevicePrimaryCtxSetFlags", self._device, BLOCKING_SYNC)
        return self._make("cuDevicePrimaryCtxRetain", self._device)

    def enter(self) -> None:
        self._call("cuCtxSetCurrent", self._context)

    def close(self) -> None:
        with suppress(DeviceError):
            self.enter()
        for module in self._modules:
            with suppress(DeviceError):
                self._call("cuModuleUnload", module)
        with suppress(DeviceError):
            self._call("cuDevicePrimaryCtxRelease", self._device)

    def stream(self) -> int:
        return int(self._make("cuStreamCreate", NON_BLOCKING))

    def drop_stream(self, stream: int) -> None:
        self._call("cuStreamDestroy", stream)

    def done(self, stream: int) -> bool:
        return self._ready("cuStreamQuery", stream)

    def event(self) -> int:
        return int(self._make("cuEventCreate", 0))

    def drop_event(self, event: int) -> None:
        self._call("cuEventDestroy", event)

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", event, stream)

    def follow(self, stream: int, event: int) -> None:
        self._call("cuStreamWaitEvent", stream, event, 0)

    def happened(self, event: int) -> bool:
        return self._ready("cuEventQuery", event)

    def allocate(self, size: int) -> int:
        return int(self._make("cuMemAlloc", size))

    def free(self, address: int) -> None:
        self._call("cuMemFree", address)

    def allocate_pinned(self, size: int) -> tuple[int, int]:
        host = int(self._make("cuMemHostAlloc", size, PORTABLE_AND_MAPPED))
        try:
            return host, int(self._make("cuMemHostGetDevicePointer", host, 0))
        except CudaError:
            self.free_pinned(host)
            raise

    def free_pinned(self, host: int) -> None:
        self._call("cuMemFreeHost", host)

    def upload(self, address: int, host: int, size: int, stream: int) -> None:
        self._call("cuMemcpyHtoDAsync", address, host, size, stream)

    def download(self, host: int, address: int, size: int, stream: int) -> None:
        self._call("cuMemcpyDtoHAsync", host, address, size, stream)

    def copy(self, to: int, address: int, size: int, stream: int) -> None:
        self._call("cuMemcpyDtoDAsync", to, address, size, stream)

    def clear(self, address: int, size: int, stream: int) -> None:
        self._call("cuMemsetD8Async", address, 0, size, stream)

    def _ready(self, name: str, handle: int) -> bool:
        try:
            self._call(name, handle)
        except CudaError as error:
            if error.number == NOT_READY:
                return False
            raise
        return True

    def load(self, image: bytes) -> Any:
        module = self._make("cuModuleLoadData", image)
        self._modules.append(module)
        return module

    def function(self, module: Any, name: str, parameters: Parameters) -> tuple[Any, list[int]]:
        return self._make("cuModuleGetFunction", module, name.encode()), parameters.offsets

    def launch(
        self, function: tuple[Any, list[int]], grid: Size3, block: Size3, packed: bytes, stream: int
    ) -> None:
        handle, offsets = function
        memory = ctypes.create_string_buffer(packed, len(packed))
        base = ctypes.addressof(memory)
        each = [base + offset for offset in offsets]
        addresses = (ctypes.c_void_p * len(each))(*each)
        self._call("cuLaunchKernel", handle, *grid, *block, 0, stream,
                   ctypes.addressof(addresses), 0)  # fmt: skip
