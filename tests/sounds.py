"""Files of sound whose words, times and samples are known, and what listens to them on command.

The words are the tones of tests.lanes.talk, at any rate and on any number of channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream

from edge.face_model import FaceModel
from edge.lane_models import LaneModels
from edge.sound import Samples
from edge.speech.words import Transcriber, VoiceDetector, Word
from edge.speech_model import SpeechModel
from tests.lanes.talk import EnergyVoice, FormTagger, ToneTranscriber, hz

PAD_S = 0.7
"""No padding of a private word reaches farther: pad_before_s and what it may be snapped by."""
_LEVEL = 0.4
_EDGE_S = 0.01


def say(
    words: Sequence[tuple[str, float]],
    pauses: Sequence[float],
    rate: int,
    channels: int = 1,
    rest_s: float = 1.0,
) -> tuple[Samples, list[Word]]:
    """Say (text, seconds), each after its pause; return (channels, n) and when words are said."""
    pieces, said, at = [], [], 0
    for (text, seconds), pause in zip(words, pauses, strict=True):
        quiet, n = round(pause * rate), round(seconds * rate)
        tone = _LEVEL * np.sin(2 * np.pi * hz(text) * np.arange(n) / rate)
        edge = round(_EDGE_S * rate)
        ramp = np.minimum(1, np.minimum(np.arange(n), n - 1 - np.arange(n)) / edge)
        pieces += [np.zeros(quiet), tone * ramp]
        said.append(Word(text, (at + quiet) / rate, (at + quiet + n) / rate))
        at += quiet + n
    mono = np.concatenate([*pieces, np.zeros(round(rest_s * rate))])
    gains = 1 - 0.5 * np.arange(channels) / max(channels, 1)
    return (gains[:, None] * mono).astype(np.float32), said


def private_line(rate: int, channels: int = 1) -> tuple[Samples, list[Word]]:
    """Two sentences of about 7 s; "alice", and 1 after "pin", are private."""
    return say(
        [("word1", 0.4), ("word2", 0.4), ("alice", 0.5), ("word3", 0.4), ("word4", 0.4),
         ("pin", 0.3), ("1", 0.4), ("word5", 0.4), ("word6", 0.4)],
        [0.5, 0.1, 0.1, 0.8, 0.1, 0.9, 0.1, 1.0, 0.1],
        rate, channels,
    )  # fmt: skip


def write_sound(
    path: Path, samples: Samples, rate: int, codec: str, layout: str, cover: bytes | None = None
) -> Path:
    """Encode (channels, n) samples; cover: a JPEG that becomes the file's picture."""
    muxer = "mp4" if path.suffix == ".m4a" else None  # FFmpeg's own for it takes no picture
    with av.open(str(path), "w", format=muxer) as out:
        stream = out.add_stream(codec, rate=rate)
        assert isinstance(stream, AudioStream)
        stream.codec_context.layout = layout
        picture = None
        if cover is not None:
            picture = out.add_stream("mjpeg", rate=1)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        # Packed: PyAV cannot make eight planes.
        packed = np.ascontiguousarray(samples.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(packed, "flt", layout)
        frame.sample_rate, frame.pts = rate, 0
        converter = AudioResampler(stream.codec_context.format, layout, rate)
        if picture is not None and cover is not None:
            packet = av.Packet(cover)
            packet.stream, packet.pts, packet.dts = picture, 0, 0
            out.start_encoding()
            out.mux(packet)
        for one in (*converter.resample(frame), *converter.resample(None)):
            if one:
                out.mux(stream.encode(one))
        out.mux(stream.encode(None))
    return path


def read_sound(path: Path) -> tuple[Samples, int, float]:
    """Decode by plain PyAV: (channels, n), the rate, and when the first sample is heard."""
    pieces, start, rate = [], None, 0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            if start is None:
                start, rate = float(frame.time or 0.0), frame.sample_rate
            channels = frame.layout.nb_channels
            converter = AudioResampler("flt", frame.layout.name, rate)
            pieces += [one.to_ndarray().reshape(-1, channels).T
                       for one in converter.resample(frame)]  # fmt: skip
    sound = np.concatenate(pieces, axis=1) if pieces else np.zeros((1, 0), np.float32)
    return sound, rate, start or 0.0


def around(
    spoken: Sequence[tuple[float, float]], n: int, rate: int, margin_s: float
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Mark the samples (n,) that are within margin_s of a stretch; a negative one shrinks it."""
    marked = np.zeros(n, bool)
    for start, end in spoken:
        first, last = round((start - margin_s) * rate), round((end + margin_s) * rate)
        marked[max(0, first) : max(0, last)] = True
    return marked


@dataclass
class Ear:
    """What recognises, with faults on command: at[n] is called before the n-th chunk is answered
    and may raise, wait, or return other words."""

    at: dict[int, Callable[[], list[Word] | None]] = field(default_factory=dict)
    every: Callable[[], list[Word] | None] = lambda: None
    asked: int = 0

    def transcribe(self, samples: Samples) -> list[Word]:
        number, self.asked = self.asked, self.asked + 1
        answer = self.at.get(number, self.every)()
        return ToneTranscriber().transcribe(samples) if answer is None else answer


def speech_models(
    ear: Transcriber | None = None,
    *,
    voice: Callable[[], VoiceDetector] = EnergyVoice,
    face: FaceModel | None = None,
) -> LaneModels:
    """Models of a stream that listens by script, and perhaps looks for faces."""
    heard = ear or Ear()
    speech = SpeechModel("scripted", voice, lambda: heard)
    return LaneModels(face=face, speech=speech, make_words=FormTagger)  # type: ignore[arg-type]
