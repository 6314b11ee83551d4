"""A decoded frame on the host: numpy views of its planes, a small RGB copy, and safe editing."""

from __future__ import annotations

import threading
from typing import cast

import av
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from edge.frame import ByteArray, PlaneLayout, Planes

# Pixel formats whose planes need no conversion; yuvj420p is yuv420p with full-range luma.
LAYOUTS: dict[str, PlaneLayout] = {"yuv420p": "yuv420p", "yuvj420p": "yuv420p", "nv12": "nv12"}

_FAST = Interpolation.BILINEAR
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
_FAST_WIDTH = 16
"""swscale's vectorised yuv420p to gbrp leaves up to eight columns at the right unwritten (memory
as it was) for other widths; with ACCURATE_RND it takes another path, about 6 times slower."""


class _Scalers(threading.local):
    """Scalers of one thread: they keep tables between calls and must not be shared."""

    def __init__(self) -> None:
        self.scale = VideoReformatter()
        self.convert = VideoReformatter()


_scalers = _Scalers()


class HostPicture:
    """A picture in an av.VideoFrame of 8-bit 4:2:0 with even sides; implements edge.frame.Picture.

    Reading never copies. A view keeps the memory that it shows alive by itself (it holds a
    reference of its own to FFmpeg's buffer), also after the picture was edited or dropped.
    """

    __slots__ = ("_edited", "_frame", "_lock")

    def __init__(self, frame: av.VideoFrame) -> None:
        """Wrap a frame. Raises ValueError for other pixel formats or odd sizes."""
        if frame.format.name not in LAYOUTS or frame.width % 2 or frame.height % 2:
            raise ValueError(
                f"{frame.format.name} of {frame.width}x{frame.height} is not an even 8-bit 4:2:0"
            )
        self._frame = frame
        self._edited: Planes | None = None
        # edit() can move the pixels to other memory while a lane that is late still scales them.
        self._lock = threading.Lock()

    @property
    def frame(self) -> av.VideoFrame:
        """The frame itself, for the encoder."""
        return self._frame

    @property
    def width(self) -> int:
        """Width in pixels, even."""
        return self._frame.width

    @property
    def height(self) -> int:
        """Height in pixels, even."""
        return self._frame.height

    @property
    def layout(self) -> PlaneLayout:
        """How chroma is stored."""
        return LAYOUTS[self._frame.format.name]

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name for how samples are stored: yuv420p, yuvj420p or nv12."""
        return self._frame.format.name

    @property
    def full_range(self) -> bool:
        """True where luma uses 0..255 instead of 16..235."""
        frame = self._frame
        return frame.format.name == "yuvj420p" or frame.color_range == ColorRange.JPEG

    @property
    def luma(self) -> ByteArray:
        """The (H, W) uint8 luma plane; a read-only view that stays valid after edit()."""
        with self._lock:
            view = cast(ByteArray, np.from_dlpack(self._frame.planes[0]))
        view.flags.writeable = False
        return view

    def copy_planes(self, out: Planes) -> None:
        """Copy all samples into planes of the same layout and size."""
        with self._lock:
            for target, source in zip((out.y, *out.chroma), plane_views(self._frame), strict=True):
                np.copyto(target, source)

    def shrink(self, width: int, height: int) -> ByteArray:
        """Scale and convert: planar RGB of shape (3, height, width), uint8, full range.

        Two swscale passes, area-averaged planes first and then the unscaled conversion to planar
        RGB, take the least CPU time of what was compared. One core, 1280x720 to 640x352, 960x544
        and 1280x720, in ms: this 0.43, 0.67, 0.26; swscale in one pass to gbrp 0.75, 1.20, 0.25;
        in one pass to rgb24 and transposed 2.3, 3.5, 1.1; OpenCV on planes with INTER_LINEAR
        (aliases beyond 2:1) 0.53, 0.86, 0.53, with INTER_AREA 3.3, 4.9, 0.6. Against an accurate
        conversion it is off by 1.3 levels on average.
        """
        with self._lock:
            frame = self._frame
            if (width, height) != (frame.width, frame.height) or self.layout != "yuv420p":
                frame = _scalers.scale.reformat(
                    frame, width, height, "yuv420p", interpolation=Interpolation.AREA, threads=1
                )
            frame = _scalers.convert.reformat(
                frame,
                format="gbrp",
                interpolation=_FAST if width % _FAST_WIDTH == 0 else _EXACT,
                src_color_range=ColorRange.JPEG if self.full_range else ColorRange.MPEG,
                dst_color_range=ColorRange.JPEG,
                threads=1,
            )
        rgb: ByteArray = np.empty((3, height, width), np.uint8)
        # gbrp stores green, blue, red.
        for channel, plane in zip((1, 2, 0), frame.planes, strict=True):
            rows = plane_bytes(plane).reshape(height, plane.line_size)
            rgb[channel] = rows[:, :width]
        return rgb

    def crop(self, left: int, top: int, width: int, height: int) -> ByteArray:
        """Convert a part at full size: planar RGB of shape (3, height, width), uint8, full range.

        The part lies in the picture; left, top, width and height are even. Raises ValueError.
        """
        inside = 0 <= left <= left + width <= self.width and 0 <= top <= top + height <= self.height
        if not inside or min(width, height) < 2 or any(v % 2 for v in (left, top, width, height)):
            raise ValueError(f"no even part of the picture: {left}, {top}, {width}x{height}")
        part = av.VideoFrame(width, height, "yuv420p")
        with self._lock:
            source = plane_views(self._frame)
            target = plane_views(part)
            target[0][:] = source[0][top : top + height, left : left + width]
            rows = slice(top // 2, (top + height) // 2)
            columns = slice(left // 2, (left + width) // 2)
            for index, plane in enumerate(target[1:]):
                chroma = source[1][..., index] if len(source) == 2 else source[1 + index]
                plane[:] = chroma[rows, columns]
            part.color_range = self._frame.color_range
            if self.full_range:
                part.color_range = ColorRange.JPEG
        return HostPicture(part).shrink(width, height)

    def edit(self) -> Planes:
        """Return planes that may be written to without changing any other picture.

        The decoder may still predict other frames from this memory, and a view given out by
        `luma` may still be looked at: in both cases the pixels are copied once, to memory that
        only this picture has. Later calls return the same planes.
        """
        with self._lock:
            if self._edited is None:
                self._frame.make_writable()
                views = plane_views(self._frame)
                self._edited = Planes(self.layout, views[0], views[1:], self.full_range)
            return self._edited

    def apart(self) -> HostPicture:
        """Return a copy in memory of its own, with the same colours and time."""
        with self._lock:
            return HostPicture(copied(self._frame))


def copied(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a copy of a frame in memory of its own, with the same colours and time."""
    made = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for target, source in zip(plane_views(made), plane_views(frame), strict=True):
        np.copyto(target, source)
    copy_tags(frame, made)
    return made


