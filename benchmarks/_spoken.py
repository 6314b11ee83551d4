"""Spoken sentences with known word times: read digits set into read speech.

Digits are clips of single speakers (Free Spoken Digit Dataset, 8 kHz, digit_speaker_take.wav), the
speech around them are LibriSpeech utterances with their text. Nothing is stored: a sentence is put
together from its seed, so that everybody who states the seed hears the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from edge.speech.words import SAMPLE_RATE, Samples, Word

DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_GROUP: Final = 4
"""Digits said in one go: numbers are read in groups."""
_GAP_S: Final = (0.03, 0.12)
"""Least and most silence between two digits of a group. The clips are cut close: said fast."""
_PAUSE_S: Final = (0.2, 0.45)
"""The same between groups, and around the number."""
_AUDIBLE: Final = 10 ** (-35 / 20)
"""Of a clip's loudest 5 ms: what is quieter at its ends is not yet, or no longer, the digit."""
_FRAME: Final = SAMPLE_RATE // 200


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech and what was said, in lower case without punctuation."""

    name: str
    text: str
    samples: Samples

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Spoken:
    """A number in the middle of other speech, or alone.

    digits: its words with their true times. before, after: the text around it, without times.
    """

    samples: Samples
    digits: tuple[Word, ...]
    before: str = ""
    after: str = ""

    @property
    def text(self) -> str:
        """All words in order, in lower case without punctuation."""
        return " ".join(
            part for part in (self.before, *(d.text for d in self.digits), self.after) if part
        )


class SpokenCorpus:
    """The clips of a folder: digits/*.wav and librispeech/*.flac with *.trans.txt."""

    def __init__(
        self, utterances: Sequence[Utterance], digits: dict[str, list[list[Samples]]]
    ) -> None:
        """digits: speaker → the takes of each digit, 0 to 9, at SAMPLE_RATE."""
        self.utterances = tuple(utterances)
        self.speakers = tuple(sorted(digits))
        self._digits = digits

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder. Raises OSError (of PyAV) where a file cannot be read."""
        digits: dict[str, list[list[Samples]]] = {}
        for path in sorted((folder / "digits").glob("[0-9]_*_*.wav")):
            digit, speaker, _take = path.stem.split("_")
            takes = digits.setdefault(speaker, [[] for _ in DIGITS])
            takes[int(digit)].append(_audible(read_sound(path)))
        return cls(list(_utterances(folder / "librispeech")), digits)

    def number(
        self, rng: np.random.Generator, digits: Sequence[int], speaker: str | None = None
    ) -> Spoken:
        """Return a number said by one speaker, in groups, with silence between the digits."""
        takes = self._digits[speaker or str(rng.choice(self.speakers))]
        parts: list[Samples] = []
        words: list[Word] = []
        at = 0
        for index, digit in enumerate(digits):
            clip = takes[digit][int(rng.integers(len(takes[digit])))]
            if index:
                gap = _silence(rng, *(_GAP_S if index % _GROUP else _PAUSE_S))
                parts.append(gap)
                at += len(gap)
            words.append(Word(DIGITS[digit], at / SAMPLE_RATE, (at + len(clip)) / SAMPLE_RATE))
            parts.append(clip)
            at += len(clip)
        return Spoken(np.concatenate(parts), tuple(words))

    def sentence(
        self,
        rng: np.random.Generator,
        digits: Sequence[int],
        *,
        before: Utterance | None = None,
        after: Utterance | None = None,
        speaker: str | None = None,
    ) -> Spoken:
        """Return a number between two utterances (chosen where not given), equally loud."""
        first, last = (
            self.utterances[int(rng.integers(len(self.utterances)))] if given is None else given
            for given in (before, after)
        )
        number = self.number(rng, digits, speaker)
        loudness = np.sqrt(np.mean(np.concatenate([first.samples, last.samples]) ** 2))
        said = number.samples * (loudness / np.sqrt(np.mean(number.samples**2)))
        parts = (
            first.samples,
            _silence(rng, *_PAUSE_S),
            said,
            _silence(rng, *_PAUSE_S),
            last.samples,
        )
        samples = np.clip(np.concatenate(parts), -1, 1).astype(np.float32)
        # Rooms are never silent: −66 dB of full scale, as quiet as LibriSpeech's own pauses.
        samples += rng.normal(0, 5e-4, len(samples)).astype(np.float32)
        start = (len(parts[0]) + len(parts[1])) / SAMPLE_RATE
        moved = tuple(Word(w.text, w.start + start, w.end + start) for w in number.digits)
        return Spoken(samples, moved, first.text, last.text)


@cache
def read_sound(path: Path) -> Samples:
    """Return a file's sound as (n,) float32 mono at SAMPLE_RATE; do not write into it."""
    resampler = AudioResampler("flt", "mono", SAMPLE_RATE)
    with av.open(str(path)) as container:
        frames: list[AudioFrame | None] = [*container.decode(audio=0), None]
        blocks = [block.to_ndarray()[0] for frame in frames for block in resampler.resample(frame)]
    samples: Samples = np.concatenate(blocks).astype(np.float32)
    samples.setflags(write=False)
    return samples


def _utterances(folder: Path) -> Iterator[Utterance]:
    for transcript in sorted(folder.glob("*.trans.txt")):
        for line in transcript.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            yield Utterance(name, text.lower(), read_sound(folder / f"{name}.flac"))


def _audible(clip: Samples) -> Samples:
    """Cut silence off both ends of a clip."""
    frames = clip[: len(clip) // _FRAME * _FRAME].reshape(-1, _FRAME)
    level = np.sqrt((frames**2).mean(axis=1))
    loud = np.flatnonzero(level >= level.max() * _AUDIBLE)
    return clip[loud[0] * _FRAME : (loud[-1] + 1) * _FRAME]


def _silence(rng: np.random.Generator, least: float, most: float) -> Samples:
    return np.zeros(int(rng.uniform(least, most) * SAMPLE_RATE), np.float32)
