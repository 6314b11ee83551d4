"""The CUDA driver by itself, straight from its library: no package has to fit its version."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_size_t, c_ubyte, c_uint, c_uint64
from ctypes import c_void_p as pointer
from typing import Any, Final, NamedTuple

from edge.inference.driver import LIBRARY, MAJOR, MINOR, NO_LIBRARY, CudaError
from edge.inference.driver_calls import CallingDriver
from edge.inference.driver_graphs import LibraryGraphs

NAME: Final = "ctypes"
_ADDRESS: Final = c_uint64
_OUT: Final = POINTER(pointer)
_FUNCTIONS: Final[dict[str, tuple[Any, ...]]] = {
    "cuInit": (c_uint,),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (_OUT, c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuDevicePrimaryCtxSetFlags_v2": (c_int, c_uint),
    "cuCtxSetCurrent": (pointer,),
    "cuStreamCreate": (_OUT, c_uint),
    "cuStreamQuery": (pointer,),
    "cuStreamDestroy_v2": (pointer,),
    "cuStreamWaitEvent": (pointer, pointer, c_uint),
    "cuEventCreate": (_OUT, c_uint),
    "cuEventRecord": (pointer, pointer),
    "cuEventQuery": (pointer,),
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


class CtypesDriver(LibraryGraphs, CallingDriver):
    """Implements edge.inference.driver.Driver."""

    name = NAME

    def __init__(self, library: str = LIBRARY) -> None:
        """Raises CudaError where there is no driver, or no GPU."""
        super().__init__()
        self._functions: dict[str, Any] = {}
        try:
            self._library = api = ctypes.CDLL(library)
            for exported, types in _FUNCTIONS.items():
                function = getattr(api, exported)
                function.argtypes = types
                self._functions[exported.removesuffix("_v2")] = function
        except (OSError, AttributeError) as error:
            raise CudaError("library", NO_LIBRARY) from error
        device = c_int()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", byref(device), 0)
        self._device = device.value
        self._context = self._retain()

    def attribute(self, number: int) -> int:
        value = c_int()
        self._call("cuDeviceGetAttribute", byref(value), number, self._device)
        return value.value

    def milliseconds(self, start: int, end: int) -> float:
        elapsed = c_float()
        self._call("cuEventElapsedTime", byref(elapsed), start, end)
        return elapsed.value

    def _make(self, name: str, *arguments: Any) -> int:
        function = self._functions[name]
        made = pointer() if function.argtypes[0] is _OUT else _ADDRESS()
        self._call(name, byref(made), *arguments)
        return made.value or 0

    def _call(self, name: str, *arguments: Any) -> None:
        if number := self._functions[name](*arguments):
            raise CudaError(name, number)


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
