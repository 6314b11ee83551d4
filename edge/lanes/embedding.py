"""A face as a direction: aligned by its five landmarks, and embedded by an ArcFace-like network.

Two pictures of one person give directions whose cosine is near 1, those of two people near 0.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.catalogue import InputSpec
from edge.detection import FloatArray
from edge.errors import InferenceError, ModelError
from edge.frame import ByteArray
from edge.inference.engine import Engine
from edge.inference.onnx import OnnxEngine

ALIGNED_PX: Final = 112
"""Side of the square that networks of this kind are trained on."""
TEMPLATE: Final[FloatArray] = np.array(
    [(38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)], np.float32
)
"""Where right eye, left eye, nose, right and left mouth corner lie in an aligned face, pixels: the
mean face of ArcFace's alignment (Deng et al. 2019), with which these networks were trained."""
ARCFACE_INPUT: Final = InputSpec(
    layout="NCHW", channels="RGB", range=(-1.0, 1.0), dynamic=False, size=(ALIGNED_PX, ALIGNED_PX)
)
"""How ArcFace's own networks are fed: what a file that is not in the catalogue is taken for."""
_SMALLEST_SPREAD: Final = 1e-6
"""Squared pixels; landmarks that lie closer to each other have no direction and no scale."""
_MARGIN_PX: Final = 2
"""Pixels around a face that interpolation at its edge reads."""
_PROBE: Final = 127
"""Grey level of the picture that a network is tried with when it is loaded."""

Similarity = NDArray[np.float64]


def similarity(points: FloatArray) -> tuple[Similarity, float]:
    """Fit the shift, roll and zoom that carry landmarks onto TEMPLATE with the least square error.

    points: (5, 2) pixels. Return the (2, 3) float64 matrix, and the root mean square distance in
    aligned pixels that it leaves: small for a face that looks at the camera. A mirrored face is not
    flipped. Raises ValueError for landmarks that coincide or are not finite.
    """
    source = points.astype(np.float64)
    if source.shape != (5, 2) or not np.isfinite(source).all():
        raise ValueError("landmarks must be five finite points")
    target = TEMPLATE.astype(np.float64)
    # Points as complex numbers: roll and zoom are one factor.
    a, b = source @ (1, 1j), target @ (1, 1j)
    centred = a - a.mean()
    spread = float((np.abs(centred) ** 2).sum())
    if not spread > _SMALLEST_SPREAD:
        raise ValueError("landmarks coincide")
    factor = np.vdot(centred, b - b.mean()) / spread
    shift = b.mean() - factor * a.mean()
    left = float(np.sqrt(np.mean(np.abs(factor * a + shift - b) ** 2)))
    matrix = np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    )
    return matrix, left


