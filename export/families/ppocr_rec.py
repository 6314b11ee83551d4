"""PP-OCR's text recogniser, published as ONNX: lines 48 px high, any width, eight at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.errors import InferenceError
from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from edge.lanes.ppocr_rec import LINE_HEIGHT_PX, PpocrReader, ctc_greedy, dictionary
from export.detection import host_picture
from export.family import Axis, Part, Port, Sample, Source, Tally
from export.lines import line_pictures
from export.material import Material
from export.onnx_source import OnnxOriginal, PublishedFamily, PublishedPart, Recorder

_INPUT = "x"
_WIDEST = 1584
"""33 times the height, the longest line that the runtime straightens (edge/lanes/rectify.py)."""


class PpocrRecPart(PublishedPart):
    """Probabilities of each character in each of width / 8 steps."""

    name = ""
    opset = 17
    precisions: Sequence[str] = ("fp32", "fp16")
    """Eight bits are not for reading to the letter."""
    inputs = (
        Port(_INPUT, (Axis("lines", 1, 2, 8), 3, LINE_HEIGHT_PX, Axis("width", 48, 320, _WIDEST))),
    )

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError where it brings no dictionary."""
        self._original = OnnxOriginal(source)
        stated = self._original.metadata.get("character")
        self._characters = ("", *dictionary(stated, source.name))
        self.metadata = dict(self._original.metadata)

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return lines of text as the runtime feeds them."""
        recorder = Recorder(self._original.engine)
        reader = PpocrReader(recorder, self._characters[1:], None)
        for rgb, quad in line_pictures(material, count):
            reader.read(host_picture(rgb), quad[None])
        return [Sample(fed) for fed in recorder.fed]

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Count characters that are read the same, line by line."""
        total = Tally(0, 0)
        for a, b in zip(self._texts(wanted), self._texts(got), strict=True):
            longest = max(len(a), len(b))
            total += Tally(longest - distance(a, b), longest)
        return total

    def _texts(self, outputs: Tensors) -> list[str]:
        """Return what the runtime reads; nothing where it would refuse."""
        chances = np.asarray(next(iter(outputs.values())), np.float32)
        try:
            return [ctc_greedy(chance, self._characters).text for chance in chances]
        except InferenceError:
            return [""] * len(chances)


def distance(a: str, b: str) -> int:
    """Return how many characters have to be changed, added or removed to get from a to b."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


class PpocrRecFamily(PublishedFamily):
    """Files that carry a dictionary of characters."""

    name = "ppocr-rec"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by the dictionary in its metadata."""
        if len(inputs) != 1 or len(outputs) != 1:
            return False
        return bool(OnnxEngine(data, name).metadata.get("character"))

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (PpocrRecPart(source),)
