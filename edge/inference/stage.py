"""Pictures of the host, brought to the GPU as they are, through page-locked memory; where both
share one memory, they are read from there."""

from __future__ import annotations

from typing import Final

import numpy as np

from edge.frame import ByteArray, Planes, PlaneSource
from edge.inference.bound import CudaSlot
from edge.inference.cuda import Cuda
from edge.inference.picture import DevicePicture

_PITCH: Final = 64
"""Rows begin at multiples of it: whole sectors for every warp."""


class PictureStage:
    """Room for one picture on the host and on the GPU. Not thread-safe."""

    def __init__(self, cuda: Cuda, stream: int) -> None:
        """stream: on which pictures are brought."""
        self._slot = CudaSlot(cuda, stream)

    def load(self, picture: PlaneSource) -> DevicePicture:
        """Queue bringing a picture to the GPU, and do not wait.

        What was queued with the picture before has to be done. Raises InferenceError.
        """
        width, height, layout = picture.width, picture.height, picture.layout
        packed = layout == "nv12"
        luma = _padded(width)
        chroma = luma if packed else _padded(width // 2)
        size = luma * height + chroma * (height // 2) * (1 if packed else 2)
        self._slot.reserve(size)
        memory: ByteArray = self._slot.view((size,), np.dtype(np.uint8))
        picture.copy_planes(Planes(
            layout,
            memory[: luma * height].reshape(height, luma)[:, :width],
            _chroma(memory[luma * height :], chroma, width, height, packed=packed),
        ))  # fmt: skip
        self._slot.send(size)
        y = self._slot.address
        u = y + luma * height
        v = u + 1 if packed else u + chroma * (height // 2)
        return DevicePicture(layout, width, height, y, u, v, luma, chroma, picture.full_range)

    def close(self) -> None:
        """Give the memory back: nothing may be queued that reads it."""
        self._slot.close()


def _padded(length: int) -> int:
    return -(-length // _PITCH) * _PITCH


def _chroma(
    memory: ByteArray, pitch: int, width: int, height: int, *, packed: bool
) -> tuple[ByteArray, ...]:
    rows = height // 2
    if packed:
        both = memory[: rows * pitch].reshape(rows, pitch)[:, :width]
        return (both.reshape(rows, width // 2, 2),)
    u, v = memory[: 2 * rows * pitch].reshape(2, rows, pitch)[:, :, : width // 2]
    return u, v
