"""Graphs: axes stated, shapes inferred, slimmed, checked; and what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.errors import ModelError
from edge.inference.onnx import OnnxEngine
from export.family import Axis, Port
from export.graph import LEAST_OPSET, load, obstacle, opset_of, prepare

PORT = Port("x", (1, 3, Axis("height", 8, 32, 64), Axis("width", 8, 32, 64)))


def network(*, opset: int = 13, extra: bool = False) -> onnx.ModelProto:
    """A convolution, and if asked for a shape computation that folds to a constant."""
    weights = np.random.default_rng(1).normal(0, 1, (4, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1])]
    constants = [numpy_helper.from_array(weights, "w")]
    if extra:
        constants += [numpy_helper.from_array(np.float32(v), n) for n, v in (("a", 2), ("b", 3))]
        nodes += [
            helper.make_node("Mul", ["a", "b"], ["six"]),
            helper.make_node("Mul", ["c", "six"], ["y"]),
            helper.make_node("Neg", ["c"], ["unused"]),
        ]
    else:
        nodes.append(helper.make_node("Relu", ["c"], ["y"]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_a_prepared_graph_is_the_same_network_with_free_sides():
    pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
    model = prepare(network(extra=True), [PORT], {"names": "plates"}, "net")
    assert opset_of(model) == LEAST_OPSET
    assert len(model.graph.node) == 2
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value or d.dim_param for d in dims] == [1, 3, "height", "width"]
    engine = OnnxEngine(model.SerializeToString(), "net")
    assert engine.metadata["names"] == "plates"
    before = OnnxEngine(network(extra=True).SerializeToString(), "net")
    image = np.random.default_rng(2).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    assert np.allclose(engine.run({"x": image})["y"], before.run({"x": image})["y"], atol=1e-5)
    assert engine.run({"x": np.zeros((1, 3, 16, 40), np.float32)})["y"].shape == (1, 4, 16, 40)


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (Port("image", PORT.shape), "has the inputs x, expected image"),
        (Port("x", PORT.shape, np.float16), "is FLOAT, expected float16"),
        (Port("x", (1, 3)), "has 4 axes, expected 2"),
    ],
)
def test_ports_that_do_not_fit_are_refused(port, words):
    with pytest.raises(ModelError, match=words) as caught:
        prepare(network(opset=17), [port], {}, "net")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["garbage", "cut", "flipped", "empty"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, damage):
    data = network().SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(
        {
            "garbage": b"\x00\xffno model" * 9,
            "cut": data[: len(data) // 2],
            "flipped": data[:20] + bytes([data[20] ^ 0xFF]) + data[21:],
            "empty": b"",
        }[damage]
    )
    with pytest.raises(ModelError, match="damaged or no ONNX") as caught:
        load(path, "net")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told_of(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        load(tmp_path / "none.onnx", "net")


def test_what_only_onnx_runtime_can_run_is_told_beforehand():
    assert obstacle(network()) is None
    model = network()
    model.graph.node[1].domain = "com.microsoft"
    assert "com.microsoft" in (obstacle(model) or "")
    model = network()
    model.graph.node[1].op_type = "DynamicQuantizeLinear"
    assert "quantised for ONNX Runtime" in (obstacle(model) or "")


def test_an_obstacle_in_a_branch_is_found_too():
    inner = helper.make_graph(
        [helper.make_node("Gelu", ["c"], ["o"], domain="com.microsoft")], "then", [],
        [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)],
    )  # fmt: skip
    model = network()
    model.graph.node.append(helper.make_node("If", ["cond"], ["z"], then_branch=inner,
                                             else_branch=inner))  # fmt: skip
    assert "com.microsoft" in (obstacle(model) or "")
