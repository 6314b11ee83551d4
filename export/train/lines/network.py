"""The classifier: learnt with scikit-learn, quantised, written as ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from edge.pii import ngrams

OPSET: Final = 17
IR_VERSION: Final = 8
_INT8_MAX: Final = 127
_DROPPED: Final = 0.4
"""Share of a line's features that are left out in an epoch."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weights:
    """buckets × hidden table (int8, scale per column), then hidden × classes in float32."""

    table: NDArray[np.int8]
    scale: Floats
    hidden_bias: Floats
    out: Floats
    out_bias: Floats

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return (n, classes) in numpy, as the ONNX file computes them."""
        features = matrix(texts)
        hidden = np.maximum(0, features @ (self.table * self.scale) + self.hidden_bias)
        return np.asarray(hidden @ self.out + self.out_bias, np.float32)


def matrix(texts: Sequence[str]) -> csr_matrix:
    """Return (n, buckets) sparse float32: 1 / √count at every bucket of a line."""
    rows = [ngrams.buckets(text) for text in texts]
    counts = np.array([len(row) for row in rows])
    columns = np.concatenate([*rows, np.zeros(0, np.int64)])
    values = np.repeat(1 / np.sqrt(np.maximum(1, counts)), counts).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return csr_matrix((values, columns, starts), shape=(len(texts), ngrams.N_BUCKETS))


def fit(
    texts: Sequence[str], labels: Sequence[int], *, hidden: int, epochs: int, seed: int
) -> Weights:
    """Learn, and quantise the table to int8.

    In every epoch a part of each line's features is left out, so that no word is known by itself
    alone, but by its parts, too.
    """
    network: Any = MLPClassifier(
        (hidden,), alpha=3e-6, batch_size=512, learning_rate_init=2e-3, shuffle=True,
        random_state=seed,
    )  # fmt: skip
    features, classes = matrix(texts), np.asarray(labels)
    rng = np.random.default_rng(seed)
    seen: list[list[Floats]] = []
    for _ in range(epochs):
        kept = features.copy()
        kept.data *= rng.random(kept.data.size) >= _DROPPED
        network.partial_fit(kept, classes, classes=np.unique(classes))
        seen.append([np.array(one, np.float32) for one in (*network.coefs_, *network.intercepts_)])
        del seen[: -max(1, epochs // 2)]
    # The mean of the last epochs' weights: what a falling learning rate would come to.
    first, second, hidden_bias, out_bias = (
        np.mean(group, axis=0) for group in zip(*seen, strict=True)
    )
    first *= 1 - _DROPPED  # the sums were learnt from fewer terms
    scale = np.abs(first).max(0) / _INT8_MAX
    table = np.round(first / scale).astype(np.int8)
    table[0] = 0
    return Weights(table, scale, hidden_bias, second, out_bias)


def calibrate(
    weights: Weights, texts: Sequence[str], labels: Sequence[int], *, false_alarms: float
) -> Weights:
    """Fold a multinomial regression of the classes on the logits into the last layer.

    false_alarms: the share of ordinary lines, class 0, that get half or more of their probability
    for other classes afterwards: the regression's bias is moved to where that is so.
    """
    truth = np.asarray(labels)
    regression: Any = LogisticRegression(C=10.0, max_iter=500)
    logits = weights.logits(texts)
    regression.fit(logits, truth)
    coefficients = np.asarray(regression.coef_, np.float32).T
    intercept = np.asarray(regression.intercept_, np.float32)
    calibrated = logits[truth == 0] @ coefficients + intercept
    margins = np.logaddexp.reduce(calibrated[:, 1:], axis=1) - calibrated[:, 0]
    intercept[0] += np.quantile(margins, 1 - false_alarms)
    return Weights(
        weights.table,
        weights.scale,
        weights.hidden_bias,
        weights.out @ coefficients,
        weights.out_bias @ coefficients + intercept,
    )


def to_onnx(weights: Weights) -> bytes:
    """Return the file: ids (n, length) int64 and weights (n, 1) float32 to probabilities (n, 3).

    Only the rows that a line needs are gathered and turned into floats.
    """
    constants: dict[str, NDArray[Any]] = {
        "table": weights.table,
        "scale": weights.scale,
        "hidden_bias": weights.hidden_bias,
        "out": weights.out,
        "out_bias": weights.out_bias,
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], axis=0),
        helper.make_node("Cast", ["rows"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["values", "axis"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "scale"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "weights"], ["weighted"]),
        helper.make_node("Add", ["weighted", "hidden_bias"], ["biased"]),
        helper.make_node("Relu", ["biased"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "out", "out_bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "lines",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "length"]),
            helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["n", 1]),
        ],
        [
            helper.make_tensor_value_info(
                "probabilities", TensorProto.FLOAT, ["n", weights.out.shape[1]]
            )
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
