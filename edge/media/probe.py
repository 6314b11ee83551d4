"""What FFmpeg, as PyAV brings it, can do on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av

from edge.media.codecs import CONTAINERS, ENCODERS, has_decoder, has_encoder
from edge.media.decoders import choose_decoder
from edge.media.encoder_probe import probe_encoders
from edge.media.encoders import HARDWARE, PREFERENCE, SOFTWARE, EncoderState, State

_DECODERS: Final = {
    "h264": "h264",
    "hevc": "hevc",
    "av1": "libdav1d",  # FFmpeg's own av1 decoder only drives hardware
    "vp9": "vp9",
    "vp8": "vp8",
    "mpeg4": "mpeg4",
    "mpeg2": "mpeg2video",
    "mjpeg": "mjpeg",
    "prores": "prores",
    "aac": "aac",
    "opus": "opus",
}
_NOT_OPENED: Final = frozenset({"libx265"})
"""Prints its settings to stderr whenever it is opened; being in the build is enough for it, since
it needs no hardware."""


@dataclass(frozen=True, slots=True)
class Media:
    """FFmpeg's libraries, codecs and containers. Encoders are opened, not only looked up."""

    pyav: str
    libraries: dict[str, str]
    decoders: dict[str, State]
    encoders: dict[str, State]
    """Those in software."""
    live_encoders: dict[str, EncoderState]
    """Those that a live output may use, in order of preference, with what keeps them from it."""
    live_decoder: str
    """What decodes H.264 and H.265 of a live source."""
    live_decoder_why: str
    containers: tuple[str, ...]
    """Extensions that an output may have."""


def probe_media() -> Media:
    """Ask FFmpeg's libraries for their versions and try the codecs that matter here."""
    versions = {name: ".".join(map(str, v)) for name, v in av.library_versions.items()}
    sound = sorted({container.sound_encoder for container in CONTAINERS.values()})
    live = probe_encoders(HARDWARE)
    own = {name: _encoder_state(name) for name in (*ENCODERS, *sound)}
    live_decoder, live_decoder_why = choose_decoder()
    return Media(
        pyav=av.__version__,
        libraries=dict(sorted(versions.items())),
        decoders={
            name: "works" if has_decoder(codec) else "missing" for name, codec in _DECODERS.items()
        },
        encoders=own,
        live_encoders={name: live.get(name) or EncoderState(own[SOFTWARE]) for name in PREFERENCE},
        live_decoder=live_decoder,
        live_decoder_why=live_decoder_why,
        containers=tuple(e for e, c in CONTAINERS.items() if c.muxer in av.formats_available),
    )


def _encoder_state(name: str) -> State:
    """Open an encoder at a small size."""
    if not has_encoder(name):
        return "missing"
    if name in _NOT_OPENED:
        return "works"
    codec = av.Codec(name, "w")
    context = codec.create()
    try:
        if isinstance(context, av.VideoCodecContext):
            context.width, context.height, context.pix_fmt = 256, 256, "yuv420p"
            context.framerate, context.time_base = Fraction(30), Fraction(1, 30)
        elif isinstance(context, av.AudioCodecContext):
            context.sample_rate, context.layout = 48_000, "stereo"
            context.format = codec.audio_formats[0] if codec.audio_formats else "fltp"
        context.open()
    except (av.FFmpegError, OSError, ValueError):
        return "does not open here"
    return "works"
