"""The few calls of the CUDA driver that engines and kernels need: memory, copies, streams, events,
modules, launches; whichever binding is beneath (edge.inference.binding).

They work in the device's primary context, which is the one that TensorRT, ONNX Runtime and FFmpeg
use.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from edge.errors import DeviceError, InferenceError, ModelError
from edge.inference.binding import Opened, on_library, open_driver
from edge.inference.driver import (
    INTEGRATED,
    MAJOR,
    MINOR,
    CudaError,
    Driver,
    Parameters,
    Size3,
)

_log = logging.getLogger(__name__)
PATIENCE_S: Final = 2.0
"""What is queued takes milliseconds. A GPU that has not done it by then hangs: nothing that it is
asked to do is going to end, nor a call that waits for it, such as one that frees memory."""
_NAP_S: Final = 50e-6
_LONGEST_NAP_S: Final = 1e-3
_HANGING: Final[set[str | None]] = set()
"""Libraries whose GPU hangs, as Cuda was given them."""

_RECORDS: Final = threading.Lock()
"""Held by the thread that records, which turns Python's collector off, and on again."""

_LEFT: Final[list[object]] = []


def left_behind(thing: object) -> bool:
    """Keep something for as long as the process lasts, if the GPU hangs: who gives back what it
    holds of the GPU's would not return. Returns whether it does."""
    if _HANGING:
        _LEFT.append(thing)
    return bool(_HANGING)


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

    Once a wait has taken PATIENCE_S, every call in this process raises DeviceError, and nothing is
    given back any more: a driver that is asked to does not return.
    """

    def __init__(self, library: str | None = None) -> None:
        """library: that answers instead of the driver's. Raises ModelError where there is no
        driver, no GPU, not the binding that was named, or the GPU hangs."""
        if library in _HANGING:
            raise ModelError("the GPU has stopped answering. Restart privaedge, or the machine.")
        opened = open_driver() if library is None else Opened(on_library(library))
        driver = opened.driver
        self._driver: Driver = driver
        self._library = library
        self.binding = driver.name
        self.passed_over = opened.passed_over
        self.allocations = 0
        self._modules: dict[bytes, Any] = {}
        # Others may hold the primary context as well; with the last of them it is destroyed, and
        # what a failed kernel has left of it. Streams come and go for months: modules go with it.
        self._close = weakref.finalize(self, driver.close)
        self._close.atexit = False
        try:
            self.integrated = bool(driver.attribute(INTEGRATED))
            self.target = f"sm_{driver.attribute(MAJOR)}{driver.attribute(MINOR)}"
        except CudaError as error:
            raise ModelError(f"the GPU does not say what it is: {error}. Restart it.") from error

    def enter(self) -> None:
        """Make the GPU this thread's. Raises DeviceError."""
        if self._library in _HANGING:
            self._give_up()
        self._driver.enter()

    def stream(self) -> int:
        """Return the handle of a new stream, which does not wait for the default one."""
        return self._driver.stream()

    def wait(self, stream: int) -> None:
        """Wait until all that was queued on a stream is done; other Python threads run.

        Raises what failed in it, and DeviceError where the GPU hangs.
        """
        self._wait(lambda: self._driver.done(stream))

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
        """Wait until an event has happened; at once where it was never recorded. As `wait`."""
        self._wait(lambda: self._driver.happened(event))

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

    def capture(self, stream: int, queue: Callable[[], None]) -> int:
        """Return an executable graph of what `queue` queues on a stream, which is recorded and not
        done. Nothing may be waited for, allocated or freed by it in this thread, and no event of
        other streams followed; other threads work on. Raises what `queue` raises, and DeviceError;
        the stream is usable then."""
        with _no_collection():
            self._driver.begin_capture(stream)
            try:
                queue()
            except BaseException:
                with suppress(DeviceError):  # what was queued has spoilt the recording
                    self._driver.drop_graph(self._driver.end_capture(stream))
                raise
            graph = self._driver.end_capture(stream)
        try:
            return self._driver.instantiate(graph)
        finally:
            self._driver.drop_graph(graph)

    def replay(self, graph: int, stream: int) -> None:
        """Queue all that `capture` recorded."""
        self._driver.launch_graph(graph, stream)

    def drop_graph(self, graph: int) -> None:
        """Destroy what `capture` returned."""
        self._driver.drop_executable(graph)

    def _wait(self, done: Callable[[], bool]) -> None:
        """Ask again and again: no call of the driver waits for a limited time."""
        if done():
            return
        until, nap = time.monotonic() + PATIENCE_S, _NAP_S
        while True:
            time.sleep(nap)
            if done():
                return
            if time.monotonic() > until:
                _HANGING.add(self._library)
                _log.error("%s: it is not used any more", _Silent.SAID)
                self._give_up()
            nap = min(2 * nap, _LONGEST_NAP_S)

    def _give_up(self) -> NoReturn:
        self._close.detach()
        silent: Any = _Silent()
        self._driver = silent
        raise DeviceError(_Silent.SAID)


def give_back(cuda: Cuda, steps: Iterable[Callable[[], object]]) -> None:
    """Do each of the steps that give back what is held of the GPU, in order, whichever of them
    fail: of a lost device nothing can be given back."""
    for step in (cuda.enter, *steps):
        with suppress(DeviceError):
            step()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's collector from freeing the GPU's memory in a thread that records: the driver
    would refuse to, and drop the recording."""
    with _RECORDS:
        collects = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collects:
                gc.enable()


class _Silent:
    """Stands where the driver of a GPU was that hangs: every call raises, none reaches it."""

    SAID: Final = f"the GPU has not answered for {PATIENCE_S:g} s"

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def refuse(*_: Any) -> NoReturn:
            raise DeviceError(_Silent.SAID)

        return refuse
