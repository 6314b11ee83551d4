"""One picture stream and one sound stream of an open container: decoded, upright, in time.

What files and live connections have in common; they differ in how packets are read and what an
error means.
"""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Stream

from edge.errors import InferenceError, SourceError
from edge.frame import Frame
from edge.media.clock import SharedShift, StreamClock
from edge.media.decoders import PictureDecoder, open_hardware, opener_for
from edge.media.normalise import ColourTags, Normaliser
from edge.media.nvdec import OnGpu
from edge.media.opening import SoundInfo, choose_picture, choose_sound, frame_rate, stream_name
from edge.media.picture import HostPicture
from edge.media.replay import SAME_TWICE_PX, Replay, is_worth_keeping, second_context
from edge.media.surface import SurfacePicture
from edge.timeline import seconds

_log = logging.getLogger(__name__)

_SOUND_BEFORE_PICTURE = 32 << 20
"""Bytes of sound kept while waiting for the first picture; enough for half an hour of AAC."""
# Side data that a decoder or muxer needs to place and decode the samples. All else is dropped:
# it can carry titles, locations and other text.
_SOUND_SIDE_DATA = ("skip_samples", "new_extradata", "param_change")

AnyPicture: TypeAlias = HostPicture | SurfacePicture
"""What sinks take: a picture with a frame of FFmpeg's behind it, on the host or on the GPU."""
RawItem: TypeAlias = "av.VideoFrame | Packet[Stream]"
"""A frame as decoded or a packet of sound as read, with the stream's own times."""
MakePicture: TypeAlias = Callable[[av.VideoFrame], HostPicture]
"""What becomes of an upright frame."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a source holds, known before the first frame is read."""

    width: int
    """Of every frame given out: upright and even."""
    height: int
    coded_width: int
    coded_height: int
    fps: Fraction
    """Average frame rate; the actual one may vary."""
    duration_s: float | None
    frame_count: int | None
    """An estimate."""
    time_base: Fraction
    """Seconds that one of Frame.ticks lasts."""
    pixel_format: str
    """Of every frame given out: yuv420p, yuvj420p or nv12."""
    coded_pixel_format: str
    codec: str
    container: str
    rotation: int
    """Clockwise degrees by which the coded picture was turned to be upright."""
    sample_aspect: Fraction
    """Width of one pixel over its height, in the upright picture."""
    colour: ColourTags
    sound: SoundInfo | None
    dropped: tuple[str, ...]
    """Streams that are not passed on, in words."""
    on_gpu: bool
    """Whether frames are SurfacePictures, as long as the GPU decodes them."""

    @property
    def has_sound(self) -> bool:
        """True where a sound stream is passed on."""
        return self.sound is not None


@dataclass(slots=True)
class SoundPacket:
    """Encoded sound. pts: seconds from the source's start; packet: its times count from there."""

    pts: float
    packet: Packet[Stream]


