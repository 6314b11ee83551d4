"""Opening a file: is it there, is it media, which of its streams are taken."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from edge.errors import SourceError

DEFAULT_FPS = Fraction(25)
"""What a stream that states no rate is taken for, as in FFmpeg's demuxers."""
_SANE_FPS = (Fraction(1, 600), Fraction(1000))


@dataclass(frozen=True, slots=True)
class SoundInfo:
    """The sound stream that is passed on. rate in Hz, layout in FFmpeg's words ("stereo")."""

    codec: str
    rate: int
    layout: str
    channels: int
    stream: AudioStream = field(repr=False, compare=False)
    """Template for copying and the decoder for transcoding; valid while the source is open."""


def local_path(path: str | Path) -> Path:
    """Check that a path names a readable local file. Raises SourceError."""
    if isinstance(path, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
        # The address may hold a password or stream key: it is not repeated.
        scheme = path.split(":", 1)[0]
        raise SourceError(
            f"A file is needed here, and {scheme}:// names a stream or a server. Give the path of "
            f"a file; `privaedge run` takes live sources."
        )
    path = Path(path)
    try:
        if not path.exists():
            raise SourceError(f"{path} does not exist. Check the name.")
        if path.is_dir():
            raise SourceError(f"{path} is a directory. Give one file in it.")
        if not path.is_file():
            raise SourceError(f"{path} is not a regular file. Give a video file.")
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}. Check its permissions."
        ) from error
    if empty:
        raise SourceError(f"{path} is empty. Record or copy it again.")
    return path


def open_container(path: Path) -> av.container.InputContainer:
    """Open a media file; nothing that it names is fetched. Raises SourceError."""
    try:
        # "file:" keeps a name with a colon from being taken for a protocol, and the white list
        # keeps playlists and other files that name files from reaching out to the network.
        return av.open(
            f"file:{path}",
            container_options={"protocol_whitelist": "file"},
            metadata_errors="ignore",
        )
    except av.error.MemoryError as error:
        raise SourceError(f"No memory left to open {path}. Free some.") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        if _is_mp4(path):
            raise SourceError(
                f"{path} is an MP4 or MOV without its index (moov): the recording or copy broke "
                f"off. Copy it again, or repair it with a tool such as untrunc."
            ) from error
        raise SourceError(
            f"{path} is not a video that can be read. Check that it is media and not cut off."
        ) from error


def _is_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[4:8] in (b"ftyp", b"mdat", b"wide", b"moov", b"free", b"skip")


def choose_picture(streams: av.container.streams.StreamContainer, path: Path | str) -> VideoStream:
    """Choose the picture stream: marked default, then largest, then first. Raises SourceError.

    path: what to call the source in messages.
    """
    cover = Disposition.attached_pic | Disposition.timed_thumbnails
    candidates = [s for s in streams.video if not s.disposition & cover]
    if not candidates:
        cause = "only a cover picture" if streams.video else "no picture, only sound"
        if not streams.video and not streams.audio:
            cause = "neither picture nor sound"
        raise SourceError(f"{path} holds {cause}. Give a file with video.")
    readable = [s for s in candidates if s.codec_context is not None]
    if not readable:
        raise SourceError(
            f"{path} holds video that this FFmpeg has no decoder for, or that is encrypted. "
            f"Convert it to H.264 first."
        )
    chosen = max(
        readable,
        key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height, -s.index),
    )
    if _tag(chosen) == "encv":
        raise SourceError(f"{path} is encrypted. Decrypt it first.")
    return chosen


def choose_sound(
    streams: av.container.streams.StreamContainer,
) -> tuple[SoundInfo | None, list[str]]:
    """Choose the sound stream (marked default, then first), and say what is wrong with it."""
    candidates = [
        s for s in streams.audio if s.codec_context and s.rate and s.codec_context.channels
    ]
    if not candidates:
        note = ["sound cannot be decoded and is left out"] if streams.audio else []
        return None, note
    chosen = max(candidates, key=lambda s: (bool(s.disposition & Disposition.default), -s.index))
    context = chosen.codec_context
    if _tag(chosen) == "enca":
        return None, ["sound is encrypted and is left out"]
    name = context.codec.canonical_name
    info = SoundInfo(name, context.sample_rate, context.layout.name, context.channels, chosen)
    return info, []


def _tag(stream: Stream) -> str:
    try:
        return stream.codec_context.codec_tag
    except UnicodeDecodeError:
        return ""


def stream_name(stream: Stream) -> str:
    """Name a stream for the user."""
    codec = stream.codec_context.name if stream.codec_context is not None else "unknown"
    return f"{stream.type} stream #{stream.index} ({codec})"


def frame_rate(video: VideoStream) -> Fraction:
    """Average frame rate of a stream, or a guess that is fit for use."""
    for rate in (video.average_rate, video.guessed_rate, video.base_rate):
        if rate and _SANE_FPS[0] <= rate <= _SANE_FPS[1]:
            return rate
    return DEFAULT_FPS
