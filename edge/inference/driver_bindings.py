"""The CUDA driver through cuda-bindings, NVIDIA's own, which has wheels for x86-64 and aarch64."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from edge.errors import DeviceError
from edge.inference.driver import (
    NO_LIBRARY,
    NON_BLOCKING,
    PORTABLE_AND_MAPPED,
    CudaError,
    Parameters,
    Size3,
)

NAME: Final = "cuda-bindings"
MODULE: Final = "cuda.bindings.driver"


class BindingsDriver:
    """Implements edge.inference.driver.Driver."""

    def __init__(self) -> None:
        """Raises ImportError where the package is not here or cannot be loaded, and DeviceError
        where there is no driver, or no GPU."""
        self._api = import_module(MODULE)
        self.name = f"{NAME} {version(NAME)}"
        self._modules: list[Any] = []
        self._call("cuInit", 0)
        self._device = self._call("cuDeviceGet", 0)
        self._context = self._call("cuDevicePrimaryCtxRetain", self._device)
        kinds = self._api.CUdevice_attribute
        self._kinds = {int(kind): kind for kind in kinds}

    def attribute(self, number: int) -> int:
        return int(self._call("cuDeviceGetAttribute", self._kinds[number], self._device))

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
        return int(self._call("cuStreamCreate", NON_BLOCKING))

    def drop_stream(self, stream: int) -> None:
        self._call("cuStreamDestroy", stream)

    def wait(self, stream: int) -> None:
        self._call("cuStreamSynchronize", stream)

    def event(self) -> int:
        return int(self._call("cuEventCreate", 0))

    def drop_event(self, event: int) -> None:
        self._call("cuEventDestroy", event)

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", event, stream)

    def follow(self, stream: int, event: int) -> None:
        self._call("cuStreamWaitEvent", stream, event, 0)

    def wait_event(self, event: int) -> None:
        self._call("cuEventSynchronize", event)

    def milliseconds(self, start: int, end: int) -> float:
        return float(self._call("cuEventElapsedTime", start, end))

    def allocate(self, size: int) -> int:
        return int(self._call("cuMemAlloc", size))

    def free(self, address: int) -> None:
        self._call("cuMemFree", address)

    def allocate_pinned(self, size: int) -> tuple[int, int]:
        host = int(self._call("cuMemHostAlloc", size, PORTABLE_AND_MAPPED))
        try:
            return host, int(self._call("cuMemHostGetDevicePointer", host, 0))
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

    def load(self, image: bytes) -> Any:
        module = self._call("cuModuleLoadData", image)
        self._modules.append(module)
        return module

    def function(self, module: Any, name: str, parameters: Parameters) -> tuple[Any, list[int]]:
        handle = self._call("cuModuleGetFunction", module, name.encode())
        return handle, parameters.offsets

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

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a function, and return what it returns beside its error, if anything."""
        try:
            number, *returned = getattr(self._api, name)(*arguments)
        except RuntimeError as error:  # no library of the driver, or not this function
            raise CudaError(name, NO_LIBRARY) from error
        if number:
            raise CudaError(name, int(number))
        return returned[0] if returned else None
