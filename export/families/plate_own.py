"""privaedge's own plate detector: published as ONNX with free sides and raw heads."""

from __future__ import annotations

from edge.detection import Detections
from edge.inference.engine import Tensors
from edge.lanes import plate_own
from edge.lanes.letterbox import Framing, LetterboxBuffer, Placement
from edge.track import TrackerSettings
from export.detection import PublishedDetector, picture_port
from export.family import Part, Source
from export.onnx_source import OnnxOriginal, PublishedFamily

_LONG_SIDE = 640
"""What the balanced profile looks at."""
_MULTIPLE = 32
_FRAMING = Framing(
    height=None, width=None, long_side=_LONG_SIDE, multiple=_MULTIPLE, centred=False, enlarge=True,
    grey=114,
)  # fmt: skip


class OwnPlatesPart(PublishedDetector):
    """A score and four corners for each cell at strides 8, 16 and 32."""

    name = ""
    kind = "plates"
    opset = 17
    conf = plate_own.DEFAULT_CONF
    weakest = TrackerSettings(conf=plate_own.DEFAULT_CONF).weak

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError."""
        self._original = OnnxOriginal(source)
        (self._input,) = self._original.inputs
        self.inputs = (picture_port(self._input, multiple=_MULTIPLE),)
        self._buffer = LetterboxBuffer(_FRAMING, order=(0, 1, 2))

    def read(self, outputs: Tensors, context: Placement) -> Detections:
        """Return the plates. Raises InferenceError."""
        return plate_own.decode(outputs, context, self.weakest)


class OwnPlatesFamily(PublishedFamily):
    """Files with its three maps."""

    name = "plate-own"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by the names of the outputs."""
        return outputs == set(plate_own.OUTPUTS)

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (OwnPlatesPart(source),)
