"""What detectors and the motion estimator see of a picture on the GPU: scaled, converted and
normalised by one launch for all of them, without a copy to the host.

The same picture as HostPicture.shrink gives within a few levels: tests state how few. Kernels:
redact/looking.cuh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge.frame import ByteArray
from edge.inference.cuda import Cuda
from edge.inference.engine import DeviceTensor
from edge.inference.picture import PLANES, DevicePicture
from edge.inference.pool import Pool

_COLOUR: Final = "ffffff"
"""struct Colour of looking.cuh: luma_zero, luma_gain, red_v, green_u, green_v, blue_u."""
_AFFINE: Final = "6f"
KERNELS: Final = {
    "detector_inputs": f"{PLANES} {_COLOUR} P",
    "shrink_luma": f"{PLANES} P i i",
    "luma_difference": f"P P i i {_AFFINE} P",
}
"""Those of looking.cuh, and their parameters."""
Matrix = Literal["bt601", "bt709"]
_RED_BLUE: Final = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Kr and Kb, ITU-R BT.601-7 and BT.709-6."""
_BLOCK: Final = (32, 8, 1)
_THREADS: Final = 256

_TARGET: Final = np.dtype([
    ("out", np.uint64),
    *((name, np.int32) for name in ("width", "height", "left", "top", "inner_width",
                                    "inner_height", "half")),
    ("channel", np.int32, 3), ("scale", np.float32, 3), ("bias", np.float32, 3),
    ("border", np.float32, 3), ("spare", np.int32),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One detector's input, (3, height, width), and where the picture lies in it.

    order: which of R, G, B (0, 1, 2) goes into each plane. A value is level * scale + bias, level
    0..255; border is what surrounds the picture, in levels. half: float16 instead of float32.
    Raises ValueError where the picture is not inside.
    """

    width: int
    height: int
    left: int
    top: int
    inner_width: int
    inner_height: int
    order: tuple[int, int, int] = (0, 1, 2)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    border: float = 0.0
    half: bool = False

    def __post_init__(self) -> None:
        across = 0 <= self.left <= self.left + self.inner_width <= self.width
        down = 0 <= self.top <= self.top + self.inner_height <= self.height
        if not (across and down) or min(self.inner_width, self.inner_height) < 1:
            raise ValueError("the picture does not lie in the detector's input")

    @property
    def size(self) -> int:
        """Bytes of the tensor."""
        return 3 * self.width * self.height * (2 if self.half else 4)


class Preprocessor:
    """Fills the inputs of all detectors that look at one picture. Not thread-safe."""

    def __init__(
        self, cuda: Cuda, image: bytes, specs: Sequence[InputSpec], *, analysis: tuple[int, int]
    ) -> None:
        """image: the compiled kernels, which the manifest vouches for. specs: none where only
        luma is asked for. analysis: width and height of the luma picture for motion, 0 where nobody
        will ask for one. Raises InferenceError."""
        self._cuda = cuda
        cuda.enter()
        self._kernels = cuda.kernels(image, KERNELS)
        self.stream = cuda.stream()
        self.specs = tuple(specs)
        self._analysis = analysis
        small = analysis[0] * analysis[1]
        self._memory = Pool(cuda, 1, max(sum(256 + s.size for s in specs), 1), pinned=False)
        self._host = Pool(cuda, 1, max(_TARGET.itemsize * len(specs), 2 * small, 64), pinned=True)
        self._device = Pool(cuda, 1, _TARGET.itemsize * len(specs) + 2 * small + 64, pinned=False)
        self._piece = self._host.take()
        address = self._memory.take().address
        self.outputs: list[int] = []
        """Address of each tensor on the GPU."""
        table = np.zeros(len(specs), _TARGET)
        for i, s in enumerate(specs):
            self.outputs.append(address)
            border = tuple(s.border * a + b for a, b in zip(s.scale, s.bias, strict=True))
            table[i] = (address, s.width, s.height, s.left, s.top, s.inner_width, s.inner_height,
                        s.half, s.order, s.scale, s.bias, border, 0)  # fmt: skip
            address += -(-s.size // 256) * 256
        self._sum = self._device.take().address
        self._table = self._sum + 64
        self._small = self._table + table.nbytes
        self._odd = False
        if specs:
            assert self._piece.host is not None
            self._piece.host[: table.nbytes] = table.view(np.uint8)
            cuda.upload(self._table, self._piece.host_address, table.nbytes, self.stream)
            cuda.wait(self.stream)

    def tensor(self, index: int) -> DeviceTensor:
        """Return one detector's input, (1, 3, height, width), as an engine takes it."""
        spec = self.specs[index]
        dtype = np.dtype(np.float16 if spec.half else np.float32)
        return DeviceTensor(self.outputs[index], (1, 3, spec.height, spec.width), dtype)

    def load(self, picture: DevicePicture, matrix: Matrix = "bt601") -> None:
        """Queue filling all tensors on `stream`, and do not wait."""
        self._cuda.enter()
        colour = _colour(matrix, full_range=picture.full_range)
        # Quads of values may begin one before the tensor, where the picture lies at an odd place.
        across = max(s.width // 2 + 1 for s in self.specs)
        down = max(s.height // 2 + 1 for s in self.specs)
        grid = (-(-across // _BLOCK[0]), -(-down // _BLOCK[1]), len(self.specs))
        self._cuda.launch(
            self._kernels["detector_inputs"], grid, _BLOCK,
            (*picture.argument(), *colour, self._table), self.stream,
        )  # fmt: skip

    def luma(self, picture: DevicePicture) -> ByteArray:
        """Return the luma picture for motion, (height, width). The one before stays on the GPU."""
        self._cuda.enter()
        width, height = self._analysis
        self._odd = not self._odd
        out = self._small + (width * height if self._odd else 0)
        grid = (-(-width // _BLOCK[0]), -(-height // _BLOCK[1]), 1)
        self._cuda.launch(
            self._kernels["shrink_luma"], grid, _BLOCK,
            (*picture.argument(), out, width, height),
            self.stream,
        )  # fmt: skip
        assert self._piece.host is not None
        self._cuda.download(self._piece.host_address, out, width * height, self.stream)
        self._cuda.wait(self.stream)
        return self._piece.host[: width * height].reshape(height, width).copy()

    def difference(self, back: NDArray[np.float64]) -> float:
        """Return the mean absolute difference of the last two luma pictures.

        back: (2, 3), from pixels of the last one to those of the one before.
        """
        self._cuda.enter()
        width, height = self._analysis
        now, before = (self._small + (width * height if odd else 0) for odd in (self._odd,
                       not self._odd))  # fmt: skip
        self._cuda.clear(self._sum, 8, self.stream)
        motion = back.reshape(-1).tolist()
        self._cuda.launch(
            self._kernels["luma_difference"], (-(-width * height // _THREADS), 1, 1),
            (_THREADS, 1, 1),
            (before, now, width, height, *motion, self._sum), self.stream,
        )  # fmt: skip
        self._cuda.download(self._piece.host_address, self._sum, 8, self.stream)
        self._cuda.wait(self.stream)
        assert self._piece.host is not None
        return int(self._piece.host[:8].view(np.uint64)[0]) / (width * height)

    def close(self) -> None:
        """Give all memory back."""
        self._cuda.enter()
        self._cuda.wait(self.stream)
        for pool in (self._memory, self._host, self._device):
            pool.close()
        self._cuda.drop_stream(self.stream)


def _colour(matrix: Matrix, *, full_range: bool) -> tuple[float, ...]:
    red, blue = _RED_BLUE[matrix]
    green = 1 - red - blue
    # 219 levels of luma and 224 of chroma where the range is limited.
    luma = 1.0 if full_range else 255 / 219
    chroma = 2.0 if full_range else 2 * 255 / 224
    return (
        0 if full_range else 16, luma, chroma * (1 - red), -chroma * (1 - blue) * blue / green,
        -chroma * (1 - red) * red / green, chroma * (1 - blue),
    )  # fmt: skip
