"""The tagger that comes with the package, written as ONNX by export/train/tagger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.inference.engine import Tensors
from edge.pii.tagger import WordTagger
from edge.pii.word_features import WIDTH
from export.family import Axis, Part, Port, Sample, Source, Tally
from export.material import Material
from export.onnx_source import OnnxOriginal, PublishedFamily, PublishedPart, Recorder

_MOST_WORDS = 512


class TaggerPart(PublishedPart):
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

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return sentences as the runtime feeds them."""
        recorder = Recorder(self._original.engine)
        tagger = WordTagger(recorder)
        for sentence in material.sentences()[:count]:
            tagger.scores(sentence.split())
        return [Sample(fed) for fed in recorder.fed]

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Count words with the same likeliest label."""
        a, b = (np.asarray(outputs["scores"]).argmax(axis=1) for outputs in (wanted, got))
        return Tally(int((a == b).sum()), len(a))


class TaggerFamily(PublishedFamily):
    """Files with its input and output."""

    name = "tagger"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by the names of input and output."""
        return (inputs, outputs) == ({"features"}, {"scores"})

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (TaggerPart(source),)
