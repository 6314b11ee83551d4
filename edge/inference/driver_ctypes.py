"""The CUDA driver by itself, straight from its library: no package has to fit its version."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_size_t, c_ubyte, c_uint, c_uint64
from ctypes import c_void_p as pointer
from typing import Any, Final, NamedTuple

from edge.errors import DeviceError
from edge.inference.driver import (
    LIBRARY,
    MAJOR,
    MINOR,
    NO_LIBRARY,
    NON_BLOCKING,
    PORTABLE_AND_MAPPED,
    CudaError,
    Parameters,
    Size3,
)

NAME: Final = "ctypes"
_ADDRESS: Final = c_uint64
_OUT: Final = POINTER(pointer)
_FUNCTIONS: Final[dict[str, tuple[Any, ...]]] = {
    "cuInit": (c_uint,),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (_OUT, c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (pointer,),
    "cuStreamCreate": (_OUT, c_uint),
    "cuStreamSynchronize": (pointer,),
    "cuStreamDestroy_v2": (pointer,),
    "cuStreamWaitEvent": (pointer, pointer, c_uint),
    "cuEventCreate": (_OUT, c_uint),
    "cuEventRecord": (pointer, pointer),
    "cuEventSynchronize": (pointer,),
    "cuEventElapsedTime": (POINTER(c_float), pointer, pointer),
    "cuEventDestroy_v2": (pointer,),
    "cuMemAlloc_v2": (POINTER(_ADDRESS), c_size_t),
    "cuMemFree_v2": (_ADDRESS,),
    "cuMemHostAlloc": (_OUT, c_size_t, c_uint),
    "cuMemHostGetDevicePointer_v2": (POINTER(_ADDRESS), pointer, c_uint),
    "cuMemFreeHost": (pointer,),
    "cuMemcpyHtoDAsync_v2": (_ADDRESS, pointer, c_size_t, pointer),
    "cuMemcpyDtoHAsync_v2": (pointer, _ADDRESS, c_size_t, pointer),
    "cuMemcpyDtoDAsync_v2": (_ADDRESS, _ADDRESS, c_size_t, pointer),
    "cuMemsetD8Async": (_ADDRESS, c_ubyte, c_size_t, pointer),
    "cuModuleLoadData": (_OUT, c_char_p),
    "cuModuleUnload": (pointer,),
    "cuModuleGetFunction": (_OUT, pointer, c_char_p),
    "cuLaunchKernel": (pointer, *[c_uint] * 7, pointer, pointer, pointer),
}
"""What is called, with the types of its parameters in cuda.h."""


class CtypesDriver:
    """Implements edge.inference.driver.Driver."""

    name = NAME

    def __init__(self, library: str = LIBRARY) -> None:
        """Raises CudaError where there is no driver, or no GPU."""
        try:
            self._api = ctypes.CDLL(library)
            for name, types in _FUNCTIONS.items():
                getattr(self._api, name).argtypes = types
        except (OSError, AttributeError) as error:
            raise CudaError("library", NO_LIBRARY) from error
        self._modules: list[int] = []
        device, context = c_int(), pointer()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", byref(context), device)
        self._device, self._context = device.value, context.value

    def attribute(self, number: int) -> int:
        value = c_int()
        self._call("cuDeviceGetAttribute", byref(value), number, self._device)
        return value.value

    def enter(self) -> None:
        self._call("cuCtxSetCurrent", self._context)

    def close(self) -> None:
        with suppress(DeviceError):
            self.enter()
        for module in self._modules:
            with suppress(DeviceError):
                self._call("cuModuleUnload", module)
        with suppress(DeviceError):
            self._call("cuDevicePrimaryCtxRelease_v2", self._device)

    def stream(self) -> int:
        return self._made("cuStreamCreate", NON_BLOCKING)

    def drop_stream(self, stream: int) -> None:
        self._call("cuStreamDestroy_v2", stream)

    def wait(self, stream: int) -> None:
        self._call("cuStreamSynchronize", stream)

    def event(self) -> int:
        return self._made("cuEventCreate", 0)

    def drop_event(self, event: int) -> None:
        self._call("cuEventDestroy_v2", event)

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", event, stream)

    def follow(self, stream: int, event: int) -> None:
        self._call("cuStreamWaitEvent", stream, event, 0)

    def wait_event(self, event: int) -> None:
        self._call("cuEventSynchronize", event)

    def milliseconds(self, start: int, end: int) -> float:
        elapsed = c_float()
        self._call("cuEventElapsedTime", byref(elapsed), start, end)
        return elapsed.value

    def allocate(self, size: int) -> int:
        address = _ADDRESS()
        self._call("cuMemAlloc_v2", byref(address), size)
        return address.value

    def free(self, address: int) -> None:
        self._call("cuMemFree_v2", address)

    def allocate_pinned(self, size: int) -> tuple[int, int]:
        host, address = self._made("cuMemHostAlloc", size, PORTABLE_AND_MAPPED), _ADDRESS()
        try:
            self._call("cuMemHostGetDevicePointer_v2", byref(address), host, 0)
        except CudaError:
            self.free_pinned(host)
            raise
        return host, address.value

    def free_pinned(self, host: int) -> None:
        self._call("cuMemFreeHost", host)

    def upload(self, address: int, host: int, size: int, stream: int) -> None:
        self._call("cuMemcpyHtoDAsync_v2", address, host, size, stream)

    def download(self, host: int, address: int, size: int, stream: int) -> None:
        self._call("cuMemcpyDtoHAsync_v2", host, address, size, stream)

    def copy(self, to: int, address: int, size: int, stream: int) -> None:
        self._call("cuMemcpyDtoDAsync_v2", to, address, size, stream)

    def clear(self, address: int, size: int, stream: int) -> None:
        self._call("cuMemsetD8Async", address, 0, size, stream)

    def load(self, image: bytes) -> int:
        module = self._made("cuModuleLoadData", image)
        self._modules.append(module)
        return module

    def function(self, module: int, name: str, parameters: Parameters) -> tuple[int, list[int]]:
        return self._made("cuModuleGetFunction", module, name.encode()), parameters.offsets

    def launch(
        self, function: tuple[int, list[int]], grid: Size3, block: Size3, packed: bytes, stream: int
    ) -> None:
        handle, offsets = function
        memory = ctypes.create_string_buffer(packed, len(packed))
        base = ctypes.addressof(memory)
        each = [base + offset for offset in offsets]
        self._call("cuLaunchKernel", handle, *grid, *block, 0, stream,
                   (pointer * len(each))(*each), None)  # fmt: skip

    def _made(self, name: str, *arguments: Any) -> int:
        """Call what puts a handle into its first argument."""
        handle = pointer()
        self._call(name, byref(handle), *arguments)
        return handle.value or 0

    def _call(self, name: str, *arguments: Any) -> None:
        if number := getattr(self._api, name)(*arguments):
            raise CudaError(name.removesuffix("_v2"), number)


class Listed(NamedTuple):
    """A GPU as the driver lists it.

    capability: major and minor. memory: bytes. version: of CUDA that the driver supports, 12080 for
    12.8.
    """

    name: str
    capability: tuple[int, int]
    memory: int
    version: int


def list_gpus(library: str = LIBRARY) -> tuple[Listed, ...]:
    """Return the GPUs that answer; none where there is no driver. Opens no context."""
    try:
        cuda = ctypes.CDLL(library)
        total, version, name = c_int(), c_int(), ctypes.create_string_buffer(256)
        if (
            cuda.cuInit(0)
            or cuda.cuDeviceGetCount(byref(total))
            or cuda.cuDriverGetVersion(byref(version))
        ):
            return ()
        found = []
        for index in range(total.value):
            device, memory, major, minor = c_int(), c_size_t(), c_int(), c_int()
            if not (
                cuda.cuDeviceGet(byref(device), index)
                or cuda.cuDeviceGetName(name, len(name), device)
                or cuda.cuDeviceTotalMem_v2(byref(memory), device)
                or cuda.cuDeviceGetAttribute(byref(major), MAJOR, device)
                or cuda.cuDeviceGetAttribute(byref(minor), MINOR, device)
            ):
                text = name.value.decode("utf-8", "replace")
                capability = major.value, minor.value
                found.append(Listed(text, capability, memory.value, version.value))
        return tuple(found)
    except (OSError, AttributeError):  # no such library, or one without these functions
        return ()


def cuda_version(number: int) -> str:
    """Return "12.8" for 12080."""
    return f"{number // 1000}.{number % 1000 // 10}"
