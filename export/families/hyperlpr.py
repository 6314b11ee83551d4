"""HyperLPR's plate detector: published as ONNX with free sides and raw heads."""

from __future__ import annotations

from edge.detection import Detections
from edge.inference.engine import Tensors
from edge.lanes import hyperlpr
from edge.lanes.letterbox import Framing, LetterboxBuffer, Placement
from edge.track import TrackerSettings
from export.detection import PublishedDetector, picture_port
from export.family import Part, Source
from export.onnx_source import OnnxOriginal, PublishedFamily

_INPUT = "input"
_LONG_SIDE = 640
"""What the balanced profile looks at."""
_FRAMING = Framing(
    height=None, width=None, long_side=_LONG_SIDE, multiple=32, centred=False, enlarge=True,
    grey=127,
)  # fmt: skip


class HyperLprPart(PublishedDetector):
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
        self._input = _INPUT
        self._buffer = LetterboxBuffer(_FRAMING, order=(2, 1, 0))

    def read(self, outputs: Tensors, context: Placement) -> Detections:
        """Return the plates. Raises InferenceError."""
        return hyperlpr.decode(outputs, context, self.weakest)


class HyperLprFamily(PublishedFamily):
    """Files with its three maps."""

    name = "hyperlpr"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by the names of the outputs."""
        return outputs == {"p8", "p16", "p32"}

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (HyperLprPart(source),)
