"""The tagger's network, in PyTorch for training and as an ONNX graph for use.

Embeddings of the hashed features, two bidirectional LSTM layers over the words, one linear layer.
The graph is written out node by node: what runs is what is read here, and no exporter is needed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edge.pii.word_features import PART_BUCKETS, SCHEME, SHAPES, WIDTH, WORD_BUCKETS

WORD_DIM: Final = 48
SHAPE_DIM: Final = 8
PART_DIM: Final = 48
HIDDEN: Final = 64
LAYERS: Final = 2
_OPSET: Final = 17
_IR_VERSION: Final = 8


class Network(nn.Module):
    """Features (batch, words, WIDTH) to logits (batch, words, labels)."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.word = nn.Embedding(WORD_BUCKETS, WORD_DIM, padding_idx=0)
        self.shape = nn.Embedding(SHAPES, SHAPE_DIM)
        self.part = nn.Embedding(PART_BUCKETS, PART_DIM, padding_idx=0)
        self.drop = nn.Dropout(0.2)
        width = WORD_DIM + SHAPE_DIM + PART_DIM
        self.lstm = nn.LSTM(width, HIDDEN, LAYERS, bidirectional=True, batch_first=True)
        self.out = nn.Linear(2 * HIDDEN, labels)

    def forward(self, features: torch.Tensor, forget: float = 0.0) -> torch.Tensor:
        """Return logits; batches hold samples of nearly one length, so that padding is no matter.

        forget: share of words whose own bucket is hidden, so that parts and context are learnt.
        """
        own = features[..., 0]
        if forget:
            own = own * (torch.rand(own.shape) >= forget)
        parts = features[..., 2:]
        count = (parts != 0).sum(-1, keepdim=True).clamp(min=1)
        mean = self.part(parts).sum(-2) / count
        x = torch.cat([self.word(own), self.shape(features[..., 1]), mean], dim=-1)
        hidden, _ = self.lstm(self.drop(x))
        logits: torch.Tensor = self.out(self.drop(hidden))
        return logits


def to_onnx(network: Network, labels: Sequence[str]) -> bytes:
    """Return the network as an ONNX model: features (n, WIDTH) int64 to scores (n, labels) float32.

    Weights are stored as float16, which halves the file; the sums are float32. The metadata states
    the feature scheme and the labels.
    """
    state = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    graph = _Graph()
    graph.node("Slice", ["features", graph.ints([0]), graph.ints([1]), graph.ints([1])], "own2")
    graph.node("Squeeze", ["own2", graph.ints([1])], "own")
    graph.node("Slice", ["features", graph.ints([1]), graph.ints([2]), graph.ints([1])], "shape2")
    graph.node("Squeeze", ["shape2", graph.ints([1])], "written")
    graph.node(
        "Slice", ["features", graph.ints([2]), graph.ints([WIDTH]), graph.ints([1])], "parts"
    )
    for table, index in (("word", "own"), ("shape", "written"), ("part", "parts")):
        graph.half(f"{table}_table", state[f"{table}.weight"])
        graph.node("Gather", [f"{table}_table", index], f"{table}_half", axis=0)
        graph.node("Cast", [f"{table}_half"], f"{table}_rows", to=TensorProto.FLOAT)
    graph.node("ReduceSum", ["part_rows", graph.ints([1])], "part_sum", keepdims=0)
    graph.node("Sign", ["parts"], "used")  # buckets are positive, the filling is 0
    graph.node("ReduceSum", ["used", graph.ints([1])], "used_count", keepdims=1)
    graph.node("Max", ["used_count", graph.ints([1])], "count_int")
    graph.node("Cast", ["count_int"], "count", to=TensorProto.FLOAT)
    graph.node("Div", ["part_sum", "count"], "part_mean")
    graph.node("Concat", ["word_rows", "shape_rows", "part_mean"], "x2", axis=1)
    graph.node("Unsqueeze", ["x2", graph.ints([1])], "layer_0")  # (words, 1, width)
    for layer in range(LAYERS):
        graph.lstm(state, layer, f"layer_{layer}", f"layer_{layer + 1}")
    graph.node("Squeeze", [f"layer_{LAYERS}", graph.ints([1])], "hidden")
    graph.weights("out_w", state["out.weight"].T)
    graph.weights("out_b", state["out.bias"])
    graph.node("MatMul", ["hidden", "out_w"], "product")
    graph.node("Add", ["product", "out_b"], "logits")
    graph.node("Softmax", ["logits"], "scores", axis=-1)
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "tagger",
            [helper.make_tensor_value_info("features", TensorProto.INT64, ["words", WIDTH])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["words", len(labels)])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="privaedge",
    )
    helper.set_model_props(proto, {"features": SCHEME, "labels": json.dumps(list(labels))})
    onnx.checker.check_model(proto, full_check=True)
    data: bytes = proto.SerializeToString()
    return data


class _Graph:
    """Nodes and constants of an ONNX graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._ints: dict[tuple[int, ...], str] = {}

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))

    def ints(self, values: list[int]) -> str:
        key = tuple(values)
        if key not in self._ints:
            self._ints[key] = f"ints_{len(self._ints)}"
            array = np.array(values, np.int64)
            self.constants.append(numpy_helper.from_array(array, self._ints[key]))
        return self._ints[key]

    def half(self, name: str, values: NDArray[np.float32]) -> None:
        self.constants.append(numpy_helper.from_array(values.astype(np.float16), name))

    def weights(self, name: str, values: NDArray[np.float32]) -> None:
        """Store values as float16 and use them as float32."""
        self.half(f"{name}_half", np.ascontiguousarray(values))
        self.node("Cast", [f"{name}_half"], name, to=TensorProto.FLOAT)

    def lstm(
        self, state: dict[str, NDArray[np.float32]], layer: int, source: str, target: str
    ) -> None:
        """Add one bidirectional layer: (words, 1, in) to (words, 1, 2·HIDDEN)."""
        both = ("", "_reverse")

        def stacked(kind: str) -> NDArray[np.float32]:
            return np.stack([_iofc(state[f"lstm.{kind}_l{layer}{way}"]) for way in both])

        self.weights(f"w_{layer}", stacked("weight_ih"))
        self.weights(f"r_{layer}", stacked("weight_hh"))
        bias = np.concatenate([stacked("bias_ih"), stacked("bias_hh")], axis=1)
        self.weights(f"b_{layer}", bias)
        names = [source, f"w_{layer}", f"r_{layer}", f"b_{layer}"]
        self.node("LSTM", names, f"both_{layer}", hidden_size=HIDDEN, direction="bidirectional")
        # (words, 2, 1, HIDDEN) → (words, 1, 2·HIDDEN)
        self.node("Transpose", [f"both_{layer}"], f"turned_{layer}", perm=[0, 2, 1, 3])
        self.node("Reshape", [f"turned_{layer}", self.ints([0, 1, 2 * HIDDEN])], target)


def _iofc(gates: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reorder an LSTM's gates from PyTorch's (input, forget, cell, output) to ONNX's order."""
    i, f, c, o = np.split(gates, 4)
    return np.concatenate([i, o, f, c])