def reach(landmarks: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the largest (x, y) that `align` reads for landmarks (5, 2), pixels.

    Raises ValueError as `similarity` does.
    """
    return _reach(similarity(landmarks)[0])


def _reach(matrix: Similarity) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([(x, y) for x in (0, ALIGNED_PX) for y in (0, ALIGNED_PX)], np.float64)
    places = corners @ inverse[:, :2].T + inverse[:, 2]
    return places.min(axis=0) - _MARGIN_PX, places.max(axis=0) + _MARGIN_PX


def align(rgb: ByteArray, landmarks: FloatArray) -> ByteArray:
    """Cut one face out, upright and at the network's size: (112, 112, 3) uint8 RGB.

    rgb: planar, (3, H, W) uint8. landmarks: (5, 2) in its pixels. What lies outside is black.
    Raises ValueError as `similarity` does, and where no pixel of the face is in the picture.
    """
    matrix, _ = similarity(landmarks)
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    height, width = rgb.shape[1:]
    low, high = _reach(matrix)
    left, top = (int(v) for v in np.clip(np.floor(low), 0, (width, height)))
    right, bottom = (int(v) for v in np.clip(np.ceil(high), 0, (width, height)))
    if left >= right or top >= bottom:
        raise ValueError("the face lies outside the picture")
    part = np.ascontiguousarray(rgb[:, top:bottom, left:right].transpose(1, 2, 0))
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    if zoom < 0.5:
        # A warp reads four pixels for one: of a large face it would keep noise, not the mean.
        sides = tuple(max(1, round(side * zoom * 2)) for side in part.shape[1::-1])
        ratio = np.array([part.shape[1] / sides[0], part.shape[0] / sides[1]])
        part = np.asarray(cv2.resize(part, sides, interpolation=cv2.INTER_AREA), np.uint8)
        # Pixels are counted from their middle: (x + ½) / ratio − ½.
        matrix[:, 2] += matrix[:, :2] @ (ratio / 2 - 0.5)
        matrix[:, :2] = matrix[:, :2] * ratio
    face = cv2.warpAffine(part, matrix, (ALIGNED_PX, ALIGNED_PX), flags=cv2.INTER_LINEAR)
    return np.asarray(face, np.uint8)


class FaceEmbedder:
    """Embeds aligned faces, one at a time, by one thread. Keeps nothing of them."""

    def __init__(self, engine: Engine, spec: InputSpec | None = None) -> None:
        """spec: how the network is fed; None for ARCFACE_INPUT.

        Raises ModelError for a network that does not take aligned faces or gives no vector.
        """
        spec = spec or ARCFACE_INPUT
        if len(engine.inputs) != 1 or not engine.outputs:
            raise ModelError(
                f"the face recogniser takes {len(engine.inputs)} inputs. Use a network that takes "
                "one aligned face."
            )
        if spec.channels == "GRAY" or spec.size not in (None, (ALIGNED_PX, ALIGNED_PX)):
            raise ModelError(
                f"the face recogniser does not take colour faces of {ALIGNED_PX}x{ALIGNED_PX}. "
                "Use a network of ArcFace's kind."
            )
        self._engine = engine
        self._spec = spec
        low, high = spec.range
        mean = np.array(spec.mean or (0.0, 0.0, 0.0), np.float32)
        std = np.array(spec.std or (1.0, 1.0, 1.0), np.float32)
        # Channel order of the network: value · scale + offset.
        self._scale = ((high - low) / 255 / std).astype(np.float32)
        self._offset = ((low - mean) / std).astype(np.float32)
        try:
            grey = np.full((ALIGNED_PX, ALIGNED_PX, 3), _PROBE, np.uint8)
            self.dimensions = len(self._run(grey))
        except InferenceError as error:
            raise ModelError(
                f"the face recogniser does not work on a face of {ALIGNED_PX}x{ALIGNED_PX}: "
                f"{error}. Use a network of ArcFace's kind."
            ) from error

    def embed(self, face: ByteArray) -> FloatArray:
        """Return the unit vector, (D,) float32, of an aligned (112, 112, 3) uint8 RGB face.

        Raises InferenceError where the network fails, or says nothing: NaN, zero, another length.
        """
        vector = self._run(face)
        length = float(np.linalg.norm(vector))
        if vector.shape != (self.dimensions,) or not np.isfinite(length) or not length > 0:
            raise InferenceError("the face recogniser gave a vector without a direction")
        unit: FloatArray = (vector / length).astype(np.float32)
        return unit

    def _run(self, face: ByteArray) -> FloatArray:
        if face.shape != (ALIGNED_PX, ALIGNED_PX, 3):
            raise InferenceError(f"an aligned face has shape {face.shape}")
        channels = face[:, :, ::-1] if self._spec.channels == "BGR" else face
        tensor = channels.astype(np.float32) * self._scale + self._offset
        if self._spec.layout == "NCHW":
            tensor = tensor.transpose(2, 0, 1)
        outputs = self._engine.run({self._engine.inputs[0]: np.ascontiguousarray(tensor[None])})
        vector = np.asarray(outputs[self._engine.outputs[0]], np.float32)
        if vector.ndim < 2 or vector.shape[0] != 1 or vector.size < 2:
            raise InferenceError(f"the face recogniser gave an output of shape {vector.shape}")
        return vector.reshape(-1)


def load_embedder(
    model: bytes, name: str, spec: InputSpec | None = None, *, threads: int = 1
) -> FaceEmbedder:
    """Load a network from the bytes of an ONNX file. Raises ModelError."""
    return FaceEmbedder(OnnxEngine(model, name, threads=threads), spec)
