"""PP-OCR's orientation classifier, published as ONNX: is a line upside down?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from edge.lanes.ppocr_rec import LINE_HEIGHT_PX, PpocrReader
from export.detection import host_picture
from export.family import Axis, Family, Part, Port, Sample, Source, Tally
from export.lines import line_pictures
from export.material import Material
from export.onnx_source import OnnxOriginal, Recorder, looks_like_onnx, read, value_names

_INPUT = "x"
_WIDTH_PX = 192
_MOST_LINES = 32


class PpocrClsPart(Part):
    """Upright or upside down, as two probabilities."""

    name = ""
    opset = 17
    inputs = (Port(_INPUT, (Axis("lines", 1, 4, _MOST_LINES), 3, LINE_HEIGHT_PX, _WIDTH_PX)),)

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError."""
        self._original = OnnxOriginal(source)

    def to_onnx(self, out: Path) -> None:
        """Write the published graph."""
        out.write_bytes(self._original.data)

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return lines of text as the runtime feeds them, every other one upside down."""
        recorder = Recorder(self._original.engine)
        for at, (rgb, quad) in enumerate(line_pictures(material, count)):
            reader = PpocrReader(_Blank(), ("a",), recorder)
            turned = quad[[2, 3, 0, 1]] if at % 2 else quad
            reader.read(host_picture(rgb), turned[None])
        return [Sample(fed) for fed in recorder.fed]

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run the published file in ONNX Runtime."""
        return self._original.run(feeds)

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


class PpocrClsFamily(Family):
    """Files that turn a line into two probabilities."""

    name = "ppocr-cls"

    def can_load(self, source: Source) -> bool:
        """Tell by input and output."""
        if not looks_like_onnx(source.path):
            return False
        data = read(source)
        inputs, outputs = value_names(data, source.name)
        if inputs != {_INPUT} or len(outputs) != 1:
            return False
        return len(OnnxEngine(data, source.name).output_specs[0].shape) == 2

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (PpocrClsPart(source),)
