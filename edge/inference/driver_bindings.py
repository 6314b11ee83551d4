"""The CUDA driver through cuda-bindings, NVIDIA's own, which has wheels for x86-64 and aarch64."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from edge.inference.driver import NO_LIBRARY, CudaError
from edge.inference.driver_calls import CallingDriver

NAME: Final = "cuda-bindings"
MODULE: Final = "cuda.bindings.driver"


class BindingsDriver(CallingDriver):
    """Implements edge.inference.driver.Driver."""

    def __init__(self) -> None:
        """Raises ImportError where the package is not here or cannot be loaded, and DeviceError
        where there is no driver, or no GPU."""
        super().__init__()
        self._api = import_module(MODULE)
        self.name = f"{NAME} {version(NAME)}"
        self._call("cuInit", 0)
        self._device = self._make("cuDeviceGet", 0)
        self._context = self._retain()
        kinds = self._api.CUdevice_attribute
        self._kinds = {int(kind): kind for kind in kinds}
        modes = self._api.CUstreamCaptureMode
        self._capture_mode = modes.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL

    def attribute(self, number: int) -> int:
        return int(self._make("cuDeviceGetAttribute", self._kinds[number], self._device))

    def milliseconds(self, start: int, end: int) -> float:
        return float(self._make("cuEventElapsedTime", start, end))

    def begin_capture(self, stream: int) -> None:
        self._call("cuStreamBeginCapture", stream, self._capture_mode)

    def end_capture(self, stream: int) -> int:
        return int(self._make("cuStreamEndCapture", stream))

    def drop_graph(self, graph: int) -> None:
        self._call("cuGraphDestroy", graph)

    def instantiate(self, graph: int) -> int:
        return int(self._make("cuGraphInstantiate", graph, 0))

    def launch_graph(self, executable: int, stream: int) -> None:
        self._call("cuGraphLaunch", executable, stream)

    def drop_executable(self, executable: int) -> None:
        self._call("cuGraphExecDestroy", executable)

    def _call(self, name: str, *arguments: Any) -> None:
        self._make(name, *arguments)

    def _make(self, name: str, *arguments: Any) -> Any:
        """Call a function, and return what it returns beside its error, if anything."""
        try:
            number, *returned = getattr(self._api, name)(*arguments)
        except RuntimeError as error:  # no library of the driver, or not this function
            raise CudaError(name, NO_LIBRARY) from error
        if number:
            raise CudaError(name, int(number))
        return returned[0] if returned else None
