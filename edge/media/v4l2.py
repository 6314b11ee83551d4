"""The kernel's Video4Linux2 interface, as far as it is needed here: structures and requests.

All are those of <linux/videodev2.h>, a stable interface of the kernel, on 64-bit machines.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeVar

_MOST_ENTRIES: Final = 256
"""Drivers have been seen to answer every index."""
NO_SIGNAL: Final = (errno.ENOLINK, errno.ENOLCK, errno.ERANGE)
"""Answers to QUERY_DV_TIMINGS: nothing is connected; it is unstable; it is beyond the receiver."""

CAPTURE: Final = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
CAP_CAPTURE, CAP_STREAMING, CAP_DEVICE_CAPS = 0x1, 0x0400_0000, 0x8000_0000
DISCRETE: Final = 1
INPUT_FAULT: Final = 0x1 | 0x2 | 0x0001_0000  # V4L2_IN_ST_NO_POWER, _NO_SIGNAL, _NO_H_LOCK


class Capability(ctypes.Structure):
    """What a device is: driver, name and abilities."""

    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("device_caps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class FormatDescription(ctypes.Structure):
    """A pixel format that a device gives."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("description", ctypes.c_char * 32),
        ("pixelformat", ctypes.c_uint32),
        ("mbus_code", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class FrameSize(ctypes.Structure):
    """Width and height of a discrete entry; else least, most and step of width, then of height."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("pixel_format", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("sizes", ctypes.c_uint32 * 6),
        ("reserved", ctypes.c_uint32 * 2),
    )


class FrameInterval(ctypes.Structure):
    """Seconds a frame takes, as numerator and denominator, of a discrete entry; else those of the
    least, the most and the step.
    """

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("pixel_format", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("intervals", ctypes.c_uint32 * 6),
        ("reserved", ctypes.c_uint32 * 2),
    )


class Input(ctypes.Structure):
    """A connector and its state."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("name", ctypes.c_char * 32),
        ("type", ctypes.c_uint32),
        ("audioset", ctypes.c_uint32),
        ("tuner", ctypes.c_uint32),
        ("std", ctypes.c_uint64),
        ("status", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class DvTimings(ctypes.Structure):
    """What an HDMI receiver is locked to: v4l2_bt_timings in the union of v4l2_dv_timings."""

    _pack_ = 1
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("interlaced", ctypes.c_uint32),
        ("polarities", ctypes.c_uint32),
        ("pixelclock", ctypes.c_uint64),
        ("blanking", ctypes.c_uint32 * 9),  # front porch, sync, back porch: h, v, v of field 2
        ("rest", ctypes.c_uint8 * 68),
    )

    @property
    def fps(self) -> Fraction | None:
        """Frames per second; an estimate for interlaced signals, whose blanking is per field."""
        total = (self.width + sum(self.blanking[:3])) * (self.height + sum(self.blanking[3:]))
        return Fraction(self.pixelclock, total) if self.pixelclock and total else None


def _request(direction: int, number: int, structure: type[ctypes.Structure] | int) -> int:
    size = structure if isinstance(structure, int) else ctypes.sizeof(structure)
    return direction << 30 | size << 16 | ord("V") << 8 | number


_WRITE, _READ = 1, 2
QUERYCAP: Final = _request(_READ, 0, Capability)
ENUM_FMT: Final = _request(_READ | _WRITE, 2, FormatDescription)
ENUMINPUT: Final = _request(_READ | _WRITE, 26, Input)
G_INPUT: Final = _request(_READ, 38, 4)
ENUM_FRAMESIZES: Final = _request(_READ | _WRITE, 74, FrameSize)
ENUM_FRAMEINTERVALS: Final = _request(_READ | _WRITE, 75, FrameInterval)
S_DV_TIMINGS: Final = _request(_READ | _WRITE, 87, DvTimings)
QUERY_DV_TIMINGS: Final = _request(_READ, 99, DvTimings)

_Entry = TypeVar("_Entry", FormatDescription, FrameSize, FrameInterval)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a device to ask it things, without waiting. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def enumerate_entries(fd: int, request: int, entry: _Entry) -> Iterator[_Entry]:
    """Yield one and the same structure with one entry after the other. Raises OSError."""
    for index in range(_MOST_ENTRIES):
        entry.index = index
        try:
            fcntl.ioctl(fd, request, entry)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise
        yield entry
