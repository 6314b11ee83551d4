"""Tiny YOLO files for tests: real ONNX graphs in ONNX Runtime that answer what was planted.

Each answers a table planted in it, whatever it is shown; its answer to a grey picture may be
another one. A graph's inputs, element types, shapes and metadata are those of real exports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edge.inference.onnx import OnnxEngine

TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.uint8): TensorProto.UINT8,
}
STRIDES = (8, 16, 32)
PLATE = "{0: 'license_plate'}"


def cells(width: int, height: int, strides: Sequence[int] = STRIDES) -> int:
    return sum(-(-width // s) * -(-height // s) for s in strides)


def metadata(names: str | None = PLATE, task: str | None = "detect", **others: str) -> dict:
    stated = {"stride": "32", "names": names, "task": task, **others}
    return {key: value for key, value in stated.items() if value is not None}


def answering(
    answers: Mapping[str, np.ndarray],
    *,
    stated: Mapping[str, str] | None = None,
    shape: Sequence[int | str] = (1, 3, 320, 320),
    dtype: type = np.float32,
    inputs: int = 1,
    free_answer: bool = False,
) -> bytes:
    """Return a network that gives these answers, by output name.

    Its input takes part (times zero), so that ONNX Runtime minds its shape and type.
    free_answer: the file does not say how many rows come out.
    """
    kind = TYPES[np.dtype(dtype)]
    nodes = [
        helper.make_node("Cast", ["images"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["as_float"], ["top"], keepdims=0),
        helper.make_node("Mul", ["top", "zero"], ["nought"]),
    ]
    constants = [numpy_helper.from_array(np.zeros((), np.float32), "zero")]
    outputs = []
    for name, value in answers.items():
        constants.append(numpy_helper.from_array(value.astype(np.float32), f"{name}_planted"))
        nodes.append(helper.make_node("Add", [f"{name}_planted", "nought"], [f"{name}_float"]))
        out_type = TYPES[value.dtype]
        nodes.append(helper.make_node("Cast", [f"{name}_float"], [name], to=out_type))
        sides = ["n" if free_answer else side for side in value.shape]
        outputs.append(helper.make_tensor_value_info(name, out_type, sides))
    named = ["images", *(f"more{k}" for k in range(1, inputs))]
    graph = helper.make_graph(
        nodes,
        "yolo",
        [helper.make_tensor_value_info(name, kind, shape) for name in named],
        outputs,
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, dict(metadata() if stated is None else stated))
    return model.SerializeToString()


def engine_of(model: bytes, name: str = "mine.onnx") -> OnnxEngine:
    return OnnxEngine(model, name)


# -- answers of each kind of head, with nothing in them -------------------------------------------


def cells_answer(
    width: int = 320, height: int = 320, classes: int = 1, extra: int = 0, dtype: type = np.float32
) -> np.ndarray:
    """v8's: (1, 4 + classes + extra, cells), with boxes at their cells as a network has them."""
    answer = np.zeros((1, 4 + classes + extra, cells(width, height)), dtype)
    answer[0, :2] = centres(width, height).T
    answer[0, 2:4] = 10
    return answer


def anchors_answer(
    width: int = 320, height: int = 320, classes: int = 1, dtype: type = np.float32
) -> np.ndarray:
    """v5's: (1, 3 · cells, 5 + classes)."""
    answer = np.zeros((1, 3 * cells(width, height), 5 + classes), dtype)
    answer[0, :, :2] = np.tile(centres(width, height), (3, 1))
    answer[0, :, 2:4] = 10
    return answer


def final_answer(rows: int = 300, extra: int = 0, dtype: type = np.float32) -> np.ndarray:
    """v10's and v26's: (1, rows, 6 + extra)."""
    return np.zeros((1, rows, 6 + extra), dtype)


def centres(width: int, height: int) -> np.ndarray:
    """Centres of all cells, (cells, 2)."""
    found = []
    for stride in STRIDES:
        y, x = np.mgrid[: -(-height // stride), : -(-width // stride)]
        found.append(np.stack([x.ravel(), y.ravel()], axis=1) * stride + stride / 2)
    return np.concatenate(found)


def middle(box: Sequence[float]) -> tuple[float, float, float, float]:
    """x1 y1 x2 y2 as cx cy w h."""
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
