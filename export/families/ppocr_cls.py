"""PP-OCR's orientation classifier, published as ONNX: is a line upside down?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from edge.lanes.ppocr_rec import LINE_HEIGHT_PX, PpocrReader
from export.detection import host_picture
from export.family import Axis, Part, Port, Sample, Source, Tally
from export.lines import line_pictures
from export.material import Material
from export.onnx_source import OnnxOriginal, PublishedFamily, PublishedPart, Recorder

_INPUT = "x"
_WIDTH_PX = 192
_MOST_LINES = 32


class PpocrClsPart(PublishedPart):
    """Upright or upside down, as two probabilities."""

    name = ""
    opset = 17
    precisions: Sequence[str] = ("fp32", "fp16")
    """It decides which way up a line is read: too small to gain anything."""
    inputs = (Port(_INPUT, (Axis("lines", 1, 4, _MOST_LINES), 3, LINE_HEIGHT_PX, _WIDTH_PX)),)

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError."""
        self._original = OnnxOriginal(source)

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return lines of text as the runtime feeds them, every other one upside down."""
        recorder = Recorder(self._original.engine)
        for at, (rgb, quad) in enumerate(line_pictures(material, count)):
            reader = PpocrReader(_Blank(), ("a",), recorder)
            turned = quad[[2, 3, 0, 1]] if at % 2 else quad
            reader.read(host_picture(rgb), turned[None])
        return [Sample(fed) for fed in recorder.fed]

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Count lines that the runtime would turn, or not, in both."""
        a, b = (np.asarray(next(iter(o.values())))[:, 1] >= 0.9 for o in (wanted, got))
        return Tally(int((a == b).sum()), len(a))


class _Blank:
    """A recogniser that reads nothing: the classifier's inputs do not depend on what is read."""

    name = "blank"
    metadata: ClassVar[dict[str, str]] = {}
    inputs, outputs = ("x",), ("y",)
    input_specs = output_specs = ()

    def run(self, feeds: Tensors) -> Tensors:
        """Return the blank for every step."""
        lines, _, _, width = feeds["x"].shape
        chance = np.zeros((lines, width // 8, 2), np.float32)
        chance[:, :, 0] = 1
        return {"y": chance}


class PpocrClsFamily(PublishedFamily):
    """Files that turn a line into two probabilities."""

    name = "ppocr-cls"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by input and output."""
        if inputs != {_INPUT} or len(outputs) != 1:
            return False
        return len(OnnxEngine(data, name).output_specs[0].shape) == 2

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (PpocrClsPart(source),)
