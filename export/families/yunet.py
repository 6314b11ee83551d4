"""YuNet: published as ONNX, dynamic by its makers or for one size; any size here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edge.detection import Detections
from edge.inference.engine import Tensors
from edge.lanes import yunet
from edge.lanes.geometry import Fit, InputBuffer
from edge.media.picture import HostPicture
from edge.track import TrackerSettings
from export.detection import LONG_SIDE, DetectorPart, picture_port
from export.dynamic import make_dynamic
from export.family import Family, Part, Source
from export.onnx_source import OnnxOriginal, looks_like_onnx, read, value_names

_MULTIPLE = 32


class YuNetPart(DetectorPart):
    """Class, objectness, box and landmarks at strides 8, 16 and 32."""

    name = ""
    kind = "faces"
    opset = 17
    conf = yunet.DEFAULT_CONF
    weakest = TrackerSettings(conf=yunet.DEFAULT_CONF).weak

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError."""
        self._dynamic = make_dynamic(read(source), source.name)
        self._original = OnnxOriginal(source, self._dynamic)
        (self._input,) = self._original.inputs
        self.inputs = (picture_port(self._input),)
        self._buffer = InputBuffer(LONG_SIDE, multiple=_MULTIPLE, order=(2, 1, 0))

    def to_onnx(self, out: Path) -> None:
        """Write the graph with free sides."""
        out.write_bytes(self._dynamic)

    def load(self, picture: HostPicture) -> tuple[Mapping[str, NDArray[Any]], Fit]:
        """Feed a picture as the runtime does."""
        tensor, fit = self._buffer.load(picture)
        return {self._input: tensor}, fit

    def read(self, outputs: Tensors, context: Fit) -> Detections:
        """Return the faces. Raises InferenceError."""
        return yunet.decode(outputs, context, self.weakest)

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run the published file in ONNX Runtime."""
        return self._original.run(feeds)


class YuNetFamily(Family):
    """Files with YuNet's twelve outputs."""

    name = "yunet"

    def can_load(self, source: Source) -> bool:
        """Tell by the names of the outputs."""
        if not looks_like_onnx(source.path):
            return False
        _, outputs = value_names(read(source), source.name)
        return {"cls_8", "kps_32"} <= outputs

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (YuNetPart(source),)
