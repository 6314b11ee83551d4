"""A picture in the GPU's memory, as kernels take it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from edge.frame import ByteArray, PlaneLayout

BLACK_LIMITED: Final = 16
BLACK_FULL: Final = 0
"""Luma of black, ITU-R BT.601 and BT.709; full range as in JFIF."""


PLANES: Final = "PPPqqiiii"
"""struct Planes of planes.cuh, by value among a kernel's parameters: three planes, their pitches,
width, height, chroma_step and black."""


@dataclass(frozen=True, slots=True)
class DevicePicture:
    """8-bit 4:2:0 planes at addresses of the GPU; editing them edits the picture.

    width, height: even. y, u, v: addresses; y even, and v is u + 1 for nv12. Pitches are bytes from
    row to row; y_pitch is even.
    Raises ValueError for anything else.
    """

    layout: PlaneLayout
    width: int
    height: int
    y: int
    u: int
    v: int
    y_pitch: int
    chroma_pitch: int
    full_range: bool = False

    def __post_init__(self) -> None:
        packed = self.layout == "nv12"
        chroma_row = self.width if packed else self.width // 2
        if (
            min(self.width, self.height) < 2
            or any(v % 2 for v in (self.width, self.height, self.y, self.y_pitch))
            or self.y_pitch < self.width
            or self.chroma_pitch < chroma_row
            or (packed and self.v != self.u + 1)
        ):
            raise ValueError("the planes on the GPU are not 4:2:0 with even sides")

    def argument(self) -> tuple[int, ...]:
        """Return what kernels are given: the members of PLANES."""
        return (
            self.y, self.u, self.v, self.y_pitch, self.chroma_pitch, self.width, self.height,
            2 if self.layout == "nv12" else 1, BLACK_FULL if self.full_range else BLACK_LIMITED,
        )  # fmt: skip


class PictureLeftError(LookupError):
    """A picture was to be looked at that has been edited for those who may watch it: in what is
    hidden there, a detector would find nobody."""

    def __init__(self) -> None:
        super().__init__("this picture has left")


@runtime_checkable
class SharedPicture(Protocol):
    """A picture of the pipeline whose samples the GPU can read: in place, or a copy of its own."""

    def lend(self) -> AbstractContextManager[DevicePicture | None]:
        """Lend the samples, complete and to be read only, to kernels of any stream; None where
        they have to be brought like those of any other picture.

        Nobody changes them before the block ends, and all that was queued to read them has to be
        done by then. Thread-safe. Raises InferenceError, and PictureLeftError.
        """


class ResidentPicture(ABC):
    """A picture of the pipeline that lives in the GPU's memory, and is a SharedPicture as well.

    A class and no protocol: whether a picture is one is asked of every frame.
    """

    @abstractmethod
    def lend(self) -> AbstractContextManager[DevicePicture]:
        """See SharedPicture."""

    @abstractmethod
    def small_luma(self, width: int, height: int) -> ByteArray:
        """Return the luma plane scaled down, (height, width) uint8. Raises InferenceError."""

    @abstractmethod
    def edit_surface(self) -> DevicePicture | None:
        """Return where kernels may change it; None where it is lent, or has been edited on the
        host, and lives there now: then it is to be edited there."""
