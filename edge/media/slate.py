"""Pictures that are not the source's own: a slate for a lost signal, and frames made to fit."""

from __future__ import annotations

import av
import cv2
import numpy as np

from edge.media.encoders import PictureInfo
from edge.media.picture import HostPicture
from edge.media.streams import AnyPicture, StreamInfo

_GREY = 60
_WHITE = 220
_NEUTRAL = 128


def make_slate(info: PictureInfo, text: str = "signal lost") -> HostPicture:
    """Draw the picture that is sent while there is no signal, in the size and format of `info`."""
    frame = _blank(info, _GREY)
    luma = HostPicture(frame).edit().y
    height, width = luma.shape
    scale = height / 360
    thickness = max(1, round(scale * 2))
    (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    if w < width:
        cv2.putText(luma, text, ((width - w) // 2, (height + h) // 2), cv2.FONT_HERSHEY_SIMPLEX,
                    scale, _WHITE, thickness, cv2.LINE_AA)  # fmt: skip
    return HostPicture(frame)


def fit(picture: AnyPicture, info: StreamInfo) -> AnyPicture:
    """Return a picture in the size and format of `info`, with black bars where shapes differ."""
    shape = (picture.width, picture.height, picture.pixel_format)
    if shape == (info.width, info.height, info.pixel_format):
        return picture
    scale = min(info.width / picture.width, info.height / picture.height)
    inner = (round(picture.width * scale / 2) * 2, round(picture.height * scale / 2) * 2)
    scaled = picture.frame.reformat(
        max(2, min(inner[0], info.width)), max(2, min(inner[1], info.height)), info.pixel_format
    )
    frame = _blank(info, 0 if info.pixel_format == "yuvj420p" else 16)
    target, source = HostPicture(frame).edit(), HostPicture(scaled).edit()
    top = (info.height - scaled.height) // 4 * 2
    left = (info.width - scaled.width) // 4 * 2
    target.y[top : top + scaled.height, left : left + scaled.width] = source.y
    for mine, theirs in zip(target.chroma, source.chroma, strict=True):
        rows, columns = theirs.shape[:2]
        mine[top // 2 : top // 2 + rows, left // 2 : left // 2 + columns] = theirs
    return HostPicture(frame)


def _blank(info: PictureInfo, luma: int) -> av.VideoFrame:
    frame = av.VideoFrame(info.width, info.height, info.pixel_format)
    frame.colorspace = info.colour.matrix
    for index, plane in enumerate(frame.planes):
        value = luma if index == 0 else _NEUTRAL
        plane.update(np.full(plane.buffer_size, value, np.uint8).tobytes())
    return frame
