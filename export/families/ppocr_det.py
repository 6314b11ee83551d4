"""PP-OCR's text detector, published as ONNX with free sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.detection import Detections
from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from edge.lanes import ppocr_det
from edge.lanes.geometry import Fit
from edge.media.picture import HostPicture
from edge.track import TrackerSettings
from export.detection import LONG_SIDE, PublishedDetector, picture_port
from export.family import Part, Source
from export.onnx_source import OnnxOriginal, PublishedFamily, Recorder

_INPUT = "x"


class PpocrDetPart(PublishedDetector):
    """A map of how likely each pixel is the core of a line."""

    name = ""
    kind = "text"
    opset = 17
    precisions: Sequence[str] = ("fp32", "fp16")
    """In INT8 it gave 33 % of its answers, in FP8 none, whichever layers were spared."""
    inputs = (picture_port(_INPUT),)
    conf = ppocr_det.DEFAULT_CONF
    weakest = TrackerSettings(conf=ppocr_det.DEFAULT_CONF).weak

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError."""
        self._original = OnnxOriginal(source)

    def load(self, picture: HostPicture) -> tuple[Mapping[str, NDArray[Any]], Fit]:
        """Feed a picture as the runtime does."""
        recorder = Recorder(self._original.engine)
        detector = ppocr_det.PpocrDetector(recorder, input_size=LONG_SIDE, weakest=self.weakest)
        detector.infer(0, picture)
        return recorder.fed[0], Fit.of(picture.width, picture.height, LONG_SIDE, 32)

    def read(self, outputs: Tensors, context: Fit) -> Detections:
        """Return the lines. Raises InferenceError."""
        probability = np.asarray(next(iter(outputs.values())), np.float32)
        return ppocr_det.decode(probability, context, self.weakest)


class PpocrDetFamily(PublishedFamily):
    """Files that turn one picture into one map."""

    name = "ppocr-det"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by input and output."""
        if inputs != {_INPUT} or len(outputs) != 1:
            return False
        engine = OnnxEngine(data, name)
        return len(engine.output_specs[0].shape) == 4 and not engine.metadata.get("character")

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (PpocrDetPart(source),)
