"""The few calls of the CUDA driver that engines and kernels need: memory, copies, streams, events,
modules, launches; whichever binding is beneath (edge.inference.binding).

They work in the device's primary context, which is the one that TensorRT, ONNX Runtime and FFmpeg
use.
"""

from __future__ import annotations

import hashlib
import struct
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.errors import InferenceError, ModelError
from edge.inference.binding import Opened, on_library, open_driver
from edge.inference.driver import (
    INTEGRATED,
    MAJOR,
    MINOR,
    CudaError,
    Parameters,
    Size3,
)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that is loaded. function: the binding's."""

    function: Any
    parameters: Parameters


class Cuda:
    """The first GPU. Calls may come from any thread; `enter` goes before them.

    integrated: whether it works on the host's own memory. target: sm_87 for compute capability
    8.7. allocations: how many pieces of memory were asked for so far through this object. binding:
    what the driver is called through. passed_over: bindings that cannot be used, and why.
    """

    def __init__(self, library: str | None = None) -> None:
        """library: that answers instead of the driver's. Raises ModelError where there is no
        driver, no GPU, or not the binding that was named."""
        opened = open_driver() if library is None else Opened(on_library(library))
        self._driver = driver = opened.driver
        self.binding = driver.name
        self.passed_over = opened.passed_over
        self.allocations = 0
        self._modules: dict[bytes, Any] = {}
        # Others may hold the primary context as well; with the last of them it is destroyed, and
        # what a failed kernel has left of it. Streams come and go for months: modules go with it.
        weakref.finalize(self, driver.close).atexit = False
        try:
            self.integrated = bool(driver.attribute(INTEGRATED))
            self.target = f"sm_{driver.attribute(MAJOR)}{driver.attribute(MINOR)}"
        except CudaError as error:
            raise ModelError(f"the GPU does not say what it is: {error}. Restart it.") from error

    def enter(self) -> None:
        """Make the GPU this thread's. Raises DeviceError."""
        self._driver.enter()

    def stream(self) -> int:
        """Return the handle of a new stream, which does not wait for the default one."""
        return self._driver.stream()

    def wait(self, stream: int) -> None:
        """Wait until all that was queued on a stream is done. Raises what failed in it."""
        self._driver.wait(stream)

    def drop_stream(self, stream: int) -> None:
        """Destroy a stream; what is queued on it is still done."""
        self._driver.drop_stream(stream)

    def drop_event(self, event: int) -> None:
        """Destroy an event."""
        self._driver.drop_event(event)

    def event(self) -> int:
        """Return a new event, which keeps times: a number that only this object knows."""
        return self._driver.event()

    def record(self, event: int, stream: int) -> None:
        """Let an event happen when all that is queued on a stream by now is done."""
        self._driver.record(event, stream)

    def follow(self, stream: int, event: int) -> None:
        """Let what is queued on a stream from now on wait for an event; the host does not wait."""
        self._driver.follow(stream, event)

    def wait_event(self, event: int) -> None:
        """Wait until an event has happened; at once where it was never recorded."""
        self._driver.wait_event(event)

    def milliseconds(self, start: int, end: int) -> float:
        """Return the GPU's time between two events that have happened."""
        return self._driver.milliseconds(start, end)

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes of the GPU's memory."""
        self.allocations += 1
        return self._driver.allocate(size)

    def free(self, address: int) -> None:
        """Give back what `allocate` returned."""
        self._driver.free(address)

    def allocate_pinned(self, size: int) -> tuple[int, int]:
        """Return the host's and the GPU's address of the same `size` page-locked bytes."""
        self.allocations += 1
        return self._driver.allocate_pinned(size)

    def free_pinned(self, host: int) -> None:
        """Give back what `allocate_pinned` returned."""
        self._driver.free_pinned(host)

    def upload(self, address: int, host: int, size: int, stream: int) -> None:
        """Queue a copy of page-locked memory to the GPU."""
        self._driver.upload(address, host, size, stream)

    def download(self, host: int, address: int, size: int, stream: int) -> None:
        """Queue a copy from the GPU to page-locked memory."""
        self._driver.download(host, address, size, stream)

    def copy(self, to: int, address: int, size: int, stream: int) -> None:
        """Queue a copy within the GPU's memory."""
        self._driver.copy(to, address, size, stream)

    def clear(self, address: int, size: int, stream: int) -> None:
        """Queue setting `size` bytes to zero."""
        self._driver.clear(address, size, stream)

    def kernels(self, data: bytes, declared: Mapping[str, str]) -> dict[str, Kernel]:
        """Load a cubin or fatbin, once and for as long as this object lives, and return its
        kernels. It is code: it has to come from manifest.read_vouched. declared: the parameters of
        each, as Parameters takes them. Raises InferenceError."""
        key = hashlib.sha256(data).digest()
        module = self._modules.get(key)
        if module is None:
            module = self._modules[key] = self._driver.load(data)
        found = {}
        for name, words in declared.items():
            parameters = Parameters(words)
            function = self._driver.function(module, name, parameters)
            found[name] = Kernel(function, parameters)
        return found

    def launch(
        self, kernel: Kernel, grid: Size3, block: Size3, arguments: Sequence[float], stream: int
    ) -> None:
        """Queue a kernel. arguments: the members of its parameters, one after the other. Raises
        InferenceError where they do not fit, as well."""
        try:
            packed = kernel.parameters.pack(*arguments)
        except struct.error as error:
            raise InferenceError(f"a kernel takes other arguments: {error}") from error
        self._driver.launch(kernel.function, grid, block, packed, stream)
