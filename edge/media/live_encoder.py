"""The encoders of a live output: H.264 at a steady rate and AAC, shared by all destinations."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final, NamedTuple

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.packet import Packet
from av.stream import Stream
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, VideoReformatter

from edge.errors import SinkError
from edge.media.codecs import VideoSettings, has_encoder
from edge.media.encoder_probe import probe_encoders
from edge.media.encoders import (
    SOFTWARE,
    EncoderChoice,
    EncoderSetup,
    EncoderState,
    PictureInfo,
    candidates,
    choose_encoder,
    default_bitrate,
    encoder_setup,
)
from edge.media.live_packets import TICKS_PER_S, EncodedPacket
from edge.media.live_sound import CHANNELS, RATE, Samples
from edge.media.picture_encoder import (
    VIDEO_CLOCK,
    EncoderFailed,
    PictureEncoder,
    open_picture_encoder,
)
from edge.media.streams import AnyPicture
from edge.media.surface import SurfacePicture

__all__ = ["SOUND_BITS", "VIDEO_CLOCK", "LiveEncoder", "PictureInfo", "default_bitrate"]

_log = logging.getLogger(__name__)

SOUND_BITS = 128_000
"""Bits per second of AAC: what YouTube and Twitch ask for with stereo."""
_MOST_INSIDE: Final = 32
"""Pictures that hardware may hold back; x264, which may hold more, never fails that way."""

Opener = Callable[[PictureInfo, EncoderSetup], PictureEncoder]
Probe = Callable[[Iterable[str]], dict[str, EncoderState]]


class _Given(NamedTuple):
    """A frame as an encoder was given it. The slate's frame is given again and again, so that
    its times are kept apart from it."""

    frame: av.VideoFrame
    ticks: int
    key: bool
    surface: SurfacePicture | None = None
    """What the frame is of, where it lies on the GPU."""


class LiveEncoder:
    """Pictures and sound in, packets out; also the template for the streams of every output.

    Hardware that fails amid the stream is replaced by x264 at once: no picture is lost, times go
    on, and the new encoder begins with a keyframe. Packets tell by their `epoch` from which
    encoder they are. Hardware is not tried again before the next stream.
    """

    def __init__(
        self,
        info: PictureInfo,
        settings: VideoSettings,
        *,
        steady: bool,
        on_gpu: bool = False,
        on_event: Callable[[str], None] | None = None,
        probe: Probe = probe_encoders,
        opener: Opener = open_picture_encoder,
    ) -> None:
        """Choose and open the encoders. Raises SinkError.

        settings.codec: "auto" or an encoder's name; x264 stands in for hardware that does not
        work. steady: hold the bit rate as ingests want it, instead of the quality: VBV of one
        second with the average as its maximum. Nothing is stuffed: a still picture needs less.
        on_gpu: whether pictures may live on the GPU, so that NVENC should read them there.
        on_event: told, in a sentence without secrets, when an encoder had to be replaced.
        """
        self.info = info
        self._wanted, self._steady, self._opener = settings, steady, opener
        self._on_gpu = on_gpu
        self._on_event = on_event
        self._picture, self.choice = self._open_first(probe)
        _log.info("encoder %s", self.choice)
        self._templates: list[Stream] = []
        """By epoch. Known once the encoder of that epoch gave out its first packet."""
        self._epoch = 0
        self._inside: deque[_Given] = deque()
        """What hardware was given and has not given back: to be encoded anew if it fails."""
        # A container that writes nothing: PyAV copies codec parameters from a stream only.
        self._container = av.open(os.devnull, "w", format="null")
        self.sound = self._add_sound()
        self._container.start_encoding()
        self._convert = VideoReformatter()
        self._last: int | None = None
        self._last_key: int | None = None
        self._interval = round(settings.keyframe_interval_s * VIDEO_CLOCK)
        self._half_frame = round(VIDEO_CLOCK / info.fps / 2)

    @property
    def settings(self) -> VideoSettings:
        """As wished, with the bit rate that is held."""
        return self._picture.setup.settings

    @property
    def encoder(self) -> str:
        """Name of the pictures' encoder that is at work now."""
        return self._picture.setup.name

    def template(self, epoch: int) -> Stream:
        """Codec parameters of the pictures; for an epoch of which a packet was given out."""
        return self._templates[epoch]

    def _open_first(self, probe: Probe) -> tuple[PictureEncoder, EncoderChoice]:
        wanted = self._wanted.codec
        names = candidates(wanted)
        if names == (SOFTWARE,):
            # Opening it says more than a probe: which setting is wrong.
            works = has_encoder(SOFTWARE)
            present = {SOFTWARE: EncoderState("works" if works else "missing")}
        else:
            present = probe(names)
        while True:
            choice = choose_encoder(wanted, present)
            try:
                return self._open(choice.name), choice
            except EncoderFailed as error:
                if choice.name == SOFTWARE:
                    raise SinkError(
                        f"{SOFTWARE} cannot encode with these settings: {error}. "
                        f"Check preset, tune, bit rate and picture size."
                    ) from error
                # It works, but not with pictures of this size.
                state = EncoderState("does not open here", str(error))
                present = {**present, choice.name: state}

    def _open(self, name: str, *, relieves: bool = False, prompt: bool = False) -> PictureEncoder:
        setup = encoder_setup(
            name, self.info, self._wanted, steady=self._steady, relieves=relieves, prompt=prompt,
            on_gpu=self._on_gpu,
        )  # fmt: skip
        if setup.on_gpu:
            try:
                return self._opener(self.info, setup)
            except EncoderFailed as error:
                _log.warning("%s does not read frames on the GPU, they come to the host: %s",
                             name, error)  # fmt: skip
                setup = replace(setup, on_gpu=False)
        return self._opener(self.info, setup)

    def _add_sound(self) -> AudioStream:
        stream = self._container.add_stream("aac", rate=RATE)
        context = stream.codec_context
        context.layout = "stereo"
        context.bit_rate = SOUND_BITS
        context.time_base = Fraction(1, RATE)
        context.flags |= Flags.global_header
        return stream

    def encode(self, picture: AnyPicture, time_s: float) -> Iterator[EncodedPacket]:
        """Encode a picture; it must not be edited afterwards.

        time_s: since the start of the stream; where it does not rise, it is made to by the
        smallest step. Raises ValueError for another size, SinkError where the encoder fails.
        """
        there = picture if isinstance(picture, SurfacePicture) else None
        surface = there.surface if there is not None and self._picture.setup.on_gpu else None
        frame, info = picture.frame if surface is None else surface, self.info
        if (frame.width, frame.height) != (info.width, info.height):
            raise ValueError(
                f"a picture of {frame.width}x{frame.height} does not belong into a stream of "
                f"{info.width}x{info.height}"
            )
        full_range, ticks = picture.full_range, round(time_s * VIDEO_CLOCK)
        frame = self._converted(frame, full_range)
        if self._last is not None:
            ticks = max(ticks, self._last + 1)
        self._last = ticks
        # By the clock, not by counting: a camera that slows down would stretch the interval.
        due = self._last_key is None or ticks + self._half_frame >= self._last_key + self._interval
        yield from self._encode(_Given(frame, ticks, due, there if surface is not None else None))

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
        try:
            yield from self._finish(self._picture.flush())
        except EncoderFailed as error:
            if self.encoder != SOFTWARE:
                yield from self._relieve(str(error))
                yield from self._finish(self._picture.flush())
        for sound in self.sound.encode(None):
            yield _encoded(sound, is_video=False)

    def renew(self) -> None:
        """Forget what the encoder of the pictures holds back, and begin with another keyframe.

        Its times go on. x264 holds nothing back from here on. Raises SinkError.
        """
        before = self._picture
        before.close()
        self._inside.clear()
        try:
            self._picture = self._open(before.setup.name, prompt=True)
        except EncoderFailed as error:
            if before.setup.name == SOFTWARE:
                raise SinkError(f"{SOFTWARE} cannot begin anew: {error}. Start again.") from error
            self._picture = self._open(SOFTWARE, prompt=True)
        self._epoch = len(self._templates)
        self._last_key = None

    def close(self) -> None:
        """Let go of the hardware. Templates stay valid."""
        self._picture.close()

    def _encode(self, given: _Given) -> Iterator[EncodedPacket]:
        in_software = self.encoder == SOFTWARE
        if not in_software:
            self._inside.append(given)
        if given.key:
            self._last_key = given.ticks
        frame = given.frame
        frame.pts, frame.time_base = given.ticks, Fraction(1, VIDEO_CLOCK)
        frame.pict_type = PictureType.I if given.key else PictureType.NONE
        try:
            yield from self._finish(self._picture.encode(frame))
            if len(self._inside) > _MOST_INSIDE:
                raise EncoderFailed(f"it holds back more than {_MOST_INSIDE} pictures")
        except EncoderFailed as error:
            if in_software:
                raise SinkError(
                    f"{SOFTWARE} cannot go on: {error}. Start the stream again."
                ) from error
            yield from self._relieve(str(error))

    def _relieve(self, cause: str) -> Iterator[EncodedPacket]:
        """Let x264 take over, beginning with what the failed encoder had not given back."""
        failed = self._picture
        said = f"encoder {failed.setup.name} failed: {cause}. {SOFTWARE} goes on in its place"
        _log.warning("%s.", said)
        failed.close()
        try:
            self._picture = self._open(SOFTWARE, relieves=True)
        except EncoderFailed as error:
            raise SinkError(
                f"Encoder {failed.setup.name} failed ({cause}), and {SOFTWARE} cannot take over: "
                f"{error}. Start the stream again."
            ) from error
        # Of an encoder that never gave out a packet nobody has a template.
        self._epoch = len(self._templates)
        if self._on_event is not None:
            self._on_event(said)
        waiting, self._inside = self._inside, deque()
        self._last_key = None
        for given in waiting:
            frame = given.frame if given.surface is None else given.surface.frame
            frame = self._converted(frame, self.info.colour.full_range)
            yield from self._encode(_Given(frame, given.ticks, given.key or given is waiting[0]))

    def _finish(self, packets: Iterable[Packet[Any]]) -> Iterator[EncodedPacket]:
        for packet in packets:
            if len(self._templates) == self._epoch:
                self._templates.append(self._picture.template)
            assert packet.pts is not None
            # Hardware makes no B-frames: what comes out is the oldest, or those before it are lost.
            base = packet.time_base * VIDEO_CLOCK
            while self._inside and self._inside[0].ticks <= round(packet.pts * base):
                self._inside.popleft()
            # Who began with another encoder's header finds the new one in the stream.
            header = self._picture.header if self._epoch and packet.is_keyframe else b""
            yield _encoded(packet, is_video=True, epoch=self._epoch, header=header)

    def _converted(self, frame: av.VideoFrame, full_range: bool) -> av.VideoFrame:
        """Convert to what the encoder takes; the frame itself where it is that already."""
        wanted = self._picture.setup.pixel_format
        if frame.format.name == wanted or frame.sw_format is not None:
            return frame
        return self._convert.reformat(
            frame,
            format=wanted,
            src_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG if self.info.colour.full_range else ColorRange.MPEG,
            threads=1,
        )


def _encoded(
    packet: Packet[Any], *, is_video: bool, epoch: int = 0, header: bytes = b""
) -> EncodedPacket:
    base = packet.time_base
    assert packet.pts is not None

    def ticks(value: int) -> int:
        return value * base.numerator * TICKS_PER_S // base.denominator

    pts = ticks(packet.pts)
    return EncodedPacket(
        is_video=is_video,
        data=header + bytes(packet),
        pts=pts,
        dts=pts if packet.dts is None else ticks(packet.dts),
        duration=ticks(packet.duration or 0),
        is_key=is_video and packet.is_keyframe,
        epoch=epoch,
    )
