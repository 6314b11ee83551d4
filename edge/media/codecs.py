"""What goes into which container, how each encoder is set, and what this FFmpeg has."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av

from edge.errors import SinkError

DEFAULT_ENCODER = "libx264"


class AudioPolicy(enum.StrEnum):
    """What becomes of the sound."""

    KEEP = "keep"
    """Copied where the container can hold it as it is, else encoded anew."""
    ENCODE = "encode"
    """Always encoded anew."""
    SAMPLES = "samples"
    """Encoded from judged samples, of the source's rate and channels; packets are refused."""
    DROP = "drop"
    """Left out: the output has no sound stream."""


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """Settings of the picture's encoder."""

    codec: str = DEFAULT_ENCODER
    """Name of the encoder; "auto": for live output the best that works here (encoders.py), for a
    file libx264. .webm always takes libvpx-vp9."""
    preset: str = "veryfast"
    """x264's and x265's speed preset."""
    crf: int | None = 20
    """Constant quality, 0 (best) to 51; used where `bitrate` is None."""
    bitrate: int | None = None
    """Average bits per second."""
    keyframe_interval_s: float = 2.0
    """Longest time from one keyframe to the next, at the average frame rate."""
    tune: str | None = None
    """x264's and x265's tune."""
    threads: int = 0
    """Threads of the encoder; 0: as many as it wants."""


@dataclass(frozen=True, slots=True)
class ContainerFormat:
    """One output container. `copied`: sound codecs that it takes as they are."""

    muxer: str
    copied: frozenset[str]
    sound_encoder: str = "aac"
    video_encoder: str | None = None
    """Set where the container takes none of the usual codecs."""
    options: tuple[tuple[str, str], ...] = ()


# Only codecs whose headers hold no free text are copied: Vorbis keeps its comments (names,
# titles, places) among the codec's own headers, so it is always encoded anew.
_MPEG = frozenset({"aac", "mp3", "ac3", "eac3"})
_PCM = frozenset({"pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"})
# The index goes to the front, so that a browser can start before it has everything.
_FAST_START = (("movflags", "+faststart"),)
_MP4 = ContainerFormat("mp4", _MPEG | {"opus", "flac", "alac"}, options=_FAST_START)
_TS = ContainerFormat("mpegts", _MPEG | {"mp2", "opus"})
CONTAINERS: dict[str, ContainerFormat] = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": ContainerFormat("mov", _MPEG | {"alac", "pcm_s16be"} | _PCM, options=_FAST_START),
    ".mkv": ContainerFormat("matroska", _MPEG | {"mp2", "opus", "flac"} | _PCM),
    ".ts": _TS,
    ".mts": _TS,
    ".m2ts": _TS,
    ".flv": ContainerFormat("flv", frozenset({"aac"})),
    ".webm": ContainerFormat("webm", frozenset({"opus"}), "libopus", "libvpx-vp9"),
}
# AVI is not among them: it knows one fixed frame rate and would repeat or shift frames.


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """One kind of output file: its muxer, encoder, and bits per second and channel (0: lossless).

    rate: the only one that the encoder takes; None for any.
    """

    muxer: str
    encoder: str
    bitrate: int = 0
    rate: int | None = None


SOUND_FORMATS: dict[str, SoundFormat] = {
    ".wav": SoundFormat("wav", "pcm_s16le"),
    ".flac": SoundFormat("flac", "flac"),
    ".m4a": SoundFormat("ipod", "aac", 96_000),
    ".mp3": SoundFormat("mp3", "libmp3lame", 96_000),
    ".opus": SoundFormat("opus", "libopus", 96_000, 48_000),
    ".ogg": SoundFormat("ogg", "libopus", 96_000, 48_000),
    ".mka": SoundFormat("matroska", "flac"),
}


def is_sound_file(path: str | Path) -> bool:
    """Whether a name is one of an output that holds sound only."""
    return Path(path).suffix.lower() in SOUND_FORMATS


def container_for(path: Path) -> ContainerFormat:
    """Choose the container by the file's extension. Raises SinkError for an unknown one."""
    found = CONTAINERS.get(path.suffix.lower())
    if found is None:
        known = " ".join(CONTAINERS)
        said = f"extension {path.suffix}" if path.suffix else "a name without extension"
        raise SinkError(f"{path}: {said} is not supported. Use one of {known}.")
    return found


