"""The few calls of the CUDA driver that engines and kernels need: memory, copies, streams, events,
modules, launches.

Straight from libcuda, which comes with the driver: no package has to fit its version. They work in
the device's primary context, which is the one that TensorRT, ONNX Runtime and FFmpeg use.
"""

from __future__ import annotations

import ctypes
import hashlib
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import DeviceError, ModelError

_NON_BLOCKING: Final = 1
"""CU_STREAM_NON_BLOCKING: does not wait for what others queue on the default stream."""
_PORTABLE_AND_MAPPED: Final = 0x01 | 0x02
"""CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP."""
_INTEGRATED: Final = 18
"""CU_DEVICE_ATTRIBUTE_INTEGRATED: GPU and CPU share one memory, as on a Jetson."""
_MAJOR: Final = 75
_MINOR: Final = 76
LIBRARY: Final = "libcuda.so.1"

Size3 = tuple[int, int, int]


class Cuda:
    """The first GPU. Calls may come from any thread; `enter` goes before them.

    integrated: whether it works on the host's own memory. target: sm_87 for compute capability
    8.7. allocations: how many pieces of memory were asked for so far through this object.
    """

    def __init__(self, library: str = LIBRARY) -> None:
        """library: the driver's. Raises ModelError where there is no driver, or no GPU."""
        self._context = ctypes.c_void_p()
        self.allocations = 0
        self._modules: dict[bytes, ctypes.c_void_p] = {}
        device = ctypes.c_int()
        integrated, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        try:
            self._api = ctypes.CDLL(library)
            ask = self._api.cuDeviceGetAttribute
            failed = (
                self._api.cuInit(0)
                or self._api.cuDeviceGet(ctypes.byref(device), 0)
                or self._api.cuDevicePrimaryCtxRetain(ctypes.byref(self._context), device)
                or ask(ctypes.byref(integrated), _INTEGRATED, device)
                or ask(ctypes.byref(major), _MAJOR, device)
                or ask(ctypes.byref(minor), _MINOR, device)
            )
        except (OSError, AttributeError):
            failed = -1
        if failed:
            raise ModelError(
                f"no NVIDIA GPU answers (CUDA error {failed}). Install its driver, or set "
                "runtime.device to cpu."
            )
        # Others may hold the primary context as well; with the last of them it is destroyed, and
        # what a failed kernel has left of it. Streams come and go for months: modules go with it.
        release = weakref.finalize(self, _release, self._api, self._context, device, self._modules)
        release.atexit = False
        self.integrated = bool(integrated.value)
        self.target = f"sm_{major.value}{minor.value}"

    def enter(self) -> None:
        """Make the GPU this thread's. Raises DeviceError."""
        self.call("cuCtxSetCurrent", self._context)

    def call(self, name: str, *arguments: Any) -> None:
        """Call one function of the driver. Raises DeviceError, an InferenceError, with its
        number."""
        if code := getattr(self._api, name)(*arguments):
            raise DeviceError(f"CUDA's {name} failed with error {code}")

    def stream(self) -> int:
        """Return the handle of a new stream."""
        handle = ctypes.c_void_p()
        self.call("cuStreamCreate", ctypes.byref(handle), ctypes.c_uint(_NON_BLOCKING))
        return int(handle.value or 0)

    def wait(self, stream: int) -> None:
        """Wait until all that was queued on a stream is done. Raises what failed in it."""
        self.call("cuStreamSynchronize", ctypes.c_void_p(stream))

    def drop_stream(self, stream: int) -> None:
        """Destroy a stream; what is queued on it is still done."""
        self.call("cuStreamDestroy_v2", ctypes.c_void_p(stream))

    def drop_event(self, event: int) -> None:
        """Destroy an event."""
        self.call("cuEventDestroy_v2", ctypes.c_void_p(event))

    def event(self) -> int:
        """Return the handle of a new event, which keeps times."""
        handle = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(handle), ctypes.c_uint(0))
        return int(handle.value or 0)

    def record(self, event: int, stream: int) -> None:
        """Let an event happen when all that is queued on a stream by now is done."""
        self.call("cuEventRecord", ctypes.c_void_p(event), ctypes.c_void_p(stream))

    def follow(self, stream: int, event: int) -> None:
        """Let what is queued on a stream from now on wait for an event; the host does not wait."""
        self.call("cuStreamWaitEvent", ctypes.c_void_p(stream), ctypes.c_void_p(event),
                  ctypes.c_uint(0))  # fmt: skip

    def wait_event(self, event: int) -> None:
        """Wait until an event has happened; at once where it was never recorded."""
        self.call("cuEventSynchronize", ctypes.c_void_p(event))

    def milliseconds(self, start: int, end: int) -> float:
        """Return the GPU's time between two events that have happened."""
        elapsed = ctypes.c_float()
        self.call("cuEventElapsedTime", ctypes.byref(elapsed), ctypes.c_void_p(start),
                  ctypes.c_void_p(end))  # fmt: skip
        return float(elapsed.value)

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes of the GPU's memory."""
        address = ctypes.c_uint64()
        self.allocations += 1
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return int(address.value)

    def free(self, address: int) -> None:
        """Give back what `allocate` returned."""
        self.call("cuMemFree_v2", ctypes.c_uint64(address))

    def allocate_pinned(self, size: int) -> tuple[int, int]:
        """Return the host's and the GPU's address of the same `size` page-locked bytes."""
        host, address = ctypes.c_void_p(), ctypes.c_uint64()
        self.allocations += 1
        self.call("cuMemHostAlloc", ctypes.byref(host), ctypes.c_size_t(size),
                  ctypes.c_uint(_PORTABLE_AND_MAPPED))  # fmt: skip
        self.call("cuMemHostGetDevicePointer_v2", ctypes.byref(address), host, ctypes.c_uint(0))
        return int(host.value or 0), int(address.value)

    def free_pinned(self, host: int) -> None:
        """Give back what `allocate_pinned` returned."""
        self.call("cuMemFreeHost", ctypes.c_void_p(host))

    def upload(self, address: int, host: int, size: int, stream: int) -> None:
        """Queue a copy of page-locked memory to the GPU."""
        self.call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), ctypes.c_void_p(host),
                  ctypes.c_size_t(size), ctypes.c_void_p(stream))  # fmt: skip

    def download(self, host: int, address: int, size: int, stream: int) -> None:
        """Queue a copy from the GPU to page-locked memory."""
        self.call("cuMemcpyDtoHAsync_v2", ctypes.c_void_p(host), ctypes.c_uint64(address),
                  ctypes.c_size_t(size), ctypes.c_void_p(stream))  # fmt: skip

    def copy(self, to: int, address: int, size: int, stream: int) -> None:
        """Queue a copy within the GPU's memory."""
        self.call("cuMemcpyDtoDAsync_v2", ctypes.c_uint64(to), ctypes.c_uint64(address),
                  ctypes.c_size_t(size), ctypes.c_void_p(stream))  # fmt: skip

    def clear(self, address: int, size: int, stream: int) -> None:
        """Queue setting `size` bytes to zero."""
        self.call("cuMemsetD8Async", ctypes.c_uint64(address), ctypes.c_ubyte(0),
                  ctypes.c_size_t(size), ctypes.c_void_p(stream))  # fmt: skip

    def kernels(self, data: bytes, names: Sequence[str]) -> dict[str, int]:
        """Load a cubin or fatbin, once and for as long as the process lives, and return its
        kernels' handles. It is code: it has to come from manifest.read_vouched. Raises
        InferenceError."""
        key = hashlib.sha256(data).digest()
        module = self._modules.get(key)
        if module is None:
            module = ctypes.c_void_p()
            self.call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(data))
            self._modules[key] = module
        found = {}
        for name in names:
            handle = ctypes.c_void_p()
            self.call("cuModuleGetFunction", ctypes.byref(handle), module, name.encode())
            found[name] = int(handle.value or 0)
        return found

    def launch(
        self, kernel: int, grid: Size3, block: Size3, arguments: Sequence[Any], stream: int
    ) -> None:
        """Queue a kernel. arguments: ctypes values, of the types that the kernel declares."""
        addresses = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        self.call("cuLaunchKernel", ctypes.c_void_p(kernel), *map(ctypes.c_uint, grid),
                  *map(ctypes.c_uint, block), ctypes.c_uint(0), ctypes.c_void_p(stream), addresses,
                  None)  # fmt: skip


def _release(
    api: ctypes.CDLL,
    context: ctypes.c_void_p,
    device: ctypes.c_int,
    modules: dict[bytes, ctypes.c_void_p],
) -> None:
    """Let go of the primary context. What fails on a lost device is lost with it."""
    with suppress(AttributeError):
        api.cuCtxSetCurrent(context)
        for module in modules.values():
            api.cuModuleUnload(module)
        api.cuDevicePrimaryCtxRelease_v2(device)


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
