"""Capture devices of Linux (V4L2): which there are, what they can do, and their signal."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal

from edge.errors import SourceError
from edge.media import v4l2
from edge.media.address import HDMI

PixelCode = Literal["NV12", "YUYV", "MJPG"]

INPUT_FORMATS: Final[dict[PixelCode, str]] = {"NV12": "nv12", "YUYV": "yuyv422", "MJPG": "mjpeg"}
"""The pixel formats that are taken, best first, as V4L2 and as FFmpeg call them."""
FULL_HD: Final = (1920, 1080)
_SMOOTH_FPS: Final = 24
_USUAL_FPS: Final = 30
NONBLOCK: Final = "+4"
"""FFmpeg's AVFMT_FLAG_NONBLOCK, which has no name among its options: reads never wait."""
_SIGNAL_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Mode:
    """One thing that a device can do. fps None: the device does not say."""

    code: PixelCode
    width: int
    height: int
    fps: Fraction | None

    def __str__(self) -> str:
        rate = "" if self.fps is None else f" at {float(self.fps):.4g} fps"
        return f"{self.width}x{self.height} {self.code}{rate}"


@dataclass(frozen=True, slots=True)
class CaptureDevice:
    """A video capture device as the kernel describes it."""

    path: Path
    name: str
    modes: tuple[Mode, ...]
    signal: bool | None
    """True where the receiver is locked, False where it says it is not, None where it cannot say
    (webcams and most USB grabbers)."""


class SignalWatch:
    """Notices that an HDMI cable was pulled, or that the source has another size.

    Some receivers stop when that happens, others go on with a blue or frozen picture.
    """

    def __init__(self, path: Path) -> None:
        """path: a device that is locked to a signal."""
        self._path = path
        self._timing: v4l2.DvTimings | None = None
        self._next = float("-inf")

    def fault(self, now: float) -> str | None:
        """Ask at most once a second (now: seconds); say why the picture is one no more."""
        if now < self._next:
            return None
        self._next = now + _SIGNAL_EVERY_S
        timing = v4l2.DvTimings()
        try:
            with v4l2.opened(self._path) as fd:
                fcntl.ioctl(fd, v4l2.QUERY_DV_TIMINGS, timing)
        except OSError as error:
            if error.errno in v4l2.NO_SIGNAL:
                return "it has no signal"
            return os.strerror(error.errno or errno.EIO).lower()
        before, self._timing = self._timing, timing
        if before and (before.width, before.height) != (timing.width, timing.height):
            return "size changed"
        return None


@dataclass(frozen=True, slots=True)
class CaptureSetup:
    """What FFmpeg is told to open, and what the user is told about it."""

    path: Path
    options: dict[str, str]
    note: str
    watch: SignalWatch | None
    """For a receiver that can say whether it is locked."""


def capture_devices(folder: Path = Path("/dev")) -> list[CaptureDevice]:
    """Describe all capture devices, in the order of their numbers. Those in use are included."""
    numbered = [(re.fullmatch(r"video(\d+)", path.name), path) for path in folder.glob("video*")]
    found = []
    for _, path in sorted((int(match[1]), path) for match, path in numbered if match):
        # Codecs, metadata nodes and devices of others are none of ours.
        with contextlib.suppress(OSError):
            device = describe(path)
            if device is not None:
                found.append(device)
    return found


def describe(path: Path) -> CaptureDevice | None:
    """Ask a device what it is; None for one that captures no pictures. Raises OSError."""
    with v4l2.opened(path) as fd:
        capability = v4l2.Capability()
        try:
            fcntl.ioctl(fd, v4l2.QUERYCAP, capability)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):
                return None  # not V4L2 at all
            raise
        caps = capability.capabilities
        if caps & v4l2.CAP_DEVICE_CAPS:
            caps = capability.device_caps
        if not caps & v4l2.CAP_CAPTURE or not caps & v4l2.CAP_STREAMING:
            return None
        signal, timing = _signal(fd)
        name = capability.card.decode(errors="replace")
        return CaptureDevice(path, name, tuple(_modes(fd, timing)), signal)


def negotiate(
    wanted: str, size: tuple[int, int] | None = None, fps: Fraction | None = None
) -> CaptureSetup:
    """Choose device and mode. wanted: a path, or "hdmi". Raises SourceError."""
    device = _first_with_signal() if wanted == HDMI else _named(Path(wanted))
    if device.signal is False:
        raise SourceError(f"{device.path} ({device.name}) has no signal. Check cable and camera.")
    if not device.modes:
        known = ", ".join(INPUT_FORMATS)
        raise SourceError(
            f"{device.path} ({device.name}) gives none of {known}. Use another capture device."
        )
    mode = choose_mode(device.modes, size, fps)
    options = {
        "input_format": INPUT_FORMATS[mode.code],
        "video_size": f"{mode.width}x{mode.height}",
        # A read that waits in the driver could not be ended, and wall-clock times are what ALSA's
        # are compared with.
        "fflags": NONBLOCK,
        "timestamps": "abs",
    }
    # A receiver's rate is its signal's; setting it is refused.
    if mode.fps is not None and not device.signal:
        options["framerate"] = str(mode.fps)
    watch = SignalWatch(device.path) if device.signal else None
    return CaptureSetup(device.path, options, f"{device.path} ({device.name}): {mode}", watch)


