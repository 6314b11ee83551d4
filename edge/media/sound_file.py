"""Files that hold sound and no picture: read as blocks of samples, written from judged ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self, cast

import av
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.packet import Packet
from av.stream import Stream

from edge.errors import SinkError, SourceError
from edge.media.codecs import SOUND_FORMATS, SoundFormat
from edge.media.opening import choose_sound, local_path, open_container
from edge.media.output import OutputFile, sink_errors
from edge.media.sound import (
    SampleArray,
    SoundDecoder,
    SoundEncoder,
    encoder_layout,
    own_layout,
)
from edge.media.streams import SoundPacket
from edge.sound import SoundBlock

_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""What AAC and, above 8 kHz, MP3 know (ISO/IEC 14496-3, 11172-3, 13818-3)."""
_MOST_CHANNELS = {"libmp3lame": 2}
_CHANNELS = 8
"""What all encoders but MP3's take."""
_READ_ERRORS_IN_A_ROW = 16


@dataclass(frozen=True, slots=True)
class SoundFileInfo:
    """What a file of sound holds."""

    path: Path
    codec: str
    rate: int
    channels: int
    layout: str
    duration_s: float | None


class SoundFileSource:
    """Reads the sound of a local file; a picture beside it (a cover, a film) is not passed on."""

    def __init__(self, path: str | Path) -> None:
        """Open the file. Raises SourceError."""
        self.path = local_path(path)
        self.damage = 0
        """Packets that could not be read or decoded; silence is heard in their place."""
        self._container = open_container(self.path)
        try:
            sound, notes = choose_sound(self._container.streams)
            if sound is None:
                why = f": {notes[0]}" if notes else ""
                raise SourceError(f"{self.path} holds no sound that can be decoded{why}. "
                                  f"Choose another file.")  # fmt: skip
            if sound.channels > _CHANNELS:
                raise SourceError(f"{self.path} holds {sound.channels} channels of sound, more "
                                  f"than {_CHANNELS}. Mix some of them down first.")  # fmt: skip
            self._stream = sound.stream
            layout = own_layout(sound)
            self._decoder = SoundDecoder(sound, rate=sound.rate, layout=layout)
            duration = self._container.duration
            self.info = SoundFileInfo(
                self.path,
                sound.codec,
                sound.rate,
                sound.channels,
                layout,
                duration / av.time_base if duration else None,
            )
        except BaseException:
            self.close()
            raise

    def read(self) -> Iterator[SoundBlock]:
        """Yield the sound in order, from 0 s on. Raises SourceError where the disk fails."""
        origin: float | None = None
        for packet in self._packets():
            for pts, samples in self._decoder.decode(packet):
                origin = pts if origin is None else origin
                yield SoundBlock(pts - origin, samples, self.info.rate)
        if origin is None:
            raise SourceError(f"{self.path} holds no sound that can be decoded. "
                              f"Check that it plays elsewhere.")  # fmt: skip
        self.damage += self._decoder.damage

    def _packets(self) -> Iterator[SoundPacket | None]:
        errors = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    errors = 0
                    if packet.size:
                        yield SoundPacket(float(packet.pts or 0), cast("Packet[Stream]", packet))
                break
            except av.error.InvalidDataError:
                self.damage += 1
                errors += 1
                if errors == _READ_ERRORS_IN_A_ROW:
                    break
            except av.FFmpegError as error:
                raise SourceError(
                    f"{self.path} cannot be read any further: {error.strerror}. "
                    f"Check the disk it lies on."
                ) from error
        yield None

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class SoundFileSink:
    """Writes one file of sound. Exactly one of finish, interrupt and abort ends it."""

    def __init__(self, path: Path, info: SoundFileInfo, *, overwrite: bool) -> None:
        """Open the file under its partial name. Raises SinkError."""
        self.path = path
        form = SOUND_FORMATS.get(path.suffix.lower())
        if form is None:
            raise SinkError(f"{path} is no file of sound. Use one of {' '.join(SOUND_FORMATS)}.")
        most = _MOST_CHANNELS.get(form.encoder)
        if most is not None and info.channels > most:
            raise SinkError(f"{form.encoder} takes {most} channels at most. Use .flac or .m4a.")
        self._info = info
        self._ended = False
        self._file = OutputFile(path, info.path, overwrite=overwrite)
        try:
            with sink_errors(path):
                self._container = av.open(
                    f"file:{self._file.partial}", "w", format=form.muxer,
                    container_options={"fflags": "+bitexact"},
                )  # fmt: skip
                self._stream = self._add(form)
                self._encoder = SoundEncoder(self._stream)
                self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            self.abort()
            raise SinkError(
                f"{path} cannot be encoded as {form.encoder}: {error}. Use .flac instead."
            ) from error
        except BaseException:
            self.abort()
            raise

    def _add(self, form: SoundFormat) -> AudioStream:
        rate = form.rate or self._info.rate
        if form.encoder in ("aac", "libmp3lame") and rate not in _AAC_RATES:
            rate = 48_000
        stream = cast(AudioStream, self._container.add_stream(form.encoder, rate=rate))
        context = stream.codec_context
        context.layout = encoder_layout(form.encoder, self._info.layout)
        if form.bitrate:
            context.bit_rate = form.bitrate * self._info.channels
        context.time_base = Fraction(1, rate)
        context.flags |= Flags.bitexact
        return stream

    def write_samples(self, samples: SampleArray, pts: float) -> None:
        """Encode judged sound, (channels, n) float32, heard from pts on. Raises SinkError."""
        info = self._info
        with self._abort_on_error():
            self._mux(
                self._encoder.encode_samples(samples, pts, rate=info.rate, layout=info.layout)
            )

    def finish(self) -> Path:
        """Complete the file under its final name, and return that. Raises SinkError."""
        self._complete()
        return self._file.commit()

    def interrupt(self) -> Path:
        """Complete what is there as a playable file; return its (partial) name."""
        self._complete()
        return self._file.keep()

    def abort(self) -> None:
        """Remove what was written. Does nothing to a sink that has ended."""
        if self._ended:
            return
        self._ended = True
        container = getattr(self, "_container", None)
        if container is not None:
            # What fails here is the trailer of a file that is about to be removed.
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                container.close()
        self._file.discard()

    def _complete(self) -> None:
        with self._abort_on_error():
            self._mux(self._encoder.flush())
            self._container.close()
        self._ended = True

    def _mux(self, packets: Iterator[Any]) -> None:
        for packet in packets:
            packet.stream = self._stream
            self._container.mux(packet)

    @contextlib.contextmanager
    def _abort_on_error(self) -> Iterator[None]:
        try:
            with sink_errors(self.path):
                yield
        except SinkError:
            self.abort()
            raise
        except av.FFmpegError as error:
            self.abort()
            raise SinkError(
                f"{self.path} cannot be encoded any further: {error.strerror}. Use .flac instead."
            ) from error
