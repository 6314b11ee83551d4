"""A photograph as a picture of the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np

from edge.errors import SourceError
from edge.frame import ByteArray
from edge.media.picture import HostPicture

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""How the names of photographs end, in lower case."""
_MAX_SIDE_PX: Final = 4096
"""Larger photographs are scaled down: what a face detector sees is smaller still."""


def read_still(path: Path) -> HostPicture:
    """Read a photograph, upright by its EXIF tag, as 8-bit 4:2:0. Raises SourceError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}. Check its name and permissions."
        ) from None
    return decode_still(data, str(path))


def decode_still(data: bytes, name: str) -> HostPicture:
    """Decode a photograph as `read_still` does. name: what messages call it. SourceError."""
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:  # a header that states an impossible size
        decoded = None
    if decoded is None or min(decoded.shape[:2]) < 2:
        raise SourceError(f"{name} is not a picture that can be read. Save it as JPEG or PNG.")
    return to_picture(np.asarray(decoded, np.uint8))


def to_picture(bgr: ByteArray) -> HostPicture:
    """Turn a (H, W, 3) uint8 BGR picture of at least 2 x 2 into a picture with even sides."""
    height, width = bgr.shape[:2]
    scale = min(1.0, _MAX_SIDE_PX / max(height, width))
    if scale < 1:
        sides = (max(2, round(width * scale)), max(2, round(height * scale)))
        bgr = np.asarray(cv2.resize(bgr, sides, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = bgr.shape[:2]
    even = np.ascontiguousarray(bgr[: height & ~1, : width & ~1])
    return HostPicture(av.VideoFrame.from_ndarray(even, format="bgr24").reformat(format="yuv420p"))
