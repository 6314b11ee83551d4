"""An encoder behind GStreamer: the Jetson's, or for tests one in software with the same code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.stream import Stream
from av.video.frame import PictureType

from edge.frame import ByteArray
from edge.media.encoders import EncoderSetup, PictureInfo
from edge.media.gst import (
    GstFailed,
    GstMissing,
    GstPipeline,
    GstSample,
    from_ns,
    require_elements,
    to_ns,
)
from edge.media.picture import plane_views
from edge.media.picture_encoder import (
    VIDEO_CLOCK,
    WITHOUT_SEI,
    EncoderFailed,
    KeyframeTemplate,
)

_CLOCK: Final = Fraction(1, VIDEO_CLOCK)
_MOST_INSIDE: Final = 8
"""Pictures that may be in the pipeline; then encode() waits for one to come out."""
_WAIT_S: Final = 1.0
_FLUSH_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class EncoderElements:
    """The elements that encode. `names`: all that must be installed."""

    names: tuple[str, ...]
    convert: str
    """From I420 in system memory to what the encoder takes; part of a pipeline."""
    encode: Callable[[EncoderSetup], str]
    """The encoder with its properties; part of a pipeline."""


def _jetson(setup: EncoderSetup) -> str:
    bits = setup.settings.bitrate or 0
    # control-rate: 1 is CBR, 0 VBR. vbv-size in bits, as bitrate; a second of it. profile 4 is
    # High. An IDR picture at every keyframe, with its header, since viewers join there.
    rate = "control-rate=1" if setup.steady else f"control-rate=0 peak-bitrate={3 * bits // 2}"
    return (
        f"nvv4l2h264enc bitrate={bits} {rate} vbv-size={bits} iframeinterval={setup.gop} "
        f"idrinterval={setup.gop} num-B-Frames=0 insert-sps-pps=true insert-vui=true "
        f"preset-level=1 maxperf-enable=true profile=4"
    )


def _x264(setup: EncoderSetup) -> str:
    kbits = (setup.settings.bitrate or 0) // 1000
    return (
        f"x264enc bitrate={kbits} vbv-buf-capacity=1000 key-int-max={setup.gop} bframes=0 "
        f"tune=zerolatency speed-preset=ultrafast option-string=scenecut=0"
    )


JETSON_ENCODER: Final = EncoderElements(
    ("appsrc", "nvvidconv", "nvv4l2h264enc", "h264parse", "appsink"),
    "nvvidconv ! video/x-raw(memory:NVMM),format=NV12",
    _jetson,
)
"""L4T's elements, by NVIDIA's accelerated GStreamer guide for JetPack 5 and 6."""
SOFTWARE_ENCODER: Final = EncoderElements(
    ("appsrc", "videoconvert", "x264enc", "h264parse", "appsink"), "videoconvert", _x264
)
"""Only so that the code around the elements runs where there is no Jetson."""


class GstPictureEncoder:
    """Implements edge.media.picture_encoder.PictureEncoder.

    encode() hands pictures over and takes what is ready; it waits only where the encoder is
    behind, and then for a second at most. Colours and pixel shape are written into the header by
    FFmpeg, since elements differ in what they write.
    """

    def __init__(
        self,
        info: PictureInfo,
        setup: EncoderSetup,
        elements: EncoderElements = JETSON_ENCODER,
    ) -> None:
        """Start the pipeline. Raises EncoderFailed."""
        self.setup = setup
        self._size = (info.width, info.height)
        rate = info.fps.limit_denominator(1001)
        caps = (
            f"video/x-raw,format=I420,width={info.width},height={info.height},"
            f"framerate={rate.numerator}/{rate.denominator}"
        )
        try:
            require_elements(elements.names)
            self._filter = BitStreamFilterContext(f"{_metadata(info)},{WITHOUT_SEI}", "h264")
            self._pipeline = GstPipeline(
                f"appsrc name=in format=time caps={caps} ! {elements.convert} ! "
                f"{elements.encode(setup)} ! h264parse config-interval=-1 ! "
                f"video/x-h264,stream-format=byte-stream,alignment=au ! "
                f"appsink name=out sync=false async=false"
            )
        except (GstMissing, GstFailed) as error:
            raise EncoderFailed(str(error)) from error
        except (av.FFmpegError, OSError, ValueError) as error:
            raise EncoderFailed("its header cannot be written") from error
        self._made: KeyframeTemplate | None = None
        self._inside = 0

    @property
    def template(self) -> Stream:
        """Codec parameters with the H.264 header; known once a packet was given out."""
        assert self._made is not None
        return self._made.stream

    @property
    def header(self) -> bytes:
        """Nothing: each keyframe has its header before it."""
        return b""

    def encode(self, frame: av.VideoFrame) -> Iterator[Packet[Any]]:
        """Take an I420 frame; see PictureEncoder."""
        assert frame.pts is not None
        assert frame.time_base is not None
        try:
            self._pipeline.push(
                pack(frame),
                to_ns(frame.pts, frame.time_base),
                force_key=frame.pict_type == PictureType.I,
            )
            self._inside += 1
            yield from self._packets(self._pipeline.pull())
            deadline = time.monotonic() + _WAIT_S
            while self._inside > _MOST_INSIDE:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise EncoderFailed(f"it gave out nothing for {_WAIT_S:g} s")
                yield from self._packets(self._pipeline.pull(left))
        except GstFailed as error:
            raise EncoderFailed(str(error)) from error

    def flush(self) -> Iterator[Packet[Any]]:
        """Give out what it holds; see PictureEncoder."""
        try:
            yield from self._packets(self._pipeline.drain(_FLUSH_S))
        except GstFailed as error:
            raise EncoderFailed(str(error)) from error

    def close(self) -> None:
        """Stop the pipeline; never takes much longer than a second."""
        self._pipeline.close()

    def _packets(self, samples: Iterable[GstSample]) -> Iterator[Packet[Any]]:
        for sample in samples:
            self._inside -= 1
            if sample.time_ns is None:
                raise EncoderFailed("it gave out a picture without a time")
            packet: Packet[Any] = Packet(sample.data)
            packet.time_base = _CLOCK
            packet.pts = packet.dts = from_ns(sample.time_ns, _CLOCK)
            packet.is_keyframe = sample.is_key
            yield from self._filtered(packet)

    def _filtered(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        try:
            filtered = self._filter.filter(packet)
        except (av.FFmpegError, OSError) as error:
            raise EncoderFailed("it gave out something that is not H.264") from error
        for ready in filtered:
            ready.time_base = _CLOCK
            if self._made is None:
                self._made = KeyframeTemplate(bytes(ready))
            yield ready


def pack(frame: av.VideoFrame) -> bytes:
    """Lay out a yuv420p frame as GStreamer does I420: rows padded to four bytes."""
    planes = plane_views(frame)
    shapes = i420_shapes(frame.width, frame.height)
    packed = np.zeros(sum(rows * stride for rows, stride in shapes), np.uint8)
    at = 0
    for plane, (rows, stride) in zip(planes, shapes, strict=True):
        view: ByteArray = packed[at : at + rows * stride].reshape(rows, stride)
        view[:, : plane.shape[1]] = plane
        at += rows * stride
    return packed.tobytes()


def i420_shapes(width: int, height: int) -> tuple[tuple[int, int], ...]:
    """(rows, bytes in a row) of the three planes in GStreamer's default layout; even sizes."""
    luma, chroma = _round4(width), _round4(width // 2)
    return (height, luma), (height // 2, chroma), (height // 2, chroma)


def _round4(value: int) -> int:
    return (value + 3) & ~3


def _metadata(info: PictureInfo) -> str:
    """A bitstream filter that writes colours and pixel shape into the SPS."""
    colour, aspect = info.colour, info.sample_aspect.limit_denominator(65535)
    return (
        f"h264_metadata=sample_aspect_ratio={aspect.numerator}/{aspect.denominator}"
        f":video_full_range_flag={int(colour.full_range)}"
        f":colour_primaries={colour.primaries}:transfer_characteristics={colour.transfer}"
        f":matrix_coefficients={colour.matrix}"
    )
