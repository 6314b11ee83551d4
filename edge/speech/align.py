"""When each word was said: forced alignment of a known text with pocketsphinx.

The aligner is a classical recogniser (CMU's en-us model, 16 kHz, frames of 10 ms) that may hear
only the given words in the given order, with silence between. Digits and signs are spelled out for
it, words that its dictionary lacks are given as single sounds, and times are mapped back.

Times are made safe for hiding what was said: a word that could not be placed gets all the room
between its neighbours, and loud stretches that no word accounts for are added to the words on both
sides, since a recogniser that dropped a word leaves just such a stretch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.speech.pronounce import SOUNDS, Reading, is_spelled_out, sounds_of, speak
from edge.speech.samples import FRAME, check_samples, voiced
from edge.speech.sphinx import Decoder, load_decoder
from edge.speech.words import SAMPLE_RATE, Samples, Word

GUESSED_CONFIDENCE: Final = 0.1
"""Words have at most this confidence where their times were not measured but guessed. Whoever hides
such a word should leave more room around it: see times_guessed."""
_UNHEARD_S: Final = 0.15
"""Loud stretches between words from this length on may hold a word: no spoken digit of the Free
Spoken Digit Dataset is shorter."""
_SHORTEST_S: Final = 0.01
_FULL_SCALE: Final = 32767
_SILENT_PEAK: Final = 1e-4
"""−80 dB: what is quieter than this is not made louder."""
_FLOOR: Final = 5e-4
"""Deviation of the noise that is added, of full scale: −66 dB. The aligner cannot tell digital
silence from anything, and with it finds no way through most texts."""
_WINDOW: Final = 410
"""Samples of pocketsphinx's first frame, 25.6 ms: with less there is none."""
_SOUND_MARK: Final = "~"
"""Before the name of a sound: a word of that sound alone. No word of the dictionary has it."""
_BEAMS: Final = {"beam": 1e-80, "wbeam": 1e-60, "pbeam": 1e-80}
"""As wide as it takes for an answer in nearly every case: with a narrow beam, alignment ends
without one where the text has a word too many."""
_SILENCE_PROBABILITY: Final = 0.5
"""The default, .005, stretches words over pauses: measured on spoken digits, the median error of
ends is 49 ms with it and 20 ms with this."""
_OPTIONS: Final = {"samprate": SAMPLE_RATE, "silprob": _SILENCE_PROBABILITY, **_BEAMS}


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word as it was recognised, without times. Its text is private."""

    text: str = field(repr=False)
    confidence: float = 1.0


class Aligner(Protocol):
    """Gives words their times. One thread at a time; no state between calls."""

    def align(self, samples: Samples, words: Sequence[HeardWord]) -> list[Word]:
        """Return the same words with times within samples, (n,) at SAMPLE_RATE.

        Starts never go backwards; neighbours may overlap. Raises InferenceError only for samples
        that are no sound: where alignment fails, times are guessed (times_guessed).
        """


def times_guessed(word: Word) -> bool:
    """Whether a word's times may be guessed rather than measured: hide it with more room."""
    return word.confidence <= GUESSED_CONFIDENCE


class SphinxAligner:
    """Implements Aligner with pocketsphinx and the English model that its wheel brings."""

    def __init__(self, load: Callable[[Mapping[str, float]], Decoder] = load_decoder) -> None:
        """Load the model: 0.1 s, 30 MiB. Raises ModelError where the package is missing.

        load: another way to a decoder than the best there is, edge.speech.sphinx.BindingDecoder.
        """
        try:
            self._decoder = load(_OPTIONS)
        except (ImportError, OSError) as error:
            raise ModelError(
                f"word times need the package pocketsphinx, which cannot be imported ({error}). "
                "Run: pip install pocketsphinx==5.1.1"
            ) from None
        except (RuntimeError, ValueError, KeyError) as error:
            raise ModelError(
                f"pocketsphinx cannot load its English model ({type(error).__name__}). Install it "
                "anew: pip install --force-reinstall pocketsphinx==5.1.1"
            ) from None
        # Added once, here: a dictionary that took in each unknown word would grow for ever.
        for sound in SOUNDS:
            self._decoder.add_word(_SOUND_MARK + sound, sound)
        self._decoder.add_word("zero(3)", "OW")
        # The same noise always, so that the same sound has the same times.
        self._noise = np.random.default_rng(0).normal(0, _FLOOR, SAMPLE_RATE).astype(np.float32)

    def align(self, samples: Samples, words: Sequence[HeardWord]) -> list[Word]:
        """Return the words with times. See Aligner."""
        check_samples(samples)
        if not words:
            return []
        loud = voiced(samples)
        seconds = len(samples) / SAMPLE_RATE
        best: tuple[float, list[tuple[float, float] | None]] | None = None
        tried: list[list[list[str]]] = []
        for reading in Reading:
            said = [self._in_dictionary(speak(word.text, reading)) for word in words]
            if said in tried:
                continue
            tried.append(said)
            found = self._run(samples, [token for tokens in said for token in tokens])
            if found is not None and (best is None or found[0] > best[0]):
                best = found[0], regroup(found[1], [len(tokens) for tokens in said])
        if best is None:
            return spread(words, loud, seconds)
        return claim_unheard(place(words, best[1], seconds), loud, seconds)

    def _in_dictionary(self, words: Iterable[str]) -> list[str]:
        """Return what the aligner can look up: words that it knows, else letters, else sounds."""
        tokens: list[str] = []
        for word in words:
            if self._decoder.knows(word):
                tokens.append(word)
            elif is_spelled_out(word):
                tokens += [c for c in word if self._decoder.knows(c)]
            else:
                tokens += [_SOUND_MARK + sound for sound in sounds_of(word)]
        return tokens

    def _run(
        self, samples: Samples, tokens: Sequence[str]
    ) -> tuple[float, list[tuple[float, float]]] | None:
        """Return (log likelihood, seconds of each token), or None where there is no alignment."""
        if not tokens or len(samples) < _WINDOW:
            return None
        # Scaled to full scale: as 16-bit numbers, quiet speech would be coarse.
        peak = max(float(np.abs(samples).max()), _SILENT_PEAK)
        scaled = samples / peak + np.resize(self._noise, len(samples))
        pcm = (np.clip(scaled, -1, 1) * _FULL_SCALE).astype(np.int16)
        segments = self._decoder.align(pcm, " ".join(tokens))
        if segments is None:
            return None
        spoken = [s for s in segments if not s.word.startswith("<")]
        if [s.word.partition("(")[0] for s in spoken] != list(tokens):
            return None
        # Frames are counted from 0, and the last one belongs to the segment.
        frame_s = FRAME / SAMPLE_RATE
        times = [(s.start_frame * frame_s, (s.end_frame + 1) * frame_s) for s in spoken]
        return sum(math.log(max(s.ascore, 1e-300)) for s in segments), times


