"""YOLO plate detectors that are ONNX already; those that are .pt are yolo_pt.py's."""

from __future__ import annotations

import numpy as np

from edge.detection import Detections
from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from edge.lanes import yolo
from edge.lanes.letterbox import LetterboxBuffer, Placement
from edge.lanes.yolo_card import read_card
from edge.lanes.yolo_head import framing, picture_input
from edge.track import TrackerSettings
from export.detection import PublishedDetector, picture_port
from export.family import Part, Port, Source
from export.onnx_source import OnnxOriginal, PublishedFamily

_LONG_SIDE = 640


class YoloOnnxPart(PublishedDetector):
    """Any head that the runtime reads, told as the runtime tells it."""

    name = ""
    kind = "plates"
    opset = 17
    conf = yolo.DEFAULT_CONF
    weakest = TrackerSettings(conf=yolo.DEFAULT_CONF).weak

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError where it is no YOLO that finds plates."""
        self._original = OnnxOriginal(source)
        engine = self._original.engine
        self._head = yolo.Yolo(engine, input_size=_LONG_SIDE, weakest=self.weakest).head
        spec = picture_input(engine)
        frame = framing(spec, read_card(engine.metadata, engine.name), _LONG_SIDE)
        self._buffer = LetterboxBuffer(frame, order=(0, 1, 2), dtype=spec.dtype)
        self._input = spec.name
        free = picture_port(spec.name, multiple=frame.multiple)
        sides = tuple(
            mine if theirs is None else theirs
            for mine, theirs in zip(free.shape[2:], spec.shape[2:], strict=True)
        )
        self.inputs = (Port(spec.name, (1, 3, *sides), spec.dtype or np.float32),)
        self.metadata = dict(engine.metadata)

    def read(self, outputs: Tensors, context: Placement) -> Detections:
        """Return the plates. Raises InferenceError."""
        return yolo.decode(outputs, self._head, context, self.weakest)


class YoloOnnxFamily(PublishedFamily):
    """ONNX files with one picture in and a table out."""

    name = "yolo"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by input and output; what is in the table is told when it is opened."""
        if len(inputs) != 1:
            return False
        engine = OnnxEngine(data, name)
        tables = any(len(spec.shape) in (2, 3) for spec in engine.output_specs)
        return len(engine.input_specs[0].shape) == 4 and tables

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (YoloOnnxPart(source),)
