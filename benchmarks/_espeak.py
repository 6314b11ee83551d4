"""Speech from eSpeak NG with the time of every word, by its library's own events.

The library is the system's (Debian: libespeak-ng1); nothing of it travels with the project. It
keeps its state for the whole process, so there is one speaker, and one thread may use it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from benchmarks._common import BenchmarkError
from edge.speech.words import SAMPLE_RATE, Samples, Word

# From speak_lib.h.
_SYNCHRONOUS: Final = 2
_RATE, _PITCH = 1, 3
_LIST_TERMINATED, _WORD, _END = 0, 1, 5
_CHARACTERS: Final = 1
_UTF8: Final = 1
_OK: Final = 0

_AUDIBLE: Final = 10 ** (-45 / 20)
"""Of the loudest sample: what is quieter at the end of a word is the pause behind it."""


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks, and how: a voice by eSpeak's name, words a minute, pitch 0..99."""

    name: str
    rate: int
    pitch: int


class Speaker:
    """Says sentences. Raises BenchmarkError where the library is missing or refuses."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise BenchmarkError(
                "libespeak-ng is not on this machine. Install it: apt-get install libespeak-ng1."
            )
        self._library: Any = ctypes.CDLL(name)
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, 0)
        if rate <= 0:
            raise BenchmarkError("eSpeak NG finds no voices. Install espeak-ng-data.")
        self._rate = int(rate)
        self._blocks: list[np.ndarray[Any, np.dtype[np.int16]]] = []
        self._events: list[tuple[int, int, int]] = []  # type, text position, sample
        # The library keeps the address only: this one has to live as long.
        self._callback = _Callback(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, words: Sequence[str], voice: Voice) -> tuple[Samples, list[Word]]:
        """Return (n,) float32 at SAMPLE_RATE, −1..1, and each word with its time in seconds.

        Words are said as they are written, in one breath. One for which the library tells no time,
        since it says it together with the one before ("of the"), shares that one's.
        """
        library = self._library
        if library.espeak_SetVoiceByName(voice.name.encode()) != _OK:
            raise BenchmarkError(f"eSpeak NG has no voice {voice.name}. Install espeak-ng-data.")
        library.espeak_SetParameter(_RATE, voice.rate, 0)
        library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        text = " ".join(words).encode()
        self._blocks, self._events = [], []
        if library.espeak_Synth(text, len(text) + 1, 0, _CHARACTERS, 0, _UTF8, None, None) != _OK:
            raise BenchmarkError("eSpeak NG refused to speak.")
        sound = np.concatenate([*self._blocks, np.zeros(0, np.int16)])
        return _resampled(sound, self._rate), self._words(words, sound)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        """Keep what the library hands over; its memory is its own again afterwards."""
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        at = 0
        while events[at].type != _LIST_TERMINATED:
            one = events[at]
            self._events.append((int(one.type), int(one.text_position), int(one.sample)))
            at += 1
        return 0

    def _words(
        self, words: Sequence[str], sound: np.ndarray[Any, np.dtype[np.int16]]
    ) -> list[Word]:
        begins: list[int] = []
        at = 0
        for word in words:
            begins.append(at)
            at += len(word) + 1
        starts: list[int | None] = [None] * len(words)
        for kind, position, sample in self._events:
            if kind == _WORD:
                index = sum(begin <= position - 1 for begin in begins) - 1
                if starts[index] is None:
                    starts[index] = sample
        end = max((sample for kind, _, sample in self._events if kind == _END), default=len(sound))
        result: list[Word] = []
        for index, word in enumerate(words):
            known = [start for start in starts[: index + 1] if start is not None]
            later = [start for start in starts[index + 1 :] if start is not None]
            first = known[-1] if known else 0
            last = _audible_end(sound, first, later[0] if later else end)
            result.append(Word(word, first / self._rate, last / self._rate))
        return result


def _audible_end(sound: np.ndarray[Any, np.dtype[np.int16]], first: int, last: int) -> int:
    loud = np.flatnonzero(np.abs(sound[first:last].astype(np.int32)) >= _AUDIBLE * 32768)
    return first + int(loud[-1]) + 1 if loud.size else last


def _resampled(sound: np.ndarray[Any, np.dtype[np.int16]], rate: int) -> Samples:
    frame = AudioFrame.from_ndarray(sound[None], "s16", "mono")
    frame.sample_rate = rate
    resampler = AudioResampler("flt", "mono", SAMPLE_RATE)
    blocks = [b.to_ndarray()[0] for f in (frame, None) for b in resampler.resample(f)]
    samples: Samples = np.concatenate(blocks).astype(np.float32)
    return samples
