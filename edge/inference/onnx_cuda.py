"""Models in ONNX Runtime on the GPU, with inputs and outputs that lie in memory of ours."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from edge.errors import InferenceError, ModelError
from edge.inference.bound import CudaMemory, Memory, Slot, tensor_bytes
from edge.inference.cuda import Cuda, left_behind
from edge.inference.engine import DeviceTensor, Tensors, TensorSpec
from edge.inference.onnx import finite, first_line, open_session, session_options, specs, stated
from edge.inference.onnx_provider import CPU, open_on_gpu

_MOST_SHAPES: Final = 256
"""Of inputs whose outputs' sizes are remembered: a line of text has one of a hundred widths."""
Shapes = tuple[tuple[int, ...], ...]


class OnnxCudaEngine:
    """An ONNX model on the first GPU. Implements edge.inference.engine.Engine.

    Inputs come from the host (`run`) or lie in the GPU's memory already (`run_device`). Nothing is
    allocated once a shape has come twice, but by ONNX Runtime where an output's size depends on
    what is in the inputs.
    """

    def __init__(
        self, model: bytes, name: str, *, memory: Memory | None = None, graph: bool = False
    ) -> None:
        """memory: where the tensors lie, and thereby what it runs on; it belongs to the engine from
        then on. None for the GPU's, with a stream of its own.

        graph: replay all kernels as one CUDA graph, where all shapes are fixed. Not for a process
        with other threads that use the GPU: while ONNX Runtime records it (at the second run), the
        driver refuses every allocation of any thread.

        Raises ModelError where the model cannot be loaded, there is no GPU, or ONNX Runtime would
        run it on the CPU instead.
        """
        self.name = name
        memory = CudaMemory(Cuda()) if memory is None else memory
        self.stream = memory.stream
        parts = self._parts = _Parts(memory)
        # Whoever drops the engine drops the stream as well, and the session has to be gone first.
        self._finalizer = weakref.finalize(self, parts.close)
        self._finalizer.atexit = False  # a stuck thread may still be in it
        try:
            memory.enter()
            self._on_gpu = memory.device_type == "cuda"
            if self._on_gpu:
                session = open_on_gpu(model, name, memory.stream, graph=graph)
            else:
                session = open_session(model, name, session_options(1), [CPU])
            parts.session = session
            self.input_specs = specs(session.get_inputs())
            self.output_specs = specs(session.get_outputs())
            self.inputs = tuple(spec.name for spec in self.input_specs)
            self.outputs = tuple(spec.name for spec in self.output_specs)
            self.metadata: Mapping[str, str] = stated(session)
            self._fixed = _fixed(self.output_specs)
            self._copies = graph
            if graph and (self._fixed is None or _fixed(self.input_specs) is None):
                raise ModelError(f"model {name} has free shapes: no CUDA graph can be made of it.")
            self._types = {spec.name: _bindable(spec, name) for spec in
                           (*self.input_specs, *self.output_specs)}  # fmt: skip
            # Bound elsewhere than where it is read, an input would be copied when it is bound, not
            # when the model runs: the model would go on with the first picture for ever.
            self._on_host = _read_by_cpu(session, self.inputs) if self._on_gpu else frozenset()
        except BaseException:
            self.close()
            raise
        parts.binding = session.io_binding()
        self._slots: dict[str, Slot] = {name: memory.slot() for name in self._types}
        self._bound: dict[str, tuple[int, tuple[int, ...]]] = {}
        self._sizes: OrderedDict[Shapes, Shapes] = OrderedDict()
        self._varies = False
        self._waiting: Shapes | Tensors | None = None
        self._busy = False
        self._quick = ort.RunOptions()
        # What is queued behind it is waited for together.
        self._quick.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def run(self, feeds: Tensors) -> Tensors:
        """Run once. Raises InferenceError when it fails or an output is not finite."""
        self.queue(feeds)
        return self.collect()

    def run_device(self, feeds: Mapping[str, DeviceTensor], *, after: int = 0) -> Tensors:
        """Run once on inputs in the GPU's memory. Raises as `run`.

        after: an event that happens when they are complete; 0 where that is so already, or queued
        on this engine's stream.
        """
        self.queue_device(feeds, after=after)
        return self.collect()

    def queue(self, feeds: Tensors) -> None:
        """Begin a run; `collect` ends it. Raises InferenceError."""
        self._begin(feeds)
        places = {}
        for name in self.inputs:
            value = np.asarray(feeds[name])
            self._expect_type(name, value.dtype)
            slot = self._slots[name]
            slot.reserve(max(1, value.nbytes))
            np.copyto(slot.view(value.shape, value.dtype), value)
            if name in self._on_host:
                places[name] = slot.host_address, value.shape
            else:
                slot.send(value.nbytes)
                places[name] = slot.address, value.shape
        self._start(places)

    def queue_device(self, feeds: Mapping[str, DeviceTensor], *, after: int = 0) -> None:
        """Begin a run on inputs in the GPU's memory, which stay as they are until `collect`.
        Raises InferenceError."""
        self._begin(feeds)
        memory = self._parts.memory
        if after:
            memory.follow(after)
        places = {}
        for name in self.inputs:
            tensor, slot = feeds[name], self._slots[name]
            self._expect_type(name, tensor.dtype)
            address, size = tensor.address, tensor_bytes(tensor.shape, tensor.dtype)
            if self._copies or name in self._on_host:
                slot.reserve(max(1, size))
                memory.copy(slot.address, address, size)
                address = slot.address
            if name in self._on_host:
                slot.fetch(size)
                memory.wait()
                address = slot.host_address
            places[name] = address, tensor.shape
        self._start(places)

    def collect(self) -> Tensors:
        """Wait for what `queue` or `queue_device` began. Raises as `run`."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            raise InferenceError(f"model {self.name}: nothing was begun")
        self._parts.memory.enter()
        self._parts.memory.wait()
        self._busy = False
        if isinstance(waiting, Mapping):
            return finite(self.name, waiting)
        return finite(self.name, {
            name: self._slots[name].view(shape, self._types[name]).copy()
            for name, shape in zip(self.outputs, waiting, strict=True)
        })  # fmt: skip

    def close(self) -> None:
        """Give session, memory and stream back."""
        self._finalizer()

    def _begin(self, feeds: Mapping[str, Any]) -> None:
        if set(feeds) != set(self.inputs):
            raise InferenceError(
                f"model {self.name} failed: it takes {', '.join(self.inputs)}, not "
                f"{', '.join(map(str, feeds)) or 'nothing'}"
            )
        memory = self._parts.memory
        memory.enter()
        if self._busy:  # what was begun before has failed, or nobody asked for it
            memory.wait()
        self._busy, self._waiting = True, None

    def _start(self, places: Mapping[str, tuple[int, tuple[int, ...]]]) -> None:
        key = tuple(shape for _, shape in places.values())
        try:
            for name, (address, shape) in places.items():
                self._bind(name, address, shape, reads=True)
        except Exception as error:
            self._bound.clear()
            raise InferenceError(f"model {self.name} failed: {first_line(error)}") from error
        shapes = None if self._varies else self._fixed or self._sizes.get(key)
        if shapes is not None:
            try:
                self._run_into(shapes)
            except InferenceError:
                raise
            except Exception as error:
                if self._copies:
                    raise InferenceError(
                        f"model {self.name} failed: {first_line(error)}"
                    ) from error
                # Perhaps an output is of another size this time: what the inputs hold decides.
                found = self._run_free()
                self._varies = found != shapes
                return
            self._waiting = shapes
            return
        self._sizes[key] = self._run_free()
        while len(self._sizes) > _MOST_SHAPES:
            self._sizes.popitem(last=False)

    def _run_into(self, shapes: Shapes) -> None:
        """Queue a run whose outputs, of these shapes, go into our memory, and to the host."""
        for name, shape in zip(self.outputs, shapes, strict=True):
            slot = self._slots[name]
            slot.reserve(max(1, tensor_bytes(shape, self._types[name])))
            self._bind(name, slot.address, shape, reads=False)
        self._parts.run(self._quick)
        for name, shape in zip(self.outputs, shapes, strict=True):
            self._slots[name].fetch(tensor_bytes(shape, self._types[name]))

    def _run_free(self) -> Shapes:
        """Run with outputs that ONNX Runtime finds memory for, and return their shapes."""
        binding = self._parts.binding
        try:
            for name in self.outputs:
                self._bound.pop(name, None)
                binding.bind_output(name, "cpu")
            self._parts.run(None)
            values = [np.array(value) for value in binding.copy_outputs_to_cpu()]
        except InferenceError:
            raise
        except Exception as error:
            raise InferenceError(f"model {self.name} failed: {first_line(error)}") from error
        self._waiting = dict(zip(self.outputs, values, strict=True))
        return tuple(value.shape for value in values)

    def _bind(self, name: str, address: int, shape: tuple[int, ...], *, reads: bool) -> None:
        if self._bound.get(name) == (address, shape):
            return
        memory, binding = self._parts.memory, self._parts.binding
        bind = binding.bind_input if reads else binding.bind_output
        device = "cpu" if name in self._on_host else memory.device_type
        bind(name, device, 0, self._types[name], shape, address)
        self._bound[name] = address, shape

    def _expect_type(self, name: str, dtype: np.dtype[Any]) -> None:
        if dtype != self._types[name]:
            raise InferenceError(
                f"model {self.name} failed: input {name} is {dtype}, expected {self._types[name]}"
            )


class _Parts:
    """What has to be dropped in order: binding, session, memory."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.session: Any = None
        self.binding: Any = None

    def run(self, options: ort.RunOptions | None) -> None:
        self.session.run_with_iobinding(self.binding, options)

    def close(self) -> None:
        if left_behind((self.binding, self.session)):
            return
        self.binding = None
        self.session = None
        self.memory.close()


def _read_by_cpu(session: ort.InferenceSession, names: tuple[str, ...]) -> frozenset[str]:
    """Return the inputs that ONNX Runtime reads on the host: shapes, and what a model's first
    operator has no kernel for."""
    places = session.get_input_memory_infos()
    return frozenset(name for name, at in zip(names, places, strict=True) if at.name != "Cuda")


def _bindable(spec: TensorSpec, name: str) -> np.dtype[Any]:
    if spec.dtype is None:
        raise ModelError(
            f"model {name}: {spec.name} is no tensor of numbers, which does not go to a GPU. "
            "Set runtime.device to cpu."
        )
    return spec.dtype


def _fixed(found: tuple[TensorSpec, ...]) -> Shapes | None:
    """Return all shapes; None where an axis is free."""
    shapes = tuple(tuple(s for s in spec.shape if s is not None) for spec in found)
    # An empty shape is a number's, or that of an output of which nothing is known.
    known = all(a and len(a) == len(b.shape) for a, b in zip(shapes, found, strict=True))
    return shapes if known else None
