"""Page-locked memory for the frames of one stream: taken when it begins, lent and given back, and
never more of it.

The decoder's picture is copied into a slot once. There the host and the GPU have the same bytes:
where both share one memory, kernels read and edit them in place; elsewhere copies go between slot
and GPU without another one on the host, and a picture that is looked at is brought over once, for
all who look at it.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edge.errors import DeviceError
from edge.frame import ByteArray, PageLocked, PlaneLayout
from edge.inference.cuda import Cuda
from edge.inference.picture import DevicePicture
from edge.inference.pool import Piece, Pool

_PITCH: Final = 128
"""Bytes: luma rows begin at multiples of it, and so chroma rows of yuv420p at whole sectors of 64.
A cache line of a GPU, and more than the widest vectors of FFmpeg and x264."""
_TAIL: Final = 128
"""Bytes behind the last row: vectorised code reads (never writes) up to one vector beyond it."""
MOST_COPIES: Final = 8
"""Pictures on a discrete GPU for those who look: at 4 looks per second, lanes may be 2 s apart
before a picture is brought a second time."""


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """Where the planes of one picture lie in a slot: as FFmpeg's av_image_fill_pointers has them,
    chroma directly behind luma.

    width, height: even. Raises ValueError for anything else.
    """

    layout: PlaneLayout
    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 2 or self.width % 2 or self.height % 2:
            raise ValueError("a 4:2:0 picture has even sides")

    @property
    def y_pitch(self) -> int:
        """Bytes from a row of luma to the next."""
        return -(-self.width // _PITCH) * _PITCH

    @property
    def chroma_pitch(self) -> int:
        """Bytes from a row of chroma to the next."""
        return self.y_pitch if self.layout == "nv12" else self.y_pitch // 2

    @property
    def size(self) -> int:
        """Bytes of a slot."""
        return self.y_pitch * self.height * 3 // 2 + _TAIL

    def planes(self, memory: ByteArray) -> tuple[ByteArray, ...]:
        """View a slot's bytes, (size,), as luma (H, W) and chroma, as edge.frame.Planes has it."""
        half, (start, pitch) = self.height // 2, (self.y_pitch * self.height, self.chroma_pitch)

        def view(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> ByteArray:
            # With their strides said: numpy's own of a single row are none of a picture.
            return np.ndarray(shape, np.uint8, memory, offset, strides)

        y = view(0, (self.height, self.width), (self.y_pitch, 1))
        if self.layout == "nv12":
            return y, view(start, (half, self.width // 2, 2), (pitch, 2, 1))
        shape = (half, self.width // 2)
        return y, view(start, shape, (pitch, 1)), view(start + pitch * half, shape, (pitch, 1))

    def at(self, address: int, *, full_range: bool) -> DevicePicture:
        """Describe the picture in a slot, or in a copy of one, at an address of the GPU."""
        u = address + self.y_pitch * self.height
        v = u + (1 if self.layout == "nv12" else self.chroma_pitch * (self.height // 2))
        return DevicePicture(
            self.layout, self.width, self.height, address, u, v, self.y_pitch, self.chroma_pitch,
            full_range,
        )  # fmt: skip


class _Bytes:
    """The owner of a lent slot's bytes: every view of them, whoever makes it, keeps it alive."""

    __slots__ = ("__array_interface__", "__weakref__")

    def __init__(self, memory: ByteArray) -> None:
        self.__array_interface__: dict[str, Any] = memory.__array_interface__


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot that is lent. loan: a number that no other loan has. memory: where it lies."""

    loan: int
    memory: PageLocked


class FramePool:
    """Slots for the pictures of one stream. Thread-safe; when all are lent, there is none.

    shape: how a picture lies in a slot. count: slots. Whatever is lent keeps the pool and the GPU's
    context alive: memory goes back when the pool and all views of its slots are gone.
    """

    def __init__(self, cuda: Cuda, shape: FrameLayout, count: int) -> None:
        """Raises InferenceError where memory is short."""
        self.shape, self.count = shape, count
        self._loans = itertools.count()
        self._closed = False
        cuda.enter()
        pinned = Pool(cuda, count, shape.size, pinned=True)
        give_back: list[Callable[[], object]] = [pinned.close]
        self._shut = weakref.finalize(self, _shut, cuda, give_back)
        self._shut.atexit = False
        # Slots come back in whatever thread drops the last view, or amid a garbage collection,
        # where no lock may be waited for: of a deque both ends are safe without.
        self._free = deque(pinned.take() for _ in range(count))
        self._copies: _Copies | None = None
        if not cuda.integrated:
            self._copies = _Copies(cuda, min(count, MOST_COPIES), shape.size, give_back)

    @property
    def allocated(self) -> int:
        """Bytes of page-locked memory."""
        return self.count * self.shape.size

    @property
    def free(self) -> int:
        """Slots that are not lent."""
        return len(self._free)

    def take(self) -> tuple[Slot, tuple[ByteArray, ...]] | None:
        """Lend a slot, and its planes as FrameLayout.planes has them; None where there is none.

        It comes back when these arrays, and all that was made of them (views, DLPack tensors,
        FFmpeg's references), are gone.
        """
        try:
            piece = self._free.pop()
        except IndexError:
            return None
        if self._closed:
            self._free.append(piece)
            return None
        assert piece.host is not None
        owner = _Bytes(piece.host)
        weakref.finalize(owner, self._give, piece).atexit = False
        memory = PageLocked(piece.host_address, piece.address, self.shape.size)
        return Slot(next(self._loans), memory), self.shape.planes(np.asarray(owner))

    @contextmanager
    def lend(self, slot: Slot, *, full_range: bool) -> Iterator[DevicePicture | None]:
        """Lend the picture in a slot to kernels of any stream, to be read only; see SharedPicture.

        The caller sees to it that nobody writes to the slot meanwhile, and that it stays lent. The
        picture must not have changed since it was lent first. Raises DeviceError.
        """
        if self._copies is None:
            yield self.shape.at(slot.memory.device, full_range=full_range)
            return
        with self._copies.of(slot) as address:
            yield None if address is None else self.shape.at(address, full_range=full_range)

    def close(self) -> None:
        """Lend nothing more."""
        self._closed = True

    def _give(self, piece: Piece) -> None:
        self._free.append(piece)


@dataclass(slots=True)
class _Copy:
    """A picture on the GPU. users: those who look at it now."""

    piece: Piece
    users: int = 0


class _Copies:
    """Room for the pictures that are looked at on a discrete GPU, the oldest of which makes way.

    They are found by the number of the slot's loan: one whose slot has gone to another picture is
    never asked for again, and is the oldest some day.
    """

    def __init__(
        self, cuda: Cuda, count: int, size: int, give_back: list[Callable[[], object]]
    ) -> None:
        self._cuda, self._size = cuda, size
        pool = Pool(cuda, count, size, pinned=False)
        give_back.append(pool.close)
        self._stream = stream = cuda.stream()
        give_back.insert(0, lambda: cuda.wait(stream))
        give_back.append(lambda: cuda.drop_stream(stream))
        self._free = [pool.take() for _ in range(count)]
        self._held: OrderedDict[int, _Copy] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def of(self, slot: Slot) -> Iterator[int | None]:
        """Lend the address of a slot's copy, brought over if it is not there; None where every
        copy is being looked at. Raises DeviceError."""
        with self._lock:
            copy = self._held.get(slot.loan) or self._bring(slot)
            if copy is not None:
                self._held.move_to_end(slot.loan)
                copy.users += 1
        try:
            yield None if copy is None else copy.piece.address
        finally:
            if copy is not None:
                with self._lock:
                    copy.users -= 1

    def _bring(self, slot: Slot) -> _Copy | None:
        """Copy a slot to the GPU, and wait: other streams know nothing of this one's events."""
        piece = self._room()
        if piece is None:
            return None
        cuda = self._cuda
        try:
            cuda.enter()
            cuda.upload(piece.address, slot.memory.host, self._size, self._stream)
            cuda.wait(self._stream)
        except DeviceError:
            self._free.append(piece)
            raise
        copy = self._held[slot.loan] = _Copy(piece)
        return copy

    def _room(self) -> Piece | None:
        if self._free:
            return self._free.pop()
        idle = next((loan for loan, copy in self._held.items() if not copy.users), None)
        return None if idle is None else self._held.pop(idle).piece


def _shut(cuda: Cuda, give_back: Sequence[Callable[[], object]]) -> None:
    for step in (cuda.enter, *give_back):
        with suppress(DeviceError):  # of a lost device nothing can be given back
            step()
