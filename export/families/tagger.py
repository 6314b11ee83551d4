"""The tagger that comes with the package, written as ONNX by export/train/tagger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.inference.engine import Tensors
from edge.pii.tagger import WordTagger
from edge.pii.word_features import WIDTH
from export.family import Axis, Family, Part, Port, Sample, Source, Tally
from export.material import Material
from export.onnx_source import OnnxOriginal, Recorder, looks_like_onnx, read, value_names

_MOST_WORDS = 512


class TaggerPart(Part):
    """A label for each word, from hashed features."""

    name = ""
    opset = 17
    inputs = (Port("features", (Axis("words", 1, 16, _MOST_WORDS), WIDTH), np.int64),)
    precisions: Sequence[str] = ("fp32",)
    """Its weights are FP16 and its sums FP32 as published."""

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError."""
        self._original = OnnxOriginal(source)
        self.metadata = dict(self._original.metadata)

    def to_onnx(self, out: Path) -> None:
        """Write the published graph."""
        out.write_bytes(self._original.data)

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return sentences as the runtime feeds them."""
        recorder = Recorder(self._original.engine)
        tagger = WordTagger(recorder)
        for sentence in material.sentences()[:count]:
            tagger.scores(sentence.split())
        return [Sample(fed) for fed in recorder.fed]

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run the published file in ONNX Runtime."""
        return self._original.run(feeds)

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Count words with the same likeliest label."""
        a, b = (np.asarray(outputs["scores"]).argmax(axis=1) for outputs in (wanted, got))
        return Tally(int((a == b).sum()), len(a))


class TaggerFamily(Family):
    """Files with its input and output."""

    name = "tagger"

    def can_load(self, source: Source) -> bool:
        """Tell by the names of input and output."""
        if not looks_like_onnx(source.path):
            return False
        return value_names(read(source), source.name) == ({"features"}, {"scores"})

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (TaggerPart(source),)
