"""Engines of TensorRT, and of TensorRT for RTX, behind the Engine interface.

One stream and one set of buffers an engine, and one CUDA graph where all shapes are fixed. The plan
has to come from manifest.read_vouched: deserialising runs what is in it.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np

from edge.errors import InferenceError, ModelError
from edge.inference.bound import CudaMemory, Memory, Slot, tensor_bytes
from edge.inference.cuda import Cuda, left_behind
from edge.inference.engine import DeviceTensor, Tensors, TensorSpec
from edge.inference.onnx import finite
from edge.inference.run_graph import Output, RunGraph


class TensorRtEngine:
    """A serialised engine on the first GPU. Implements edge.inference.engine.Engine.

    Inputs come from the host (`run`) or lie in the GPU's memory already (`run_device`). TensorRT is
    told an address or a shape only where it is another than before, and nothing is allocated for a
    size that has come already.

    Where no axis is free, all that the first run queues from TensorRT's part to the downloads is
    recorded after it, and replayed from then on. Inputs are brought to the engine's own memory
    before that, by the host or by a copy within the GPU: one graph then serves whoever calls, for
    as long as the engine lasts, and TensorRT's context stays as it was when it was recorded.
    """

    def __init__(
        self,
        plan: bytes,
        name: str,
        *,
        flavour: str,
        metadata: Mapping[str, str] | None = None,
        memory: Memory | None = None,
        graph: bool = True,
    ) -> None:
        """Deserialise a plan. flavour: tensorrt or tensorrt_rtx, whichever built it. metadata: of
        the ONNX file that it was built from. memory: where the tensors lie; it belongs to the
        engine from then on. None for the GPU's, with a stream of its own. graph: whether runs may
        be recorded and replayed.

        Raises ModelError where there is no GPU, no such TensorRT, or the plan is for another GPU,
        driver or version.
        """
        self.name = name
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        memory = CudaMemory(Cuda()) if memory is None else memory
        self._parts = _Parts(memory)
        # Whoever drops the engine drops its memory as well, and TensorRT's part has to be gone
        # first.
        self._finalizer = weakref.finalize(self, self._parts.close)
        self._finalizer.atexit = False  # a stuck thread may still be in it
        try:
            trt = import_module(flavour)
        except ImportError as error:
            self.close()
            raise ModelError(
                f"{name}: {flavour} is not installed. Install it, or set runtime.device to cpu."
            ) from error
        try:
            memory.enter()
            self._parts.open(trt, plan, name, flavour)
        except BaseException:
            self.close()
            raise
        engine = self._parts.engine
        names = [engine.get_tensor_name(at) for at in range(engine.num_io_tensors)]
        reads = trt.TensorIOMode.INPUT
        self._types = {n: np.dtype(trt.nptype(engine.get_tensor_dtype(n))) for n in names}
        self.inputs = tuple(n for n in names if engine.get_tensor_mode(n) == reads)
        self.outputs = tuple(n for n in names if engine.get_tensor_mode(n) != reads)
        self.input_specs = tuple(self._spec(engine, n) for n in self.inputs)
        self.output_specs = tuple(self._spec(engine, n) for n in self.outputs)
        self._slots: dict[str, Slot] = {n: memory.slot() for n in names}
        specs = (*self.input_specs, *self.output_specs)
        if graph and isinstance(memory, CudaMemory) and all(None not in s.shape for s in specs):
            self._parts.graph = RunGraph(memory, name)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def run(self, feeds: Tensors) -> Tensors:
        """Run once. Raises InferenceError when it fails or an output is not finite."""
        self._parts.memory.enter()
        places = {}
        for name in self.inputs:
            value = np.asarray(feeds[name])
            self._expect(name, value.dtype, value.shape)
            slot = self._slots[name]
            slot.reserve(max(1, value.nbytes))
            np.copyto(slot.view(value.shape, value.dtype), value)
            slot.send(value.nbytes)
            places[name] = slot.address
        return self._execute(places)

    def run_device(self, feeds: Mapping[str, DeviceTensor], *, after: int = 0) -> Tensors:
        """Run once on inputs in the GPU's memory. Raises as `run`.

        after: an event that happens when they are complete; 0 where that is so already, or queued
        on this engine's stream.
        """
        memory = self._parts.memory
        memory.enter()
        if after:
            memory.follow(after)
        places = {}
        for name in self.inputs:
            tensor, slot = feeds[name], self._slots[name]
            self._expect(name, tensor.dtype, tensor.shape)
            places[name] = tensor.address
            if self.graph is not None:
                size = tensor_bytes(tensor.shape, tensor.dtype)
                slot.reserve(max(1, size))
                memory.copy(slot.address, tensor.address, size)
                places[name] = slot.address
        return self._execute(places)

    def close(self) -> None:
        """Give engine, graph, memory and stream back."""
        self._finalizer()

    @property
    def graph(self) -> RunGraph | None:
        """What replays runs; None where an axis is free, and where that cannot be done."""
        graph = self._parts.graph
        return None if graph is None or graph.given_up else graph

    def _execute(self, inputs: Mapping[str, int]) -> Tensors:
        """Run on inputs that lie at these addresses, or are going to by then."""
        memory, context, graph = self._parts.memory, self._parts.context, self.graph
        if graph is not None and (recorded := graph.holds(inputs)) is not None:
            graph.replay()
            return self._results(recorded)
        outputs = []
        for name in self.outputs:
            shape, slot = tuple(context.get_tensor_shape(name)), self._slots[name]
            if min(shape, default=0) < 0:
                raise InferenceError(f"model {self.name}: the size of output {name} is not known")
            outputs.append(Output(slot, shape, self._types[name]))
            slot.reserve(max(1, outputs[-1].size))
            self._set_address(name, slot.address)
        for name, address in inputs.items():
            self._set_address(name, address)

        def queue() -> None:
            if not context.execute_async_v3(memory.stream):
                raise InferenceError(f"model {self.name} failed on the GPU")
            for output in outputs:
                output.slot.fetch(output.size)

        queue()
        memory.wait()
        results = self._results(outputs)
        if graph is not None:
            graph.record(inputs, queue, outputs, list(results.values()), self._capturable)
        return results

    def _capturable(self) -> bool:
        """TensorRT for RTX says of an engine whether it runs without allocating memory."""
        ask = getattr(self._parts.context, "is_stream_capturable", None)
        return ask is None or bool(ask(self._parts.memory.stream))

    def _results(self, outputs: list[Output]) -> Tensors:
        found = zip(self.outputs, outputs, strict=True)
        return finite(self.name, {name: output.read() for name, output in found})

    def _expect(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        if dtype != self._types[name]:
            raise InferenceError(
                f"model {self.name}: input {name} is {dtype}, expected {self._types[name]}"
            )
        if self._shapes.get(name) == shape:
            return
        self._shapes.pop(name, None)
        if not self._parts.context.set_input_shape(name, shape):
            raise InferenceError(
                f"model {self.name}: input {name} of shape {shape} is beyond what the engine "
                "was built for"
            )
        self._shapes[name] = shape

    def _set_address(self, name: str, address: int) -> None:
        if self._addresses.get(name) != address:
            self._parts.context.set_tensor_address(name, address)
            self._addresses[name] = address

    def _spec(self, engine: Any, name: str) -> TensorSpec:
        shape = tuple(None if s < 0 else int(s) for s in engine.get_tensor_shape(name))
        return TensorSpec(name, self._types[name], shape)


class _Parts:
    """What has to be dropped in order: graph, context, engine, runtime, memory."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.graph: RunGraph | None = None
        self.runtime: Any = None
        self.engine: Any = None
        self.context: Any = None

    def open(self, trt: Any, plan: bytes, name: str, flavour: str) -> None:
        self.runtime = trt.Runtime(trt.Logger(trt.Logger.INTERNAL_ERROR))
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise ModelError(
                f"{name}: the engine is damaged, or was built for another GPU, driver or version "
                f"of {flavour} than {trt.__version__} here. Run `privaedge export` again."
            )
        self.context = self.engine.create_execution_context()
        if self.context is None:
            raise ModelError(
                f"{name}: there is not enough GPU memory for the engine. End other programs."
            )

    def close(self) -> None:
        if left_behind((self.context, self.engine, self.runtime)):
            return
        if self.graph is not None:
            self.graph.close()
        self.context = None
        self.engine = None
        self.runtime = None
        self.memory.close()
