"""ONNX Runtime as an engine: what it says is finite or an error, and errors are one line."""

from __future__ import annotations

import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge.errors import InferenceError, ModelError
from edge.inference.bound import CudaMemory, HostMemory
from edge.inference.engine import Engine, TensorSpec
from edge.inference.failover import FailoverEngine
from edge.inference.onnx import OnnxEngine
from edge.inference.onnx_cuda import OnnxCudaEngine
from tests.redact.emulator import emulated, shipped

FLOAT = TensorProto.FLOAT


def over(*, integrated: bool):
    """An engine whose tensors go through a driver: its addresses are the host's."""

    def make(data: bytes, name: str) -> Engine:
        driver = emulated(shipped(), integrated=integrated).cuda
        return OnnxCudaEngine(data, name, memory=CudaMemory(driver, device_type="cpu"))

    return make


MAKERS = {
    "sessions": OnnxEngine,
    "bound": lambda data, name: OnnxCudaEngine(data, name, memory=HostMemory()),
    "bound to copies": over(integrated=False),
    "bound to shared memory": over(integrated=True),
    "with a spare": lambda data, name: FailoverEngine(
        lambda: OnnxCudaEngine(data, name, memory=HostMemory()), lambda: OnnxEngine(data, name)
    ),
}


@pytest.fixture(params=MAKERS)
def make(request):
    """What makes engines: all of them keep the same promises."""
    return MAKERS[request.param]


