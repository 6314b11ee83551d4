"""Room on the GPU for the pictures of one stream that never leave it.

What a decoder gives lies in surfaces of its own, of which it has few, or in as much memory as is
not given back. So each picture is copied within the GPU, once, into one of a fixed number of slots,
laid out as NVENC reads them.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from edge.errors import InferenceError
from edge.frame import ByteArray, Planes
from edge.inference.cuda import Cuda, give_back
from edge.inference.eyes_proof import prove_luma
from edge.inference.picture import DevicePicture
from edge.inference.pool import Piece, Pool
from edge.inference.preprocess import Preprocessor

_log = logging.getLogger(__name__)
MIB: Final = 1 << 20


class SurfaceRoom:
    """Slots for NV12 pictures of one size, and what is done with the pictures in them.

    Thread-safe. Its memory goes back when it, and whoever has a slot of it, is gone.
    """

    def __init__(
        self, cuda: Cuda, image: bytes, width: int, height: int, *, pitch: int, count: int
    ) -> None:
        """image: the compiled kernels, which the manifest vouches for. pitch: bytes from row to row
        of what will come. count: slots.

        Raises InferenceError where memory is short, ModelError where the kernels do not give what
        motion has to see.
        """
        self.width, self.height, self.pitch, self.count = width, height, pitch, count
        self._cuda = cuda
        self._lock = threading.Lock()
        cuda.enter()
        prove_luma(cuda, image)
        self._image = image
        self._analysis = (0, 0)
        self._stream = cuda.stream()
        self._event = cuda.event()
        size = pitch * height * 3 // 2
        steps: list[Callable[[], object]] = [partial(cuda.wait, self._stream)]
        # Frames that wait in an encoder hold their slots, and the slots hold this object.
        weakref.finalize(self, give_back, cuda, steps).atexit = False
        steps.append(partial(cuda.drop_event, self._event))
        steps.append(partial(cuda.drop_stream, self._stream))
        self._eyes: list[Preprocessor] = []
        """What shrinks luma to `_analysis`; none before somebody asks."""
        steps.append(partial(_close_all, self._eyes))
        slots = Pool(cuda, count, size, pinned=False)
        steps.append(slots.close)
        # Slots come back in whatever thread drops the last view, or amid a garbage collection,
        # where no lock may be waited for: of a deque both ends are safe without.
        self._free = deque(slots.take() for _ in range(count))
        self._staging = Pool(cuda, 1, size, pinned=True)
        steps.append(self._staging.close)
        self._piece = self._staging.take()
        _log.info("%d pictures of %dx%d stay on the GPU: %.0f MiB",
                  count, width, height, count * size / MIB)  # fmt: skip

    @property
    def free(self) -> int:
        """Slots that nobody has."""
        return len(self._free)

    def adopt(self, source: DevicePicture, stream: int) -> Slot | None:
        """Copy a decoder's NV12 surface, when what is queued on its stream is done, into a slot.

        The copy is complete when this returns. None where all slots are taken. Raises
        InferenceError where the picture is of another kind, and DeviceError where the GPU fails.
        """
        same = (source.width, source.height) == (self.width, self.height)
        pitches = (source.y_pitch, source.chroma_pitch)
        if not same or source.layout != "nv12" or pitches != (self.pitch, self.pitch):
            raise InferenceError(
                f"a surface of {source.width}x{source.height} ({source.layout}, pitches {pitches}) "
                f"does not fit slots of {self.width}x{self.height}, pitch {self.pitch}"
            )
        try:
            piece = self._free.pop()
        except IndexError:
            return None
        slot = Slot(self, piece, full_range=source.full_range)
        there, cuda = slot.picture, self._cuda
        with self._lock:
            cuda.enter()
            self._follow(stream)
            for to, address, rows in (
                (there.y, source.y, self.height), (there.u, source.u, self.height // 2),
            ):  # fmt: skip
                # The last row may end where the surface does.
                cuda.copy(to, address, self.pitch * (rows - 1) + self.width, self._stream)
            cuda.wait(self._stream)
        return slot

    def download(self, picture: DevicePicture, out: Planes, after: int | None = None) -> None:
        """Copy an NV12 picture of the slots' size and pitch to planes of the host.

        after: a stream; what is queued on it by now is done first. Raises InferenceError.
        """
        host, piece, height = self._piece.host, self._piece, self.height
        assert host is not None
        chroma = self.pitch * height
        with self._lock:
            self._cuda.enter()
            if after is not None:
                self._follow(after)
            for at, address, rows in ((0, picture.y, height), (chroma, picture.u, height // 2)):
                size = self.pitch * (rows - 1) + self.width
                self._cuda.download(piece.host_address + at, address, size, self._stream)
            self._cuda.wait(self._stream)
            both = host.reshape(height * 3 // 2, self.pitch)[:, : self.width]
            np.copyto(out.y, both[:height])
            np.copyto(out.chroma[0], both[height:].reshape(height // 2, self.width // 2, 2))

    def small_luma(self, picture: DevicePicture, width: int, height: int) -> ByteArray:
        """Return the luma plane scaled down, (height, width). Raises InferenceError."""
        with self._lock:
            self._cuda.enter()
            if not self._eyes or self._analysis != (width, height):
                _close_all(self._eyes)
                self._eyes.append(
                    Preprocessor(self._cuda, self._image, (), analysis=(width, height))
                )
                self._analysis = (width, height)
            return self._eyes[0].luma(picture)

    def _follow(self, stream: int) -> None:
        """Let what is queued from now on wait for what is queued on another stream by now."""
        self._cuda.record(self._event, stream)
        self._cuda.follow(self._stream, self._event)

    def give(self, piece: Piece) -> None:
        """Take back what a slot was made of."""
        self._free.append(piece)


class Slot:
    """One slot of a room, taken until this object is gone. picture: what is in it."""

    __slots__ = ("__weakref__", "_room", "picture")

    def __init__(self, room: SurfaceRoom, piece: Piece, *, full_range: bool) -> None:
        chroma = piece.address + room.pitch * room.height
        self.picture = DevicePicture(
            "nv12", room.width, room.height, piece.address, chroma, chroma + 1,
            room.pitch, room.pitch, full_range,
        )  # fmt: skip
        self._room = room
        weakref.finalize(self, room.give, piece).atexit = False


def _close_all(eyes: list[Preprocessor]) -> None:
    while eyes:
        eyes.pop().close()
