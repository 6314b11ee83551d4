"""HyperLPR's plate detector: published as ONNX with free sides and raw heads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edge.detection import Detections
from edge.inference.engine import Tensors
from edge.lanes import hyperlpr
from edge.lanes.letterbox import Framing, LetterboxBuffer, Placement
from edge.media.picture import HostPicture
from edge.track import TrackerSettings
from export.detection import DetectorPart, picture_port
from export.family import Family, Part, Source
from export.onnx_source import OnnxOriginal, looks_like_onnx, read, value_names

_INPUT = "input"
_LONG_SIDE = 640
"""What the balanced profile looks at."""
_FRAMING = Framing(
    height=None, width=None, long_side=_LONG_SIDE, multiple=32, centred=False, enlarge=True,
    grey=127,
)  # fmt: skip


class HyperLprPart(DetectorPart):
    """Anchors with four corners at strides 8, 16 and 32; the first of the runtime's two looks."""

    name = ""
    kind = "plates"
    opset = 17
    inputs = (picture_port(_INPUT),)
    conf = hyperlpr.DEFAULT_CONF
    weakest = TrackerSettings(conf=hyperlpr.DEFAULT_CONF).weak

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError."""
        self._original = OnnxOriginal(source)
        self._buffer = LetterboxBuffer(_FRAMING, order=(2, 1, 0))

    def to_onnx(self, out: Path) -> None:
        """Write the published graph."""
        out.write_bytes(self._original.data)

    def load(self, picture: HostPicture) -> tuple[Mapping[str, NDArray[Any]], Placement]:
        """Feed a picture as the runtime does."""
        tensor, place = self._buffer.load(picture)
        return {_INPUT: tensor}, place

    def read(self, outputs: Tensors, context: Placement) -> Detections:
        """Return the plates. Raises InferenceError."""
        return hyperlpr.decode(outputs, context, self.weakest)

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run the published file in ONNX Runtime."""
        return self._original.run(feeds)


class HyperLprFamily(Family):
    """Files with its three maps."""

    name = "hyperlpr"

    def can_load(self, source: Source) -> bool:
        """Tell by the names of the outputs."""
        if not looks_like_onnx(source.path):
            return False
        _, outputs = value_names(read(source), source.name)
        return outputs == {"p8", "p16", "p32"}

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (HyperLprPart(source),)
