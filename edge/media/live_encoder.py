"""The encoders of a live output: H.264 at a steady rate and AAC, shared by all destinations."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, Protocol, cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.codec.context import Flags
from av.packet import Packet
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from edge.errors import SinkError
from edge.media.codecs import ENCODERS, VideoSettings, has_encoder
from edge.media.live_packets import TICKS_PER_S, EncodedPacket
from edge.media.live_sound import CHANNELS, RATE, Samples
from edge.media.normalise import ColourTags
from edge.media.picture import HostPicture

VIDEO_CLOCK = 90_000
"""Ticks per second of the pictures' timestamps, as in MPEG-TS and RTP."""
SOUND_BITS = 128_000
"""Bits per second of AAC: what YouTube and Twitch ask for with stereo."""
_ENCODER = "libx264"
_BITS_PER_PIXEL = 0.1
"""At 30 fps: 2.8 Mbit/s at 720p, 6.2 at 1080p, in the middle of what ingests recommend."""
_RATE_EXPONENT = 0.585
"""Twice the frame rate costs 1.5 times the bits, as in the tables of the same ingests."""
_LEAST_BITS, _MOST_BITS = 300_000, 20_000_000
_LOOKAHEAD_S = 1 / 3
_MOST_THREADS = 8
"""Each thread of x264 adds one frame of latency."""


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


