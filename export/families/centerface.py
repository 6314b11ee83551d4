"""CenterFace: published as ONNX for one size and a batch of ten; made to take any size here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.detection import Detections
from edge.inference.engine import Tensors
from edge.lanes import centerface
from edge.lanes.geometry import Fit, InputBuffer
from edge.media.picture import HostPicture
from edge.track import TrackerSettings
from export.detection import LONG_SIDE, DetectorPart, picture_port
from export.dynamic import make_dynamic
from export.family import Family, Part, Source
from export.onnx_source import OnnxOriginal, looks_like_onnx, read, value_names

_INPUT = "input.1"
_OUTPUTS = 4
_MULTIPLE = 32


class CenterFacePart(DetectorPart):
    """Heatmap, scale, offset and landmarks at stride 4."""

    name = ""
    kind = "faces"
    opset = 9
    conf = centerface.DEFAULT_CONF
    weakest = TrackerSettings(conf=centerface.DEFAULT_CONF).weak

    def __init__(self, source: Source) -> None:
        """Load the file as it is published. Raises ModelError."""
        self.inputs = (picture_port(_INPUT),)
        self._dynamic = make_dynamic(read(source), source.name)
        # Its own size is a batch of 10 of 32 × 32 px: only without that does it run on a picture.
        self._original = OnnxOriginal(source, self._dynamic)
        self._buffer = InputBuffer(LONG_SIDE, multiple=_MULTIPLE, order=(0, 1, 2))

    def to_onnx(self, out: Path) -> None:
        """Write the graph with free sides."""
        out.write_bytes(self._dynamic)

    def load(self, picture: HostPicture) -> tuple[Mapping[str, NDArray[Any]], Fit]:
        """Feed a picture as the runtime does."""
        tensor, fit = self._buffer.load(picture)
        return {_INPUT: tensor}, fit

    def read(self, outputs: Tensors, context: Fit) -> Detections:
        """Return the faces. Raises InferenceError."""
        return centerface.decode([np.asarray(v) for v in outputs.values()], context, self.weakest)

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run the published file in ONNX Runtime."""
        return self._original.run(feeds)


class CenterFaceFamily(Family):
    """Files with CenterFace's one input and four nameless outputs."""

    name = "centerface"

    def can_load(self, source: Source) -> bool:
        """Tell by the names of inputs and outputs."""
        if not looks_like_onnx(source.path):
            return False
        inputs, outputs = value_names(read(source), source.name)
        return inputs == {_INPUT} and len(outputs) == _OUTPUTS

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (CenterFacePart(source),)
