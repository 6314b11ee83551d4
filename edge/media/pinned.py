"""Pictures in page-locked memory: GPU, redactor and FFmpeg's encoders use the same bytes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import av
import numpy as np

from edge.frame import Planes
from edge.inference.frame_pool import FramePool, Slot
from edge.inference.picture import DevicePicture, PictureLeftError
from edge.media.picture import LAYOUTS, HostPicture, copied, copy_tags, plane_views
from edge.media.streams import MakePicture

_log = logging.getLogger(__name__)


class PinnedPicture(HostPicture):
    """A picture that moves into a slot of a pool when somebody looks at it on a GPU; implements
    SharedPicture as well.

    There the redactor and the encoder find it, too. Most pictures of a stream are not looked at:
    they are not copied at all. The slot goes back when nobody has its memory any more: not this
    picture, nor a view of it, nor an encoder. Where edit() has to copy, since somebody else looks
    at the samples, the copy is in ordinary memory.
    """

    __slots__ = ("__weakref__", "_placed", "_pool", "_slot")

    def __init__(self, frame: av.VideoFrame, pool: FramePool) -> None:
        """frame: of the pool's size and layout. Raises ValueError."""
        super().__init__(frame)
        if not fits(frame, pool):
            raise ValueError("the picture is another than the pool's slots are for")
        self._pool = pool
        self._slot: Slot | None = None
        self._placed = False

    @contextmanager
    def lend(self) -> Iterator[DevicePicture | None]:
        """Lend the samples to kernels of any stream; see SharedPicture.

        edit() does not change them meanwhile, but copies. None where all slots, or all places on
        the GPU, are in use. Raises DeviceError, and PictureLeftError once edit() was called.
        """
        with self._lock:
            if self._edited is not None:
                raise PictureLeftError
            slot = self._move()
            # A second reference to FFmpeg's buffer: make_writable() leaves it as it is.
            held = np.from_dlpack(self._frame.planes[0]) if slot is not None else None
        if slot is None:
            yield None
            return
        with self._pool.lend(slot, full_range=self.full_range) as there:
            yield there
        del held

    def edit(self) -> Planes:
        """Return planes that may be written to without changing any other picture; their `memory`
        tells where a GPU finds them, while they are in a slot."""
        planes = super().edit()
        with self._lock:
            if not self._placed:
                self._placed = True
                if (slot := self._slot) is not None and self._lies_in(slot):
                    self._edited = replace(planes, memory=slot.memory)
            return self._edited or planes

    def apart(self) -> HostPicture:
        """Return a copy in memory of its own: in a slot where there is one."""
        with self._lock:
            made = PinnedPicture(self._frame, self._pool)
            if made._move() is not None:
                return made
        return super().apart()

    def _move(self) -> Slot | None:
        """Copy the samples into a slot, if they are in none; with the lock held."""
        if self._slot is None or not self._lies_in(self._slot):
            lent = self._pool.take(self)
            if lent is None:
                return None
            self._slot, planes = lent
            for target, source in zip(planes, plane_views(self._frame), strict=True):
                np.copyto(target, source)
            moved = av.VideoFrame.from_dlpack(planes, format=self._frame.format.name)
            copy_tags(self._frame, moved)
            self._frame = moved  # what others have of the frame before stays as it is
        return self._slot

    def move_out(self) -> None:
        """Let go of the slot, unless it is being edited: then it leaves soon anyway."""
        with self._lock:
            if self._edited is None and self._slot is not None:
                self._frame = copied(self._frame)
                self._slot = None

    def _lies_in(self, slot: Slot) -> bool:
        return self._frame.planes[0].buffer_ptr == slot.memory.host


def fits(frame: av.VideoFrame, pool: FramePool) -> bool:
    """Return whether a frame is of the size and layout that slots of a pool are for."""
    shape = pool.shape
    found = frame.width, frame.height, LAYOUTS.get(frame.format.name)
    return found == (shape.width, shape.height, shape.layout)


class PinnedPictures:
    """Makes the pictures of one stream, from one connection to the next, so that they can move into
    slots: StreamReader.make_pictures takes `before`."""

    def __init__(self, pool: FramePool) -> None:
        self._pool: FramePool | None = pool

    def before(self, make: MakePicture) -> MakePicture:
        """Return what makes such pictures of frames that fit, and has `make` do it for others."""
        return partial(self._make, make)

    def close(self) -> None:
        """Lend no slot any more. Memory goes back with the last picture."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        pool.close()
        if pool.refused:
            _log.info("%d of %d pictures found all %d slots in use and were copied for the GPU",
                      pool.refused, pool.refused + pool.lent, pool.count)  # fmt: skip

    def _make(self, make: MakePicture, frame: av.VideoFrame) -> HostPicture:
        pool = self._pool
        return PinnedPicture(frame, pool) if pool is not None and fits(frame, pool) else make(frame)
