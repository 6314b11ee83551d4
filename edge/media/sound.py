"""Sound that has to be encoded anew: decoded, made gapless, resampled, encoded, in sync."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream
from numpy.typing import NDArray

from edge.media.opening import SoundInfo
from edge.media.streams import SoundPacket

TOLERANCE_S = 0.020
"""Timestamps may stray this far from the samples counted (containers round to 1 ms) before
silence is put in or sound is cut: one frame at 50 fps."""

_MISCOUNTED_PLANES = 8

LIVE_RATE = 48_000
"""Hz; what every ingest takes."""
_OPUS_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
"""The only ones that Opus has, by the number of channels (RFC 7845, 5.1.1.2)."""
_AAC_LAYOUTS = {"5.0(side)": "5.0", "5.1(side)": "5.1"}
"""AAC knows one kind of surround (ISO/IEC 14496-3, table 1.19); the other would lose its name."""

SampleArray = NDArray[np.float32]


class Gapless:
    """Says where silence fills a hole and what an overlap costs, so that samples are time."""

    def __init__(self, rate: int, start_s: float, *, creeps: bool = False) -> None:
        """rate: samples per second. start_s: when the first sample is heard. creeps: times may
        creep away from the samples counted, as clocks do; only a sudden step is a hole."""
        self.rate = rate
        self.start_s = start_s
        self.count = 0
        self.crept_s = 0.0
        """By how much later than the samples counted say sound is heard by now."""
        self._creeps = creeps

    @property
    def end_s(self) -> float:
        """When the next sample is heard."""
        return self.start_s + self.crept_s + self.count / self.rate

    def place(self, pts_s: float, samples: int) -> tuple[int, int]:
        """Return (samples of silence to put before, samples to cut from the front)."""
        missing = round((pts_s - self.start_s - self.crept_s) * self.rate) - self.count
        within = abs(missing) <= TOLERANCE_S * self.rate
        if within and self._creeps:
            self.crept_s = pts_s - self.start_s - self.count / self.rate
        silence = 0 if within else max(0, missing)
        cut = 0 if within else min(samples, max(0, -missing))
        self.count += silence + samples - cut
        return silence, cut


class SoundDecoder:
    """From packets of a source's sound stream to samples, each block with its time.

    All are of one rate and layout: 48 kHz stereo where none are named. Blocks follow one another
    without a gap unless the source has one; what a gap needs is the receiver's business. Sound
    whose rate, layout or format changes is followed.
    """

    def __init__(
        self,
        sound: SoundInfo,
        *,
        rate: int = LIVE_RATE,
        layout: str = "stereo",
        creeps: bool = False,
    ) -> None:
        """Take the decoder of a source's sound; one SoundDecoder for one source.

        creeps: blocks are heard when the source says, of which its samples' clock may drift away;
        nothing is cut or filled for that. Else samples are counted.
        """
        self.rate, self.layout = rate, layout
        self._creeps = creeps
        self.damage = 0
        """Packets that could not be decoded; a gap is left in their place."""
        self._decoder = sound.stream.codec_context
        self._gapless: Gapless | None = None
        self._resampler: AudioResampler | None = None
        self._setup: tuple[str, str, int] | None = None
        self._block_s = 0.0
        self._blocks = 0

    def decode(self, sound: SoundPacket | None) -> list[tuple[float, SampleArray]]:
        """Return blocks of (seconds from the source's start, (channels, n) float32 in -1..1).

        None flushes what is still held back. The first block begins where its packet says, the
        others are placed by counting samples as long as that stays within TOLERANCE_S.
        """
        blocks: list[tuple[float, SampleArray]] = []
        frames: list[AudioFrame] = []
        try:
            frames = self._decoder.decode(None if sound is None else sound.packet)
        except av.error.EOFError:
            pass
        except av.FFmpegError:
            self.damage += 1
        for frame in frames:
            blocks += self._resample(frame)
        if sound is None:
            blocks += self._drain()
        return blocks

    def _resample(self, frame: AudioFrame) -> list[tuple[float, SampleArray]]:
        frame = _countable(frame)
        setup = (frame.format.name, frame.layout.name, frame.sample_rate)
        time_s = frame.time
        blocks: list[tuple[float, SampleArray]] = []
        if setup != self._setup or self._gapless is None:
            end_s = self._gapless.end_s if self._gapless is not None else 0.0
            blocks += self._drain()
            self._setup = setup
            start_s = end_s if time_s is None else time_s
            self._gapless = Gapless(frame.sample_rate, start_s, creeps=self._creeps)
        silence, cut = self._gapless.place(
            self._gapless.end_s if time_s is None else time_s, frame.samples
        )
        if cut == frame.samples:
            return blocks
        if silence:
            blocks += self._drain()
        if self._resampler is None:
            self._resampler = AudioResampler("flt", self.layout, self.rate)
            begins_s = self._gapless.end_s - (frame.samples - cut) / frame.sample_rate
            self._block_s = begins_s - self._gapless.crept_s
            self._blocks = 0
        return blocks + self._placed(self._resampler.resample(_without(frame, cut)))

    def _drain(self) -> list[tuple[float, SampleArray]]:
        resampler, self._resampler = self._resampler, None
        if resampler is None:
            return []
        return self._placed([frame for frame in resampler.resample(None) if frame])

    def _placed(self, frames: list[AudioFrame]) -> list[tuple[float, SampleArray]]:
        placed = []
        for frame in frames:
            # Six channels mixed to two, and lossy codecs, overshoot.
            packed = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
            samples = np.ascontiguousarray(np.clip(packed.T, -1.0, 1.0), np.float32)
            crept_s = self._gapless.crept_s if self._gapless is not None else 0.0
            placed.append((self._block_s + crept_s + self._blocks / self.rate, samples))
            self._blocks += samples.shape[1]
        return placed


class SoundEncoder:
    """From sound with times to packets of an encoder: holes filled, overlaps cut, resampled."""

    def __init__(self, target: AudioStream) -> None:
        """target: a stream whose encoder is open."""
        self._target = target
        self._gapless: Gapless | None = None
        self._resampler: AudioResampler | None = None
        self._setup: tuple[str, str, int] | None = None
        self._next = 0

    def encode(self, frame: AudioFrame) -> Iterator[Packet[Stream]]:
        """Yield what the encoder gives for one frame; one without a time follows the last."""
        frame = _countable(frame)
        rate = frame.sample_rate
        setup = (frame.format.name, frame.layout.name, rate)
        if setup != self._setup:
            yield from self._begin(setup, frame)
        assert self._gapless is not None
        pts_s = frame.time if frame.time is not None else self._gapless.end_s
        silence, cut = self._gapless.place(pts_s, frame.samples)
        while silence:
            piece = min(silence, rate)  # a second at a time, however long the hole
            silence -= piece
            yield from self._push(_silence(frame, piece))
        if cut < frame.samples:
            yield from self._push(_without(frame, cut))

    def encode_samples(
        self, samples: SampleArray, pts_s: float, *, rate: int, layout: str
    ) -> Iterator[Packet[Stream]]:
        """Yield what the encoder gives for (channels, n) float32, heard from pts_s on."""
        packed = np.ascontiguousarray(samples.T).reshape(1, -1)
        frame = AudioFrame.from_ndarray(packed, "flt", layout)
        frame.sample_rate = rate
        frame.pts, frame.time_base = round(pts_s * rate), Fraction(1, rate)
        yield from self.encode(frame)

    def flush(self) -> Iterator[Packet[Stream]]:
        """Yield what is still held back. Nothing can be encoded afterwards."""
        yield from self._drain()
        yield from cast("list[Packet[Stream]]", self._target.encode(None))

    def _begin(self, setup: tuple[str, str, int], frame: AudioFrame) -> Iterator[Packet[Stream]]:
        """Start with sound of another rate, layout or format than before."""
        yield from self._drain()
        context = self._target.codec_context
        first = self._gapless is None
        start_s = self._gapless.end_s if self._gapless is not None else frame.time or 0.0
        self._gapless = Gapless(frame.sample_rate, start_s)
        self._setup = setup
        if first:
            self._next = round(start_s * context.sample_rate)

    def _push(self, frame: AudioFrame) -> Iterator[Packet[Stream]]:
        context = self._target.codec_context
        if self._resampler is None:
            self._resampler = AudioResampler(context.format, context.layout, context.sample_rate)
        yield from self._encode_resampled(self._resampler.resample(frame))

    def _drain(self) -> Iterator[Packet[Stream]]:
        if self._resampler is not None:
            # One that has nothing to do hands the None back.
            rest = [frame for frame in self._resampler.resample(None) if frame]
            yield from self._encode_resampled(rest)
        self._resampler = None

    def _encode_resampled(self, frames: list[AudioFrame]) -> Iterator[Packet[Stream]]:
        context = self._target.codec_context
        for frame in frames:
            frame.pts = self._next
            frame.time_base = Fraction(1, context.sample_rate)
            self._next += frame.samples
            yield from cast("list[Packet[Stream]]", self._target.encode(frame))


class SoundTranscoder:
    """From packets of a source's sound stream to packets of an encoder."""

    def __init__(self, decoder: AudioCodecContext, target: AudioStream) -> None:
        """target: a stream whose encoder is open."""
        self.damage = 0
        """Packets that could not be decoded; silence is heard in their place."""
        self._decoder = decoder
        self._encoder = SoundEncoder(target)

    def encode(self, packet: Packet[Stream] | None) -> Iterator[Packet[Stream]]:
        """Yield what the encoder gives for one packet; None flushes everything."""
        frames: list[AudioFrame] = []
        try:
            frames = self._decoder.decode(packet)
        except av.error.EOFError:
            pass
        except av.error.InvalidDataError:
            self.damage += 1
        for frame in frames:
            yield from self._encoder.encode(frame)
        if packet is None:
            yield from self._encoder.flush()


def _countable(frame: AudioFrame) -> AudioFrame:
    """Return a frame whose samples PyAV can read: of eight planes it counts a ninth, and reads
    and writes beyond them."""
    if not frame.format.is_planar or frame.layout.nb_channels != _MISCOUNTED_PLANES:
        return frame
    (packed,) = AudioResampler(frame.format.packed, frame.layout, frame.sample_rate).resample(frame)
    return packed


def _silence(like: AudioFrame, samples: int) -> AudioFrame:
    samples_like = like.to_ndarray()
    step = 1 if like.format.is_planar else like.layout.nb_channels
    middle = 128 if samples_like.dtype == np.uint8 else 0
    return _frame(like, np.full((len(samples_like), samples * step), middle, samples_like.dtype))


def _without(frame: AudioFrame, cut: int) -> AudioFrame:
    """Return a frame without its first samples, and without its side data and metadata."""
    step = 1 if frame.format.is_planar else frame.layout.nb_channels
    return _frame(frame, np.ascontiguousarray(frame.to_ndarray()[:, cut * step :]))


def _frame(like: AudioFrame, samples: NDArray[np.generic]) -> AudioFrame:
    made = AudioFrame.from_ndarray(samples, like.format.name, like.layout.name)  # type: ignore[arg-type]
    made.sample_rate = like.sample_rate
    return made


def own_layout(sound: SoundInfo) -> str:
    """Name the source's own layout: another one of as many channels would mix them.

    The usual one where its own has no name. Raises KeyError for that of more than 8 channels.
    """
    try:
        known = av.AudioLayout(sound.layout)
    except ValueError:
        return _plain_layout(sound)
    named = not sound.layout.endswith("channels") and known.nb_channels == sound.channels
    return sound.layout if named else _plain_layout(sound)


def encoder_layout(encoder: str, layout: str) -> str:
    """Name the layout nearest to this one that an encoder has a name for, of as many channels."""
    if encoder == "libopus":
        return _OPUS_LAYOUTS[av.AudioLayout(layout).nb_channels - 1]
    return _AAC_LAYOUTS.get(layout, layout) if encoder == "aac" else layout


def _plain_layout(sound: SoundInfo) -> str:
    plain = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
    return plain[sound.channels]
