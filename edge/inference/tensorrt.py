"""Engines of TensorRT, and of TensorRT for RTX, behind the Engine interface.

One stream and one set of buffers an engine; inputs and outputs go through page-locked memory. The
plan has to come from manifest.read_vouched: deserialising runs what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np

from edge.errors import InferenceError, ModelError
from edge.inference.cuda import Buffer, Cuda
from edge.inference.engine import Tensors, TensorSpec


class TensorRtEngine:
    """A serialised engine on the first GPU. Implements edge.inference.engine.Engine."""

    def __init__(
        self, plan: bytes, name: str, *, flavour: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Deserialise a plan. flavour: tensorrt or tensorrt_rtx, whichever built it. metadata: of
        the ONNX file that it was built from.

        Raises ModelError where there is no GPU, no such TensorRT, or the plan is for another GPU,
        driver or version.
        """
        self.name = name
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self._cuda = Cuda()
        try:
            trt = import_module(flavour)
        except ImportError as error:
            raise ModelError(
                f"{name}: {flavour} is not installed. Install it, or set runtime.device to cpu."
            ) from error
        self._cuda.enter()
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.INTERNAL_ERROR))
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise ModelError(
                f"{name}: the engine is damaged, or was built for another GPU, driver or version "
                f"of {flavour} than {trt.__version__} here. Run `privaedge export` again."
            )
        self._engine = engine
        self._context = engine.create_execution_context()
        if self._context is None:
            raise ModelError(
                f"{name}: there is not enough GPU memory for the engine. End other programs."
            )
        names = [engine.get_tensor_name(at) for at in range(engine.num_io_tensors)]
        reads = trt.TensorIOMode.INPUT
        self._types = {n: np.dtype(trt.nptype(engine.get_tensor_dtype(n))) for n in names}
        self.inputs = tuple(n for n in names if engine.get_tensor_mode(n) == reads)
        self.outputs = tuple(n for n in names if engine.get_tensor_mode(n) != reads)
        self.input_specs = tuple(self._spec(n) for n in self.inputs)
        self.output_specs = tuple(self._spec(n) for n in self.outputs)
        self._buffers = {n: Buffer(self._cuda) for n in names}
        self._stream = self._cuda.stream()

    def run(self, feeds: Tensors) -> Tensors:
        """Run once. Raises InferenceError when it fails or an output is not finite."""
        self._cuda.enter()
        for name in self.inputs:
            self._feed(name, np.asarray(feeds[name]))
        shapes = {name: tuple(self._context.get_tensor_shape(name)) for name in self.outputs}
        for name, shape in shapes.items():
            if min(shape, default=0) < 0:
                raise InferenceError(f"model {self.name}: the size of output {name} is not known")
            size = int(np.prod(shape, dtype=np.int64)) * self._types[name].itemsize
            self._buffers[name].reserve(max(1, size))
            self._context.set_tensor_address(name, int(self._buffers[name].device.value))
        if not self._context.execute_async_v3(self._stream):
            raise InferenceError(f"model {self.name} failed on the GPU")
        for name, shape in shapes.items():
            size = int(np.prod(shape, dtype=np.int64)) * self._types[name].itemsize
            self._buffers[name].download(size, self._stream)
        self._cuda.wait(self._stream)
        results = {}
        for name, shape in shapes.items():
            value = self._buffers[name].host(shape, self._types[name]).copy()
            if not np.isfinite(value).all():
                raise InferenceError(f"model {self.name} gave NaN or infinity in output {name}")
            results[name] = value
        return results

    def _feed(self, name: str, value: Any) -> None:
        if value.dtype != self._types[name]:
            raise InferenceError(
                f"model {self.name}: input {name} is {value.dtype}, expected {self._types[name]}"
            )
        if not self._context.set_input_shape(name, value.shape):
            raise InferenceError(
                f"model {self.name}: input {name} of shape {value.shape} is beyond what the engine "
                "was built for"
            )
        buffer = self._buffers[name]
        buffer.reserve(max(1, value.nbytes))
        np.copyto(buffer.host(value.shape, self._types[name]), value)
        buffer.upload(value.nbytes, self._stream)
        self._context.set_tensor_address(name, int(buffer.device.value))

    def _spec(self, name: str) -> TensorSpec:
        shape = tuple(None if s < 0 else int(s) for s in self._engine.get_tensor_shape(name))
        return TensorSpec(name, self._types[name], shape)
