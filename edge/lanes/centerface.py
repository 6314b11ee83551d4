"""Decoder of CenterFace (Xu et al., 2019).

Input (1, 3, H, W) float32, RGB 0..255, sides multiples of 32. Outputs at stride 4: heatmap (1)
and log-scale (2: height, width), offset (2: y, x), landmarks (10: five y, x, in box sizes from its
top left corner). The order of the outputs is the published file's; they have no telling names.
"""

from __future__ import annotations

import numpy as np

from edge.detection import Detections, FloatArray
from edge.errors import InferenceError
from edge.frame import Picture
from edge.inference.engine import Engine
from edge.lanes.geometry import Fit, InputBuffer, distinct

DEFAULT_CONF = 0.25
_STRIDE = 4
_CHANNELS = (1, 2, 2, 10)
_NMS_IOU = 0.3
_MULTIPLE = 32
_MAX_LOG_SIZE = 10.0


class CenterFace:
    """Implements edge.lanes.lane.Detector."""

    def __init__(self, engine: Engine, *, input_size: int, weakest: float) -> None:
        """`weakest`: score below which nothing is reported."""
        self._engine = engine
        self._weakest = weakest
        self._input = InputBuffer(input_size, multiple=_MULTIPLE, order=(0, 1, 2))

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        """Return the faces in a picture. Raises InferenceError."""
        outputs, fit = self._input.show(self._engine, image)
        named = [outputs[name] for name in self._engine.outputs]
        return frame_id, decode(named, fit, self._weakest)


def decode(outputs: list[FloatArray], fit: Fit, weakest: float) -> Detections:
    """Turn heatmap, scale, offset and landmarks into faces in picture pixels.

    Raises InferenceError for outputs of another number or shape.
    """
    rows, columns = fit.height // _STRIDE, fit.width // _STRIDE
    expected = [(1, channels, rows, columns) for channels in _CHANNELS]
    if [o.shape for o in outputs] != expected:
        raise InferenceError(
            f"CenterFace's outputs have shapes {[o.shape for o in outputs]}, expected {expected}"
        )
    heat, scale, offset, landmarks = (np.asarray(o)[0] for o in outputs)
    if not np.isfinite(heat).all():
        raise InferenceError("CenterFace gave NaN or infinity in its heatmap")
    y, x = np.nonzero(heat[0] >= weakest)
    score = heat[0, y, x].astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        size = np.exp(np.minimum(scale[:, y, x], _MAX_LOG_SIZE)) * _STRIDE
        height, width = size
        left = (x + offset[1, y, x] + 0.5) * _STRIDE - width / 2
        top = (y + offset[0, y, x] + 0.5) * _STRIDE - height / 2
        box = np.stack([left, top, left + width, top + height], axis=1).astype(np.float32)
        relative = landmarks[:, y, x].T.reshape(-1, 5, 2)
        marks = np.stack(
            [left[:, None] + relative[..., 1] * width[:, None],
             top[:, None] + relative[..., 0] * height[:, None]], axis=2,
        )  # fmt: skip
        box, mark = fit.to_picture(box), fit.to_picture(marks.astype(np.float32))
    return distinct(box, score, mark, _NMS_IOU)
