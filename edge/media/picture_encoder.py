"""One encoder of pictures, in FFmpeg or on a GStreamer element: frames in, H.264 packets out."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Protocol, cast

import av
from av.bitstream import BitStreamFilterContext
from av.codec.context import Flags
from av.codec.hwaccel import HWAccel
from av.packet import Packet
from av.stream import Stream
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from edge.media.codecs import ENCODERS
from edge.media.encoders import JETSON, SOFTWARE, V4L2, EncoderSetup, PictureInfo

VIDEO_CLOCK = 90_000
"""Ticks per second of the pictures' timestamps, as in MPEG-TS and RTP."""
WITHOUT_SEI = ENCODERS[SOFTWARE].strip or ""
"""Bitstream filter against captions, camera text and encoder settings; the same for all H.264."""
_MOST_THREADS = 8
"""Each thread of x264 adds one frame of latency."""


class EncoderFailed(Exception):  # noqa: N818 - the name of what happened, not of a mistake
    """An encoder cannot be opened or cannot go on. str() is the cause, as a clause."""


class PictureEncoder(Protocol):
    """What a live encoder drives. Every method may raise EncoderFailed."""

    @property
    def setup(self) -> EncoderSetup:
        """How it was set."""

    @property
    def template(self) -> Stream:
        """Codec parameters with the H.264 header; known once a packet was given out."""

    @property
    def header(self) -> bytes:
        """SPS and PPS in Annex B, for a stream that began with another encoder's; likewise."""

    def encode(self, frame: av.VideoFrame) -> Iterable[Packet[Any]]:
        """Take a frame of the setup's pixel format, on the GPU too where the setup says so; give
        out what is ready, in decoding order.

        frame.pts rises, in ticks of frame.time_base; a frame whose pict_type is I becomes an IDR
        picture. Packets have the times of their frames and no SEI.
        """

    def flush(self) -> Iterable[Packet[Any]]:
        """Give out the rest. Nothing can be encoded afterwards."""

    def close(self) -> None:
        """Let go of the hardware. The template stays valid."""


def open_picture_encoder(info: PictureInfo, setup: EncoderSetup) -> PictureEncoder:
    """Open the encoder that the setup names. Raises EncoderFailed."""
    if setup.name == JETSON:
        from edge.media.gst_encoder import GstPictureEncoder

        return GstPictureEncoder(info, setup)
    return FfmpegPictureEncoder(info, setup)


class FfmpegPictureEncoder:
    """x264, NVENC or V4L2 through FFmpeg."""

    def __init__(self, info: PictureInfo, setup: EncoderSetup) -> None:
        """Open it. Raises EncoderFailed."""
        self.setup = setup
        # A container that writes nothing: PyAV copies codec parameters from a stream only.
        try:
            self._container = av.open(os.devnull, "w", format="null")
            self._stream = self._add_stream(info)
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError, NotImplementedError) as error:
            raise EncoderFailed(why(error)) from error
        self._strip = BitStreamFilterContext(WITHOUT_SEI, self._stream)
        self._parsed: KeyframeTemplate | None = None

    def _add_stream(self, info: PictureInfo) -> VideoStream:
        setup = self.setup
        # The primary context, in which the frames are; frames of the host are uploaded by PyAV.
        accel = HWAccel("cuda", is_hw_owned=True) if setup.on_gpu else None
        stream = cast(
            VideoStream,
            self._container.add_stream(
                setup.name,
                rate=info.fps,
                options=dict(setup.options),
                time_base=Fraction(1, VIDEO_CLOCK),
                hwaccel=accel,
            ),
        )
        context = stream.codec_context
        context.width, context.height = info.width, info.height
        context.pix_fmt = setup.pixel_format
        context.sample_aspect_ratio = info.sample_aspect
        context.color_range = ColorRange.JPEG if info.colour.full_range else ColorRange.MPEG
        context.color_primaries = info.colour.primaries
        context.color_trc = info.colour.transfer
        context.colorspace = info.colour.matrix
        context.gop_size = setup.gop
        if setup.name == SOFTWARE:
            threads = setup.settings.threads
            context.thread_count = threads or min(os.cpu_count() or 1, _MOST_THREADS)
        if setup.name == V4L2:
            context.max_b_frames = 0
        context.flags |= Flags.global_header
        if setup.settings.bitrate is not None:
            context.bit_rate = setup.settings.bitrate
        return stream

    @property
    def template(self) -> Stream:
        """Codec parameters with the H.264 header."""
        return self._stream if self._parsed is None else self._parsed.stream

    @property
    def header(self) -> bytes:
        """SPS and PPS in Annex B."""
        if self._parsed is not None:
            return b""  # this encoder puts them before its keyframes itself
        return self._stream.codec_context.extradata or b""

    def encode(self, frame: av.VideoFrame) -> Iterator[Packet[Any]]:
        """Encode a frame; see PictureEncoder."""
        try:
            for packet in self._stream.encode(frame):
                yield from self._stripped(packet)
        except (av.FFmpegError, OSError) as error:
            raise EncoderFailed(why(error)) from error

    def flush(self) -> Iterator[Packet[Any]]:
        """Give out what it holds; see PictureEncoder."""
        try:
            for packet in self._stream.encode(None):
                yield from self._stripped(packet)
            yield from self._strip.filter(None)
        except (av.FFmpegError, OSError) as error:
            raise EncoderFailed(why(error)) from error

    def close(self) -> None:
        """Nothing: FFmpeg lets go of the encoder together with its template."""

    def _stripped(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        for stripped in self._strip.filter(packet):
            if self._parsed is None and not self._stream.codec_context.extradata:
                # V4L2 drivers give no header apart, but put it before the first keyframe.
                self._parsed = KeyframeTemplate(bytes(stripped))
            yield stripped


class KeyframeTemplate:
    """A stream with the codec parameters of an H.264 access unit that has its header in it."""

    def __init__(self, keyframe: bytes) -> None:
        """keyframe: Annex B with SPS and PPS. Raises EncoderFailed where they are not in it."""
        try:
            self._container = av.open(io.BytesIO(keyframe), format="h264")
        except (av.FFmpegError, ValueError) as error:
            raise EncoderFailed("its first picture cannot be read") from error
        found = self._container.streams.video
        if not found or not found[0].codec_context.extradata:
            raise EncoderFailed("its first picture has no H.264 header")
        self.stream: Stream = found[0]


def why(error: Exception) -> str:
    """Say why FFmpeg failed; what it logged, where logging is on, tells more than its code."""
    log = getattr(error, "log", None)
    if log:
        return str(log[2]).strip()
    return str(getattr(error, "strerror", None) or error)