class LiveEncoder:
    """Pictures and sound in, packets out; also the template for the streams of every output."""

    def __init__(self, info: PictureInfo, settings: VideoSettings, *, steady: bool) -> None:
        """Open both encoders. Raises SinkError.

        steady: hold the bit rate as ingests want it, instead of the quality: VBV of one second
        with the average as its maximum. Nothing is stuffed: a still picture needs less.
        """
        if settings.codec != _ENCODER or not has_encoder(_ENCODER):
            raise SinkError(
                f"Live output is encoded with {_ENCODER} only, not {settings.codec}. "
                f"Choose {_ENCODER}."
            )
        self.info = info
        if steady and settings.bitrate is None:
            settings = replace(settings, bitrate=default_bitrate(info.width, info.height, info.fps))
        self.settings = settings
        # A container that writes nothing: PyAV copies codec parameters from a stream only.
        self._container = av.open(os.devnull, "w", format="null")
        try:
            self.video = self._add_video(steady)
            self.sound = self._add_sound()
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            self._container.close()
            raise SinkError(
                f"{_ENCODER} cannot encode with these settings: {error}. "
                f"Check preset, tune, bit rate and picture size."
            ) from error
        self._strip = BitStreamFilterContext(cast(str, ENCODERS[_ENCODER].strip), self.video)
        self._convert = VideoReformatter()
        self._last: int | None = None
        self._last_key: int | None = None
        self._interval = round(settings.keyframe_interval_s * VIDEO_CLOCK)
        self._half_frame = round(VIDEO_CLOCK / info.fps / 2)

    def _add_video(self, steady: bool) -> VideoStream:
        info, settings = self.info, self.settings
        options = ENCODERS[_ENCODER].options(settings) | {
            # Ingests cut segments at keyframes and want them at a steady pace.
            "sc_threshold": "0",
            "forced-idr": "1",
            "rc-lookahead": str(max(1, min(10, round(info.fps * Fraction(_LOOKAHEAD_S))))),
        }
        if steady:
            options |= {"maxrate": str(settings.bitrate), "bufsize": str(settings.bitrate)}
        stream = cast(
            VideoStream,
            self._container.add_stream(
                _ENCODER, rate=info.fps, options=options, time_base=Fraction(1, VIDEO_CLOCK)
            ),
        )
        context = stream.codec_context
        context.width, context.height = info.width, info.height
        context.pix_fmt = info.pixel_format
        context.sample_aspect_ratio = info.sample_aspect
        context.color_range = ColorRange.JPEG if info.colour.full_range else ColorRange.MPEG
        context.color_primaries = info.colour.primaries
        context.color_trc = info.colour.transfer
        context.colorspace = info.colour.matrix
        # Keyframes come by the clock (encode); this is for a source faster than it says.
        context.gop_size = max(2, round(2 * settings.keyframe_interval_s * info.fps))
        context.thread_count = settings.threads or min(os.cpu_count() or 1, _MOST_THREADS)
        context.flags |= Flags.global_header
        if settings.bitrate is not None:
            context.bit_rate = settings.bitrate
        return stream

    def _add_sound(self) -> AudioStream:
        stream = self._container.add_stream("aac", rate=RATE)
        context = stream.codec_context
        context.layout = "stereo"
        context.bit_rate = SOUND_BITS
        context.time_base = Fraction(1, RATE)
        context.flags |= Flags.global_header
        return stream

    def encode(self, picture: HostPicture, time_s: float) -> Iterator[EncodedPacket]:
        """Encode a picture; it must not be edited afterwards.

        time_s: since the start of the stream; where it does not rise, it is made to by the
        smallest step. Raises ValueError for another size, SinkError where the encoder fails.
        """
        frame, info = picture.frame, self.info
        if (frame.width, frame.height) != (info.width, info.height):
            raise ValueError(
                f"a picture of {frame.width}x{frame.height} does not belong into a stream of "
                f"{info.width}x{info.height}"
            )
        if frame.format.name != info.pixel_format:
            frame = self._converted(frame, picture.full_range)
        ticks = round(time_s * VIDEO_CLOCK)
        if self._last is not None:
            ticks = max(ticks, self._last + 1)
        self._last = ticks
        frame.pts, frame.time_base = ticks, Fraction(1, VIDEO_CLOCK)
        # By the clock, not by counting: a camera that slows down would stretch the interval.
        due = self._last_key is None or ticks + self._half_frame >= self._last_key + self._interval
        frame.pict_type = PictureType.I if due else PictureType.NONE
        if due:
            self._last_key = ticks
        try:
            yield from self._packets(self.video.encode(frame))
        except av.FFmpegError as error:
            raise SinkError(
                f"{_ENCODER} cannot go on: {error.strerror}. Start the stream again."
            ) from error

    def encode_sound(self, block: Samples, first: int) -> Iterator[EncodedPacket]:
        """Encode (2, 1024) samples; `first`: number of the first one since the start."""
        frame = AudioFrame.from_ndarray(block, "fltp", "stereo")
        assert block.shape[0] == CHANNELS
        frame.sample_rate = RATE
        frame.pts, frame.time_base = first, Fraction(1, RATE)
        for packet in self.sound.encode(frame):
            yield _encoded(packet, is_video=False)

    def flush(self) -> Iterator[EncodedPacket]:
        """Yield what both encoders still hold. Nothing can be encoded afterwards."""
        yield from self._packets(self.video.encode(None))
        for packet in self._strip.filter(None):
            yield _encoded(packet, is_video=True)
        for sound in self.sound.encode(None):
            yield _encoded(sound, is_video=False)

    def _packets(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[EncodedPacket]:
        for packet in packets:
            for stripped in self._strip.filter(packet):
                yield _encoded(stripped, is_video=True)

    def _converted(self, frame: av.VideoFrame, full_range: bool) -> av.VideoFrame:
        return self._convert.reformat(
            frame,
            format=self.info.pixel_format,
            src_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG if self.info.colour.full_range else ColorRange.MPEG,
            threads=1,
        )


def _encoded(packet: Packet[Any], *, is_video: bool) -> EncodedPacket:
    base = packet.time_base
    assert packet.pts is not None

    def ticks(value: int) -> int:
        return value * base.numerator * TICKS_PER_S // base.denominator

    pts = ticks(packet.pts)
    return EncodedPacket(
        is_video=is_video,
        data=bytes(packet),
        pts=pts,
        dts=pts if packet.dts is None else ticks(packet.dts),
        duration=ticks(packet.duration or 0),
        is_key=is_video and packet.is_keyframe,
    )
