"""Parts that find things in pictures: fed and read by the runtime's own decoders."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from edge.detection import Detections, FloatArray, iou_matrix
from edge.errors import InferenceError
from edge.frame import Picture
from edge.inference.engine import Tensors
from edge.media.picture import HostPicture
from export.family import Axis, Part, Port, Sample, Tally
from export.material import ByteArray, Material
from export.onnx_source import PublishedPart

LONG_SIDE = 960
"""What the balanced profile looks at, in pixels."""
_SAME_IOU = 0.5
_COVERED = 0.75
"""Share of a labelled box's area that has to lie under one detection: the redactor adds padding."""


def picture_port(name: str, most: int = 1280, multiple: int = 32) -> Port:
    """Return the port of a network that takes (1, 3, H, W) of any size up to high_privacy's."""
    height = Axis("height", multiple, 544, most)
    width = Axis("width", multiple, LONG_SIDE, most)
    return Port(name, (1, 3, height, width))


def host_picture(rgb: ByteArray) -> HostPicture:
    """Return (H, W, 3) uint8 RGB with even sides as a decoder would give it."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return HostPicture(frame.reformat(format="yuv420p"))


class DetectorPart(Part):
    """A part that finds boxes. Subclasses say how a picture is fed and outputs are read."""

    kind: str = ""
    """Folder name of labelled pictures: faces, plates, text."""
    conf: float
    """Score from which the runtime takes a detection for real."""
    weakest: float
    """Score from which the runtime's tracker still follows one."""

    @abstractmethod
    def load(self, picture: HostPicture) -> tuple[Mapping[str, NDArray[Any]], Any]:
        """Return feeds for a picture, and what `read` needs to find back into it."""

    @abstractmethod
    def read(self, outputs: Tensors, context: Any) -> Detections:
        """Return what is in outputs, from score `weakest` on. Raises InferenceError."""

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return photographs as the runtime would feed them."""
        samples = []
        for photo in material.pictures(count, self.kind):
            feeds, context = self.load(host_picture(photo.rgb))
            truth = photo.labels.get(self.kind)
            samples.append(Sample({n: v.copy() for n, v in feeds.items()}, truth, context))
        return samples

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Count boxes from score `conf` on; a box is found again from score `weakest` on.

        Outputs that the runtime refuses, since no picture holds so much, are one answer as well.
        """
        before, after = self._read(wanted, sample), self._read(got, sample)
        if before is None or after is None:
            return Tally(int(before is after), max(1, len(before or ())))
        missed = _unmatched(before, after, self.conf)
        added = _unmatched(after, before, self.conf)
        sure = int((before.scores >= self.conf).sum())
        return Tally(sure - missed, sure + added)

    def _read(self, outputs: Tensors, sample: Sample) -> Detections | None:
        try:
            return self.read(outputs, sample.context)
        except InferenceError:
            return None

    def correct(self, outputs: Tensors, sample: Sample) -> Tally | None:
        """Count labelled boxes of which three quarters of the area lie under one detection."""
        if sample.truth is None:
            return None
        if (found := self._read(outputs, sample)) is None:
            return Tally(0, len(sample.truth))
        boxes = found.keep(found.scores >= self.conf).boxes
        return Tally(int((_covered(sample.truth, boxes) >= _COVERED).sum()), len(sample.truth))


class PictureBuffer(Protocol):
    """Scales pictures into a network's input, as the runtime's detectors do."""

    def load(self, image: Picture) -> tuple[NDArray[Any], Any]:
        """Return the input, valid until the next call, and how the picture was fitted in."""


class PublishedDetector(PublishedPart, DetectorPart):
    """A detector that is ONNX already and has one picture in."""

    _input: str
    _buffer: PictureBuffer

    def load(self, picture: HostPicture) -> tuple[Mapping[str, NDArray[Any]], Any]:
        """Feed a picture as the runtime does."""
        tensor, place = self._buffer.load(picture)
        return {self._input: tensor}, place


def _unmatched(some: Detections, others: Detections, conf: float) -> int:
    """How many boxes of score conf and more have no counterpart."""
    sure = some.keep(some.scores >= conf)
    if not len(sure) or not len(others):
        return len(sure)
    best = iou_matrix(sure.boxes, others.boxes).max(axis=1)
    return int((best < _SAME_IOU).sum())


def _covered(truth: FloatArray, boxes: FloatArray) -> FloatArray:
    """Largest share of each true box (N, 4) that lies in one of boxes (M, 4): (N,)."""
    if not len(boxes):
        return np.zeros(len(truth), np.float32)
    width = np.minimum(truth[:, None, 2], boxes[:, 2]) - np.maximum(truth[:, None, 0], boxes[:, 0])
    height = np.minimum(truth[:, None, 3], boxes[:, 3]) - np.maximum(truth[:, None, 1], boxes[:, 1])
    inside = np.maximum(width, 0) * np.maximum(height, 0)
    area = (truth[:, 2] - truth[:, 0]) * (truth[:, 3] - truth[:, 1])
    share: FloatArray = (inside.max(axis=1) / np.maximum(area, 1e-6)).astype(np.float32)
    return share
