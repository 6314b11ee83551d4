"""A network published for one input size, made to take any: the same numbers, at every size."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.errors import ModelError
from edge.inference.onnx import OnnxEngine
from export.dynamic import make_dynamic
from tests.support import shared_file

FLOAT = TensorProto.FLOAT


def convolutions(
    size: tuple[int, int] | None, *, constants_are_inputs: bool = False, seed: int = 3
) -> onnx.ModelProto:
    """Two strided convolutions for a fixed size, as old exporters wrote them, or for any."""
    rng = np.random.default_rng(seed)
    weights = {
        "w1": rng.normal(0, 0.2, (4, 3, 3, 3)).astype(np.float32),
        "w2": rng.normal(0, 0.2, (2, 4, 3, 3)).astype(np.float32),
    }
    keys = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["hidden"], **keys),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Conv", ["active", "w2"], ["heat"], **keys),
    ]

    def value(name: str, channels: int, stride: int) -> onnx.ValueInfoProto:
        shape = ["n", channels, "h", "w"]
        if size is not None:
            shape = [10, channels, size[0] // stride, size[1] // stride]
        return helper.make_tensor_value_info(name, FLOAT, shape)

    inputs = [value("image", 3, 1)]
    if constants_are_inputs:
        inputs += [helper.make_tensor_value_info(k, FLOAT, w.shape) for k, w in weights.items()]
    graph = helper.make_graph(
        nodes, "net", inputs, [value("heat", 2, 4)],
        [numpy_helper.from_array(w, k) for k, w in weights.items()],
        value_info=[value("hidden", 4, 2), value("active", 4, 2)] if size is not None else [],
    )  # fmt: skip
    version = 3 if constants_are_inputs else 8
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=version)


def run(model: bytes, image: np.ndarray) -> dict[str, np.ndarray]:
    engine = OnnxEngine(model, "net")
    return dict(engine.run({engine.inputs[0]: image}))


def picture(batch: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(8).uniform(0, 255, (batch, 3, height, width)).astype(np.float32)


@pytest.mark.parametrize("constants_are_inputs", [False, True])
@pytest.mark.parametrize("shape", [(1, 32, 32), (10, 32, 32), (1, 64, 96), (2, 17, 31), (1, 4, 4)])
def test_the_same_network_at_any_size(constants_are_inputs, shape):
    fixed = convolutions((32, 32), constants_are_inputs=constants_are_inputs)
    image = picture(*shape)
    wanted = run(convolutions(None).SerializeToString(), image)["heat"]
    dynamic = make_dynamic(fixed.SerializeToString(), "net")
    onnx.checker.check_model(onnx.load_model_from_string(dynamic), full_check=True)
    assert np.allclose(run(dynamic, image)["heat"], wanted, atol=1e-3)


def test_a_fixed_network_does_refuse_another_size_before():
    """Else the tests here would prove nothing."""
    session = ort.InferenceSession(convolutions((32, 32)).SerializeToString())
    with pytest.raises(Exception, match="invalid dimensions"):
        session.run(None, {"image": picture(1, 64, 96)})


def test_initialisers_leave_the_inputs():
    fixed = convolutions((32, 32), constants_are_inputs=True)
    dynamic = onnx.load_model_from_string(make_dynamic(fixed.SerializeToString(), "net"))
    assert [value.name for value in dynamic.graph.input] == ["image"]
    assert {tensor.name for tensor in dynamic.graph.initializer} == {"w1", "w2"}
    assert dynamic.ir_version >= 4


def test_twice_is_as_good_as_once():
    once = make_dynamic(convolutions((32, 32)).SerializeToString(), "net")
    image = picture(1, 40, 48)
    assert np.array_equal(run(make_dynamic(once, "net"), image)["heat"], run(once, image)["heat"])


@pytest.mark.parametrize("data", [b"not a model at all", b"\xff" * 64, b"<!DOCTYPE html>"])
def test_bytes_that_are_no_model_are_an_error_with_a_remedy(data):
    with pytest.raises(ModelError, match="privaedge models fetch mine --force") as caught:
        make_dynamic(data, "mine")
    assert "\n" not in str(caught.value)


def test_a_model_without_a_picture_is_refused():
    with pytest.raises(ModelError, match="0 inputs"):
        make_dynamic(b"", "mine")
    flat = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "flat",
        [helper.make_tensor_value_info("x", FLOAT, [1, 10])],
        [helper.make_tensor_value_info("y", FLOAT, [1, 10])],
    )  # fmt: skip
    with pytest.raises(ModelError, match="expected one picture"):
        make_dynamic(helper.make_model(flat).SerializeToString(), "mine")


def test_a_model_with_two_pictures_is_refused():
    values = [helper.make_tensor_value_info(name, FLOAT, [1, 3, 8, 8]) for name in "xyz"]
    add = helper.make_graph(
        [helper.make_node("Add", ["x", "y"], ["z"])], "add", values[:2], values[2:]
    )
    with pytest.raises(ModelError, match="2 inputs"):
        make_dynamic(helper.make_model(add).SerializeToString(), "mine")


# -- a real network ------------------------------------------------------------------------------


def fix(model: onnx.ModelProto, height: int, width: int) -> onnx.ModelProto:
    """Publish a dynamic network for one size, with every shape noted, as OpenCV Zoo does."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    dims = fixed.graph.input[0].type.tensor_type.shape.dim
    for axis, size in ((0, 1), (2, height), (3, width)):
        dims[axis].dim_value = size
    for output in fixed.graph.output:
        stride = int(output.name.rsplit("_", 1)[1])
        shape = output.type.tensor_type.shape.dim
        shape[0].dim_value = 1
        shape[1].dim_value = (height // stride) * (width // stride)
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    assert len(inferred.graph.value_info) > 50
    return inferred


def test_yunet_fixed_to_one_size_runs_at_another_with_the_same_result():
    original = onnx.load(shared_file("models/face_yunet_n.onnx"))
    fixed = fix(original, 640, 640).SerializeToString()
    with pytest.raises(Exception, match="invalid dimensions"):
        ort.InferenceSession(fixed).run(None, {"input": picture(1, 192, 320)})
    dynamic = make_dynamic(fixed, "yunet")
    for height, width in ((192, 320), (640, 640), (32, 64)):
        image = picture(1, height, width)
        wanted = run(original.SerializeToString(), image)
        got = run(dynamic, image)
        assert set(got) == set(wanted)
        for name, value in wanted.items():
            assert got[name].shape == value.shape
            assert np.allclose(got[name], value, atol=1e-4), name
