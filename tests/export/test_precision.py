"""Lower precision: which layers are spared, and what INT8 and FP8 cost on labelled photographs."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.catalogue import load_catalogue
from edge.errors import ModelError
from edge.model_store import ModelStore
from tests.support import SHARED, shared_file

pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")

from export.exporter import Exporter
from export.material import Material
from export.precision import SPARED, _convolutions, _name_nodes, lowered
from export.rows import Row, Wish
from export.sources import source_of


def chain(convolutions: int, *, heads: int = 1) -> onnx.ModelProto:
    """Convolutions in a row with activations between them, then a head of two for each output."""
    one = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")
    nodes, at = [], "x"
    for index in range(convolutions):
        nodes.append(helper.make_node("Conv", [at, "w"], [f"c{index}"], name=f"body{index}"))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"], name=f"relu{index}"))
        at = f"r{index}"
    for head in range(heads):
        nodes.append(helper.make_node("Conv", [at, "w"], [f"h{head}"], name=f"head{head}a"))
        nodes.append(helper.make_node("Conv", [f"h{head}", "w"], [f"i{head}"], name=f"head{head}b"))
        nodes.append(helper.make_node("Sigmoid", [f"i{head}"], [f"y{head}"]))
    sides = [1, 1, 8, 8]
    put = helper.make_tensor_value_info("x", TensorProto.FLOAT, sides)
    out = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, sides) for i in range(heads)]
    graph = helper.make_graph(nodes, "chain", [put], out, [one])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_nothing_is_spared_at_first():
    assert _convolutions(chain(3), "none") == []
    assert all(order[0] == "none" for order in SPARED.values())


def test_the_first_layer_and_the_last_two_of_each_output_are_spared():
    model = chain(3, heads=2)
    assert _convolutions(model, "first") == ["body0"]
    assert _convolutions(model, "ends") == ["body0", "head0a", "head0b", "head1a", "head1b"]


def test_nodes_without_a_name_get_one_each():
    model = chain(2)
    for node in model.graph.node:
        node.name = ""
    _name_nodes(model)
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert len(_convolutions(model, "ends")) == 3


def test_without_inputs_there_is_nothing_to_calibrate_with():
    with pytest.raises(ModelError, match=r"nothing to calibrate int8 with.*--calibration DIR"):
        lowered(chain(1), None, "int8", [], "net")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", ["int8", "fp8"])
@pytest.mark.parametrize("name", ["yunet-n", "plate-hyperlpr", "plates-own"])
def test_what_is_accepted_hides_as_many_boxes_as_fp32_but_a_hundredth(name, precision, tmp_path):
    """On labelled photographs. Where a precision cannot, the gate takes another."""
    if find_spec("modelopt") is None:
        pytest.skip("INT8 and FP8 are made by nvidia-modelopt (extra engines)")
    folder = shared_file("media/faces").parent
    store = ModelStore(load_catalogue(), extra_dirs=[SHARED / "models"])
    try:
        source = source_of(name, store)
    except ModelError as error:
        pytest.skip(f"no model {name}: {error}")
    rows: list[Row] = []
    wish = Wish(precision, material=Material(folder), inputs=60)
    Exporter(tmp_path, tell=lambda _: None, report=rows.append).export(source, wish)
    lower = [row for row in rows if row.step in ("int8", "fp8", "fp16")]
    assert lower[0].step == precision
    for row in lower:
        assert row.compared is not None
        assert row.compared.accuracy_fp32 is not None, "nothing was labelled"
        fall = row.compared.accuracy_fp32 - row.compared.accuracy
        assert (row.state == "gated") == (fall > 0.01)
    assert lower[-1].state == "done"