def model(nodes, inputs, outputs) -> bytes:
    """Serialise a graph; inputs and outputs are (name, element type, shape)."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
    )
    opset = helper.make_opsetid("", 13)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def reciprocal() -> bytes:
    """One over x, and x itself beside it."""
    nodes = [
        helper.make_node("Reciprocal", ["x"], ["inverse"]),
        helper.make_node("Identity", ["x"], ["same"]),
    ]
    outputs = [("same", FLOAT, ["n"]), ("inverse", FLOAT, ["n"])]
    return model(nodes, [("x", FLOAT, ["n"])], outputs)


def test_a_model_runs_and_its_outputs_have_their_names(make):
    engine: Engine = make(reciprocal(), "reciprocal")
    assert engine.inputs == ("x",)
    assert engine.outputs == ("same", "inverse")
    results = engine.run({"x": np.array([1, 2, 4], np.float32)})
    assert list(results) == ["same", "inverse"]
    assert np.allclose(results["same"], [1, 2, 4])
    assert np.allclose(results["inverse"], [1, 0.5, 0.25])


def test_a_model_says_what_it_takes_and_gives():
    inputs = [
        ("picture", TensorProto.FLOAT16, [1, 3, "height", None]),
        ("words", TensorProto.STRING, ["n"]),
        ("count", TensorProto.INT64, []),
    ]
    nodes = [
        helper.make_node("Cast", ["picture"], ["out"], to=FLOAT),
        helper.make_node("Identity", ["words"], ["same"]),
        helper.make_node("Identity", ["count"], ["number"]),
    ]
    outputs = [
        ("out", FLOAT, [1, 3, "height", None]), ("same", TensorProto.STRING, ["n"]),
        ("number", TensorProto.INT64, []),
    ]  # fmt: skip
    engine: Engine = OnnxEngine(model(nodes, inputs, outputs), "mixed")
    assert engine.name == "mixed"
    assert engine.input_specs == (
        TensorSpec("picture", np.dtype(np.float16), (1, 3, None, None)),
        TensorSpec("words", None, (None,)),
        TensorSpec("count", np.dtype(np.int64), ()),
    )
    assert engine.output_specs[0] == TensorSpec("out", np.dtype(np.float32), (1, 3, None, None))
    assert [spec.name for spec in engine.output_specs] == list(engine.outputs)
    assert dict(engine.metadata) == {}


def test_metadata_comes_as_it_was_written_and_cannot_be_changed(make):
    proto = onnx.load_model_from_string(reciprocal())
    helper.set_model_props(proto, {"names": "{0: 'plate'}", "empty": "", "é": "ü\n"})
    engine = make(proto.SerializeToString(), "named")
    assert dict(engine.metadata) == {"names": "{0: 'plate'}", "empty": "", "é": "ü\n"}
    with pytest.raises(TypeError):
        engine.metadata["names"] = "other"


@pytest.mark.parametrize("value", [0.0, -0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 500, 999])
def test_one_number_that_is_none_spoils_the_whole_answer(make, value, place):
    x = np.ones(1000, np.float32)
    x[place] = value
    engine = make(reciprocal(), "reciprocal")
    with pytest.raises(InferenceError, match=r"reciprocal gave NaN or infinity in output \w+"):
        engine.run({"x": x})
    x[place] = 1  # it works again
    assert np.allclose(engine.run({"x": x})["inverse"], 1)


def test_a_half_precision_overflow_is_noticed(make):
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT16)
    narrow = model([node], [("x", FLOAT, ["n"])], [("y", TensorProto.FLOAT16, ["n"])])
    engine = make(narrow, "narrow")
    assert engine.run({"x": np.array([65504], np.float32)})["y"].dtype == np.float16
    with pytest.raises(InferenceError, match="narrow gave"):
        engine.run({"x": np.array([1e6], np.float32)})


def test_integers_and_empty_outputs_are_finite(make):
    node = helper.make_node("NonZero", ["x"], ["where"])
    integers = model([node], [("x", FLOAT, ["n"])], [("where", TensorProto.INT64, [1, "k"])])
    engine = make(integers, "integers")
    assert engine.run({"x": np.array([0, 3, 0, 1], np.float32)})["where"].tolist() == [[1, 3]]
    assert engine.run({"x": np.zeros(4, np.float32)})["where"].shape == (1, 0)
    assert engine.run({"x": np.zeros(0, np.float32)})["where"].shape == (1, 0)


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"z": np.ones(3, np.float32)},
        {"x": np.ones(3, np.float32), "z": np.ones(3, np.float32)},
        {"x": np.ones((3, 3), np.float32)},
        {"x": np.ones(3, np.float64)},
        {"x": np.array(["a"])},
        {"x": None},
    ],
    ids=["none", "another name", "one too many", "rank", "type", "text", "nothing"],
)
def test_what_cannot_be_run_is_one_line(make, feeds):
    engine = make(reciprocal(), "reciprocal")
    with pytest.raises(InferenceError, match="reciprocal failed: ") as caught:
        engine.run(feeds)
    assert "\n" not in str(caught.value)


def test_a_failure_inside_the_graph_is_an_inference_error(make):
    """A Reshape to a size that the data does not have: found only when it runs."""
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    inputs = [("x", FLOAT, ["n"]), ("shape", TensorProto.INT64, [1])]
    engine = make(model([node], inputs, [("y", FLOAT, ["m"])]), "reshape")
    x = np.ones(6, np.float32)
    assert engine.run({"x": x, "shape": np.array([6])})["y"].shape == (6,)
    with pytest.raises(InferenceError, match="reshape failed: ") as caught:
        engine.run({"x": x, "shape": np.array([7])})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"not a model at all", b"<!DOCTYPE html><html>", reciprocal()[:40]],
    ids=["empty", "zero", "text", "web page", "truncated"],
)
def test_bytes_that_are_no_model_are_an_error_with_a_remedy(make, data):
    with pytest.raises(ModelError, match="privaedge models fetch NAME --force") as caught:
        make(data, "mine")
    assert "\n" not in str(caught.value)


def test_a_model_from_the_future_is_an_error_with_a_remedy(make):
    node = helper.make_node("Reciprocal", ["x"], ["y"], domain="no.such.domain")
    unknown = model([node], [("x", FLOAT, ["n"])], [("y", FLOAT, ["n"])])
    with pytest.raises(ModelError, match=r"mine cannot be loaded by ONNX Runtime \d") as caught:
        make(unknown, "mine")
    assert "\n" not in str(caught.value)


def test_answers_are_the_same_with_more_threads_and_in_any_thread():
    x = np.linspace(1, 2, 5000, dtype=np.float32)
    wanted = OnnxEngine(reciprocal(), "one").run({"x": x})["inverse"]
    engine = OnnxEngine(reciprocal(), "two", threads=2)
    answers = []
    for _ in range(3):  # a lane whose thread stalled goes on in another
        thread = threading.Thread(target=lambda: answers.append(engine.run({"x": x})["inverse"]))
        thread.start()
        thread.join()
    assert len(answers) == 3
    assert all(np.array_equal(answer, wanted) for answer in answers)


def test_an_answer_is_not_overwritten_by_the_next(make):
    engine = make(reciprocal(), "reciprocal")
    values = [2, 4, 8, 16]
    answers = [engine.run({"x": np.full(100, v, np.float32)})["inverse"] for v in values]
    for value, answer in zip(values, answers, strict=True):
        assert (answer == 1 / value).all()


def test_inputs_of_any_size_may_follow_each_other(make):
    engine = make(reciprocal(), "reciprocal")
    for turn, length in enumerate((3, 3, 4, 3, 4, 100, 3, 100, 0, 4, 0, 3)):
        x = np.full(length, turn + 1, np.float32)
        assert engine.run({"x": x})["inverse"].tolist() == (1 / x).tolist()


def test_outputs_of_one_size_belong_to_their_own_inputs(make):
    """Whether an output is bound goes by inputs' sizes: here it is the same one for all of them."""
    nodes = [
        helper.make_node("Constant", [], ["zero"], value_ints=[0]),
        helper.make_node("Constant", [], ["one"], value_ints=[1]),
        helper.make_node("Slice", ["x", "zero", "one"], ["first"]),
    ]
    engine = make(model(nodes, [("x", FLOAT, ["n"])], [("first", FLOAT, ["m"])]), "first")
    assert engine.output_specs[0].shape == (None,)
    for turn, length in enumerate((3, 3, 4, 3, 4, 4, 5, 3, 5, 4)):
        x = np.full(length, turn + 1, np.float32)
        assert engine.run({"x": x})["first"].tolist() == [turn + 1]