def choose_mode(
    modes: Sequence[Mode], size: tuple[int, int] | None = None, fps: Fraction | None = None
) -> Mode:
    """Choose the nearest to what is wished; else the largest smooth picture up to full HD.

    Of equal ones NV12 comes first, which needs no conversion, and MJPEG last, which costs most.
    """
    order = list(INPUT_FORMATS)

    def rank(mode: Mode) -> tuple[float, ...]:
        rate = float(mode.fps) if mode.fps is not None else float(fps or _USUAL_FPS)
        off_size = abs(mode.width - size[0]) + abs(mode.height - size[1]) if size else 0
        too_large = mode.width > FULL_HD[0] or mode.height > FULL_HD[1]
        area = mode.width * mode.height * (1 if too_large and not size else -1)
        return (
            off_size,
            bool(too_large and not size),
            rate < min(_SMOOTH_FPS, float(fps or _SMOOTH_FPS)),
            area,
            abs(rate - float(fps or _USUAL_FPS)),
            order.index(mode.code),
        )

    return min(modes, key=rank)


def _named(path: Path) -> CaptureDevice:
    try:
        device = describe(path)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist. Check that the device is plugged in.") from None
    except PermissionError:
        raise SourceError(f"{path} may not be opened. Join the group video.") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be opened: {error.strerror}. Plug it in anew.") from error
    if device is None:
        raise SourceError(f"{path} is no capture device. Try the one with the next lower number.")
    return device


def _first_with_signal() -> CaptureDevice:
    devices = capture_devices()
    if not devices:
        raise SourceError("There is no capture device. Plug one in, or join the group video.")
    for said in (True, None):  # a receiver that is locked comes before one that cannot say
        for device in devices:
            if device.signal is said and device.modes:
                return device
    names = ", ".join(str(device.path) for device in devices)
    raise SourceError(f"No capture device has a signal ({names}). Check cable and camera.")


def _signal(fd: int) -> tuple[bool | None, v4l2.DvTimings | None]:
    """Ask an HDMI receiver for what it is locked to, and make it the device's setting."""
    timing = v4l2.DvTimings()
    try:
        fcntl.ioctl(fd, v4l2.QUERY_DV_TIMINGS, timing)
    except OSError as error:
        if error.errno in v4l2.NO_SIGNAL:
            return False, None
        return _input_status(fd), None
    with contextlib.suppress(OSError):  # EBUSY: somebody streams with it already
        fcntl.ioctl(fd, v4l2.S_DV_TIMINGS, timing)
    return True, timing


def _input_status(fd: int) -> bool | None:
    number, chosen = ctypes.c_int(), v4l2.Input()
    try:
        fcntl.ioctl(fd, v4l2.G_INPUT, number)
        chosen.index = number.value
        fcntl.ioctl(fd, v4l2.ENUMINPUT, chosen)
    except OSError:
        return None
    return False if chosen.status & v4l2.INPUT_FAULT else None


def _modes(fd: int, timing: v4l2.DvTimings | None) -> Iterator[Mode]:
    for entry in v4l2.enumerate_entries(
        fd, v4l2.ENUM_FMT, v4l2.FormatDescription(type=v4l2.CAPTURE)
    ):
        code = entry.pixelformat.to_bytes(4, "little").decode("latin-1")
        for known in INPUT_FORMATS:
            if code == known:
                for width, height in _sizes(fd, entry.pixelformat, timing):
                    for fps in _rates(fd, entry.pixelformat, width, height, timing):
                        yield Mode(known, width, height, fps)


def _sizes(fd: int, fourcc: int, timing: v4l2.DvTimings | None) -> Iterator[tuple[int, int]]:
    if timing is not None:  # an HDMI receiver gives the size that it gets
        yield timing.width, timing.height
        return
    for entry in v4l2.enumerate_entries(
        fd, v4l2.ENUM_FRAMESIZES, v4l2.FrameSize(pixel_format=fourcc)
    ):
        if entry.type == v4l2.DISCRETE:
            yield entry.sizes[0], entry.sizes[1]
            continue
        low_w, high_w, _, low_h, high_h, _ = entry.sizes
        yield high_w, high_h
        if low_w <= FULL_HD[0] <= high_w and low_h <= FULL_HD[1] <= high_h:
            yield FULL_HD
        return


def _rates(
    fd: int, fourcc: int, width: int, height: int, timing: v4l2.DvTimings | None
) -> Iterator[Fraction | None]:
    if timing is not None:
        yield timing.fps
        return
    asked = v4l2.FrameInterval(pixel_format=fourcc, width=width, height=height)
    none = True
    for entry in v4l2.enumerate_entries(fd, v4l2.ENUM_FRAMEINTERVALS, asked):
        numerator, denominator = entry.intervals[0], entry.intervals[1]
        if numerator and denominator:
            none = False
            yield Fraction(denominator, numerator)
        if entry.type != v4l2.DISCRETE:
            break
    if none:
        yield None
