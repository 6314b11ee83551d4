"""A file as a source: one picture stream and one sound stream, in the order of the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
from av.packet import Packet
from av.stream import Stream

from edge.errors import SourceError
from edge.frame import Frame
from edge.media.opening import local_path, open_container
from edge.media.streams import SoundPacket, StreamInfo, StreamReader

__all__ = ["FileSource", "SoundPacket", "SourceInfo"]

_READ_ERRORS_IN_A_ROW = 16
_TRUNCATED_S = 0.5
_TRUNCATED_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class SourceInfo(StreamInfo):
    """What a file holds, known before the first frame is read."""

    path: Path


class FileSource(StreamReader):
    """Reads a local file of any container and codec that FFmpeg knows.

    `info` is known after construction. Damage does not stop it; the counters say what happened,
    those of StreamReader and `truncated`: the file, read to its end, was shorter than it says,
    by more than 0.5 s and 2 %.
    """

    def __init__(self, path: str | Path, *, keep_packets: bool = False) -> None:
        """Open the file and decode its first frame. Raises SourceError.

        keep_packets: give out frames that can be had again when their pixels are gone.
        """
        self.path = local_path(path)
        super().__init__(self.path)
        self.truncated = False
        self._started = False
        self._container = open_container(self.path)
        try:
            self._choose(self._container, "AUTO")
            self._keep_packets(keep_packets)
            first = self._read_first()
            info = self._describe(first, self._announced_s())
            shared = {field.name: getattr(info, field.name) for field in fields(info)}
            self.info = SourceInfo(**shared, path=self.path)
            self._start_clocks(self._origin_s(first), info.time_base, info.fps)
        except BaseException:
            self.close()
            raise

    def _origin_s(self, first: av.VideoFrame) -> Fraction:
        starts = [(first.pts or 0) * self.info.time_base]
        audio = self._audio
        if audio is not None and audio.time_base:
            sounded = [p for p in self._head if isinstance(p, Packet) and p.pts is not None]
            start = audio.start_time
            if start is None and sounded:
                start = sounded[0].pts
            if start is not None:
                starts.append(start * audio.time_base)
        return min(starts)

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

    @property
    def end_s(self) -> float:
        """Where the last frame and the last sound read so far end, in seconds from the start."""
        assert self._clock is not None
        end = self._clock.end * self.info.time_base
        if self._sound_clock is not None and self._audio and self._audio.time_base:
            end = max(end, self._sound_clock.end * self._audio.time_base)
        return float(end)

    def close(self) -> None:
        """Release the file. Frames already given out stay valid."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

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
        assert self._clock is not None
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
