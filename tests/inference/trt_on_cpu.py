"""As much of TensorRT's Python module as tensorrt.py calls, over ONNX Runtime and a device that is
this machine's memory: a "plan" is an ONNX file.

TensorRT itself does not start without a GPU. What this holds it to is what its documentation says
of addresses, shapes and the order of calls; whoever breaks that gets an error or wrong numbers.
"""

from __future__ import annotations

import ctypes
import enum
from types import SimpleNamespace
from typing import Any

import numpy as np

from edge.errors import ModelError
from edge.inference.onnx import OnnxEngine

LARGEST = 1024
"""Longest side that a "profile" allows."""


class TensorIOMode(enum.Enum):
    INPUT = 0
    OUTPUT = 1


class Context:
    def __init__(self, model: OnnxEngine) -> None:
        self._model = model
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._results: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self.told = 0
        """Calls that changed a shape or an address."""

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if max(shape) > LARGEST:
            return False
        self.told += 1
        self._shapes[name] = tuple(shape)
        self._results.clear()
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if not self._results:
            types = {spec.name: spec.dtype for spec in self._model.input_specs}
            zeros = {n: np.zeros(s, types[n]) for n, s in self._shapes.items()}
            self._results = {n: v.shape for n, v in self._model.run(zeros).items()}
        return self._results[name]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.told += 1
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream, "the default stream"
        feeds = {
            spec.name: self._memory(spec.name, self._shapes[spec.name], spec.dtype).copy()
            for spec in self._model.input_specs
        }
        for spec in self._model.output_specs:
            value = self._model.run(feeds)[spec.name]
            self._memory(spec.name, value.shape, value.dtype)[...] = value
        return True

    def _memory(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = (ctypes.c_uint8 * size).from_address(self._addresses[name])
        return np.frombuffer(raw, dtype).reshape(shape)


class Engine:
    def __init__(self, plan: bytes) -> None:
        self.model = OnnxEngine(plan, "plan")
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
        self.contexts.append(Context(self.model))
        return self.contexts[-1]


class Logger:
    INTERNAL_ERROR = 0

    def __init__(self, level: int) -> None:
        self.level = level


class Runtime:
    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        try:
            return Engine(plan)
        except ModelError:
            return None


module = SimpleNamespace(
    Logger=Logger,
    Runtime=Runtime,
    TensorIOMode=TensorIOMode,
    nptype=lambda dtype: dtype,
    __version__="0.0 on the CPU",
)
