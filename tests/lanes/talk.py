"""Speech for tests whose words and times are known: each word is a tone of its own.

The engines for it are real ones in the sense that they know nothing but the samples they are
given: voice is energy, words are tones, and what is private is told by the words. So cuts, holes
and overlaps do to them what they do to models of speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.errors import InferenceError
from edge.pii.spans import Kind
from edge.sound import Samples, SoundBlock
from edge.speech.words import SAMPLE_RATE, SpokenSpan, Word

VOCABULARY = (*"0123456789", "pin", "alice", *(f"word{n}" for n in range(20)))
NUMBER_DIGITS = 6
"""Digits in a row that are a telephone number."""
_BASE_HZ, _STEP_HZ = 400, 100
_WINDOW = 512
_FRAME = 80
_LEVEL = 0.4


def hz(text: str) -> int:
    return _BASE_HZ + _STEP_HZ * VOCABULARY.index(text)


def speak(
    words: Sequence[tuple[str, float]], pauses: Sequence[float]
) -> tuple[Samples, list[Word]]:
    """Say (text, seconds) one after the other, each after its pause; return (n,) and the truth."""
    pieces: list[Samples] = []
    said: list[Word] = []
    at = 0
    for (text, seconds), pause in zip(words, pauses, strict=True):
        quiet, n = round(pause * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
        tone = _LEVEL * np.sin(2 * np.pi * hz(text) * np.arange(n) / SAMPLE_RATE)
        pieces += [np.zeros(quiet, np.float32), tone.astype(np.float32)]
        start = at + quiet
        at = start + n
        said.append(Word(text, start / SAMPLE_RATE, at / SAMPLE_RATE))
    return np.concatenate([*pieces, np.zeros(SAMPLE_RATE // 2, np.float32)]), said


def blocks(samples: Samples, size: int = 1_600, start: float = 0.0) -> list[SoundBlock]:
    """Cut (n,) samples into blocks of at most `size`."""
    return [
        SoundBlock(start + at / SAMPLE_RATE, samples[None, at : at + size], SAMPLE_RATE)
        for at in range(0, len(samples), size)
    ]


class EnergyVoice:
    """Implements VoiceDetector: who makes a noise speaks."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._windows = 0

    def listen(self, samples: Samples) -> list[tuple[float, float]]:
        rest = np.concatenate((self._rest, samples))
        heard = []
        while len(rest) >= _WINDOW:
            self._windows += 1
            loud = np.abs(rest[:_WINDOW]).mean() > 0.01
            heard.append((self._windows * _WINDOW / SAMPLE_RATE, 0.9 if loud else 0.02))
            rest = rest[_WINDOW:]
        self._rest = rest
        return heard


class ToneTranscriber:
    """Implements Transcriber: reads tones. Counts what it was asked."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def transcribe(self, samples: Samples) -> list[Word]:
        self.seconds.append(len(samples) / SAMPLE_RATE)
        if len(samples) > 30 * SAMPLE_RATE:
            raise InferenceError("too long")
        frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
        loud = np.abs(frames).max(axis=1) > 0.05
        edges = np.flatnonzero(np.diff(np.concatenate(([0], loud.astype(np.int8), [0]))))
        words = []
        for a, b in edges.reshape(-1, 2) * _FRAME:
            if b - a >= 4 * _FRAME:  # less of a word is not understood
                spectrum = np.abs(np.fft.rfft(samples[a : min(b, a + 2_000)], 1 << 11))
                tone = spectrum.argmax() * SAMPLE_RATE / (1 << 11)
                index = round((tone - _BASE_HZ) / _STEP_HZ)
                text = VOCABULARY[min(max(index, 0), len(VOCABULARY) - 1)]
                words.append(Word(text, a / SAMPLE_RATE, b / SAMPLE_RATE))
        return words


@dataclass(frozen=True, slots=True)
class FormTagger:
    """Implements OpenTagger: numbers, "alice", and digits after "pin"."""

    def tag(self, words: Sequence[Word]) -> list[SpokenSpan]:
        found = []
        for first, last in _runs(words):
            if last - first + 1 >= NUMBER_DIGITS:
                found.append(_span(words, first, last, Kind.PHONE))
            if first and words[first - 1].text == "pin":
                found.append(_span(words, first, last, Kind.SECRET))
        found += [
            _span(words, n, n, Kind.NAME) for n, word in enumerate(words) if word.text == "alice"
        ]
        return found

    def open_end(self, words: Sequence[Word]) -> int:
        at = len(words)
        while at and words[at - 1].text.isdigit():
            at -= 1
        while at and words[at - 1].text == "pin":
            at -= 1
        return at


def private(words: Sequence[Word]) -> list[tuple[float, float]]:
    """Return when private words are said, without padding."""
    return [
        (words[n].start, words[n].end)
        for span in FormTagger().tag(words)
        for n in range(span.first, span.last + 1)
    ]


def _span(words: Sequence[Word], first: int, last: int, kind: Kind) -> SpokenSpan:
    return SpokenSpan(first, last, words[first].start, words[last].end, kind, 0.9)


def _runs(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Return (first, last) of each run of digits."""
    runs: list[tuple[int, int]] = []
    for n, word in enumerate(words):
        if not word.text.isdigit():
            continue
        if runs and runs[-1][1] == n - 1:
            runs[-1] = (runs[-1][0], n)
        else:
            runs.append((n, n))
    return runs