class StreamReader(abc.ABC):
    """Decodes the picture stream of a container and passes its sound on as packets.

    Nothing but pictures and sound passes: no metadata, chapters, captions or other streams.
    damage: packets that could not be read or decoded. concealed: frames that the decoder gave
    out but calls corrupt. frames: frames given out. notes: remarks for the user.
    """

    _REMEDY = "Check that it plays elsewhere; it may be cut off, encrypted or empty."

    def __init__(self, name: Path | str) -> None:
        """name: what the source is called in messages; without secrets."""
        self._name = name
        self.damage = 0
        self.concealed = 0
        self.frames = 0
        self.notes: list[str] = []
        self._clock: StreamClock | None = None
        self._sound_clock: StreamClock | None = None
        self._hardware: PictureDecoder | None = None
        self._replay: Replay | None = None
        self.make_picture: MakePicture = HostPicture
        """May be set before `read`."""

    def make_pictures(self, before: Callable[[MakePicture], MakePicture]) -> None:
        """Let something else make pictures, of what makes them now. Before `read`."""
        self.make_picture = before(self.make_picture)

    @abc.abstractmethod
    def _packets(self) -> Iterator[Packet[Stream]]:
        """Yield the packets of the chosen streams; an empty one of the picture flushes."""

    def _choose(self, container: InputContainer, threads: Literal["AUTO", "SLICE"]) -> None:
        """Choose streams. threads: "AUTO" is faster, "SLICE" holds no frames back."""
        self._container = container
        streams = container.streams
        self._video = choose_picture(streams, self._name)
        self._sound_info, notes = choose_sound(streams)
        self._audio = self._sound_info.stream if self._sound_info is not None else None
        chosen = (self._video, self._audio)
        dropped = [s for s in streams if s not in chosen]
        for stream in dropped:
            stream.discard = Discard.all
        self._dropped = tuple(map(stream_name, dropped))
        self._video.codec_context.thread_type = threads
        self.notes.extend(notes)
        self._decode_packet: Callable[[Packet[Stream] | None], Iterable[av.VideoFrame]]
        self._decode_packet = self._video.codec_context.decode
        self._counts_only = container.format.name == "avi"
        self._lag: int | None = None
        self._raw = self._decode()
        self._head: list[RawItem] = []

    def _use_hardware(self, on_gpu: OnGpu | None = None) -> None:
        """Decode with the machine's own decoder where it has one; _release_hardware() at last.

        on_gpu: where frames may stay on the GPU.
        """
        self._hardware = PictureDecoder(self._video, self.notes.append, opener_for(on_gpu))
        self._decode_packet = self._hardware.decode

    def _keep_packets(self, wanted: bool) -> None:
        """Keep packets, so that frames can be had again; after choosing what decodes."""
        video = self._video
        if not wanted:
            return
        if not is_worth_keeping(video):
            said = "its pictures come uncompressed, so frames are kept in place of packets"
            self.notes.append(said)
            _log.warning("%s: %s", self._name, said)
            return
        if video.width * video.height <= SAME_TWICE_PX:
            video.codec_context.thread_count = 1
        hardware = open_hardware if self._hardware is not None else _no_hardware
        second = PictureDecoder(video, self.notes.append, hardware, context=second_context(video))
        self._replay = Replay(second, by_dts=self._counts_only)

    def _release_hardware(self) -> None:
        if self._hardware is not None:
            self._hardware.close()

    def _read_first(self) -> av.VideoFrame:
        """Decode up to the first frame, kept in `_head` with the sound before it, and adapt."""
        first = self._first_frame()
        try:
            self._normalise = Normaliser(first)
            self._upright(first)
        except ValueError as error:
            raise SourceError(f"{self._name}: {error}. Choose a larger picture.") from error
        except av.FFmpegError as error:
            raise SourceError(
                f"{self._name}: colours of {first.format.name} cannot be converted to 8-bit "
                f"4:2:0. Convert it to yuv420p first."
            ) from error
        self.notes.extend(self._normalise.notes)
        if self._replay is not None:
            self._replay.normalise_with(self._normalise.twin())
        return first

    def _describe(self, first: av.VideoFrame, duration: float | None) -> StreamInfo:
        video, shape = self._video, self._normalise
        time_base = video.time_base or first.time_base
        if not time_base:
            raise SourceError(f"{self._name} has no time base. Remux it into another container.")
        fps = frame_rate(video)
        aspect = video.sample_aspect_ratio or Fraction(1)
        return StreamInfo(
            width=shape.width,
            height=shape.height,
            coded_width=first.width,
            coded_height=first.height,
            fps=fps,
            duration_s=duration,
            frame_count=video.frames or (round(duration * fps) if duration else None),
            time_base=time_base,
            pixel_format=shape.pixel_format,
            coded_pixel_format=(first.sw_format or first.format).name,
            on_gpu=shape.leaves_on_gpu(first),
            codec=video.codec_context.codec.canonical_name,
            container=self._container.format.name,
            rotation=shape.orientation.degrees,
            sample_aspect=1 / aspect if shape.orientation.transpose else aspect,
            colour=shape.colour,
            sound=self._sound_info,
            dropped=self._dropped,
        )

    def _start_clocks(self, origin_s: Fraction, time_base: Fraction, fps: Fraction) -> None:
        """Let time begin at origin_s of the container's clock."""
        # Rounded down to a tick of the picture, so that frames keep their ticks and nothing but
        # an encoder's priming samples comes before 0.
        shared, origin = SharedShift(), origin_s // time_base
        self._time_base = time_base
        self._clock = StreamClock(time_base, round(1 / (fps * time_base)), origin, shared)
        audio = self._audio
        if audio is not None and audio.time_base:
            sound_origin = round(origin * time_base / audio.time_base)
            step = round((audio.codec_context.frame_size or 1024) / audio.rate / audio.time_base)
            self._sound_clock = StreamClock(audio.time_base, step, sound_origin, shared)

    @property
    def repaired(self) -> int:
        """Timestamps that were repeated or ran backwards, and were replaced."""
        return sum(clock.repaired for clock in (self._clock, self._sound_clock) if clock)

    def _finish(self, raw: RawItem) -> Frame | SoundPacket:
        if isinstance(raw, Packet):
            return self._finish_sound(raw)
        assert self._clock is not None
        self.concealed += raw.is_corrupt
        frame = self._upright(raw)
        ticks = self._clock.place(raw.pts, raw.duration or 0)
        picture, replay = self._picture_of(frame), self._replay
        if replay is not None and isinstance(picture, HostPicture):
            kept = replay.keep(raw, picture)
        else:
            kept = None
        item = Frame(self.frames, seconds(ticks, self._time_base), ticks, picture, kept)
        self.frames += 1
        return item

    def _upright(self, raw: av.VideoFrame) -> av.VideoFrame:
        """Return a frame as this stream's are, on the GPU where it is there and needs nothing."""
        if raw.sw_format is not None and not self._normalise.leaves_on_gpu(raw):
            raw = self._surface(raw).frame
        return self._normalise(raw)

    def _picture_of(self, frame: av.VideoFrame) -> AnyPicture:
        return self.make_picture(frame) if frame.sw_format is None else self._surface(frame)

    def _surface(self, frame: av.VideoFrame) -> SurfacePicture:
        room = self._hardware.room if self._hardware is not None else None
        if room is None:
            raise ValueError("a frame on the GPU without a decoder that put it there")
        try:
            return SurfacePicture(frame, room)
        except InferenceError as error:
            raise SourceError(f"{self._name}: {error} Set runtime.device to auto.") from error

    def _finish_sound(self, raw: Packet[Stream]) -> SoundPacket:
        assert self._sound_clock is not None
        packet: Packet[Stream] = Packet(bytes(raw))
        packet.time_base = raw.time_base
        packet.duration = raw.duration
        packet.is_keyframe = raw.is_keyframe
        for data in raw.iter_sidedata():
            if data.data_type in _SOUND_SIDE_DATA:
                packet.set_sidedata(data)
        packet.pts = packet.dts = self._sound_clock.place(raw.pts, raw.duration or 0)
        return SoundPacket(seconds(packet.pts, raw.time_base), packet)

    def _first_frame(self) -> av.VideoFrame:
        sound_bytes = 0
        for raw in self._raw:
            self._head.append(raw)
            if isinstance(raw, av.VideoFrame):
                return raw
            sound_bytes += raw.size
            if sound_bytes > _SOUND_BEFORE_PICTURE:
                break
        why = f" ({self.damage} packets could not be decoded)" if self.damage else ""
        raise SourceError(f"{self._name} holds no frame that can be decoded{why}. {self._REMEDY}")

    def _decode(self) -> Iterator[RawItem]:
        for packet in self._packets():
            # The demuxer says: bytes are missing in it, as after a lost transport packet.
            self.damage += packet.is_corrupt
            if packet.stream is self._audio:
                if packet.size:
                    yield packet
                continue
            flush = not packet.size and packet.dts is None and packet.pts is None
            if not packet.size and not flush:
                continue  # AVI's placeholder for "the picture before, once more"
            given = None if flush else packet
            if self._replay is not None:
                self._replay.record(given)
            try:
                for frame in self._decode_packet(given):
                    if self._counts_only:
                        self._time_by_order(frame)
                    yield frame
            except av.error.MemoryError as error:
                raise SourceError(f"No memory left to decode {self._name}. Free some.") from error
            except av.error.EOFError:
                pass
            except av.FFmpegError:
                self.damage += not packet.is_corrupt

    def _time_by_order(self, frame: av.VideoFrame) -> None:
        """Replace a guessed pts: AVI has none, only numbers its packets, dropped ones included.

        FFmpeg guesses them in decoding order, which is wrong where there are B-frames. The dts of
        the packet that set a frame free rises in order of display, late by the decoder's delay.
        """
        if self._lag is None:
            self._lag = frame.dts or 0
        frame.pts = frame.dts - self._lag if frame.dts is not None else None


def _no_hardware(_: av.VideoStream) -> None:
    """Decode with FFmpeg."""
