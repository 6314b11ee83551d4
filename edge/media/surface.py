"""A decoded frame that stays in the GPU's memory: scaled, hidden and encoded there.

What wants to see it on the host (a detector on the CPU, a recogniser's crops, a preview) has it
brought there, whole and once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import av
from av.video.frame import CudaContext
from av.video.reformatter import ColorRange

from edge.errors import InferenceError
from edge.frame import ByteArray, PlaneLayout, Planes
from edge.inference.dlpack import DeviceArray, read_plane
from edge.inference.picture import DevicePicture, PictureLeftError, ResidentPicture
from edge.inference.surfaces import Slot, SurfaceRoom
from edge.media.picture import HostPicture, copy_tags, plane_views

FORMAT: Final = "cuda"
"""FFmpeg's name for the pixel format of frames in CUDA's memory."""
_GREY: Final = 128
"""Of all planes: no colour, and the middle of what luma can be."""
STORED: Final = "nv12"
"""How their samples are stored: what NVDEC gives and NVENC takes of 8-bit 4:2:0."""


class SurfacePicture(ResidentPicture):
    """A frame of format cuda in a slot of a room. Implements edge.frame.Picture.

    It lives on the GPU until somebody edits it on the host; from then on the host's copy is the
    picture, and the GPU's is only what it was. Thread-safe, but for editing.
    """

    def __init__(self, frame: av.VideoFrame, room: SurfaceRoom) -> None:
        """frame: of `surface_frame`, with a slot of that room. Raises InferenceError."""
        self._room = room
        self._surface = frame
        self._there = locate(frame)
        self._host: HostPicture | None = None
        """A copy; the picture itself once `_on_host`."""
        self._on_host = False
        self._edited = False
        """Where it is, by kernels."""
        self._lent = 0
        self._lock = threading.RLock()

    @property
    def width(self) -> int:
        """Width in pixels, even."""
        return self._there.width

    @property
    def height(self) -> int:
        """Height in pixels, even."""
        return self._there.height

    @property
    def layout(self) -> PlaneLayout:
        """NV12."""
        return "nv12"

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name for how the samples are stored."""
        return STORED

    @property
    def full_range(self) -> bool:
        """True where luma uses 0..255 instead of 16..235."""
        return self._there.full_range

    @property
    def luma(self) -> ByteArray:
        """The (H, W) luma plane, to be read only. Raises InferenceError."""
        return self._seen().luma

    def small_luma(self, width: int, height: int) -> ByteArray:
        """Return the luma plane scaled down by the GPU, (height, width). Raises InferenceError."""
        return self._room.small_luma(self._there, width, height)

    def copy_planes(self, out: Planes) -> None:
        """Copy all samples into planes of the same layout and size. Raises InferenceError."""
        self._seen().copy_planes(out)

    def shrink(self, width: int, height: int) -> ByteArray:
        """As HostPicture.shrink. Raises InferenceError."""
        return self._seen().shrink(width, height)

    def crop(self, left: int, top: int, width: int, height: int) -> ByteArray:
        """As HostPicture.crop. Raises InferenceError."""
        return self._seen().crop(left, top, width, height)

    @contextmanager
    def lend(self) -> Iterator[DevicePicture]:
        """Lend the samples to kernels that read them; see SharedPicture."""
        with self._lock:
            if self._edited:
                raise PictureLeftError
            self._lent += 1
        try:
            yield self._there
        finally:
            with self._lock:
                self._lent -= 1

    def edit(self) -> Planes:
        """Return the host's planes, which are the picture from now on. Raises InferenceError."""
        with self._lock:
            host = self._seen()
            self._on_host = True
            return host.edit()

    def edit_surface(self) -> DevicePicture | None:
        """Return where kernels may change the picture; None where it lives on the host, and where
        it is lent: a surface is not copied for those that still look, a picture of the host is.

        What has been seen of it on the host is forgotten: it shows what is going to be hidden.
        """
        with self._lock:
            if self._on_host or self._lent:
                return None
            self._host, self._edited = None, True
            return self._there

    def apart(self) -> HostPicture:
        """Return a copy on the host; a blank one where the GPU does not give it."""
        try:
            return self._seen().apart()
        except InferenceError:
            return HostPicture(blank(self._surface))

    @property
    def frame(self) -> av.VideoFrame:
        """The frame on the host, for an encoder that reads it there; a blank one where the GPU does
        not give it."""
        try:
            return self._seen().frame
        except InferenceError:
            return blank(self._surface)

    @property
    def surface(self) -> av.VideoFrame | None:
        """The frame on the GPU, for an encoder that reads it there; None where it lives on the
        host."""
        return None if self._on_host else self._surface

    def _seen(self) -> HostPicture:
        with self._lock:
            if self._host is None:
                self._host = HostPicture(bring(self._surface, self._room))
            return self._host


def locate(frame: av.VideoFrame) -> DevicePicture:
    """Return where the samples of a frame of format cuda lie, for as long as it lives.

    Raises InferenceError where they are not NV12 with even sides.
    """
    stored = frame.sw_format
    if frame.format.name != FORMAT or stored is None or stored.name != STORED:
        raise InferenceError(f"a frame of format {frame.format.name} is no NV12 on the GPU")
    planes = frame.planes
    with read_plane(planes[0]) as luma, read_plane(planes[1]) as chroma:
        try:
            return DevicePicture(
                "nv12", frame.width, frame.height, luma.address, chroma.address,
                chroma.address + 1, luma.strides[0], chroma.strides[0],
                frame.color_range == ColorRange.JPEG,
            )  # fmt: skip
        except ValueError as error:
            raise InferenceError(str(error)) from error


def surface_frame(slot: Slot, like: av.VideoFrame, context: CudaContext) -> av.VideoFrame:
    """Return a frame of format cuda over a slot, which is taken until FFmpeg lets go of it.

    like: where its colours and its time come from. context: one for all frames of a stream.
    Raises InferenceError where FFmpeg refuses it.
    """
    there = slot.picture
    # What is called holds the slot: it is free when the last of the two planes has been let go of.
    luma = DeviceArray(there.y, (there.height, there.width), (there.y_pitch, 1), lambda: slot)
    half = (there.height // 2, there.width // 2, 2)
    chroma = DeviceArray(there.u, half, (there.chroma_pitch, 2, 1), lambda: slot)
    try:
        frame = av.VideoFrame.from_dlpack((luma, chroma), STORED, cuda_context=context)
    except (av.FFmpegError, OSError, TypeError, ValueError, NotImplementedError) as error:
        raise InferenceError(f"FFmpeg does not take a surface: {error}") from error
    copy_tags(like, frame)
    return frame


def bring(frame: av.VideoFrame, room: SurfaceRoom, after: int | None = None) -> av.VideoFrame:
    """Return a frame of format cuda, of a room's size and pitch, on the host.

    FFmpeg can do that too, but does not tell where the GPU fails, and then gives what was in the
    host's memory before. after: see SurfaceRoom.download. Raises InferenceError.
    """
    brought = av.VideoFrame(frame.width, frame.height, STORED)
    y, chroma = plane_views(brought)
    room.download(locate(frame), Planes("nv12", y, (chroma,)), after)
    copy_tags(frame, brought)
    return brought


def blank(like: av.VideoFrame) -> av.VideoFrame:
    """Return an NV12 frame of the host that shows nothing, with another one's size and tags."""
    frame = av.VideoFrame(like.width, like.height, STORED)
    for plane in plane_views(frame):
        plane[...] = _GREY
    copy_tags(like, frame)
    return frame
