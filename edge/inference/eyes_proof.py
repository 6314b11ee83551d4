"""Whether this machine's GPU makes the detectors' inputs that it should, found out before it is
given a picture: a detector that is shown something else finds nothing, and nothing tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.frame import ByteArray, PlaneLayout, Planes
from edge.inference.cuda import Cuda
from edge.inference.pool import Pool
from edge.inference.preprocess import InputSpec, Preprocessor
from edge.inference.stage import PictureStage

MOST_LEVELS: Final = 4.3
"""Where float32 rounds a half to the other side, a level of luma is 1.16 of RGB and one of chroma
up to 2, in the worst case of all three together."""
MOST_OFF: Final = 0.05
"""Share of the values that may differ by more than a rounding error at all."""
_ROUNDING: Final = 0.2
_SIZE: Final = (322, 182)
_SMALL: Final = (100, 57)
_SPECS: Final = (
    InputSpec(224, 128, 0, 0, 224, 126, (2, 1, 0)),
    InputSpec(192, 192, 21, 41, 151, 109, scale=(0.017, 0.0175, 0.018), bias=(-2.1, -2.0, -1.8),
              border=114.0, half=True),
)  # fmt: skip


@dataclass(frozen=True)
class _Drawing:
    """Noise on a slope, no two parts of which look alike."""

    planes: Planes
    width: int = _SIZE[0]
    height: int = _SIZE[1]

    @property
    def layout(self) -> PlaneLayout:
        return self.planes.layout

    @property
    def full_range(self) -> bool:
        return self.planes.full_range

    def copy_planes(self, out: Planes) -> None:
        mine = self.planes
        for to, source in zip((out.y, *out.chroma), (mine.y, *mine.chroma), strict=True):
            np.copyto(to, source)


def prove(cuda: Cuda, image: bytes) -> None:
    """Compare what the kernels make of drawings with the definition.

    Raises ModelError where it is something else, InferenceError where the GPU fails.
    """
    cuda.enter()
    eye = Preprocessor(cuda, image, _SPECS, analysis=(0, 0))
    stage = PictureStage(cuda, eye.stream)
    try:
        for layout in ("yuv420p", "nv12"):
            drawing = _draw(layout, full_range=layout == "nv12")
            eye.load(stage.load(drawing))
            for index, spec in enumerate(_SPECS):
                if not _agrees(_fetch(cuda, eye, index), expected(drawing.planes, spec), spec):
                    raise ModelError(
                        "the GPU scales pictures otherwise than it should. Run `privaedge export "
                        "kernels` again, or set runtime.device to cpu."
                    )
    finally:
        eye.close()
        stage.close()


def prove_luma(cuda: Cuda, image: bytes) -> None:
    """Compare the small luma picture that motion is estimated on with the mean over each area.

    Raises ModelError where it is something else, InferenceError where the GPU fails.
    """
    cuda.enter()
    eye = Preprocessor(cuda, image, (), analysis=_SMALL)
    stage = PictureStage(cuda, eye.stream)
    try:
        for layout in ("yuv420p", "nv12"):
            drawing = _draw(layout, full_range=False)
            seen = eye.luma(stage.load(drawing))
            wanted = np.floor(_areas(drawing.planes.y, *_SMALL) + 0.5)
            if np.abs(seen - wanted).max() > 1:
                raise ModelError(
                    "the GPU shrinks pictures otherwise than it should. Run `privaedge export "
                    "kernels` again, or set runtime.device to cpu."
                )
    finally:
        eye.close()
        stage.close()


def expected(planes: Planes, spec: InputSpec) -> NDArray[np.float64]:
    """Return a detector's input from the definition, (3, height, width): the mean over each area,
    then ITU-R BT.601, then rounding."""
    width, height = spec.inner_width, spec.inner_height
    chroma = planes.chroma if len(planes.chroma) == 2 else np.moveaxis(planes.chroma[0], 2, 0)
    y = np.floor(_areas(planes.y, width, height) + 0.5)
    half = ((width + 1) // 2, (height + 1) // 2)
    u, v = (
        (np.floor(_areas(c, *half) + 0.5) - 128).repeat(2, 0).repeat(2, 1)[:height, :width]
        for c in chroma
    )
    luma, gain = (y, 1.0) if planes.full_range else ((y - 16) * 255 / 219, 255 / 224)
    levels = np.stack((luma + 1.402 * gain * v,
                       luma - gain * (0.114 * 1.772 * u + 0.299 * 1.402 * v) / 0.587,
                       luma + 1.772 * gain * u))  # fmt: skip
    levels = np.clip(np.floor(levels + 0.5), 0, 255)
    out = np.full((3, spec.height, spec.width), spec.border, np.float64)
    rows = slice(spec.top, spec.top + height)
    columns = slice(spec.left, spec.left + width)
    out[:, rows, columns] = levels[list(spec.order)]
    scale, bias = (np.array(values)[:, None, None] for values in (spec.scale, spec.bias))
    result: NDArray[np.float64] = out * scale + bias
    return result.astype(np.float16).astype(np.float64) if spec.half else result


def _agrees(seen: NDArray[np.float64], wanted: NDArray[np.float64], spec: InputSpec) -> bool:
    error = np.abs(seen - wanted) / np.array(spec.scale)[:, None, None]
    return bool(error.max() <= MOST_LEVELS and (error > _ROUNDING).mean() <= MOST_OFF)


def _areas(plane: ByteArray, width: int, height: int) -> NDArray[np.float64]:
    def overlap(length: int, count: int) -> NDArray[np.float64]:
        edges = np.arange(count + 1) * length / count
        cells = np.arange(length)
        low = np.maximum(edges[:-1, None], cells)
        high = np.minimum(edges[1:, None], cells + 1)
        share: NDArray[np.float64] = np.clip(high - low, 0, None) * count / length
        return share

    down, across = overlap(plane.shape[0], height), overlap(plane.shape[1], width)
    result: NDArray[np.float64] = down @ plane.astype(np.float64) @ across.T
    return result


def _draw(layout: PlaneLayout, *, full_range: bool) -> _Drawing:
    width, height = _SIZE
    rng = np.random.default_rng(5)
    slope = np.linspace(30, 190, width)[None, :] + np.linspace(0, 30, height)[:, None]
    y = (slope + rng.uniform(-25, 25, (height, width))).astype(np.uint8)
    u, v = rng.integers(16, 241, (2, height // 2, width // 2), np.uint8)
    chroma = (np.dstack((u, v)),) if layout == "nv12" else (u, v)
    return _Drawing(Planes(layout, y, chroma, full_range))


def _fetch(cuda: Cuda, eye: Preprocessor, index: int) -> NDArray[np.float64]:
    tensor, spec = eye.tensor(index), eye.specs[index]
    pool = Pool(cuda, 1, spec.size, pinned=True)
    try:
        piece = pool.take()
        assert piece.host is not None
        cuda.download(piece.host_address, tensor.address, spec.size, eye.stream)
        cuda.wait(eye.stream)
        values = np.asarray(piece.host.view(tensor.dtype), np.float64)
        return values.reshape(tensor.shape[1:])
    finally:
        pool.close()
