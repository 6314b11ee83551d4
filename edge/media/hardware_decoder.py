"""What the machine's own decoders have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, Protocol

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from edge.inference.surfaces import SurfaceRoom

Codec = Literal["h264", "hevc"]
_CODECS: Final[tuple[Codec, ...]] = ("h264", "hevc")


class DecoderFailed(Exception):  # noqa: N818 - the name of what happened, not of a mistake
    """A decoder cannot be opened or cannot go on. str() is the cause, as a clause."""


class HardwareDecoder(Protocol):
    """A decoder that may fail at any time, with DecoderFailed."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def answers_later(self) -> bool:
        """Whether frames come when they are ready, and not always with the packet that is the
        last they need; `poll` gives them out."""

    @property
    def room(self) -> SurfaceRoom | None:
        """Where the frames that it leaves on the GPU lie; None where all come to the host."""

    def decode(self, packet: Packet[Any] | None) -> Iterator[av.VideoFrame]:
        """Take a packet and yield the frames that are ready; None: yield the rest."""

    def poll(self) -> Iterator[av.VideoFrame]:
        """Yield the frames that have become ready since."""

    def close(self) -> None:
        """Let go of the hardware; never waits long."""


def codec_of(context: VideoCodecContext) -> Codec:
    """Name the codec of 8-bit 4:2:0 H.264 or H.265 with even sides; DecoderFailed for the rest."""
    name, size = context.codec.canonical_name, f"{context.width}x{context.height}"
    odd = context.width % 2 or context.height % 2
    for known in _CODECS:
        if name == known and context.pix_fmt in ("yuv420p", "yuvj420p") and not odd:
            return known
    raise DecoderFailed(f"it does not decode {name} of {size} {context.pix_fmt}")
