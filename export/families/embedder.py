"""ArcFace-like embedders, published as ONNX: an aligned face in, a direction out."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.catalogue import InputSpec, load_catalogue
from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from edge.lanes.embedding import ALIGNED_PX, FaceEmbedder
from export.family import Part, Port, Sample, Source, Tally
from export.material import ByteArray, Material
from export.onnx_source import OnnxOriginal, PublishedFamily, PublishedPart, Recorder

_SAME = 0.995
"""Cosine from which two directions are one: what different people's faces are apart is .5 and
more, and what a profile's thresholds differ by is .01."""
_PER_PICTURE = 4


class EmbedderPart(PublishedPart):
    """One aligned face of 112 × 112 px at a time."""

    name = ""
    opset = 17
    precisions: Sequence[str] = ("fp32", "fp16")
    """Below FP16 directions drift, which shows enrolled people's doubles: nothing is won for it."""

    def __init__(self, source: Source, spec: InputSpec | None) -> None:
        """Load the file. Raises ModelError."""
        self._original = OnnxOriginal(source)
        (self._input,) = self._original.inputs
        self.inputs = (Port(self._input, (1, 3, ALIGNED_PX, ALIGNED_PX)),)
        self._spec = spec

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return squares of photographs, most of them faces, as the runtime feeds them."""
        recorder = Recorder(self._original.engine)
        embedder = FaceEmbedder(recorder, self._spec)
        recorder.fed.clear()  # what it was tried with
        for photo in material.pictures(count, "faces"):
            for square in _squares(photo.rgb, photo.labels.get("faces")):
                embedder.embed(square)
                if len(recorder.fed) == count:
                    return [Sample(fed) for fed in recorder.fed]
        return [Sample(fed) for fed in recorder.fed]

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Count faces whose direction stays the same."""
        a, b = (np.asarray(next(iter(o.values())), np.float64).ravel() for o in (wanted, got))
        cosine = float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
        return Tally(int(cosine >= _SAME), 1)


def _squares(rgb: ByteArray, boxes: NDArray[np.float32] | None) -> list[ByteArray]:
    """Cut labelled faces out, else squares from the middle outwards: (112, 112, 3) each."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    places = [(0, 0, side), (width - side, height - side, side), (width // 4, 0, side // 2)]
    if boxes is not None and len(boxes):
        places = [(int(x), int(y), int(max(r - x, b - y))) for x, y, r, b in boxes]
    found = []
    for left, top, length in places[:_PER_PICTURE]:
        part = rgb[max(0, top) : top + length, max(0, left) : left + length]
        if min(part.shape[:2]) >= 16:
            resized = cv2.resize(part, (ALIGNED_PX, ALIGNED_PX), interpolation=cv2.INTER_AREA)
            found.append(np.asarray(resized, np.uint8))
    return found


class EmbedderFamily(PublishedFamily):
    """Files that take one picture of 112 × 112 px and give one vector."""

    name = "mobilefacenet"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by the sizes of input and output."""
        if len(inputs) != 1 or len(outputs) != 1:
            return False
        return OnnxEngine(data, name).input_specs[0].shape[2:] == (ALIGNED_PX, ALIGNED_PX)

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file; one that is catalogued is fed as the catalogue says. Raises ModelError."""
        entry = load_catalogue().by_sha256(source.sha256)
        return (EmbedderPart(source, entry.input if entry is not None else None),)