@dataclass(frozen=True, slots=True)
class EncoderFamily:
    """How our settings become one encoder's, and how its side messages are removed."""

    options: Callable[[VideoSettings], dict[str, str]]
    strip: str | None
    """Bitstream filter that removes SEI units: captions (the spoken words), camera text, encoder
    settings. Side data comes with a decoded frame, and PyAV cannot take it off without a copy."""


def _x264(settings: VideoSettings) -> dict[str, str]:
    # Captions (the spoken words) and unregistered messages of the source stay out.
    return _x26x(settings) | {"a53cc": "0", "udu_sei": "0"}


def _x265(settings: VideoSettings) -> dict[str, str]:
    return _x26x(settings) | {"a53cc": "0", "udu_sei": "0", "x265-params": "log-level=none:info=0"}


def _x26x(settings: VideoSettings) -> dict[str, str]:
    options = {"preset": settings.preset}
    if settings.bitrate is None and settings.crf is not None:
        options["crf"] = str(settings.crf)
    if settings.tune is not None:
        options["tune"] = settings.tune
    return options


def _vp9(settings: VideoSettings) -> dict[str, str]:
    options = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1"}
    if settings.bitrate is None and settings.crf is not None:
        # VP9's scale runs to 63; 12 more than x264's looks about the same.
        options["crf"] = str(min(63, settings.crf + 12))
    return options


# SEI is NAL unit type 6 in H.264 (table 7-1), 39 and 40 in H.265 (table 7-1).
ENCODERS: dict[str, EncoderFamily] = {
    "libx264": EncoderFamily(_x264, "filter_units=remove_types=6"),
    "libx265": EncoderFamily(_x265, "filter_units=remove_types=39-40"),
    "libvpx-vp9": EncoderFamily(_vp9, None),
}


def encoder_for(settings: VideoSettings, container: ContainerFormat) -> str:
    """Choose the picture's encoder. Raises SinkError where it is unknown or not in this FFmpeg."""
    # A file comes out the same on every machine: hardware is for live output only.
    wanted = DEFAULT_ENCODER if settings.codec == "auto" else settings.codec
    name = container.video_encoder or wanted
    if name not in ENCODERS:
        raise SinkError(f"Video codec {name} is not supported. Use one of {' '.join(ENCODERS)}.")
    if not has_encoder(name):
        raise SinkError(f"This FFmpeg has no {name}. Use another codec or container.")
    return name


def can_copy(codec: str, extradata: bytes | None, container: ContainerFormat) -> bool:
    """Tell whether sound can go into the container as it is, with no text travelling along."""
    if codec not in container.copied:
        return False
    # FLAC's header is 34 bytes of STREAMINFO (RFC 9639, 8.2); more of it would be comments,
    # pictures or cue sheets, which Matroska keeps there.
    return codec != "flac" or len(extradata or b"") == 34


def has_encoder(name: str) -> bool:
    """Tell whether this FFmpeg has an encoder of that name."""
    return _has(name, "w")


def has_decoder(name: str) -> bool:
    """Tell whether this FFmpeg has a decoder of that name."""
    return _has(name, "r")


def _has(name: str, mode: str) -> bool:
    try:
        av.Codec(name, "w" if mode == "w" else "r")
    except av.error.FFmpegError:
        return False
    except ValueError:  # UnknownCodecError
        return False
    return True


@dataclass(frozen=True, slots=True)
class Inventory:
    """What this machine's FFmpeg has of what privaedge can use."""

    version: str
    """Of libavcodec, which FFmpeg's own version follows."""
    video_encoders: tuple[str, ...]
    sound_encoders: tuple[str, ...]
    decoders: tuple[str, ...]
    containers: tuple[str, ...]
    """Extensions that an output may have."""


_DECODERS = ("h264", "hevc", "av1", "vp9", "vp8", "mpeg4", "mpeg2video", "mjpeg", "prores")


def inventory() -> Inventory:
    """List what is there, for `privaedge doctor`."""
    sound = sorted({c.sound_encoder for c in CONTAINERS.values()})
    return Inventory(
        version=".".join(map(str, av.library_versions["libavcodec"])),
        video_encoders=tuple(filter(has_encoder, ENCODERS)),
        sound_encoders=tuple(filter(has_encoder, sound)),
        decoders=tuple(filter(has_decoder, _DECODERS)),
        containers=tuple(e for e, c in CONTAINERS.items() if c.muxer in av.formats_available),
    )
