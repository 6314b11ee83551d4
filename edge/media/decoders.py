"""What decodes the picture of a live source: NVDEC where frames may stay on the GPU, the Jetson's
decoder where it is, else FFmpeg's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import av
from av.packet import Packet

from edge.inference.surfaces import SurfaceRoom
from edge.media.gst import GstMissing, is_jetson, require_elements
from edge.media.gst_decoder import JETSON_DECODER, GstDecoder
from edge.media.hardware_decoder import DecoderFailed, HardwareDecoder
from edge.media.nvdec import NvdecDecoder, OnGpu
from edge.media.nvdec_proof import Proof

_log = logging.getLogger(__name__)

SOFTWARE: Final = "FFmpeg"
JETSON: Final = GstDecoder.name
_NVDEC: Final = Proof()
_MOST_FAILURES: Final = 3
"""One may be the stream's fault; then hardware would fail at each connection, too."""


def choose_decoder() -> tuple[str, str]:
    """Return (name, why) of what decodes H.264 and H.265 of live sources here."""
    if not is_jetson():
        return SOFTWARE, "this is no Jetson"
    try:
        for names in JETSON_DECODER.names.values():
            require_elements(names)
    except GstMissing as error:
        return SOFTWARE, str(error)
    return JETSON, "its elements are there"


def open_hardware(stream: av.VideoStream) -> HardwareDecoder | None:
    """Open the Jetson's decoder for a stream. None where there is none. Raises DecoderFailed."""
    return GstDecoder(stream) if choose_decoder()[0] == JETSON else None


def opener_for(on_gpu: OnGpu | None) -> Callable[[av.VideoStream], HardwareDecoder | None]:
    """Return what opens the machine's own decoder. on_gpu: where frames may stay on the GPU."""
    if on_gpu is None:
        return open_hardware

    def open_on_gpu(stream: av.VideoStream) -> HardwareDecoder:
        _NVDEC.demand(on_gpu)
        return NvdecDecoder(stream, on_gpu)

    return open_on_gpu


class PictureDecoder:
    """Decodes one stream with hardware, and goes on with FFmpeg where that fails.

    FFmpeg then shows nothing before the next keyframe. notes: told when that happens.
    """

    _failures = 0
    """Of the whole process."""

    def __init__(
        self,
        stream: av.VideoStream,
        notes: Callable[[str], None],
        opener: Callable[[av.VideoStream], HardwareDecoder | None] = open_hardware,
        *,
        context: av.VideoCodecContext | None = None,
    ) -> None:
        """context: FFmpeg's, where it is not to be the stream's own one."""
        self._context, self._notes = context or stream.codec_context, notes
        self._hardware: HardwareDecoder | None = None
        self._room: SurfaceRoom | None = None
        if PictureDecoder._failures >= _MOST_FAILURES:
            return
        try:
            self._hardware = opener(stream)
        except DecoderFailed as error:
            # Of this stream only: it may be one that the hardware does not know.
            notes(f"decoded by {SOFTWARE}: the machine's own decoder cannot: {error}")

    @property
    def name(self) -> str:
        """What decodes now."""
        return SOFTWARE if self._hardware is None else self._hardware.name

    @property
    def room(self) -> SurfaceRoom | None:
        """Where frames lie that stay on the GPU; those given out before may lie there yet."""
        return self._room

    @property
    def answers_later(self) -> bool:
        """Whether frames come when they are ready, and not always with the packet that is the
        last they need; `poll` gives them out."""
        return self._hardware is not None and self._hardware.answers_later

    def poll(self) -> Iterator[av.VideoFrame]:
        """Yield what has become ready since the last packet."""
        if self._hardware is not None:
            try:
                yield from self._hardware.poll()
            except DecoderFailed as error:
                self._give_up(error)

    def decode(self, packet: Packet[Any] | None) -> Iterator[av.VideoFrame]:
        """Yield what a packet sets free; None flushes. Raises av.FFmpegError as FFmpeg does."""
        if self._hardware is not None:
            try:
                for frame in self._hardware.decode(packet):
                    self._room = self._hardware.room
                    yield frame
            except DecoderFailed as error:
                self._give_up(error)
            else:
                return
        yield from self._context.decode(packet)

    def close(self) -> None:
        """Let go of the hardware."""
        hardware, self._hardware = self._hardware, None
        if hardware is not None:
            hardware.close()

    def _give_up(self, error: DecoderFailed) -> None:
        PictureDecoder._failures += 1
        said = f"decoder {self.name} failed: {error}. {SOFTWARE} goes on in its place"
        _log.warning("%s.", said)
        self._notes(said)
        self.close()
