"""Recording and replaying of graphs through the driver's own library: for drivers that call nothing
else, and for pycuda, which has no functions for it.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_int, c_uint64
from ctypes import c_void_p as pointer
from typing import Any, Final

from edge.inference.driver import CAPTURE_THREAD_LOCAL, NO_LIBRARY, CudaError

_OUT: Final = POINTER(pointer)
_FUNCTIONS: Final[dict[str, tuple[Any, ...]]] = {
    "cuStreamBeginCapture_v2": (pointer, c_int),
    "cuStreamEndCapture": (pointer, _OUT),
    # As cuda.h has called cuGraphInstantiate since CUDA 12; what is exported by that name is older.
    "cuGraphInstantiateWithFlags": (_OUT, pointer, c_uint64),
    "cuGraphLaunch": (pointer, pointer),
    "cuGraphExecDestroy": (pointer,),
    "cuGraphDestroy": (pointer,),
}
"""What is called, with the types of its parameters in cuda.h. All are there since CUDA 11.4."""


class LibraryGraphs:
    """A part of edge.inference.driver.Driver. Streams are the driver's own handles."""

    _library: ctypes.CDLL

    def begin_capture(self, stream: int) -> None:
        self._ask("cuStreamBeginCapture_v2", stream, CAPTURE_THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        graph = pointer()
        self._ask("cuStreamEndCapture", stream, byref(graph))
        return graph.value or 0

    def drop_graph(self, graph: int) -> None:
        self._ask("cuGraphDestroy", graph)

    def instantiate(self, graph: int) -> int:
        executable = pointer()
        self._ask("cuGraphInstantiateWithFlags", byref(executable), graph, 0)
        return executable.value or 0

    def launch_graph(self, executable: int, stream: int) -> None:
        self._ask("cuGraphLaunch", executable, stream)

    def drop_executable(self, executable: int) -> None:
        self._ask("cuGraphExecDestroy", executable)

    def _ask(self, name: str, *arguments: Any) -> None:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:  # a driver older than these functions
            raise CudaError(name, NO_LIBRARY) from error
        function.argtypes = _FUNCTIONS[name]
        if number := function(*arguments):
            raise CudaError(name.removesuffix("_v2").removesuffix("WithFlags"), number)
