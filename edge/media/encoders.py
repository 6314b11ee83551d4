"""Which encoder makes the pictures of a live output, and how each is set. Pure.

The hardware's encoders come first, x264 last: it is always there. That an encoder is compiled in
says nothing about its driver, so the choice goes by what encoder_probe.py has seen at work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal, Protocol

from edge.errors import SinkError
from edge.media.codecs import ENCODERS, VideoSettings
from edge.media.normalise import ColourTags

AUTO: Final = "auto"
SOFTWARE: Final = "libx264"
NVENC: Final = "h264_nvenc"
JETSON: Final = "nvv4l2h264enc"
V4L2: Final = "h264_v4l2m2m"
HARDWARE: Final = (NVENC, JETSON, V4L2)
"""NVENC of a card, the encoder of a Jetson (L4T's GStreamer element), the kernel's codec API."""
PREFERENCE: Final = (*HARDWARE, SOFTWARE)

_BITS_PER_PIXEL = 0.1
"""At 30 fps: 2.8 Mbit/s at 720p, 6.2 at 1080p, in the middle of what ingests recommend."""
_RATE_EXPONENT = 0.585
"""Twice the frame rate costs 1.5 times the bits, as in the tables of the same ingests."""
_LEAST_BITS, _MOST_BITS = 300_000, 20_000_000
_LOOKAHEAD_S = 1 / 3

State = Literal["works", "does not open here", "missing"]


class PictureInfo(Protocol):
    """What has to be known of the pictures; edge.media.source.SourceInfo has it."""

    @property
    def width(self) -> int:
        """Pixels, even."""

    @property
    def height(self) -> int:
        """Pixels, even."""

    @property
    def fps(self) -> Fraction:
        """Average frame rate."""

    @property
    def pixel_format(self) -> str:
        """yuv420p, yuvj420p or nv12."""

    @property
    def sample_aspect(self) -> Fraction:
        """Width of one pixel over its height."""

    @property
    def colour(self) -> ColourTags:
        """Range, primaries, transfer and matrix."""


def default_bitrate(width: int, height: int, fps: Fraction) -> int:
    """Bits per second for pictures of that size and rate, where none were asked for."""
    rate: float = (float(fps) / 30) ** _RATE_EXPONENT
    bits = _BITS_PER_PIXEL * width * height * 30 * rate
    return int(round(min(max(bits, _LEAST_BITS), _MOST_BITS), -3))


@dataclass(frozen=True, slots=True)
class EncoderState:
    """What became of opening one encoder and giving it pictures."""

    state: State
    reason: str = ""
    """Why it does not work, as a clause without a full stop; empty where it does."""

    def __str__(self) -> str:
        what = "is not here" if self.state == "missing" else self.state
        return f"{what} ({self.reason})" if self.reason else what


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """The encoder to use. notes: what was passed over, best first, each with its reason."""

    name: str
    why: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.why}{''.join(f'; {note}' for note in self.notes)}"


def candidates(wanted: str) -> tuple[str, ...]:
    """Encoders in the order in which they are tried. Raises SinkError for an unknown name.

    wanted: "auto" or a name. x264 always stands in for hardware that is not there: a box that
    lost its driver goes on sending.
    """
    if wanted == AUTO:
        return PREFERENCE
    if wanted not in PREFERENCE:
        raise SinkError(
            f"Live output cannot be encoded with {wanted}. "
            f"Choose {AUTO}, {', '.join(HARDWARE)} or {SOFTWARE}."
        )
    return (wanted,) if wanted == SOFTWARE else (wanted, SOFTWARE)


def choose_encoder(wanted: str, present: Mapping[str, EncoderState]) -> EncoderChoice:
    """Choose the first encoder in the order of preference that works.

    wanted: "auto" or a name. present: what was seen of each; one that was not looked at is taken
    for missing. Raises SinkError where none works, or for an unknown name.
    """
    notes: list[str] = []
    for name in candidates(wanted):
        seen = present.get(name, EncoderState("missing", "it was not looked for"))
        if seen.state == "works":
            return EncoderChoice(name, _why(wanted, name, passed=bool(notes)), tuple(notes))
        notes.append(f"{name} {seen}")
    raise SinkError(
        f"No H.264 encoder works here: {'; '.join(notes)}. "
        "Install PyAV's own wheel: 'pip install --force-reinstall --only-binary av av'."
    )


def _why(wanted: str, name: str, *, passed: bool) -> str:
    if name == wanted:
        return "as set"
    if wanted != AUTO:
        return "in place of what was set"
    return "the best that works here" if passed else "first of its preference"


@dataclass(frozen=True, slots=True)
class EncoderSetup:
    """How one encoder is opened for live use: no B-frames but x264's, keyframes by the clock."""

    name: str
    settings: VideoSettings
    """With a bit rate where this encoder, or a steady stream, needs one."""
    options: Mapping[str, str]
    """FFmpeg's private options; a GStreamer element has properties instead (gst_encoder.py)."""
    gop: int
    """Pictures from keyframe to keyframe, if the clock does not ask for one earlier."""
    pixel_format: str
    """What pictures must be converted to where they are not."""
    steady: bool
    """Hold the bit rate: VBV of one second with the average as its maximum."""
    on_gpu: bool = False
    """Read frames of format cuda where they are; those of the host are uploaded."""


def encoder_setup(
    name: str,
    info: PictureInfo,
    settings: VideoSettings,
    *,
    steady: bool,
    relieves: bool = False,
    prompt: bool = False,
    on_gpu: bool = False,
) -> EncoderSetup:
    """Set one encoder for these pictures.

    relieves: x264 takes over from hardware amid a stream, whose decoding times it has to continue:
    it gets no B-frames either, since those put decoding before presentation. prompt: x264 gives
    out every picture at once. on_gpu: pictures stay on the GPU, where NVENC can read them.
    """
    only_bits = name in (JETSON, V4L2)  # they know no constant quality
    if settings.bitrate is None and (steady or only_bits):
        settings = replace(settings, bitrate=default_bitrate(info.width, info.height, info.fps))
    options = {SOFTWARE: _x264, NVENC: _nvenc}.get(name, _none)(info, settings, steady)
    if relieves and name == SOFTWARE:
        options["bf"] = "0"
    if prompt and name == SOFTWARE:
        options["tune"] = "zerolatency"
        options["rc-lookahead"] = "0"
    # x264 and NVENC are known to make a keyframe when they are told to, which is by the clock;
    # the count is there for a source faster than it says. Of the others it is not known on every
    # driver, so that the count is exact and the clock only adds to it.
    exact = settings.keyframe_interval_s * info.fps
    gop = round(exact if only_bits else 2 * exact)
    # Hardware has no format of its own for full range: the colour tags say it.
    full = info.pixel_format == "yuvj420p" and name != SOFTWARE
    # I420 is what L4T's converter and every V4L2 encoder take.
    planar = full or only_bits
    pixel_format = "yuv420p" if planar else info.pixel_format
    reads_there = on_gpu and name == NVENC and pixel_format == "nv12"
    return EncoderSetup(name, settings, options, max(2, gop), pixel_format, steady, reads_there)


def _x264(info: PictureInfo, settings: VideoSettings, steady: bool) -> dict[str, str]:
    options = ENCODERS[SOFTWARE].options(settings) | {
        # Ingests cut segments at keyframes and want them at a steady pace.
        "sc_threshold": "0",
        "forced-idr": "1",
        "rc-lookahead": str(max(1, min(10, round(info.fps * Fraction(_LOOKAHEAD_S))))),
    }
    return options | _buffer(settings) if steady else options


def _nvenc(info: PictureInfo, settings: VideoSettings, steady: bool) -> dict[str, str]:
    options = {
        "preset": "p4",
        "tune": "ll",
        "forced-idr": "1",
        "no-scenecut": "1",
        # Pictures come out as soon as they are encoded.
        "zerolatency": "1",
        "delay": "0",
        "bf": "0",
        # Captions (the spoken words) and unregistered messages of the source stay out.
        "a53cc": "0",
        "udu_sei": "0",
    }
    if steady:
        return options | {"rc": "cbr"} | _buffer(settings)
    if settings.bitrate is None and settings.crf is not None:
        return options | {"rc": "vbr", "cq": str(settings.crf)}
    return options | {"rc": "vbr"}


def _none(info: PictureInfo, settings: VideoSettings, steady: bool) -> dict[str, str]:
    return {}


def _buffer(settings: VideoSettings) -> dict[str, str]:
    return {"maxrate": str(settings.bitrate), "bufsize": str(settings.bitrate)}
