"""Pictures in page-locked memory: FFmpeg, the redactor and the GPU use the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import av
import numpy as np

from edge.frame import Planes
from edge.inference.frame_pool import FramePool, Slot
from edge.inference.picture import DevicePicture, PictureLeftError
from edge.media.picture import LAYOUTS, HostPicture, copy_tags, plane_views
from edge.media.streams import MakePicture


class PinnedPicture(HostPicture):
    """A picture whose frame's planes are a slot of a pool; implements SharedPicture as well.

    The slot goes back when nobody has the frame's memory any more: not this picture, nor a view of
    it, nor an encoder. Where edit() has to copy, since somebody else looks at the samples, the copy
    is in ordinary memory, and this is a picture like any other from then on.
    """

    __slots__ = ("_placed", "_pool", "_slot")

    def __init__(self, frame: av.VideoFrame, pool: FramePool, slot: Slot) -> None:
        """frame: whose planes are those of the slot, which is lent from the pool."""
        super().__init__(frame)
        self._pool, self._slot = pool, slot
        self._placed = False

    @contextmanager
    def lend(self) -> Iterator[DevicePicture | None]:
        """Lend the samples to kernels of any stream; see SharedPicture.

        edit() does not change them meanwhile, but copies. None where every place on the GPU is
        taken, too. Raises DeviceError, and PictureLeftError once edit() was called.
        """
        with self._lock:
            if self._edited is not None:
                raise PictureLeftError
            # A second reference to FFmpeg's buffer: make_writable() leaves it as it is.
            held = np.from_dlpack(self._frame.planes[0])
            lent = self._lies_in_slot()
        if not lent:
            yield None
            return
        with self._pool.lend(self._slot, full_range=self.full_range) as there:
            yield there
        del held

    def edit(self) -> Planes:
        """Return planes that may be written to without changing any other picture; their `memory`
        tells where a GPU finds them, as long as they are in the slot."""
        planes = super().edit()
        with self._lock:
            if not self._placed:
                self._placed = True
                if self._lies_in_slot():
                    self._edited = replace(planes, memory=self._slot.memory)
            return self._edited or planes

    def apart(self) -> HostPicture:
        """Return a copy in memory of its own: another slot where there is one."""
        with self._lock:
            copied = pinned(self._frame, self._pool)
        return copied or super().apart()

    def _lies_in_slot(self) -> bool:
        return self._frame.planes[0].buffer_ptr == self._slot.memory.host


def pinned(frame: av.VideoFrame, pool: FramePool) -> PinnedPicture | None:
    """Copy a frame into a slot, with its colours and times but without its side data; None where
    it is of another size or layout than the pool's, or all slots are lent."""
    shape, name = pool.shape, frame.format.name
    if (frame.width, frame.height, LAYOUTS.get(name)) != (shape.width, shape.height, shape.layout):
        return None
    lent = pool.take()
    if lent is None:
        return None
    slot, planes = lent
    for target, source in zip(planes, plane_views(frame), strict=True):
        np.copyto(target, source)
    made = av.VideoFrame.from_dlpack(planes, format=name)
    copy_tags(frame, made)
    return PinnedPicture(made, pool, slot)


class PinnedPictures:
    """Makes the pictures of one stream, from one connection to the next: StreamReader.make_picture.

    pinned, others: pictures made in a slot and as without. Thread-safe but for these counts.
    """

    def __init__(self, pool: FramePool) -> None:
        self._pool: FramePool | None = pool
        self.pinned = self.others = 0

    def before(self, make: MakePicture) -> MakePicture:
        """Return what makes a picture in a slot where it can, else has `make` do it."""
        return partial(self._make, make)

    def close(self) -> None:
        """Lend no slot any more. Memory goes back with the last picture that is in one."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _make(self, make: MakePicture, frame: av.VideoFrame) -> HostPicture:
        pool = self._pool
        picture = pinned(frame, pool) if pool is not None else None
        if picture is None:
            self.others += 1
            return make(frame)
        self.pinned += 1
        return picture
