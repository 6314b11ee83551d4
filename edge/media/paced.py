"""A file that behaves like a camera: given out in real time, over and over if wished."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from edge.allocator import free_cycles
from edge.errors import SourceError
from edge.frame import Frame
from edge.media.arrival import Pace
from edge.media.live import SourceLost
from edge.media.source import FileSource, SourceInfo
from edge.media.streams import MakePicture, SoundPacket


class PacedFile:
    """Gives out a file's frames and sound when they are due by the monotonic clock.

    Looped, time and frame numbers go on where the pass before ended. A machine that is too slow
    gets late items, none are left out.
    """

    def __init__(self, path: str | Path, loop: bool = False, *, keep_packets: bool = False) -> None:
        """Open the file and decode its first frame. Raises SourceError."""
        self._source = FileSource(path, keep_packets=keep_packets)
        self._keep_packets = keep_packets
        self._loop = loop
        self._closed = threading.Event()
        self._guard = threading.Lock()
        self._pace = Pace()
        self._frames = 0
        self._started = False
        self._before: Callable[[MakePicture], MakePicture] | None = None
        self.passes = 0
        """How often the file was given out to its end."""

    @property
    def info(self) -> SourceInfo:
        """What the file holds."""
        return self._source.info

    @property
    def notes(self) -> list[str]:
        """Remarks for the user."""
        return self._source.notes

    def make_pictures(self, before: Callable[[MakePicture], MakePicture]) -> None:
        """Let something else make pictures, of what makes them now: at every pass."""
        self._before = before
        self._source.make_pictures(before)

    def read(self) -> Iterator[Frame | SoundPacket]:
        """Yield frames and sound when they are due; once only. Ends at the end, or after close().

        Raises SourceError as FileSource does, SourceLost where the file is another at a later
        pass.
        """
        if self._started:
            raise RuntimeError("a source can be read only once")
        self._started = True
        offset = 0
        while True:
            for item in self._one_pass():
                self._shift(item, offset)
                self._closed.wait(self._pace.wait_s(item.pts, time.monotonic()))
                if self._closed.is_set():
                    return
                yield item
            self.passes += 1
            if not self._loop or self._closed.is_set():
                return
            offset += math.ceil(self._source.end_s / self.info.time_base)
            self._open_again()

    def close(self) -> None:
        """End, from any thread. Frames already given out stay valid."""
        self._closed.set()
        if self._guard.acquire(blocking=False):
            try:
                self._source.close()
            finally:
                self._guard.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _one_pass(self) -> Iterator[Frame | SoundPacket]:
        items = self._source.read()
        while not self._closed.is_set():
            with self._guard:
                item = next(items, None)
            if item is None:
                return
            yield item
        self.close()

    def _shift(self, item: Frame | SoundPacket, offset: int) -> None:
        """Move an item by ticks of the picture, to where it comes in the loop."""
        offset_s = offset * self.info.time_base
        if isinstance(item, Frame):
            item.frame_id = self._frames
            self._frames += 1
            item.ticks += offset
        else:
            packet = item.packet
            moved = round(offset_s / packet.time_base)
            packet.pts = packet.dts = (packet.pts or 0) + moved
        item.pts += float(offset_s)

    def _open_again(self) -> None:
        before, path = self.info, self._source.path
        with self._guard:
            self._source.close()
            free_cycles()
            try:
                self._source = FileSource(path, keep_packets=self._keep_packets)
            except SourceError as error:
                raise SourceLost(str(path), "it cannot be opened again") from error
        if self._before is not None:
            self.make_pictures(self._before)
        after = self.info
        same = (after.width, after.height, after.pixel_format, after.time_base) == (
            (before.width, before.height, before.pixel_format, before.time_base)
        )
        if not same:
            self.close()
            raise SourceLost(str(path), "size changed")
