"""The classifier of lines that comes with the package: scikit-learn's MLP, written as ONNX by
export/train/lines. A pickled scikit-learn model is never loaded: unpickling runs what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edge.inference.engine import Tensors
from edge.pii.classifier import MAX_BATCH, TextClassifier
from export.family import Axis, Part, Port, Sample, Source, Tally
from export.material import Material
from export.onnx_source import OnnxOriginal, PublishedFamily, PublishedPart, Recorder

_THRESHOLDS = (0.5, 0.2)
"""Of the balanced and the high_privacy profile."""
_AT_ONCE = 8
_LONGEST = 1024
"""n-grams of the longest line that edge/pii/ngrams.py reads, and more."""


class LinesPart(PublishedPart):
    """Ordinary, name or address, from hashed n-grams."""

    name = ""
    opset = 17
    inputs = (
        Port("ids", (Axis("n", 1, 8, MAX_BATCH), Axis("length", 1, 64, _LONGEST)), np.int64),
        Port("weights", (Axis("n", 1, 8, MAX_BATCH), 1)),
    )
    precisions: Sequence[str] = ("fp32",)
    """Its table is int8 as published; a line takes 20 µs on a CPU core."""

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError."""
        self._original = OnnxOriginal(source)

    def to_onnx(self, out: Path) -> None:
        """Write the graph with its int8 table as float32: TensorRT takes int8 from Q/DQ alone."""
        model = onnx.load_model_from_string(self._original.data)
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.INT8:
                table = numpy_helper.to_array(tensor).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(table, tensor.name))
        del model.graph.value_info[:]
        onnx.save_model(model, str(out))

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return batches of signs and sentences as the runtime feeds them."""
        recorder = Recorder(self._original.engine)
        classifier = TextClassifier(recorder)
        signs, sentences = material.signs(), material.sentences()
        for at in range(count):
            start = at * _AT_ONCE
            batch = [*signs[start : start + _AT_ONCE], *sentences[at : at + 1]]
            classifier.classify(batch[: at % _AT_ONCE + 2])
        return [Sample(fed) for fed in recorder.fed]

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Count lines that are private, or not, in both, at both thresholds."""
        a, b = (1 - np.asarray(outputs["probabilities"])[:, 0] for outputs in (wanted, got))
        same = np.all([(a >= limit) == (b >= limit) for limit in _THRESHOLDS], axis=0)
        return Tally(int(same.sum()), len(a))


class LinesFamily(PublishedFamily):
    """Files with its inputs and output."""

    name = "lines"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by the names of inputs and outputs."""
        return (inputs, outputs) == ({"ids", "weights"}, {"probabilities"})

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (LinesPart(source),)
