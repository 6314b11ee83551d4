"""Memory for frames that is asked for once: pieces are lent and given back, never allocated.

Page-locked pieces have an address for the host and one for the GPU. Where both share one memory,
kernels work on them in place; elsewhere they are what copies go through without waiting.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from edge.errors import InferenceError
from edge.frame import ByteArray
from edge.inference.cuda import Cuda
from edge.inference.driver import host_bytes

_ALIGNMENT: Final = 256
"""Bytes; what cuMemAlloc itself aligns to."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Lent memory. address: the GPU's. host: the same bytes, (size,), on page-locked pieces."""

    number: int
    address: int
    host_address: int = 0
    host: ByteArray | None = None


class Pool:
    """`count` pieces of `size` bytes. Thread-safe. Exhausted, it raises: what to do about that
    (wait, or mask) is for who asked to decide."""

    def __init__(self, cuda: Cuda, count: int, size: int, *, pinned: bool) -> None:
        """pinned: page-locked memory of the host, mapped for the GPU; else the GPU's own.

        The GPU is this thread's (Cuda.enter). Raises InferenceError where memory is short.
        """
        self._cuda = cuda
        self._lock = threading.Lock()
        self.size = size
        step = -(-size // _ALIGNMENT) * _ALIGNMENT
        self._host = 0
        if pinned:
            self._host, self._address = cuda.allocate_pinned(count * step)
            memory = host_bytes(self._host, count * step)
            self._pieces = [
                Piece(i, self._address + i * step, self._host + i * step,
                      memory[i * step : i * step + size])
                for i in range(count)
            ]  # fmt: skip
        else:
            self._address = cuda.allocate(count * step)
            self._pieces = [Piece(i, self._address + i * step) for i in range(count)]
        self._free = list(reversed(self._pieces))

    def take(self) -> Piece:
        """Lend a piece. Raises InferenceError where all are lent."""
        with self._lock:
            if not self._free:
                raise InferenceError(f"all {len(self._pieces)} buffers for the GPU are in use")
            return self._free.pop()

    def give(self, piece: Piece) -> None:
        """Take a piece back. Raises ValueError where it is not lent, or another pool's."""
        with self._lock:
            if piece in self._free or self._pieces[piece.number] is not piece:
                raise ValueError("the buffer is not lent from this pool")
            self._free.append(piece)

    def close(self) -> None:
        """Give the memory back; no piece may be used any more."""
        if not self._pieces:
            return
        self._pieces, self._free = [], []
        if self._host:
            self._cuda.free_pinned(self._host)
        else:
            self._cuda.free(self._address)
