"""A file as a sink: encodes judged frames, muxes sound beside them, renames when complete."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.codec.context import Flags
from av.packet import Packet
from av.stream import Stream
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from edge.errors import SinkError
from edge.media.codecs import (
    ENCODERS,
    AudioPolicy,
    ContainerFormat,
    VideoSettings,
    can_copy,
    container_for,
    encoder_for,
    has_encoder,
)
from edge.media.opening import SoundInfo
from edge.media.output import OutputFile, sink_errors
from edge.media.picture import HostPicture
from edge.media.sound import (
    SampleArray,
    SoundEncoder,
    SoundTranscoder,
    encoder_layout,
    own_layout,
)
from edge.media.source import SoundPacket, SourceInfo

_SOUND_BITS_PER_CHANNEL = 96_000
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_OPUS_RATE = 48_000
_MOST_CHANNELS = 8


class FileSink:
    """Writes one file: the pictures of a source, encoded, and its sound.

    The file grows as NAME.partial.EXT. Exactly one of finish, interrupt and abort ends the sink;
    when writing fails, the partial file is removed and SinkError is raised. The same frames and
    settings give the same bytes: no dates, names of tools or random numbers are written.
    """

    def __init__(
        self,
        path: str | Path,
        info: SourceInfo,
        video: VideoSettings | None = None,
        audio: AudioPolicy = AudioPolicy.KEEP,
        *,
        overwrite: bool = False,
    ) -> None:
        """Check everything that can be checked before the work starts. Raises SinkError."""
        self.path = Path(path)
        self.info = info
        self.frames = 0
        """Frames written."""
        self.sound_packets = 0
        """Packets of sound taken."""
        settings = video or VideoSettings()
        container = container_for(self.path)
        self.encoder = encoder_for(settings, container)
        sound = info.sound if audio is not AudioPolicy.DROP else None
        self._file = OutputFile(self.path, info.path, overwrite=overwrite)
        self._ended = False
        self._transcoder: SoundTranscoder | None = None
        self._sample_encoder: SoundEncoder | None = None
        self._retag = VideoReformatter()
        try:
            with sink_errors(self.path):
                # "file:" keeps a name with a colon from being taken for a protocol.
                self._container = av.open(
                    f"file:{self._file.partial}",
                    "w",
                    format=container.muxer,
                    container_options={"fflags": "+bitexact", **dict(container.options)},
                )
                self._video = self._add_video(settings)
                self._sound = self._add_sound(sound, audio, container)
                self._container.start_encoding()
        except SinkError:
            self.abort()
            raise
        except (av.FFmpegError, ValueError) as error:
            self.abort()
            raise SinkError(
                f"{self.path} cannot be encoded as {self.encoder} with these settings: {error}. "
                f"Check codec, preset and picture size."
            ) from error
        except BaseException:
            self.abort()
            raise
        if sound is not None and self._sound is not None and audio is AudioPolicy.SAMPLES:
            self._sample_encoder = SoundEncoder(self._sound)
            self._sound_rate, self._sound_layout = sound.rate, own_layout(sound)
        elif sound is not None and self._sound is not None and not self._copies_sound:
            self._transcoder = SoundTranscoder(sound.stream.codec_context, self._sound)
        strip = ENCODERS[self.encoder].strip
        self._strip = BitStreamFilterContext(strip, self._video) if strip else None

    @property
    def sound(self) -> str:
        """What becomes of the sound: "none", "copied" or "encoded"."""
        if self._sound is None:
            return "none"
        return "copied" if self._copies_sound else "encoded"

    @property
    def sound_damage(self) -> int:
        """Sound packets that could not be decoded, where sound is encoded anew."""
        return self._transcoder.damage if self._transcoder else 0

    def _add_video(self, settings: VideoSettings) -> VideoStream:
        info = self.info
        options = ENCODERS[self.encoder].options(settings)
        stream = cast(
            VideoStream,
            self._container.add_stream(
                self.encoder, rate=info.fps, options=options, time_base=info.time_base
            ),
        )
        context = stream.codec_context
        context.width, context.height = info.width, info.height
        self._pixel_format = info.pixel_format
        if info.pixel_format == "yuvj420p" and self.encoder == "libvpx-vp9":
            self._pixel_format = "yuv420p"  # it takes full range by its tag only
        context.pix_fmt = self._pixel_format
        context.sample_aspect_ratio = info.sample_aspect
        context.color_range = ColorRange.JPEG if info.colour.full_range else ColorRange.MPEG
        context.color_primaries = info.colour.primaries
        context.color_trc = info.colour.transfer
        context.colorspace = info.colour.matrix
        context.gop_size = max(1, round(settings.keyframe_interval_s * info.fps))
        context.thread_count = settings.threads
        context.flags |= Flags.bitexact
        if settings.bitrate is not None:
            context.bit_rate = settings.bitrate
        return stream

    def _add_sound(
        self, sound: SoundInfo | None, policy: AudioPolicy, container: ContainerFormat
    ) -> AudioStream | None:
        self._copies_sound = False
        if sound is None:
            return None
        extradata = sound.stream.codec_context.extradata
        if policy is AudioPolicy.KEEP and can_copy(sound.codec, extradata, container):
            self._copies_sound = True
            return self._container.add_stream_from_template(sound.stream)
        name = container.sound_encoder
        if not has_encoder(name):
            raise SinkError(f"This FFmpeg has no {name}. Drop the sound, or use another container.")
        if sound.channels > _MOST_CHANNELS:
            raise SinkError(f"{name} takes {_MOST_CHANNELS} channels at most. Drop the sound.")
        rate = sound.rate if name == "aac" and sound.rate in _AAC_RATES else _OPUS_RATE
        stream = cast(AudioStream, self._container.add_stream(name, rate=rate))
        context = stream.codec_context
        context.layout = encoder_layout(name, own_layout(sound))
        context.bit_rate = _SOUND_BITS_PER_CHANNEL * min(context.layout.nb_channels, 6)
        context.time_base = Fraction(1, rate)
        context.flags |= Flags.bitexact
        return stream

    def write_frame(self, picture: HostPicture, ticks: int) -> None:
        """Encode one judged frame; it must not be edited afterwards.

        ticks: its presentation time, as in Frame. Raises SinkError; ValueError for a picture of
        another size or pixel format than the source promised.
        """
        frame, info = picture.frame, self.info
        shape = (frame.width, frame.height, frame.format.name)
        if shape != (info.width, info.height, info.pixel_format):
            raise ValueError(f"a picture of {shape} does not belong in {self.path.name}")
        frame.pts = ticks
        frame.time_base = info.time_base
        # The source's keyframes are none of the encoder's business.
        frame.pict_type = PictureType.NONE
        with self._abort_on_error():
            if self._pixel_format != info.pixel_format:
                frame = self._retag.reformat(
                    frame,
                    format=self._pixel_format,
                    src_color_range=ColorRange.JPEG,
                    dst_color_range=ColorRange.JPEG,
                    threads=1,
                )
                frame.pts, frame.time_base = ticks, info.time_base
            self._mux_video(self._video.encode(frame))
        self.frames += 1

    def write_sound(self, sound: SoundPacket) -> None:
        """Mux or encode one packet of sound. Without a sound stream it is dropped.

        Raises SinkError.
        """
        if self._sound is None:
            return
        if self._sample_encoder is not None:
            raise RuntimeError("this sink takes samples: packets have not been judged")
        with self._abort_on_error():
            if self._transcoder is not None:
                self._mux(self._sound, self._transcoder.encode(sound.packet))
            else:
                self._mux(self._sound, [sound.packet])
        self.sound_packets += 1

    def write_samples(self, samples: SampleArray, pts_s: float) -> None:
        """Encode judged sound, where the policy is SAMPLES: (channels, n) float32 of the source's
        rate and layout, heard from pts_s on. Raises SinkError.
        """
        if self._sound is None or self._sample_encoder is None:
            return
        with self._abort_on_error():
            self._mux(
                self._sound,
                self._sample_encoder.encode_samples(
                    samples, pts_s, rate=self._sound_rate, layout=self._sound_layout
                ),
            )
        self.sound_packets += 1

    def finish(self) -> Path:
        """Complete the file under its final name, and return that. Raises SinkError."""
        self._complete()
        return self._file.commit()

    def interrupt(self) -> Path:
        """Complete what is there as a playable file, and return its (partial) name.

        Raises SinkError.
        """
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
        if self._ended:
            raise RuntimeError("the sink has ended already")
        with self._abort_on_error():
            self._mux_video(self._video.encode(None))
            if self._strip is not None:
                self._mux(self._video, self._strip.filter(None))
            if self._transcoder is not None and self._sound is not None:
                self._mux(self._sound, self._transcoder.encode(None))
            if self._sample_encoder is not None and self._sound is not None and self.sound_packets:
                self._mux(self._sound, self._sample_encoder.flush())
            self._container.close()
        self._ended = True

    def _mux_video(self, packets: Iterable[Packet[VideoStream]]) -> None:
        for packet in packets:
            stripped = [packet] if self._strip is None else self._strip.filter(packet)
            self._mux(self._video, stripped)

    def _mux(self, stream: Stream, packets: Iterable[Packet[Any]]) -> None:
        for packet in packets:
            packet.stream = stream
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
                f"{self.path} cannot be encoded any further: {error.strerror}. "
                f"Try another codec or container."
            ) from error
