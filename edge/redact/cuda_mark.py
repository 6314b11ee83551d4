"""The watermark on pictures in the GPU's memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from edge.inference.cuda import Cuda, give_back
from edge.inference.picture import PLANES, DevicePicture
from edge.inference.pool import Pool
from edge.redact.watermark import Watermark

KERNELS: Final = {"watermark": f"{PLANES} i i i i P P"}
_BLOCK: Final = (32, 8, 1)


class SurfaceMark:
    """Draws a watermark onto pictures that live on the GPU. Not thread-safe."""

    def __init__(self, mark: Watermark, cuda: Cuda, image: bytes) -> None:
        """image: the compiled kernels, which the manifest vouches for."""
        self._mark, self._cuda, self._image = mark, cuda, image
        self._drawn: CudaWatermark | None = None
        self._stream = 0

    def apply_surface(self, picture: DevicePicture) -> None:
        """Draw the text, complete when this returns. Raises InferenceError, and ValueError for a
        picture of another size or range than the first one."""
        cuda = self._cuda
        cuda.enter()
        if self._drawn is None:
            self._drawn = CudaWatermark(
                self._mark, cuda, self._image, full_range=picture.full_range
            )
            self._stream = cuda.stream()
            steps: list[Callable[[], object]] = [
                self._drawn.close,
                partial(cuda.drop_stream, self._stream),
            ]
            weakref.finalize(self, give_back, cuda, steps).atexit = False
        self._drawn.apply_device(picture, self._stream)
        cuda.wait(self._stream)


class CudaWatermark:
    """Draws what a Watermark draws, from tables that lie on the GPU. Not thread-safe."""

    def __init__(self, mark: Watermark, cuda: Cuda, image: bytes, *, full_range: bool) -> None:
        """image: the compiled kernels, which the manifest vouches for. full_range: of the pictures
        to come. Raises InferenceError."""
        self._cuda = cuda
        self._full_range = full_range
        self._tables = mark.tables(full_range=full_range)
        self._memory: Pool | None = None
        if self._tables is None:
            return
        cuda.enter()
        self._kernel = cuda.kernels(image, KERNELS)["watermark"]
        t = self._tables
        keep, add = (
            np.concatenate((luma.reshape(-1), chroma.reshape(-1)))
            for luma, chroma in ((t.keep, t.keep_chroma), (t.add, t.add_chroma))
        )
        self._memory = Pool(cuda, 1, 2 * keep.nbytes, pinned=False)
        self._keep = self._memory.take().address
        self._add = self._keep + keep.nbytes
        staging, stream = Pool(cuda, 1, 2 * keep.nbytes, pinned=True), cuda.stream()
        piece = staging.take()
        assert piece.host is not None
        np.concatenate((keep, add), out=piece.host)
        cuda.upload(self._keep, piece.host_address, 2 * keep.nbytes, stream)
        cuda.wait(stream)
        cuda.drop_stream(stream)
        staging.close()

    def apply_device(self, picture: DevicePicture, stream: int) -> None:
        """Queue drawing the text onto a picture of the size that it was rendered for.

        Raises ValueError for a picture of another range or too small for the text.
        """
        if picture.full_range != self._full_range:
            raise ValueError("a picture of another range than the watermark was made for")
        if (t := self._tables) is None:
            return
        height, width = t.keep.shape
        if t.x + width > picture.width or t.y + height > picture.height:
            raise ValueError("a picture of another size than the watermark was made for")
        self._cuda.enter()
        numbers = (t.x // 2, t.y // 2, width // 2, height // 2)
        self._cuda.launch(
            self._kernel, (-(-width // _BLOCK[0]), -(-height // _BLOCK[1]), 1), _BLOCK,
            (*picture.argument(), *numbers, self._keep, self._add), stream,
        )  # fmt: skip

    def close(self) -> None:
        """Give all memory back."""
        if self._memory is not None:
            self._cuda.enter()
            self._memory.close()
