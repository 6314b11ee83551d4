"""Convolutional detectors are often published with a fixed input size; here they take any."""

from __future__ import annotations

import onnx

from edge.errors import ModelError

_IMAGE_AXES = 4
_AXIS_NAMES = {0: "batch", 2: "height", 3: "width"}
_FIRST_IR_WITHOUT_CONSTANT_INPUTS = 4


def make_dynamic(model: bytes, name: str) -> bytes:
    """Return the same network with free batch, height and width (N×3×H×W).

    Initialisers leave the graph's inputs, where ONNX IR 3 wanted them and where they keep ONNX
    Runtime from folding them. Shapes that were noted for the old size become symbols; ONNX Runtime
    infers them anew. Only right for networks whose layers take any size, as convolutions do:
    verify the result. Raises ModelError when the bytes are no ONNX model with one image input.
    """
    try:
        proto = onnx.load_model_from_string(model)
    except Exception as error:
        # protobuf's own type, which onnx does not re-export
        raise ModelError(
            f"model {name} is not an ONNX file. "
            f"Fetch it again: privaedge models fetch {name} --force"
        ) from error
    graph = proto.graph
    constants = {tensor.name for tensor in graph.initializer}
    images = [value for value in graph.input if value.name not in constants]
    if len(images) != 1 or len(images[0].type.tensor_type.shape.dim) != _IMAGE_AXES:
        raise ModelError(
            f"model {name} has {len(images)} inputs, expected one picture of shape N×3×H×W. "
            f"Use another file."
        )
    del graph.input[:]
    graph.input.extend(images)
    del graph.value_info[:]
    for axis, symbol in _AXIS_NAMES.items():
        graph.input[0].type.tensor_type.shape.dim[axis].dim_param = symbol
    for output in graph.output:
        for axis, dim in enumerate(output.type.tensor_type.shape.dim):
            dim.dim_param = f"{output.name}_{axis}"
    proto.ir_version = max(proto.ir_version, _FIRST_IR_WITHOUT_CONSTANT_INPUTS)
    dynamic: bytes = proto.SerializeToString()
    return dynamic
