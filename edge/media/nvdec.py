"""NVIDIA's decoder, through FFmpeg: H.264 and H.265 whose frames stay on the GPU."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import av
from av.codec.hwaccel import HWAccel
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import CudaContext

from edge.errors import DeviceError, InferenceError, ModelError
from edge.inference.cuda import Cuda
from edge.inference.surfaces import SurfaceRoom
from edge.media.hardware_decoder import DecoderFailed, codec_of
from edge.media.opening import frame_rate
from edge.media.surface import FORMAT, STORED, bring, locate, surface_frame

_log = logging.getLogger(__name__)
_DECODERS_STREAM: Final = 0
"""CUDA's default stream, on which FFmpeg decodes: its device context has no other."""
_BURST: Final = 1.5
"""Frames that may wait beyond the delay's length at the announced rate, as in the delay line."""
_BEYOND: Final = 24
"""Slots for what is still looked at or encoded after it has left the delay line."""
_MOST_ERRORS: Final = 16
"""Damaged packets in a row. A stream with that many has another decoder to show that it is so."""
_SILENT_PACKETS: Final = 64
"""More than a decoder may hold back: 16 pictures to reorder, and a lost keyframe to wait for."""


class Context(Protocol):
    """What decodes: a codec context of PyAV's."""

    def decode(self, packet: Packet[Any] | None) -> Iterable[av.VideoFrame]:
        """Take a packet and return the frames that are ready; None: the rest."""


@dataclass(frozen=True, slots=True)
class OnGpu:
    """What it takes to leave frames on the GPU.

    cuda: where. image: the compiled kernels, which the manifest vouches for. hold_s: for how long a
    frame waits, seconds.
    """

    cuda: Cuda
    image: bytes
    hold_s: float


class NvdecDecoder:
    """Packets of one stream in, frames of format cuda out. Implements HardwareDecoder.

    A frame for which there is no slot comes to the host, as one of NV12.
    """

    name: Final = "NVDEC"
    answers_later: Final = False

    def __init__(
        self,
        stream: av.VideoStream,
        on_gpu: OnGpu,
        opener: Callable[[av.VideoStream], Context] | None = None,
    ) -> None:
        """Open it for a stream of H.264 or H.265 with 8 bits. opener: what decodes to frames of
        format cuda instead. Raises DecoderFailed."""
        codec_of(stream.codec_context)
        self._context = (opener or open_nvdec)(stream)
        self._on_gpu = on_gpu
        # As long as the delay line of a live stream, which has as many frames.
        waiting = math.ceil(on_gpu.hold_s * float(frame_rate(stream)) * _BURST)
        self._count = max(32, waiting) + _BEYOND
        self._frames = CudaContext(primary_ctx=True)
        self.room: SurfaceRoom | None = None
        self._errors = self._unanswered = 0

    def decode(self, packet: Packet[Any] | None) -> Iterator[av.VideoFrame]:
        """Take a packet and yield the frames that are ready; None: yield the rest.

        Raises av.error.InvalidDataError for a damaged packet, DecoderFailed where it cannot go on.
        """
        self._unanswered += packet is not None
        try:
            for raw in self._context.decode(packet):
                self._errors = self._unanswered = 0
                yield self._kept(raw)
        except av.error.EOFError:
            raise
        except av.error.InvalidDataError as error:
            self._errors += 1
            # Also what a stream is refused with that the hardware does not know.
            if self._errors >= _MOST_ERRORS or self.room is None:
                raise DecoderFailed(f"it refused {self._errors} packets in a row") from error
            raise
        except (av.FFmpegError, OSError) as error:
            raise DecoderFailed(str(getattr(error, "strerror", None) or error)) from error
        if self._unanswered > _SILENT_PACKETS:
            raise DecoderFailed(f"it gave out nothing for {self._unanswered} packets")

    def poll(self) -> Iterator[av.VideoFrame]:
        """Yield nothing: what is ready came with its packet."""
        yield from ()

    def close(self) -> None:
        """Nothing: FFmpeg lets go of the hardware together with this object."""

    def _kept(self, raw: av.VideoFrame) -> av.VideoFrame:
        """Move a decoder's surface into a slot. Raises DecoderFailed."""
        if raw.format.name != FORMAT:
            raise DecoderFailed(f"it gave out frames of {raw.format.name}")
        stored = raw.sw_format
        if stored is None or stored.name != STORED:
            raise DecoderFailed(f"it gave out frames of {stored.name if stored else 'no kind'}")
        if raw.rotation:
            raise DecoderFailed("its frames would have to be turned")
        try:
            source = locate(raw)
            if self.room is None:
                self.room = SurfaceRoom(
                    self._on_gpu.cuda, self._on_gpu.image, source.width, source.height,
                    pitch=source.y_pitch, count=self._count,
                )  # fmt: skip
            if (source.width, source.height) != (self.room.width, self.room.height):
                return raw  # with which the connection ends
            slot = self.room.adopt(source, _DECODERS_STREAM)
            if slot is None:
                kept = bring(raw, self.room, _DECODERS_STREAM)
            else:
                kept = surface_frame(slot, raw, self._frames)
        except (InferenceError, ModelError) as error:
            kind = "the GPU failed" if isinstance(error, DeviceError) else "its frames do not fit"
            raise DecoderFailed(f"{kind}: {str(error).rstrip('.')}") from error
        kept.duration, kept.dts = raw.duration, raw.dts
        return kept


def open_nvdec(stream: av.VideoStream) -> VideoCodecContext:
    """Open FFmpeg's decoder on the GPU, in the primary context. Raises DecoderFailed."""
    first = stream.codec_context
    accel = HWAccel("cuda", allow_software_fallback=False, is_hw_owned=True)
    try:
        made = av.codec.CodecContext.create(codec_of(first), "r", hwaccel=accel)
        assert isinstance(made, VideoCodecContext)
        made.extradata = first.extradata
        # A decoder that has to guess how many pictures to reorder learns it too late.
        made.reorder_depth = first.reorder_depth
        made.thread_count = 1
    except (av.FFmpegError, OSError, NotImplementedError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        raise DecoderFailed(f"FFmpeg has no CUDA here ({reason})") from error
    return made
