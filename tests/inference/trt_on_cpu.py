"""As much of TensorRT's Python module as tensorrt.py calls, over ONNX Runtime and a device that is
this machine's memory: a "plan" is an ONNX file.

TensorRT itself does not start without a GPU. What this holds it to is what its documentation says
of addresses, shapes and the order of calls; whoever breaks that gets an error or wrong numbers. A
run is queued on its stream, with the addresses and shapes of that moment: where the stream is
recorded, it is done when that is replayed, on what lies at those addresses then.
"""

from __future__ import annotations

import ctypes
import enum
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.errors import ModelError
from edge.inference.bound import CudaMemory
from edge.inference.onnx import OnnxEngine
from edge.inference.tensorrt import TensorRtEngine
from tests.redact.emulator import Device, emulated, separate

LARGEST = 1024
"""Longest side that a "profile" allows."""


class TensorIOMode(enum.Enum):
    INPUT = 0
    OUTPUT = 1


Work = Callable[[], None]
_HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Context:
    def __init__(self, model: OnnxEngine, api: ctypes.CDLL) -> None:
        """api: the driver that streams are of."""
        self._model = model
        self.api = api
        self._queued: list[Any] = []  # what may be replayed has to stay
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._results: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self.told = 0
        """Calls that changed a shape or an address."""
        self.runs = 0
        """That were queued, or recorded."""

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        (sides,) = (spec.shape for spec in self._model.input_specs if spec.name == name)
        wrong = any(a is not None and a != b for a, b in zip(sides, shape, strict=True))
        if wrong or max(shape) > LARGEST:
            return False
        self.told += 1
        self._shapes[name] = tuple(shape)
        self._results.clear()
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if not self._results:
            types = {spec.name: spec.dtype for spec in self._model.input_specs}
            zeros = {n: np.zeros(s, types[n]) for n, s in self._shapes.items()}
            values = self._model._session.run(self._model.outputs, zeros)
            self._results = dict(zip(self._model.outputs, (v.shape for v in values), strict=True))
        return self._results[name]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.told += 1
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream, "the default stream"
        self.runs += 1
        return self.queue(stream, self.work())

    def work(self) -> Work:
        """Return what a run does that is queued now."""
        shapes, addresses = dict(self._shapes), dict(self._addresses)

        def work() -> None:
            feeds = {
                spec.name: memory(addresses[spec.name], shapes[spec.name], spec.dtype).copy()
                for spec in self._model.input_specs
            }
            values = self._model._session.run(self._model.outputs, feeds)  # NaN and all
            for name, value in zip(self._model.outputs, values, strict=True):
                memory(addresses[name], value.shape, value.dtype)[...] = value

        return work

    def queue(self, stream: int, work: Work) -> bool:
        function = _HOST_FUNCTION(lambda _: work())
        self._queued.append(function)
        return not self.api.cuLaunchHostFunc(ctypes.c_void_p(stream), function, None)


def memory(address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return the device's memory as an array."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = (ctypes.c_uint8 * size).from_address(address)
    return np.frombuffer(raw, dtype).reshape(shape)


class Engine:
    def __init__(self, plan: bytes, api: ctypes.CDLL) -> None:
        self.model = OnnxEngine(plan, "plan")
        self._api = api
        self._specs = {s.name: s for s in (*self.model.input_specs, *self.model.output_specs)}
        self.contexts: list[Context] = []

    @property
    def num_io_tensors(self) -> int:
        return len(self._specs)

    def get_tensor_name(self, at: int) -> str:
        return list(self._specs)[at]

    def get_tensor_dtype(self, name: str) -> Any:
        return self._specs[name].dtype

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(-1 if side is None else side for side in self._specs[name].shape)

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.model.inputs else TensorIOMode.OUTPUT

    def create_execution_context(self) -> Context | None:
        self.contexts.append(Context(self.model, self._api))
        return self.contexts[-1]


class Logger:
    INTERNAL_ERROR = 0

    def __init__(self, level: int) -> None:
        self.level = level


class Runtime:
    def __init__(self, api: ctypes.CDLL, logger: Logger) -> None:
        self._api, self.logger = api, logger

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        try:
            return Engine(plan, self._api)
        except ModelError:
            return None


def module(api: ctypes.CDLL) -> SimpleNamespace:
    """Return the module, whose engines queue on streams of a driver."""
    return SimpleNamespace(
        Logger=Logger,
        Runtime=partial(Runtime, api),
        TensorIOMode=TensorIOMode,
        nptype=lambda dtype: dtype,
        __version__="0.0 on the CPU",
    )


@contextmanager
def installed(folder: Path, *, integrated: bool) -> Iterator[Device]:
    """TensorRT on a device, whose memory and handles have to be given back at the end."""
    device = emulated(separate(folder), integrated=integrated)
    api = device.emulator
    assert api is not None
    device.cuda.enter()
    device.cuda.kernels(device.image, {})  # stay for as long as the device does
    if api.count_live() or api.count_handles():
        gc.collect()  # what tests before this one have left, in a process that has one device
    before = api.count_live(), api.count_handles()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tensorrt", module(api))
        patch.setattr("edge.inference.run_graph._GIVEN_UP", set())
        yield device
    if (api.count_live(), api.count_handles()) != before:
        gc.collect()
    assert (api.count_live(), api.count_handles()) == before


def opened(device: Device, plan: bytes, name: str = "net", *, graph: bool = True) -> TensorRtEngine:
    """An engine on the CPU's TensorRT, with a stream of its own."""
    memory = CudaMemory(device.cuda, device_type="cpu")
    return TensorRtEngine(plan, name, flavour="tensorrt", memory=memory, graph=graph)
