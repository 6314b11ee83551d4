"""A file as a source: one picture stream and one sound stream, in the order of the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
from av.packet import Packet
from av.stream import Discard, Stream

from edge.errors import SourceError
from edge.frame import Frame
from edge.media.clock import SharedShift, StreamClock
from edge.media.normalise import ColourTags, Normaliser
from edge.media.opening import (
    SoundInfo,
    choose_picture,
    choose_sound,
    frame_rate,
    local_path,
    open_container,
    stream_name,
)
from edge.media.picture import HostPicture
from edge.timeline import seconds

_SOUND_BEFORE_PICTURE = 32 << 20
"""Bytes of sound kept while waiting for the first picture; enough for half an hour of AAC."""
_READ_ERRORS_IN_A_ROW = 16
_TRUNCATED_S = 0.5
_TRUNCATED_SHARE = 0.02
# Side data that a decoder or muxer needs to place and decode the samples. All else is dropped:
# it can carry titles, locations and other text.
_SOUND_SIDE_DATA = ("skip_samples", "new_extradata", "param_change")


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source holds, known before the first frame is read."""

    path: Path
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

    @property
    def has_sound(self) -> bool:
        """True where a sound stream is passed on."""
        return self.sound is not None


@dataclass(slots=True)
class SoundPacket:
    """Encoded sound. pts: seconds from the source's start; packet: its times count from there."""

    pts: float
    packet: Packet[Stream]


