"""YuNet: published as ONNX, dynamic by its makers or for one size; any size here."""

from __future__ import annotations

from edge.detection import Detections
from edge.inference.engine import Tensors
from edge.lanes import yunet
from edge.lanes.geometry import Fit, InputBuffer
from edge.track import TrackerSettings
from export.detection import LONG_SIDE, PublishedDetector, picture_port
from export.dynamic import make_dynamic
from export.family import Part, Source
from export.onnx_source import OnnxOriginal, PublishedFamily, read

_MULTIPLE = 32


class YuNetPart(PublishedDetector):
    """Class, objectness, box and landmarks at strides 8, 16 and 32."""

    name = ""
    kind = "faces"
    opset = 17
    conf = yunet.DEFAULT_CONF
    weakest = TrackerSettings(conf=yunet.DEFAULT_CONF).weak

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError."""
        self._original = OnnxOriginal(source, make_dynamic(read(source), source.name))
        (self._input,) = self._original.inputs
        self.inputs = (picture_port(self._input),)
        self._buffer = InputBuffer(LONG_SIDE, multiple=_MULTIPLE, order=(2, 1, 0))

    def read(self, outputs: Tensors, context: Fit) -> Detections:
        """Return the faces. Raises InferenceError."""
        return yunet.decode(outputs, context, self.weakest)


class YuNetFamily(PublishedFamily):
    """Files with YuNet's twelve outputs."""

    name = "yunet"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by the names of the outputs."""
        return {"cls_8", "kps_32"} <= outputs

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (YuNetPart(source),)
