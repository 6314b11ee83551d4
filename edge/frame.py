"""A frame in the pipeline: its place in time, and its picture as 4:2:0 planes.

Nothing here knows where the planes live or who owns them; media/ makes pictures on the host.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

PlaneLayout = Literal["yuv420p", "nv12"]
ByteArray = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PageLocked:
    """Memory of the host that a GPU reaches, too: the byte at `host` is the one at `device`.

    host, device: addresses of the first byte. size: bytes.
    """

    host: int
    device: int
    size: int

    def address(self, plane: ByteArray) -> int:
        """Return where the GPU finds a plane's first sample. Raises ValueError where a plane does
        not lie in this memory, or not with its first row first."""
        start = int(plane.ctypes.data)
        reach = sum((n - 1) * step for n, step in zip(plane.shape, plane.strides, strict=True))
        inside = self.host <= start and start + reach < self.host + self.size
        if not plane.size or min(plane.strides) < 1 or not inside:
            raise ValueError("the plane does not lie in the memory that the GPU reaches")
        return start - self.host + self.device


@dataclass(frozen=True, slots=True)
class Planes:
    """Views of one picture's 8-bit 4:2:0 planes; editing them edits the picture.

    y: (H, W) uint8. chroma: for yuv420p two arrays U, V of (H/2, W/2); for nv12 one array of
    (H/2, W/2, 2) with U and V interleaved. H and W are even. Rows may be padded (strided views).
    """

    layout: PlaneLayout
    y: ByteArray
    chroma: tuple[ByteArray, ...]
    full_range: bool = False
    """True where luma uses 0..255 (JPEG range) instead of 16..235."""
    memory: PageLocked | None = None
    """What all of them lie in, where a GPU reaches it."""


class PlaneSource(Protocol):
    """What has planes that can be copied."""

    @property
    def width(self) -> int:
        """Width in pixels, even."""

    @property
    def height(self) -> int:
        """Height in pixels, even."""

    @property
    def layout(self) -> PlaneLayout:
        """How chroma is stored."""

    @property
    def full_range(self) -> bool:
        """True where luma uses 0..255 instead of 16..235."""

    def copy_planes(self, out: Planes) -> None:
        """Copy all samples into planes of the same layout and size."""


class Picture(PlaneSource, Protocol):
    """A picture that can be looked at, shrunk, and edited in place."""

    @property
    def luma(self) -> ByteArray:
        """The (H, W) luma plane, to be read only."""

    def shrink(self, width: int, height: int) -> ByteArray:
        """Scale and convert in one step: planar RGB of shape (3, height, width), uint8."""

    def crop(self, left: int, top: int, width: int, height: int) -> ByteArray:
        """Convert a part at full size: planar RGB of shape (3, height, width), uint8.

        The part lies in the picture; left, top, width and height are even.
        """

    def edit(self) -> Planes:
        """Return planes that may be written to without changing any other picture."""

    def apart(self) -> Picture:
        """Return a copy, to be edited while others go on looking at this one."""


class KeptPicture(Protocol):
    """A picture that is not in memory, but can be had again. One thread at a time."""

    def prepare(self) -> bool:
        """Do a little of the work ahead, some milliseconds of it. Return whether there was any."""

    def take(self) -> Picture | None:
        """Return the very same picture, once; None where it is not to be had: fail closed."""

    def drop(self) -> None:
        """Let go of it: it will not be asked for."""

    def blank(self) -> Picture:
        """Return a picture of the same size and layout that shows nothing."""


@dataclass(frozen=True, slots=True)
class GonePicture:
    """Stands where a picture was: a frame that waits need not keep its pixels in memory."""

    width: int
    height: int

    @property
    def layout(self) -> PlaneLayout:
        """Raise LookupError."""
        raise LookupError("this picture has left")

    @property
    def full_range(self) -> bool:
        """Raise LookupError."""
        raise LookupError("this picture has left")

    @property
    def luma(self) -> ByteArray:
        """Raise LookupError."""
        raise LookupError("this picture has left")

    def copy_planes(self, out: Planes) -> None:
        """Raise LookupError."""
        raise LookupError("this picture has left")

    def shrink(self, width: int, height: int) -> ByteArray:
        """Raise LookupError."""
        raise LookupError("this picture has left")

    def crop(self, left: int, top: int, width: int, height: int) -> ByteArray:
        """Raise LookupError."""
        raise LookupError("this picture has left")

    def edit(self) -> Planes:
        """Raise LookupError."""
        raise LookupError("this picture has left")

    def apart(self) -> Picture:
        """Raise LookupError."""
        raise LookupError("this picture has left")


@dataclass(slots=True)
class Frame:
    """One decoded frame of a source."""

    frame_id: int
    pts: float
    """Seconds from the source's start."""
    ticks: int
    """The same in the source stream's own time base: what the muxer gets, without rounding."""
    picture: Picture
    kept: KeptPicture | None = None
    """Where the picture can be had again; None: it has to be kept as it is."""

    def without_picture(self) -> Frame:
        """Return the same frame with its pixels gone, whoever else still has them."""
        gone = GonePicture(self.picture.width, self.picture.height)
        return replace(self, picture=gone)
