"""Pictures for tests of detectors: plain colours, and photographs as a decoder gives them."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np

from edge.frame import ByteArray, Planes
from edge.media.picture import HostPicture
from tests.support import shared_file


class RgbPicture:
    """A picture that is an array, (3, H, W); shrinking takes the nearest pixels."""

    def __init__(self, rgb: ByteArray) -> None:
        self.rgb = rgb
        self.height, self.width = rgb.shape[1:]

    @property
    def luma(self) -> ByteArray:
        return self.rgb[1]

    def shrink(self, width: int, height: int) -> ByteArray:
        rows = np.arange(height) * self.height // height
        columns = np.arange(width) * self.width // width
        return self.rgb[:, rows[:, None], columns]

    def edit(self) -> Planes:
        raise AssertionError("a detector edits nothing")


def coloured(width: int, height: int, rgb: tuple[int, int, int] = (9, 90, 200)) -> RgbPicture:
    return RgbPicture(np.broadcast_to(np.array(rgb, np.uint8)[:, None, None], (3, height, width)))


def photograph(path: Path) -> HostPicture:
    """Read a photograph; an odd last row or column is cut off."""
    bgr = cv2.imread(str(path))
    height, width = bgr.shape[0] // 2 * 2, bgr.shape[1] // 2 * 2
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(bgr[:height, :width]), format="bgr24")
    return HostPicture(frame.reformat(format="yuv420p"))


def labelled_plates(count: int | None = None) -> list[tuple[HostPicture, np.ndarray]]:
    """Photographs of cars with the true boxes of their plates, (N, 4)."""
    labels = shared_file("media/plates/labels.json")
    items = list(json.loads(labels.read_text()).items())[:count]
    return [(photograph(labels.parent / n), np.array(b, np.float32)) for n, b in items]