def regroup(
    times: Sequence[tuple[float, float]], counts: Sequence[int]
) -> list[tuple[float, float] | None]:
    """Join the times of tokens to those of words. counts: tokens of each word, None for 0."""
    joined: list[tuple[float, float] | None] = []
    at = 0
    for count in counts:
        joined.append((times[at][0], times[at + count - 1][1]) if count else None)
        at += count
    return joined


def place(
    words: Sequence[HeardWord], times: Sequence[tuple[float, float] | None], seconds: float
) -> list[Word]:
    """Give words their times; one without gets all between its neighbours, and is a guess."""
    placed: list[Word] = []
    for index, (word, known) in enumerate(zip(words, times, strict=True)):
        if known is not None:
            start, end = min(known[0], seconds), min(known[1], seconds)
            confidence = word.confidence
        else:
            start = next((t[1] for t in reversed(times[:index]) if t is not None), 0.0)
            end = next((t[0] for t in times[index + 1 :] if t is not None), seconds)
            confidence = min(word.confidence, GUESSED_CONFIDENCE)
        start = max(0.0, min(start, seconds - _SHORTEST_S))
        placed.append(Word(word.text, start, max(end, start + _SHORTEST_S), confidence))
    return placed


def spread(words: Sequence[HeardWord], loud: NDArray[np.bool_], seconds: float) -> list[Word]:
    """Spread words over all that is loud, each as long as its text: a guess.

    loud: for each frame of 10 ms. Each word also gets half of both of its neighbours.
    """
    frames = np.flatnonzero(loud)
    first, last = (frames[0], frames[-1] + 1) if len(frames) else (0, len(loud))
    start = float(first) * FRAME / SAMPLE_RATE
    end = float(last) * FRAME / SAMPLE_RATE if last > first else seconds
    lengths = np.array([len(word.text) + 1 for word in words], np.float64)
    edges = start + np.concatenate([[0.0], lengths.cumsum()]) / lengths.sum() * (end - start)
    half = np.diff(edges) / 2
    before = np.concatenate([[0.0], half[:-1]])
    after = np.concatenate([half[1:], [0.0]])
    return [
        Word(
            word.text,
            float(edges[index] - before[index]),
            float(edges[index + 1] + after[index]),
            min(word.confidence, GUESSED_CONFIDENCE),
        )
        for index, word in enumerate(words)
    ]


def claim_unheard(words: Sequence[Word], loud: NDArray[np.bool_], seconds: float) -> list[Word]:
    """Widen words over loud stretches that no word accounts for.

    What is loud between two words for _UNHEARD_S or more is added to both of them, up to its far
    end; what is before the first or after the last, to that one.
    """
    claimed = list(words)
    for index in range(len(words) + 1):
        gap_start = words[index - 1].end if index else 0.0
        gap_end = words[index].start if index < len(words) else seconds
        first, last = (round(t * SAMPLE_RATE / FRAME) for t in (gap_start, gap_end))
        frames = first + np.flatnonzero(loud[first:last])
        if len(frames) * FRAME < _UNHEARD_S * SAMPLE_RATE:
            continue
        if index:
            end = float(frames[-1] + 1) * FRAME / SAMPLE_RATE
            claimed[index - 1] = replace(claimed[index - 1], end=min(end, seconds))
        if index < len(words):
            start = float(frames[0]) * FRAME / SAMPLE_RATE
            claimed[index] = replace(claimed[index], start=start)
    return claimed
