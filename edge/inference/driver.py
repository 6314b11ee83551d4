"""What a binding of the CUDA driver has to do for edge.inference.cuda: the seam between both.

Streams, events and memory are numbers, as TensorRT and ONNX Runtime want them. Modules and
functions are whatever the binding makes of them. All calls work in the primary context of the first
GPU, which is the one that TensorRT, ONNX Runtime and FFmpeg use, and all raise CudaError, an
InferenceError, with the driver's number where that refuses.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any, Final, Protocol

import numpy as np

from edge.errors import DeviceError
from edge.frame import ByteArray

LIBRARY: Final = "libcuda.so.1"
"""Comes with NVIDIA's driver."""
NON_BLOCKING: Final = 1
"""CU_STREAM_NON_BLOCKING: does not wait for what others queue on the default stream."""
PORTABLE_AND_MAPPED: Final = 0x01 | 0x02
"""CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP."""
BLOCKING_SYNC: Final = 0x04
"""CU_CTX_SCHED_BLOCKING_SYNC: who waits for the GPU sleeps. FFmpeg takes no primary context that is
at work with other flags than this one, and all would otherwise burn a core while they wait."""
INTEGRATED: Final = 18
"""CU_DEVICE_ATTRIBUTE_INTEGRATED: GPU and CPU share one memory, as on a Jetson."""
MAJOR: Final = 75
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR of cuda.h; the next one is the minor number."""
MINOR: Final = 76
CAPTURE_THREAD_LOCAL: Final = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: while a thread records, only that thread may not do what has
no place in a graph, such as allocating memory. In the other strict mode no thread may."""
NOT_READY: Final = 600
"""CUDA_ERROR_NOT_READY: what was asked about is still queued."""
NO_LIBRARY: Final = -1
"""In the place of a number where there is no driver, or none with the functions that are called."""

Size3 = tuple[int, int, int]


class CudaError(DeviceError):
    """The driver refused a call. number: CUresult, or NO_LIBRARY."""

    def __init__(self, function: str, number: int) -> None:
        """function: its name in NVIDIA's documentation."""
        super().__init__(f"CUDA's {function} failed with error {number}")
        self.number = number


class Parameters:
    """How a kernel's parameters lie in memory: each at a multiple of its own alignment, as the C++
    of the host and nvcc both have it."""

    def __init__(self, declared: str) -> None:
        """declared: one word a parameter, in the letters of Python's struct: P an address, i an
        int, f a float. A structure by value is the word of its members, one of the widest first
        and without padding."""
        before = "@"
        self.offsets: list[int] = []
        for word in declared.split():
            # Nothing of a type takes no room but aligns what comes before it.
            self.offsets.append(struct.calcsize(f"{before}0{word.lstrip('0123456789')[0]}"))
            before += word
        self.pack = struct.Struct(before).pack
        """Takes the members of all parameters, one after the other."""


class Driver(Protocol):
    """One binding at work on the first GPU. Made, it holds the primary context."""

    @property
    def name(self) -> str:
        """The binding and its version, for people."""

    def attribute(self, number: int) -> int:
        """Return a CU_DEVICE_ATTRIBUTE of the GPU."""

    def enter(self) -> None:
        """Make the primary context current in this thread."""

    def close(self) -> None:
        """Unload all modules and let go of the context, in whatever thread, once. Raises nothing:
        what fails on a lost device is lost with it."""

    def stream(self) -> int:
        """Return a new stream, NON_BLOCKING."""

    def drop_stream(self, stream: int) -> None:
        """Destroy a stream; what is queued on it is still done."""

    def done(self, stream: int) -> bool:
        """Return whether all that was queued on a stream is done. Raises what failed in it."""

    def event(self) -> int:
        """Return a new event, which keeps times."""

    def drop_event(self, event: int) -> None:
        """Destroy an event."""

    def record(self, event: int, stream: int) -> None:
        """Let an event happen when all that is queued on a stream by now is done."""

    def follow(self, stream: int, event: int) -> None:
        """Let what is queued on a stream from now on wait for an event."""

    def happened(self, event: int) -> bool:
        """Return whether an event has happened; it has where it was never recorded."""

    def milliseconds(self, start: int, end: int) -> float:
        """Return the time between two events that have happened."""

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes of the GPU's memory."""

    def free(self, address: int) -> None:
        """Give back what `allocate` returned."""

    def allocate_pinned(self, size: int) -> tuple[int, int]:
        """Return the host's and the GPU's address of `size` bytes, PORTABLE_AND_MAPPED."""

    def free_pinned(self, host: int) -> None:
        """Give back what `allocate_pinned` returned."""

    def upload(self, address: int, host: int, size: int, stream: int) -> None:
        """Queue a copy of page-locked memory to the GPU."""

    def download(self, host: int, address: int, size: int, stream: int) -> None:
        """Queue a copy from the GPU to page-locked memory."""

    def copy(self, to: int, address: int, size: int, stream: int) -> None:
        """Queue a copy within the GPU's memory."""

    def clear(self, address: int, size: int, stream: int) -> None:
        """Queue setting `size` bytes to zero."""

    def load(self, image: bytes) -> Any:
        """Return the module of a cubin or fatbin, loaded until `close`."""

    def function(self, module: Any, name: str, parameters: Parameters) -> Any:
        """Return a kernel of a module."""

    def launch(self, function: Any, grid: Size3, block: Size3, packed: bytes, stream: int) -> None:
        """Queue a kernel. packed: what its Parameters.pack made."""

    def begin_capture(self, stream: int) -> None:
        """Record what is queued on a stream from now on, instead of doing it, in the mode
        CAPTURE_THREAD_LOCAL."""

    def end_capture(self, stream: int) -> int:
        """Return what was recorded, as a graph, in the thread that began. Whatever is raised, the
        stream does again what is queued on it."""

    def drop_graph(self, graph: int) -> None:
        """Destroy a graph; what was instantiated of it stays."""

    def instantiate(self, graph: int) -> int:
        """Return an executable graph."""

    def launch_graph(self, executable: int, stream: int) -> None:
        """Queue all of an executable graph on a stream."""

    def drop_executable(self, executable: int) -> None:
        """Destroy an executable graph, which is still done where it is queued."""


def host_bytes(address: int, size: int) -> ByteArray:
    """Return memory of this process as an array, (size,), that does not keep it alive."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
