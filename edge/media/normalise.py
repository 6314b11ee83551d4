"""Whatever a decoder gives becomes an upright, even-sized 8-bit 4:2:0 frame, converted once."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Self, cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)

from edge.frame import ByteArray
from edge.media.picture import LAYOUTS, plane_views

# H.273 matrix coefficients: 0 is "these are RGB values", which a 4:2:0 picture cannot be.
_MATRIX_RGB = 0
_MATRIX_UNSPECIFIED = 2
_MATRIX_BT709 = 1
_MATRIX_SMPTE170M = 6
_HD_HEIGHT = 720
"""From this height on, untagged material is BT.709, below it BT.601; what players assume too."""
_GREY = 128
"""Of all planes: no colour, and the middle of what luma can be."""


@dataclass(frozen=True, slots=True)
class ColourTags:
    """How numbers become colours, as code points of ITU-T H.273 (2: unspecified)."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool = False


@dataclass(frozen=True, slots=True)
class Orientation:
    """How the coded picture becomes upright: transpose first, then the flips."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def identity(self) -> bool:
        """True where the picture is upright as it is."""
        return not (self.transpose or self.flip_x or self.flip_y)

    @property
    def degrees(self) -> int:
        """Clockwise rotation in degrees; mirrored pictures: the rotation after the mirroring."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def apply(self, plane: ByteArray) -> ByteArray:
        """Turn one plane of shape (H, W) or (H, W, 2)."""
        if self.transpose:
            plane = np.asarray(cv2.transpose(plane), np.uint8)
        if self.flip_x or self.flip_y:
            code = -1 if self.flip_x and self.flip_y else int(self.flip_x)
            plane = np.asarray(cv2.flip(plane, code), np.uint8)
        return plane


def orientation_of(frame: av.VideoFrame) -> Orientation | None:
    """Read a frame's display matrix; None where it is not a multiple of 90 degrees.

    For a first frame only: a frame whose `side_data` was read is freed by the cycle collector
    alone, since PyAV's frame and container refer to each other; some 300 MB in use at 720p.
    """
    try:
        side_data = cast(SideDataContainer, frame.side_data)
    except ValueError:
        return Orientation()  # a photograph's EXIF: FFmpeg knows this kind, PyAV does not
    if SideDataType.DISPLAYMATRIX not in side_data:
        return Orientation()
    matrix = np.frombuffer(bytes(side_data[SideDataType.DISPLAYMATRIX]), np.int32)
    return orientation_from_matrix(*(int(matrix[i]) for i in (0, 1, 3, 4)))


def orientation_from_matrix(a: int, b: int, c: int, d: int) -> Orientation | None:
    """Orientation for x' = a·x + c·y, y' = b·x + d·y; None unless a multiple of 90 degrees."""
    slack = max(map(abs, (a, b, c, d))) // 100  # cameras write cos 90° as a small number
    if min(abs(a), abs(d)) > slack >= max(abs(b), abs(c)):
        return Orientation(False, a < 0, d < 0)
    if min(abs(b), abs(c)) > slack >= max(abs(a), abs(d)):
        return Orientation(True, c < 0, b < 0)
    return None


