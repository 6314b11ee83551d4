"""CenterFace: published as ONNX for one size and a batch of ten; made to take any size here."""

from __future__ import annotations

import numpy as np

from edge.detection import Detections
from edge.inference.engine import Tensors
from edge.lanes import centerface
from edge.lanes.geometry import Fit, InputBuffer
from edge.track import TrackerSettings
from export.detection import LONG_SIDE, PublishedDetector, picture_port
from export.dynamic import make_dynamic
from export.family import Part, Source
from export.onnx_source import OnnxOriginal, PublishedFamily, read

_INPUT = "input.1"
_OUTPUTS = 4
_MULTIPLE = 32


class CenterFacePart(PublishedDetector):
    """Heatmap, scale, offset and landmarks at stride 4."""

    name = ""
    kind = "faces"
    opset = 9
    conf = centerface.DEFAULT_CONF
    weakest = TrackerSettings(conf=centerface.DEFAULT_CONF).weak

    def __init__(self, source: Source) -> None:
        """Load the file as it is published. Raises ModelError."""
        self.inputs = (picture_port(_INPUT),)
        # Its own size is a batch of 10 of 32 × 32 px: only without that does it run on a picture.
        self._original = OnnxOriginal(source, make_dynamic(read(source), source.name))
        self._input = _INPUT
        self._buffer = InputBuffer(LONG_SIDE, multiple=_MULTIPLE, order=(0, 1, 2))

    def read(self, outputs: Tensors, context: Fit) -> Detections:
        """Return the faces. Raises InferenceError."""
        return centerface.decode([np.asarray(v) for v in outputs.values()], context, self.weakest)


class CenterFaceFamily(PublishedFamily):
    """Files with CenterFace's one input and four nameless outputs."""

    name = "centerface"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by the names of inputs and outputs."""
        return inputs == {_INPUT} and len(outputs) == _OUTPUTS

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (CenterFacePart(source),)
