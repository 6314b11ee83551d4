"""The attacker's eyes: find faces with landmarks (YuNet), embed them (MobileFaceNet).

Apart from the project's own lanes on purpose: a fault there must not blind the benchmark, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks._common import BenchmarkError, ByteArray
from edge.detection import Detections, nms

FloatArray = NDArray[np.float32]

_STRIDES: Final = (8, 16, 32)
_PICTURE_MULTIPLE: Final = 32
_NMS_IOU: Final = 0.3
TEMPLATE: Final = np.array(
    [(38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)], np.float32
)
"""Where the five landmarks lie in an aligned 112 × 112 face: the positions of ArcFace's
(insightface's) alignment, with which MobileFaceNet was trained."""
ALIGNED_PX: Final = 112
_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)
"""ImageNet's, for RGB in 0..1."""


def _session(model: Path) -> ort.InferenceSession:
    if not model.is_file():
        raise BenchmarkError(f"model {model} is missing. Name the folder that has it by --models.")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


class FaceFinder:
    """YuNet over pictures of any size."""

    def __init__(self, model: Path) -> None:
        self._session = _session(model)
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]

    def find(self, picture: ByteArray, threshold: float = 0.6) -> Detections:
        """Return the faces of a (H, W, 3) BGR picture, best first, at its own size."""
        height, width = picture.shape[:2]
        down, right = -height % _PICTURE_MULTIPLE, -width % _PICTURE_MULTIPLE
        padded = cv2.copyMakeBorder(picture, 0, down, 0, right, cv2.BORDER_CONSTANT)
        blob = padded.transpose(2, 0, 1)[None].astype(np.float32)
        values = self._session.run(self._outputs, {self._input: blob})
        maps = dict(zip(self._outputs, (np.asarray(value) for value in values), strict=True))
        boxes, scores, landmarks = [], [], []
        for stride in _STRIDES:
            score = np.sqrt(maps[f"cls_{stride}"][0, :, 0] * maps[f"obj_{stride}"][0, :, 0])
            (found,) = np.nonzero(score > threshold)
            columns = padded.shape[1] // stride
            cell = np.stack([found % columns, found // columns], axis=1).astype(np.float32)
            offset = maps[f"bbox_{stride}"][0, found]
            centre = (cell + offset[:, :2]) * stride
            half = np.exp(offset[:, 2:]) * stride / 2
            boxes.append(np.concatenate([centre - half, centre + half], axis=1))
            scores.append(score[found])
            points = maps[f"kps_{stride}"][0, found].reshape(-1, 5, 2)
            landmarks.append((cell[:, None] + points) * stride)
        every = Detections(
            boxes=np.concatenate(boxes),
            scores=np.concatenate(scores),
            landmarks=np.concatenate(landmarks),
        )
        return every.keep(nms(every.boxes, every.scores, _NMS_IOU))


class FaceEmbedder:
    """MobileFaceNet: a face as a direction in 128 dimensions."""

    def __init__(self, model: Path) -> None:
        self._session = _session(model)
        self._input = self._session.get_inputs()[0].name

    def embed(self, picture: ByteArray, landmarks: FloatArray) -> FloatArray:
        """Align the face at landmarks (5, 2) of a BGR picture and return its unit vector (128,)."""
        matrix, _ = cv2.estimateAffinePartial2D(
            landmarks.astype(np.float32), TEMPLATE, method=cv2.LMEDS
        )
        if matrix is None or not np.isfinite(matrix).all():
            raise BenchmarkError("a face's landmarks coincide. Leave that picture out.")
        face = cv2.warpAffine(picture, matrix, (ALIGNED_PX, ALIGNED_PX))
        rgb = face[:, :, ::-1].astype(np.float32) / 255
        blob = ((rgb - _MEAN) / _DEVIATION).transpose(2, 0, 1)[None]
        vector = np.asarray(self._session.run(None, {self._input: blob})[0], np.float32)[0]
        result: FloatArray = vector / max(float(np.linalg.norm(vector)), 1e-9)
        return result
