"""The CUDA driver through pycuda.

What pycuda makes are objects that free themselves, in the context that is on its own stack, one for
each thread. A thread that ends with something on that stack aborts the process, so the context lies
there only while something is made or freed. For all else it is current without pycuda knowing: it
has no function for that, the driver itself is asked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import import_module
from itertools import count
from typing import Any, Final

import numpy as np

from edge.inference.driver import (
    BLOCKING_SYNC,
    LIBRARY,
    NO_LIBRARY,
    NON_BLOCKING,
    PORTABLE_AND_MAPPED,
    CudaError,
    Parameters,
    Size3,
)
from edge.inference.driver_graphs import LibraryGraphs

NAME: Final = "pycuda"
MODULE: Final = "pycuda.driver"
_INVALID_VALUE: Final = 1
_INVALID_HANDLE: Final = 400
_UNKNOWN: Final = 999
"""Of CUresult: CUDA_ERROR_INVALID_VALUE and so on."""
_NUMBERS: Final = range(1, 1000)
"""All that CUresult may be."""


class PycudaDriver(LibraryGraphs):
    """Implements edge.inference.driver.Driver."""

    def __init__(self) -> None:
        """Raises ImportError where the package is not here or was built for another CUDA than the
        driver's, and CudaError where there is no driver, or no GPU."""
        try:
            self._library = ctypes.CDLL(LIBRARY)  # the one that pycuda is linked with
        except OSError as error:
            raise CudaError("library", NO_LIBRARY) from error
        self._api = import_module(MODULE)
        self._library.cuCtxSetCurrent.argtypes = [ctypes.c_void_p]
        # What all its ways to launch end in; those that begin without an underscore call
        # cuFuncSetBlockShape first, which is deprecated and not safe among threads.
        self._launch = self._api.Function._launch_kernel
        self.name = f"{NAME} {import_module(NAME).VERSION_TEXT}"
        self._streams: dict[int, Any] = {}
        self._events: dict[int, Any] = {}
        self._event_numbers = count(1)
        self._memory: dict[int, Any] = {}
        self._pinned: dict[int, Any] = {}
        self._modules: list[Any] = []
        self._call(self._api.init, 0)
        self._device = self._call(self._api.Device, 0)
        # Not among pycuda's functions. A refusal is no reason to stop: as CallingDriver._retain.
        self._library.cuDevicePrimaryCtxSetFlags_v2(0, BLOCKING_SYNC)
        self._context = self._call(self._device.retain_primary_context)
        self._handle = self._context.handle
        # When Python ends, what was not closed must stay: a context that was never detached
        # detaches itself as if it were not the primary one.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

    def attribute(self, number: int) -> int:
        kind = self._api.device_attribute.values[number]
        return int(self._call(self._device.get_attribute, kind))

    def enter(self) -> None:
        if number := self._library.cuCtxSetCurrent(self._handle):
            raise CudaError("cuCtxSetCurrent", number)

    def close(self) -> None:
        try:
            self._context.push()
        except self._api.Error:
            return
        # What frees itself only writes to stderr where a lost device refuses it.
        for things in (self._streams, self._events, self._memory, self._pinned, self._modules):
            things.clear()
        with suppress(self._api.Error):
            # Takes the context off pycuda's stack, but not off the driver's.
            self._context.detach()
        self._library.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(self))

    def stream(self) -> int:
        with self._current():
            stream = self._call(self._api.Stream, NON_BLOCKING)
        self._streams[stream.handle] = stream
        return int(stream.handle)

    def drop_stream(self, stream: int) -> None:
        with self._current():
            _take(self._streams, stream, "cuStreamDestroy")

    def done(self, stream: int) -> bool:
        return bool(self._call(self._stream(stream).is_done))

    def event(self) -> int:
        with self._current():
            event = self._call(self._api.Event, 0)
        number = next(self._event_numbers)  # pycuda does not give its handle away
        self._events[number] = event
        return number

    def drop_event(self, event: int) -> None:
        with self._current():
            _take(self._events, event, "cuEventDestroy")

    def record(self, event: int, stream: int) -> None:
        self._call(self._event(event).record, self._stream(stream))

    def follow(self, stream: int, event: int) -> None:
        self._call(self._stream(stream).wait_for_event, self._event(event))

    def happened(self, event: int) -> bool:
        return bool(self._call(self._event(event).query))

    def milliseconds(self, start: int, end: int) -> float:
        return float(self._call(self._event(start).time_till, self._event(end)))

    def allocate(self, size: int) -> int:
        with self._current():
            memory = self._call(self._api.mem_alloc, size)
        self._memory[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        with self._current():
            _take(self._memory, address, "cuMemFree")

    def allocate_pinned(self, size: int) -> tuple[int, int]:
        with self._current():
            memory = self._call(
                self._api.pagelocked_empty, size, np.uint8, "C", PORTABLE_AND_MAPPED
            )
            try:
                address = int(self._call(memory.base.get_device_pointer))
            except CudaError:
                memory.base.free()
                raise
        host = int(memory.ctypes.data)
        self._pinned[host] = memory
        return host, address

    def free_pinned(self, host: int) -> None:
        with self._current():
            _take(self._pinned, host, "cuMemFreeHost")

    def upload(self, address: int, host: int, size: int, stream: int) -> None:
        self._call(
            self._api.memcpy_htod_async, address, _bytes_at(host, size), self._stream(stream)
        )

    def download(self, host: int, address: int, size: int, stream: int) -> None:
        self._call(
            self._api.memcpy_dtoh_async, _bytes_at(host, size), address, self._stream(stream)
        )

    def copy(self, to: int, address: int, size: int, stream: int) -> None:
        self._call(self._api.memcpy_dtod_async, to, address, size, self._stream(stream))

    def clear(self, address: int, size: int, stream: int) -> None:
        self._call(self._api.memset_d8_async, address, 0, size, self._stream(stream))

    def load(self, image: bytes) -> Any:
        with self._current():
            module = self._call(self._api.module_from_buffer, image)
        self._modules.append(module)
        return module

    def function(self, module: Any, name: str, parameters: Parameters) -> Any:
        return self._call(module.get_function, name)

    def launch(self, function: Any, grid: Size3, block: Size3, packed: bytes, stream: int) -> None:
        self._call(self._launch, function, grid, block, packed, 0, self._stream(stream))

    @contextmanager
    def _current(self) -> Iterator[None]:
        """The context on pycuda's stack of this thread, for as long as it takes."""
        self._call(self._context.push)
        try:
            yield
        finally:
            self._call(self._api.Context.pop)

    def _stream(self, number: int) -> Any:
        try:
            return self._streams[number] if number else None
        except KeyError:
            raise CudaError("stream", _INVALID_HANDLE) from None

    def _event(self, number: int) -> Any:
        try:
            return self._events[number]
        except KeyError:
            raise CudaError("event", _INVALID_HANDLE) from None

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._api.Error as error:
            raise self._refused(str(error)) from error

    def _refused(self, text: str) -> CudaError:
        """Return the error for a message of pycuda, which has the driver's words for a number, but
        not the number."""
        function, _, words = text.partition(" failed: ")
        numbers = self._numbers
        number = numbers.get(words) or numbers.get(words.partition(" - ")[0]) or _UNKNOWN
        return CudaError(function, number)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """The driver's words for every number."""
        found: dict[str, int] = {}
        words = ctypes.c_char_p()
        for number in _NUMBERS:
            if not self._library.cuGetErrorString(number, ctypes.byref(words)) and words.value:
                found.setdefault(words.value.decode("utf-8", "replace"), number)
        return found


def _take(things: dict[int, Any], number: int, function: str) -> None:
    """Let go of what frees itself."""
    if things.pop(number, None) is None:
        raise CudaError(function, _INVALID_VALUE)


def _bytes_at(address: int, size: int) -> Any:
    return (ctypes.c_uint8 * size).from_address(address)
