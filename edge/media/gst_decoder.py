"""A decoder behind GStreamer: the Jetson's, or for tests one in software with the same code."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.reformatter import ColorRange

from edge.media.gst import (
    GstFailed,
    GstMissing,
    GstPipeline,
    GstSample,
    from_ns,
    require_elements,
    to_ns,
)
from edge.media.gst_encoder import i420_shapes
from edge.media.hardware_decoder import Codec, DecoderFailed, codec_of
from edge.media.picture import plane_views

_BEFORE_NS: Final = 10_000_000_000
"""What a decoding time may lie before the first one: GStreamer knows no negative times."""
_SILENT_S: Final = 1.5
"""Less than what a live source may be silent for, so that another decoder can take over."""
_SILENT_PACKETS: Final = 32
"""More than a decoder may hold back: 16 pictures to reorder, and some on their way."""
_FLUSH_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class DecoderElements:
    """The elements that decode. `names`: all that must be installed, by codec."""

    names: dict[Codec, tuple[str, ...]]
    pixel_format: Literal["I420", "NV12"]
    decode: dict[Codec, str]
    """From a parsed stream to raw pictures in system memory; part of a pipeline."""


_L4T = "nvv4l2decoder enable-max-performance=true ! nvvidconv"
JETSON_DECODER: Final = DecoderElements(
    {
        "h264": ("appsrc", "h264parse", "nvv4l2decoder", "nvvidconv", "appsink"),
        "hevc": ("appsrc", "h265parse", "nvv4l2decoder", "nvvidconv", "appsink"),
    },
    "NV12",
    {"h264": _L4T, "hevc": _L4T},
)
"""L4T's elements, by NVIDIA's accelerated GStreamer guide for JetPack 5 and 6."""
SOFTWARE_DECODER: Final = DecoderElements(
    {
        "h264": ("appsrc", "h264parse", "avdec_h264", "videoconvert", "appsink"),
        "hevc": ("appsrc", "h265parse", "avdec_h265", "videoconvert", "appsink"),
    },
    "I420",
    {
        "h264": "avdec_h264 max-threads=1 ! videoconvert",
        "hevc": "avdec_h265 max-threads=1 ! videoconvert",
    },
)
"""Only so that the code around the elements runs where there is no Jetson."""

_TYPES: Final = {"h264": "video/x-h264", "hevc": "video/x-h265"}
_PARSERS: Final = {"h264": "h264parse", "hevc": "h265parse"}
# Annex B with the header before each keyframe, whatever the container made of it.
_FILTERS: Final = {
    "h264": "h264_mp4toannexb,dump_extra=freq=keyframe",
    "hevc": "hevc_mp4toannexb,dump_extra=freq=keyframe",
}


class GstDecoder:
    """Packets of one stream in, frames out; decode() is as PyAV's, but for its errors.

    Begins at the first keyframe. Never waits for a picture but when it is flushed.
    """

    name: Final = "nvv4l2decoder"
    answers_later: Final = True
    room: Final = None
    """Its frames are the host's."""

    def __init__(self, stream: av.VideoStream, elements: DecoderElements = JETSON_DECODER) -> None:
        """Start the pipeline for an open stream of H.264 or H.265, 8 bits. DecoderFailed."""
        context = stream.codec_context
        self.codec = codec_of(context)
        self._context, self._elements = context, elements
        self._base: Fraction = stream.time_base or Fraction(1, 90_000)
        decode = elements.decode[self.codec]
        try:
            require_elements(elements.names[self.codec])
            # Its description of the input, not its output, is what the filter must know.
            self._filter = BitStreamFilterContext(_FILTERS[self.codec], stream)
            self._pipeline = GstPipeline(
                f"appsrc name=in format=time caps={_TYPES[self.codec]},"
                f"stream-format=byte-stream,alignment=au ! {_PARSERS[self.codec]} ! {decode} ! "
                f"video/x-raw,format={elements.pixel_format} ! "
                f"appsink name=out sync=false async=false"
            )
        except (GstMissing, GstFailed) as error:
            raise DecoderFailed(str(error)) from error
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DecoderFailed("its packets cannot be made Annex B") from error
        self._start: int | None = None
        self._frames = 0
        self._unanswered = 0
        self._asked_since = 0.0

    def decode(self, packet: Packet[Any] | None) -> Iterator[av.VideoFrame]:
        """Take a packet and yield the frames that are ready; None: yield the rest.

        Raises DecoderFailed, also where it falls silent or never gave a picture.
        """
        try:
            if packet is None:
                yield from self._made(self._pipeline.drain(_FLUSH_S))
                if self._start is not None and not self._frames:
                    raise DecoderFailed("it found no picture in the stream")
                return
            if self._start is None and not packet.is_keyframe:
                return
            for ready in self._filter.filter(_copy(packet)):
                self._push(ready)
            yield from self._made(self._pipeline.pull())
        except GstFailed as error:
            raise DecoderFailed(str(error)) from error
        except (av.FFmpegError, OSError) as error:
            raise DecoderFailed("a packet cannot be made Annex B") from error
        waited = time.monotonic() - self._asked_since
        if self._unanswered > _SILENT_PACKETS and waited > _SILENT_S:
            raise DecoderFailed(f"it gave out nothing for {waited:.1f} s")

    def poll(self) -> Iterator[av.VideoFrame]:
        """Yield the frames that have become ready since. Raises DecoderFailed."""
        try:
            yield from self._made(self._pipeline.pull())
        except GstFailed as error:
            raise DecoderFailed(str(error)) from error

    def close(self) -> None:
        """Stop the pipeline; never takes much longer than a second."""
        self._pipeline.close()

    def _push(self, packet: Packet[Any]) -> None:
        ticks = packet.pts if packet.pts is not None else packet.dts
        if ticks is None:
            raise DecoderFailed("a packet has no time")
        if self._start is None:
            self._start = ticks - round(Fraction(_BEFORE_NS, 10**9) / self._base)
        if ticks < self._start:
            raise DecoderFailed("its times run backwards")
        if not self._unanswered:
            self._asked_since = time.monotonic()
        self._unanswered += 1
        self._pipeline.push(bytes(packet), to_ns(ticks - self._start, self._base))

    def _made(self, samples: Iterable[GstSample]) -> Iterator[av.VideoFrame]:
        for sample in samples:
            self._unanswered = 0
            self._frames += 1
            yield self._frame(sample)

    def _frame(self, sample: GstSample) -> av.VideoFrame:
        planar = self._elements.pixel_format == "I420"
        context = self._context
        full = context.color_range == ColorRange.JPEG or context.pix_fmt == "yuvj420p"
        width, height = sample.width, sample.height
        if width < 2 or height < 2 or width % 2 or height % 2:
            raise DecoderFailed(f"it gave out pictures of {width}x{height}")
        shapes = i420_shapes(width, height) if planar else nv12_shapes(width, height)
        if len(sample.data) != sum(rows * stride for rows, stride in shapes):
            raise DecoderFailed("its pictures are laid out in an unknown way")
        if sample.time_ns is None or self._start is None:
            raise DecoderFailed("it gave out a picture without a time")
        frame = av.VideoFrame(width, height, "yuv420p" if planar else "nv12")
        at = 0
        for plane, (rows, stride) in zip(plane_views(frame), shapes, strict=True):
            packed = np.frombuffer(sample.data, np.uint8, rows * stride, at)
            wide = packed.reshape(rows, stride)[:, : plane[0].size]
            plane[...] = wide.reshape(plane.shape)
            at += rows * stride
        frame.pts = from_ns(sample.time_ns, self._base) + self._start
        frame.time_base = self._base
        frame.color_range = ColorRange.JPEG if full else ColorRange.MPEG
        frame.color_primaries = context.color_primaries
        frame.color_trc = context.color_trc
        frame.colorspace = context.colorspace
        return frame


def _copy(packet: Packet[Any]) -> Packet[Any]:
    """Copy a packet: the filter empties what it is given, which another decoder may need yet."""
    made: Packet[Any] = Packet(bytes(packet))
    made.time_base = packet.time_base
    made.pts, made.dts = packet.pts, packet.dts
    made.is_keyframe = packet.is_keyframe
    return made


def nv12_shapes(width: int, height: int) -> tuple[tuple[int, int], ...]:
    """(rows, bytes in a row) of the two planes in GStreamer's default layout; even sizes."""
    stride = (width + 3) & ~3
    return (height, stride), (height // 2, stride)