def copy_tags(source: av.VideoFrame, target: av.VideoFrame) -> None:
    """Let a frame say of its colours and its time what another one says."""
    target.color_range, target.colorspace = source.color_range, source.colorspace
    target.color_primaries, target.color_trc = source.color_primaries, source.color_trc
    target.pts = source.pts
    if source.time_base:
        target.time_base = source.time_base


def plane_bytes(plane: VideoPlane) -> ByteArray:
    """View all bytes of a plane, row padding included, as one row."""
    return np.frombuffer(cast(bytes, plane), np.uint8)  # any buffer; the stubs do not say so


def plane_views(frame: av.VideoFrame) -> tuple[ByteArray, ...]:
    """View the planes of an 8-bit 4:2:0 frame of any size, odd ones too, without row padding.

    (H, W) for luma and chroma planes, (H, W, 2) for interleaved chroma; top row first. The views
    are writable where the frame is, and must not outlive a later make_writable() of the frame.
    """
    views = []
    for index, plane in enumerate(frame.planes):
        stride = plane.line_size
        interleaved = index == 1 and frame.format.name == "nv12"
        rows = plane_bytes(plane).reshape(plane.height, abs(stride))
        if stride < 0:  # stored bottom row first; the buffer starts at the lowest address
            rows = rows[::-1]
        rows = rows[:, : plane.width * (2 if interleaved else 1)]
        views.append(rows.reshape(plane.height, -1, 2) if interleaved else rows)
    return tuple(views)