class Normaliser:
    """Converts the frames of one stream to what its first frame decided.

    A frame that needs nothing passes untouched; one that does is rebuilt, without side data.
    """

    def __init__(self, first: av.VideoFrame) -> None:
        """Decide from the first frame. Raises ValueError for a picture under 2x2 pixels."""
        if first.width < 2 or first.height < 2:
            raise ValueError(f"a picture of {first.width}x{first.height} is too small")
        self.notes: list[str] = []
        self._coded = (first.width, first.height)
        stored = _stored(first)
        self._format = stored if stored in LAYOUTS else "yuv420p"
        self._convert = VideoReformatter()
        self._resized = False
        # What is turned does not stay on the GPU (nvdec.py).
        on_gpu = first.sw_format is not None
        orientation = Orientation() if on_gpu else orientation_of(first)
        if orientation is None:
            self.notes.append("rotation is not a multiple of 90 degrees and was ignored")
            orientation = Orientation()
        self.orientation = orientation
        self._crop = (first.width & ~1, first.height & ~1)
        if self._crop != self._coded:
            old, new = _size(self._coded), _size(self._crop)
            self.notes.append(f"odd size {old} cropped to {new}")
        self.width, self.height = self._crop[::-1] if orientation.transpose else self._crop
        self.colour = self._decide_colour(first)
        if stored not in LAYOUTS:
            self.notes.append(f"pixel format {stored} converted to 8-bit 4:2:0")

    @property
    def pixel_format(self) -> str:
        """Name of the pixel format of every frame given out."""
        return self._format

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return an upright frame of the stream's size and pixel format with its pts kept.

        A frame in the GPU's memory has to leave_on_gpu: FFmpeg would bring it to the host without
        telling where that fails.
        """
        resized = (frame.width, frame.height) != self._coded
        if resized and not self._resized:
            self._resized = True
            old, new = _size(self._coded), _size((frame.width, frame.height))
            self.notes.append(f"picture size changes from {old} to {new}: scaled to {old}")
        pts, time_base = frame.pts, frame.time_base
        if self.leaves_on_gpu(frame):
            return frame
        converted = frame
        if resized or frame.format.name != self._format:
            converted = self._converted(frame)
        if converted is frame and self._fits:
            return frame
        rebuilt = self._rebuilt(converted)
        rebuilt.pts = pts
        if time_base is not None:
            rebuilt.time_base = time_base
        return rebuilt

    def leaves_on_gpu(self, frame: av.VideoFrame) -> bool:
        """Whether a frame is in the GPU's memory, and passes untouched."""
        same = (frame.width, frame.height) == self._coded and _stored(frame) == self._format
        return frame.sw_format is not None and same and self._fits

    def twin(self) -> Self:
        """Return another that does the same, for another thread."""
        made = copy.copy(self)
        made.notes = []
        made._convert = VideoReformatter()
        return made

    def blank(self) -> av.VideoFrame:
        """Return a grey frame of the stream's size, pixel format and colours."""
        frame = av.VideoFrame(self.width, self.height, self._format)
        for plane in plane_views(frame):
            plane[...] = _GREY
        self._tag(frame)
        return frame

    @property
    def _fits(self) -> bool:
        return self.orientation.identity and self._crop == self._coded

    def _converted(self, frame: av.VideoFrame) -> av.VideoFrame:
        full = ColorRange.JPEG if _is_full_range(frame) else ColorRange.MPEG
        wanted = ColorRange.JPEG if self.colour.full_range else ColorRange.MPEG
        to_matrix = None
        if not _is_yuv(frame):
            bt709 = self.colour.matrix == _MATRIX_BT709
            to_matrix = Colorspace.ITU709 if bt709 else Colorspace.SMPTE170M
        return self._convert.reformat(
            frame,
            *self._coded,
            self._format,
            dst_colorspace=to_matrix,
            src_color_range=full,
            dst_color_range=wanted,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
            threads=1,
        )

    def _rebuilt(self, frame: av.VideoFrame) -> av.VideoFrame:
        rebuilt = av.VideoFrame(self.width, self.height, self._format)
        for source, target in zip(plane_views(frame), plane_views(rebuilt), strict=True):
            # Cropping comes first: it keeps the chroma grid aligned when the picture turns.
            rows, columns = source.shape[:2]
            if self._crop != self._coded:
                scale = 1 if rows == frame.height else 2
                rows, columns = self._crop[1] // scale, self._crop[0] // scale
            target[...] = self.orientation.apply(source[:rows, :columns])
        self._tag(rebuilt)
        return rebuilt

    def _tag(self, frame: av.VideoFrame) -> None:
        frame.color_range = ColorRange.JPEG if self.colour.full_range else ColorRange.MPEG
        frame.color_primaries = self.colour.primaries
        frame.color_trc = self.colour.transfer
        frame.colorspace = self.colour.matrix

    def _decide_colour(self, first: av.VideoFrame) -> ColourTags:
        primaries, transfer = int(first.color_primaries), int(first.color_trc)
        if _is_yuv(first):
            return ColourTags(primaries, transfer, int(first.colorspace), _is_full_range(first))
        matrix = _MATRIX_BT709 if first.height >= _HD_HEIGHT else _MATRIX_SMPTE170M
        if primaries == ColorPrimaries.UNSPECIFIED:
            primaries = ColorPrimaries.BT709  # sRGB
        if transfer == ColorTrc.UNSPECIFIED:
            transfer = ColorTrc.IEC61966_2_1
        return ColourTags(int(primaries), int(transfer), matrix, full_range=False)


_NO_CHROMA = ("gray", "ya8", "ya16", "mono", "xyz", "bayer")


def _is_yuv(frame: av.VideoFrame) -> bool:
    """True where the samples are luma and chroma already, not RGB, palette or gray."""
    kind = frame.format
    if kind.is_rgb or kind.has_palette or frame.colorspace == _MATRIX_RGB:
        return False
    return not kind.name.startswith(_NO_CHROMA)


def _is_full_range(frame: av.VideoFrame) -> bool:
    name = frame.format.name
    if frame.color_range in (ColorRange.MPEG, ColorRange.JPEG) and not name.startswith("yuvj"):
        return frame.color_range == ColorRange.JPEG
    return name.startswith("yuvj") or not _is_yuv(frame)


def _stored(frame: av.VideoFrame) -> str:
    """Return the pixel format of a frame's samples, wherever they are."""
    stored = frame.sw_format
    return frame.format.name if stored is None else stored.name


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
