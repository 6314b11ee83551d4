"""Page-locked memory for the frames of one stream: taken when it begins, lent and given back, and
never more of it.

A picture that is looked at is copied into a slot, once. There the host and the GPU have the same
bytes: where both share one memory, kernels read and edit them in place; elsewhere copies go between
slot and GPU without another one on the host, and the picture is brought over once, for all who look
at it.
"""

from __future__ import annotations

import itertools
import logging
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from edge.errors import DeviceError
from edge.frame import ByteArray, PageLocked, PlaneLayout
from edge.inference.cuda import Cuda, give_back
from edge.inference.picture import DevicePicture
from edge.inference.pool import Piece, Pool

_log = logging.getLogger(__name__)

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


class Tenant(Protocol):
    """Who has a slot, and can do without."""

    def move_out(self) -> None:
        """Keep what is in the slot elsewhere, and let go of it. From any thread."""


class FramePool:
    """Slots for the pictures of one stream. Thread-safe; when all are lent, there is none.

    shape: how a picture lies in a slot. count: slots. lent, refused: how often one was asked for
    and was there, and was not; nearly right where threads ask at once.

    Its memory, and with it the GPU's context, lasts as long as the pool is open or a slot is lent.
    """

    def __init__(self, cuda: Cuda, shape: FrameLayout, count: int) -> None:
        """Raises InferenceError where memory is short."""
        self.shape, self.count = shape, count
        self.lent = self.refused = 0
        self._loans = itertools.count()
        self._tenants: weakref.WeakSet[Tenant] = weakref.WeakSet()
        self._memory: _Memory | None = _Memory(cuda, shape.size, count)
        with _listing:
            _pools.add(self)

    @property
    def allocated(self) -> int:
        """Bytes of page-locked memory that were taken."""
        return self.count * self.shape.size

    @property
    def free(self) -> int:
        """Slots that may be lent."""
        memory = self._memory
        return 0 if memory is None else len(memory.free)

    def take(self, tenant: Tenant | None = None) -> tuple[Slot, tuple[ByteArray, ...]] | None:
        """Lend a slot, and its planes as FrameLayout.planes has them; None where there is none.

        It comes back when these arrays, and all that was made of them (views, DLPack tensors,
        FFmpeg's references), are gone. tenant: is asked to let go of it where the GPU is lost.
        """
        memory = self._memory
        taken = memory.take() if memory is not None else None
        if taken is None:
            self.refused += 1
            return None
        self.lent += 1
        if tenant is not None:
            with _listing:
                self._tenants.add(tenant)
        piece, owner = taken
        reach = PageLocked(piece.host_address, piece.address, self.shape.size)
        return Slot(next(self._loans), reach), self.shape.planes(np.asarray(owner))

    @contextmanager
    def lend(self, slot: Slot, *, full_range: bool) -> Iterator[DevicePicture | None]:
        """Lend the picture in a slot to kernels of any stream, to be read only; see SharedPicture.

        None where all places on the GPU are in use, or the pool was closed. The caller sees to it
        that nobody writes to the slot meanwhile, and that it stays lent. The picture must not have
        changed since it was lent first. Raises DeviceError.
        """
        memory = self._memory
        if memory is None:
            yield None
        elif memory.copies is None:
            yield self.shape.at(slot.memory.device, full_range=full_range)
        else:
            with memory.copies.of(slot) as address:
                yield None if address is None else self.shape.at(address, full_range=full_range)

    def close(self) -> None:
        """Lend nothing more."""
        self._memory = None

    def leave_if_lost(self) -> None:
        """Let go of a lost GPU's context, which no new one takes the place of before that."""
        memory = self._memory
        if memory is None or not memory.lost:
            return
        self.close()
        _log.warning("the GPU was lost: pictures are not page-locked any more")
        with _listing:
            tenants = list(self._tenants)
        for tenant in tenants:
            tenant.move_out()


_pools: weakref.WeakSet[FramePool] = weakref.WeakSet()
_listing = threading.Lock()
"""Held while something is added to a WeakSet here, and while one is gone through."""


def leave_lost_gpu() -> None:
    """Let all pools of this process go that are in the context of a GPU that does not answer."""
    with _listing:
        pools = list(_pools)
    for pool in pools:
        pool.leave_if_lost()


class _Memory:
    """The slots of a pool, and room for copies of them on a discrete GPU.

    Whatever is lent keeps it alive: it is given back when nobody has it any more.
    """

    def __init__(self, cuda: Cuda, size: int, count: int) -> None:
        self._cuda = cuda
        cuda.enter()
        pinned = Pool(cuda, count, size, pinned=True)
        steps: list[Callable[[], object]] = [pinned.close]
        weakref.finalize(self, give_back, cuda, steps).atexit = False
        self._stream = stream = cuda.stream()
        steps.append(lambda: cuda.drop_stream(stream))
        steps.insert(0, lambda: cuda.wait(stream))
        # Slots come back in whatever thread drops the last view, or amid a garbage collection,
        # where no lock may be waited for: of a deque both ends are safe without.
        self.free = deque(pinned.take() for _ in range(count))
        self.copies: _Copies | None = None
        if not cuda.integrated:
            copies = min(count, MOST_COPIES)
            there = Pool(cuda, copies, size, pinned=False)
            steps.insert(1, there.close)
            self.copies = _Copies(cuda, stream, size, [there.take() for _ in range(copies)])

    @property
    def lost(self) -> bool:
        """Whether the GPU does not answer any more."""
        try:
            self._cuda.enter()
            self._cuda.wait(self._stream)
        except DeviceError:
            return True
        return False

    def take(self) -> tuple[Piece, _Bytes] | None:
        """Lend a slot, until the owner of its bytes is gone."""
        try:
            piece = self.free.pop()
        except IndexError:
            return None
        assert piece.host is not None
        owner = _Bytes(piece.host)
        weakref.finalize(owner, self._give, piece).atexit = False
        return piece, owner

    def _give(self, piece: Piece) -> None:
        self.free.append(piece)


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

    def __init__(self, cuda: Cuda, stream: int, size: int, room: list[Piece]) -> None:
        self._cuda, self._stream, self._size = cuda, stream, size
        self._free = room
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
