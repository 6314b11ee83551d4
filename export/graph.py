"""ONNX graphs: free axes stated, shapes inferred, slimmed, with metadata, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, shape_inference, version_converter

from edge.errors import ModelError
from export.family import Axis, Port

LEAST_OPSET: Final = 17
"""What older files are converted to: LayerNormalization is one operator from here on, and AutoCast
and Q/DQ for each channel need 13."""
_MOST_BYTES: Final = (2 << 30) - (1 << 20)
"""protobuf's limit, less room for what is added."""


def load(path: Path, name: str) -> onnx.ModelProto:
    """Load and check a file. Raises ModelError for one that is damaged or no ONNX."""
    try:
        model = onnx.load_model(str(path))
        if model.ByteSize() < _MOST_BYTES:
            onnx.checker.check_model(model)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. Check it.") from error
    except Exception as error:  # protobuf's own type, and onnx's
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(
            f"{name}: {path.name} is damaged or no ONNX ({line}). Get the file again."
        ) from error
    return model


def prepare(
    model: onnx.ModelProto, ports: Sequence[Port], metadata: Mapping[str, str], name: str
) -> onnx.ModelProto:
    """Return the graph as engines are built from: axes as the ports state, folded and slim.

    Raises ModelError where the ports do not fit the graph, or a step fails.
    """
    try:
        if opset_of(model) < LEAST_OPSET:
            model = version_converter.convert_version(model, LEAST_OPSET)
        _drop_constant_inputs(model)
        ranks = {o.name: _rank(o) for o in model.graph.output}
        _state_axes(model, ports, name)
        model = _with_shapes(model)
        if not foreign_domains(model):  # what is not known cannot be folded either
            model = _with_shapes(_slimmed(model))
        _state_outputs(model, ranks)
        kept = {entry.key: entry.value for entry in model.metadata_props}
        helper.set_model_props(model, {**kept, **metadata})
        onnx.checker.check_model(model, full_check=model.ByteSize() < _MOST_BYTES)
    except ModelError:
        raise
    except Exception as error:  # onnx, onnxslim: any
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(
            f"{name}: the graph cannot be prepared ({line}). Export it again with a newer opset."
        ) from error
    return model


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def foreign_domains(model: onnx.ModelProto) -> set[str]:
    """Return the domains of operators that are not ONNX's own, such as com.microsoft."""
    return {node.domain for node in _nodes(model.graph)} - {"", "ai.onnx"}


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


_RUNTIME_QUANTISED: Final = frozenset(
    {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
)
"""Operators that quantise while they run, or hold integers without Q/DQ: ONNX Runtime's alone."""


def obstacle(model: onnx.ModelProto) -> str | None:
    """Return why TensorRT cannot take a graph, where that is known beforehand."""
    if foreign := foreign_domains(model):
        return (
            f"the published file uses operators of {', '.join(sorted(foreign))}, which only ONNX "
            "Runtime has: it stays there"
        )
    used = {node.op_type for node in _nodes(model.graph)} & _RUNTIME_QUANTISED
    if used:
        return (
            f"the published file is quantised for ONNX Runtime ({', '.join(sorted(used))}): it "
            "stays there"
        )
    return None


def _drop_constant_inputs(model: onnx.ModelProto) -> None:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _state_axes(model: onnx.ModelProto, ports: Sequence[Port], name: str) -> None:
    """Write fixed sides and symbols into the graph's inputs; forget the shapes that follow."""
    inputs = {value.name: value for value in model.graph.input}
    if set(inputs) != {port.name for port in ports}:
        raise ModelError(
            f"{name} has the inputs {', '.join(sorted(inputs))}, expected "
            f"{', '.join(sorted(port.name for port in ports))}. Use another family or file."
        )
    for port in ports:
        kind = inputs[port.name].type.tensor_type
        if helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype)) != kind.elem_type:
            raise ModelError(
                f"input {port.name} of {name} is {TensorProto.DataType.Name(kind.elem_type)}, "
                f"expected {np.dtype(port.dtype)}. Use another family or file."
            )
        if kind.HasField("shape") and len(kind.shape.dim) != len(port.shape):
            raise ModelError(
                f"input {port.name} of {name} has {len(kind.shape.dim)} axes, expected "
                f"{len(port.shape)}. Use another family or file."
            )
        del kind.shape.dim[:]
        for side in port.shape:
            dim = kind.shape.dim.add()
            if isinstance(side, Axis):
                dim.dim_param = side.name
            else:
                dim.dim_value = side
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def _rank(value: onnx.ValueInfoProto) -> int | None:
    kind = value.type.tensor_type
    return len(kind.shape.dim) if kind.HasField("shape") else None


def _state_outputs(model: onnx.ModelProto, ranks: Mapping[str, int | None]) -> None:
    """Give outputs that no shape was inferred for the rank that the file stated, sides free."""
    for output in model.graph.output:
        rank = ranks.get(output.name)
        if _rank(output) is None and rank is not None:
            for axis in range(rank):
                output.type.tensor_type.shape.dim.add().dim_param = f"{output.name}_{axis}"


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    if model.ByteSize() >= _MOST_BYTES:
        return model
    inferred: onnx.ModelProto = shape_inference.infer_shapes(model, data_prop=True)
    return inferred


def _slimmed(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxslim

    slim: Any = onnxslim.slim(model)
    return slim if isinstance(slim, onnx.ModelProto) else model