class FileSource:
    """Reads a local file of any container and codec that FFmpeg knows.

    Nothing but pictures and sound passes: no metadata, chapters, captions or other streams.
    `info` is known after construction. Damage does not stop it; the counters say what happened:
    damage: packets that could not be read or decoded. concealed: frames that the decoder gave
    out but calls corrupt. frames: frames given out. truncated: the file, read to its end, was
    shorter than it says, by more than 0.5 s and 2 %.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file and decode its first frame. Raises SourceError."""
        self.path = local_path(path)
        self.damage = 0
        self.concealed = 0
        self.frames = 0
        self._sound_bytes = 0
        self._started = False
        self.truncated = False
        self._container = open_container(self.path)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        streams = self._container.streams
        self._video = choose_picture(streams, self.path)
        sound, notes = choose_sound(streams)
        self._audio = sound.stream if sound is not None else None
        chosen = (self._video, self._audio)
        dropped = [s for s in streams if s not in chosen]
        for stream in dropped:
            stream.discard = Discard.all
        self._video.codec_context.thread_type = "AUTO"

        self._counts_only = self._container.format.name == "avi"
        self._lag: int | None = None
        self._raw = self._decode()
        self._head: list[av.VideoFrame | Packet[Stream]] = []
        first = self._first_frame()
        try:
            self._normalise = Normaliser(first)
            self._normalise(first)
        except ValueError as error:
            raise SourceError(f"{self.path}: {error}. Choose a larger picture.") from error
        except av.FFmpegError as error:
            raise SourceError(
                f"{self.path}: colours of {first.format.name} cannot be converted to 8-bit 4:2:0. "
                f"Convert the file to yuv420p first."
            ) from error
        self.notes = [*notes, *self._normalise.notes]
        self.info = self._describe(first, sound, tuple(map(stream_name, dropped)))
        self._start_clocks(first)

    def _describe(
        self, first: av.VideoFrame, sound: SoundInfo | None, dropped: tuple[str, ...]
    ) -> SourceInfo:
        video, shape = self._video, self._normalise
        time_base = video.time_base or first.time_base
        if not time_base:
            raise SourceError(f"{self.path} has no time base. Remux it into another container.")
        fps = frame_rate(video)
        duration = self._announced_s()
        aspect = video.sample_aspect_ratio or Fraction(1)
        return SourceInfo(
            path=self.path,
            width=shape.width,
            height=shape.height,
            coded_width=first.width,
            coded_height=first.height,
            fps=fps,
            duration_s=duration,
            frame_count=video.frames or (round(duration * fps) if duration else None),
            time_base=time_base,
            pixel_format=shape.pixel_format,
            coded_pixel_format=first.format.name,
            codec=video.codec_context.codec.canonical_name,
            container=self._container.format.name,
            rotation=shape.orientation.degrees,
            sample_aspect=1 / aspect if shape.orientation.transpose else aspect,
            colour=shape.colour,
            sound=sound,
            dropped=dropped,
        )

    def _start_clocks(self, first: av.VideoFrame) -> None:
        info, shared = self.info, SharedShift()
        starts = [(first.pts or 0) * info.time_base]
        audio = self._audio
        if audio is not None and audio.time_base:
            sounded = [p for p in self._head if isinstance(p, Packet) and p.pts is not None]
            start = audio.start_time
            if start is None and sounded:
                start = sounded[0].pts
            if start is not None:
                starts.append(start * audio.time_base)
        # Rounded down to a tick of the picture, so that frames keep their ticks and nothing but
        # an encoder's priming samples comes before 0.
        origin = min(starts) // info.time_base
        step = round(1 / (info.fps * info.time_base))
        self._clock = StreamClock(info.time_base, step, origin, shared)
        self._sound_clock = None
        if audio is not None and audio.time_base:
            sound_origin = round(origin * info.time_base / audio.time_base)
            step = round((audio.codec_context.frame_size or 1024) / audio.rate / audio.time_base)
            self._sound_clock = StreamClock(audio.time_base, step, sound_origin, shared)

    @property
    def repaired(self) -> int:
        """Timestamps that were repeated or ran backwards, and were replaced."""
        sound = self._sound_clock.repaired if self._sound_clock else 0
        return self._clock.repaired + sound

    def read(self) -> Iterator[Frame | SoundPacket]:
        """Yield frames and sound in the order of the file; once only.

        Raises SourceError when the file cannot be read any further because of the machine (a disk
        that fails, no memory), never because of damage in the file.
        """
        if self._started:
            raise RuntimeError("a source can be read only once")
        self._started = True
        while self._head:
            yield self._finish(self._head.pop(0))
        for raw in self._raw:
            yield self._finish(raw)
        self.truncated = self._is_short()
        self.notes.extend(note for note in self._normalise.notes if note not in self.notes)

    def close(self) -> None:
        """Release the file. Frames already given out stay valid."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _finish(self, raw: av.VideoFrame | Packet[Stream]) -> Frame | SoundPacket:
        if isinstance(raw, Packet):
            return self._finish_sound(raw)
        self.concealed += raw.is_corrupt
        frame = self._normalise(raw)
        ticks = self._clock.place(raw.pts, raw.duration or 0)
        item = Frame(self.frames, seconds(ticks, self.info.time_base), ticks, HostPicture(frame))
        self.frames += 1
        return item

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
        for raw in self._raw:
            self._head.append(raw)
            if isinstance(raw, av.VideoFrame):
                return raw
            self._sound_bytes += raw.size
            if self._sound_bytes > _SOUND_BEFORE_PICTURE:
                break
        why = f" ({self.damage} packets could not be decoded)" if self.damage else ""
        raise SourceError(
            f"{self.path} holds no frame that can be decoded{why}. "
            f"Check that it plays elsewhere; it may be cut off, encrypted or empty."
        )

    def _decode(self) -> Iterator[av.VideoFrame | Packet[Stream]]:
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
            try:
                for frame in self._video.codec_context.decode(None if flush else packet):
                    if self._counts_only:
                        self._time_by_order(frame)
                    yield frame
            except av.error.MemoryError as error:
                raise SourceError(f"No memory left to decode {self.path}. Free some.") from error
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

    def _packets(self) -> Iterator[Packet[Stream]]:
        chosen = [self._video] if self._audio is None else [self._video, self._audio]
        errors = 0
        while True:
            try:
                for packet in self._container.demux(*chosen):
                    errors = 0
                    yield packet
                return
            except av.error.InvalidDataError:
                # A damaged stretch. Demuxers find their feet behind it, if there is a behind.
                self.damage += 1
                errors += 1
                if errors == _READ_ERRORS_IN_A_ROW:
                    yield from self._flush_packets()
                    return
            except av.FFmpegError as error:
                raise SourceError(
                    f"{self.path} cannot be read any further: {error.strerror}. "
                    f"Check the disk it lies on."
                ) from error

    def _flush_packets(self) -> Iterator[Packet[Stream]]:
        packet: Packet[Stream] = Packet()
        packet.stream = self._video
        yield packet

    def _is_short(self) -> bool:
        announced, audio = self.info.duration_s, self._audio
        if announced is None:
            return False
        end = self._clock.end * self.info.time_base
        if self._stream_duration() is None and self._sound_clock and audio and audio.time_base:
            # Only the file's length is known, and that is its longest stream's.
            end = max(end, self._sound_clock.end * audio.time_base)
        return announced - end > max(_TRUNCATED_S, announced * _TRUNCATED_SHARE)

    def _stream_duration(self) -> float | None:
        if self._video.duration and self._video.time_base:
            return float(self._video.duration * self._video.time_base)
        return None

    def _announced_s(self) -> float | None:
        stream, container = self._stream_duration(), self._container
        if stream is not None or not container.duration:
            return stream
        # Matroska states where the file ends, not how long it lasts.
        late = (container.start_time or 0) if "matroska" in container.format.name else 0
        return (container.duration - late) / av.time_base
