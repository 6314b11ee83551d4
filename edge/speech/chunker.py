"""Which stretches of sound are recognised at once. Pure.

Silence is none of them. Speech is collected until its speaker pauses, or until there is as much as
is recognised at once: then it is cut where it is quietest of late, and what comes after the cut is
heard again with the next chunk. Each chunk is given some sound from before it, so that its first
word is not cut, and words near a cut belong to both chunks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from edge.sound import Samples
from edge.speech.words import SAMPLE_RATE

LEAD_S = 0.3
"""Speech begins this much before the voice detector says so: weak consonants at the start of a
word do not look like a voice."""
TRAIL_S = 0.3
"""The same at the end."""
PAUSE_S = 0.8
"""Silence after which a chunk ends. Shorter pauses are within sentences, and numbers."""
CONTEXT_S = 0.5
"""Sound from before a cut that the next chunk is given."""
JITTER_S = 0.15
"""Words this near to a cut belong to both chunks: what both say of a word's time may differ by
twice as much before the word is lost between them."""
STRADDLE_S = 0.5
"""How far a word that lies across a cut may begin before it: half a long word."""
_SEARCH = 0.4
"""Part of a chunk, at its end, in which the best place for a cut is looked for."""
_GUARD_S = 0.1
"""Distance of a cut from the end of what has been heard."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sound to be recognised at once.

    samples: (n,) float32 at SAMPLE_RATE. pts: when they begin. own_from, own_to: the stretch of it
    (pts) whose words nobody else answers for. continues: it begins at a cut. ended: a pause
    follows, or the sound ends; else the speaker goes on.
    """

    samples: Samples = field(repr=False)
    pts: float
    own_from: float
    own_to: float
    continues: bool
    ended: bool

    @property
    def open_from(self) -> float:
        """No word of it begins before this (pts)."""
        return self.own_from - (STRADDLE_S if self.continues else 0.0)

    @property
    def end(self) -> float:
        """When the samples end."""
        return self.pts + len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class _Window:
    end: int
    probability: float
    power: float


class Chunker:
    """One stretch of sound without a hole. Positions are samples since its beginning."""

    def __init__(self, origin: float, chunk_s: float, threshold: float) -> None:
        """origin: pts of the first sample. chunk_s: most seconds in a chunk. threshold: of the
        probability that somebody is speaking. Raises ValueError for a chunk below one second."""
        if not chunk_s >= 1:
            raise ValueError(f"chunks of {chunk_s} s are too short to be understood")
        self._origin = origin
        self._threshold = threshold
        self._context = round(min(CONTEXT_S, chunk_s / 4) * SAMPLE_RATE)
        self._most = round(chunk_s * SAMPLE_RATE) - self._context
        self._tape: Samples = np.zeros(0, np.float32)
        self._base = 0
        self._free = 0
        """End of the last chunk's own stretch."""
        self._begin: int | None = None
        """Where the chunk that is being collected begins."""
        self._continues = False
        """Whether that is a cut."""
        self._voiced = -1
        """End of the last window with speech; -1 before the first."""
        self._windows: deque[_Window] = deque()
        self.heard = 0
        """Samples taken."""
        self.known = 0
        """Samples of which the voice detector has told."""

    def time(self, position: int) -> float:
        """Return when a sample is heard (pts)."""
        return self._origin + position / SAMPLE_RATE

    @property
    def open_from(self) -> float:
        """Words that begin after this (pts) may be in no chunk yet."""
        if self._begin is not None:
            return self.time(self._begin) - (STRADDLE_S if self._continues else 0.0)
        return self.time(max(self._free, self.known - round(LEAD_S * SAMPLE_RATE), 0))

    @property
    def collecting(self) -> bool:
        """Whether speech is being collected."""
        return self._begin is not None

    @property
    def voiced_to(self) -> float:
        """When the last speech ended (pts); minus infinity without any."""
        return self.time(self._voiced) if self._voiced >= 0 else float("-inf")

    def feed(self, samples: Samples) -> None:
        """Take the next samples, (n,) at SAMPLE_RATE."""
        self._tape = np.concatenate((self._tape, samples))
        self.heard += len(samples)

    def mark(self, windows: list[tuple[int, float]]) -> list[Chunk]:
        """Take what the voice detector says: (end, probability) of each next window, in order.

        Returns chunks that are complete. Windows must lie within what was fed.
        """
        chunks = []
        for end, probability in windows:
            samples = self._tape[self.known - self._base : end - self._base]
            power = float(np.square(samples).mean()) if len(samples) else 0.0
            self._windows.append(_Window(end, probability, power))
            if probability >= self._threshold:
                if self._begin is None:
                    lead = self.known - round(LEAD_S * SAMPLE_RATE)
                    self._begin, self._continues = max(self._free, lead, 0), False
                self._voiced = end
            self.known = end
            if (chunk := self._complete()) is not None:
                chunks.append(chunk)
        self._trim()
        return chunks

    def close(self) -> list[Chunk]:
        """The sound ends here: return what is left."""
        self.known = self.heard
        if self._begin is None:
            return []
        return [self._chunk(self._begin, self.heard, self.heard, ended=True)]

    def _complete(self) -> Chunk | None:
        begin = self._begin
        if begin is None:
            return None
        if self.known - self._voiced >= PAUSE_S * SAMPLE_RATE:
            stop = max(begin, min(self._voiced + round(TRAIL_S * SAMPLE_RATE), self.known))
            return self._chunk(begin, stop, stop, ended=True)
        if self.known - begin >= self._most:
            return self._chunk(begin, self._quietest(begin), self.known, ended=False)
        return None

    def _quietest(self, begin: int) -> int:
        """Return the best position for a cut: where there is least voice and least sound."""
        first = self.known - round((self.known - begin) * _SEARCH)
        last = self.known - round(_GUARD_S * SAMPLE_RATE)
        near = [window for window in self._windows if window.end >= first]
        loudest = max([1e-12, *(window.power for window in near)])
        best, cut = float("inf"), last
        for before, window in pairwise(near):
            # Over two windows, 64 ms: a stop consonant is no pause.
            power = (before.power + window.power) / 2 / loudest
            score = (before.probability + window.probability) / 2 + power**0.5
            if before.end <= last and score < best:
                best, cut = score, before.end
        return min(max(cut, begin + 1), self.known)

    def _chunk(self, begin: int, cut: int, end: int, *, ended: bool) -> Chunk:
        start = max(self._base, begin - self._context)
        samples = self._tape[start - self._base : end - self._base].copy()
        samples.flags.writeable = False
        chunk = Chunk(
            samples, self.time(start), self.time(begin), self.time(cut), self._continues, ended
        )
        self._free = cut
        self._begin, self._continues = (None, False) if ended else (cut, True)
        return chunk

    def _trim(self) -> None:
        """Keep no more than the next chunk may be given."""
        open_from = self._begin
        if open_from is None:
            open_from = max(self._free, self.known - round(LEAD_S * SAMPLE_RATE))
        spare = min(open_from - self._context, self.known) - self._base
        if spare > 0:
            self._tape = self._tape[spare:].copy()
            self._base += spare
        while self._windows and self._windows[0].end < self._base:
            self._windows.popleft()
