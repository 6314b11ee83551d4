"""The speech lane: listens for private words, and says when they are said.

Its work comes in tasks: `enter` takes sound, `task` says what has to be done next, `look` does it
without touching anything that another thread may see, `absorb` draws the conclusions. Silence
costs the voice detector's work and nothing else.

The horizon stops where a word could still turn out private: before speech that has not been
recognised, and before words that the tagger calls open, which are judged again together with the
next ones. Whatever fails, the sound that it was about is blind.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import numpy as np

from edge.errors import InferenceError
from edge.lanes.lane import Findings
from edge.lanes.spoken import Heard, Ledger, SpeechSettings
from edge.sound import SoundBlock, SoundSpan
from edge.speech.chunker import JITTER_S, PAUSE_S, Chunk, Chunker
from edge.speech.words import (
    SAMPLE_RATE,
    SpokenSpan,
    Tagger,
    Transcriber,
    VoiceDetector,
    Word,
)

_CONTIGUOUS_S = 1e-3
"""Blocks this near to each other follow one another."""
_MAX_LAG_S = 0.25
"""Sound that a voice detector may hold back for its next window; one that holds back more says
nothing of it."""
_WORDS_PER_S = 12
_SPARE_WORDS = 20
"""Nobody speaks faster than _WORDS_PER_S; a recogniser in a loop does."""
_WIDE_S = 1.0
"""No word takes longer: an aligner that could not place one gives it all the room there is."""
_SAME_WORD = 0.3
"""Part of the shorter one by which two hearings of a word overlap. Two words do not: a digit said
twice is two digits."""


class OpenTagger(Tagger, Protocol):
    """A tagger that knows how far more words could change what it says."""

    def open_end(self, words: Sequence[Word]) -> int:
        """Return the index of the first word that words to come may make private, or not private.

        len(words) where nothing is open. Raises InferenceError.
        """


@dataclass(frozen=True, slots=True)
class SpeechEngines:
    """What listens. new_voice: makes a voice detector for a stretch of sound; it may be slow."""

    new_voice: Callable[[], VoiceDetector]
    transcriber: Transcriber
    tagger: OpenTagger


@dataclass(frozen=True, slots=True)
class Listen:
    """Is somebody speaking in this block? run counts stretches without a hole; heard: samples of
    the run up to the block's end; known: of these, how many the voice detector has told of."""

    block: SoundBlock
    run: int
    heard: int
    known: int


@dataclass(frozen=True, slots=True)
class Recognise:
    """What is said in this chunk, after the words before it?"""

    chunk: Chunk
    context: tuple[Word, ...] = field(repr=False)


Task: TypeAlias = Listen | Recognise
Windows: TypeAlias = list[tuple[int, float]]
"""(end in samples of the run, probability that somebody speaks)."""
Evidence: TypeAlias = Windows | Heard


class SpeechLane:
    """One stream's sound: 16 kHz mono in blocks, in order, each entered when no task is left.

    `look` may run in any thread without a lock; all else under one lock.
    """

    name = "speech"

    def __init__(self, engines: SpeechEngines, settings: SpeechSettings) -> None:
        self._settings = settings
        self._hearing = _Hearing(engines)
        self._ledger = Ledger(settings)
        self._chunker: Chunker | None = None
        self._run = 0
        self._end = -math.inf
        """End of the sound that came (pts)."""
        self._todo: deque[Listen | Chunk] = deque()
        self._blind: list[tuple[float, float]] = []
        """Not yet told."""
        self._unheard_to = -math.inf
        """End of the last stretch (pts) that listeners may know more of than this lane."""
        self._voiced_to = -math.inf
        self._horizon = self._firm = -math.inf
        self._looks = 0

    def renew(self, engines: SpeechEngines) -> None:
        """Go on with other engines: the old ones are stuck."""
        self._hearing = _Hearing(engines)

    def enter(self, block: SoundBlock) -> None:
        """Take note of the next sound: (1, n) at SAMPLE_RATE. Quick.

        Raises ValueError for sound of another kind, or of a time that has passed already;
        RuntimeError while a task is left.
        """
        if self._todo:
            raise RuntimeError("there is still a task to be done")
        if block.rate != SAMPLE_RATE or len(block.samples) != 1:
            raise ValueError(f"{len(block.samples)} channels at {block.rate} Hz were not expected")
        if block.pts < self._end - _CONTIGUOUS_S:
            raise ValueError(f"sound at {block.pts} s came after that up to {self._end} s")
        if block.lost or block.pts > self._end + _CONTIGUOUS_S:
            self._close()
            hole = (math.nextafter(self._end, math.inf), math.nextafter(block.pts, -math.inf))
            if hole[0] <= hole[1] and (block.lost or self._end > -math.inf):
                # Where nothing came there is nothing to judge; but nobody vouches for it, either.
                self._blind.append(hole)
        if block.lost:
            self._unheard_to = block.pts
        if (chunker := self._chunker) is None:
            self._run += 1
            chunker = Chunker(block.pts, self._settings.chunk_s, self._settings.vad_threshold)
            self._chunker = chunker
        self._end = block.end
        chunker.feed(block.samples[0])
        self._todo.append(Listen(block, self._run, chunker.heard, chunker.known))

    def close(self) -> None:
        """No sound follows, or none for now: what was collected becomes tasks."""
        self._close()

    def task(self) -> Task | None:
        """Return what has to be done next, until it is absorbed; None where nothing has."""
        if not self._todo:
            return None
        first = self._todo[0]
        return first if isinstance(first, Listen) else Recognise(first, self._ledger.context)

    def look(self, task: Task) -> Evidence:
        """Do a task. Slow. Raises InferenceError for answers that make no sense, and whatever the
        engines raise."""
        hearing = self._hearing  # the same one throughout: another thread may bring a new one
        return hearing.listen(task) if isinstance(task, Listen) else hearing.recognise(task)

    def absorb(self, task: Task, evidence: Evidence | None) -> Findings:
        """Draw conclusions; None means that looking failed. Quick."""
        self._todo.popleft()
        if isinstance(task, Listen):
            self._absorb_windows(task, evidence)
        else:
            self._absorb_words(task.chunk, evidence)
        if not self._todo:
            self._decide()
        return self._tell()

    def pause(self) -> Findings:
        """After `close` and its tasks: nothing more will be known of the sound so far."""
        self._ledger.settle()
        self._horizon = self._firm = max(self._horizon, self._end)
        return self._tell()

    def finish(self) -> Findings:
        """After `close` and its tasks: all is final, and nothing is known of other sound."""
        self._ledger.settle()
        blind, self._blind = tuple(self._blind), []
        unknown = math.nextafter(self._end, math.inf)
        return Findings(math.inf, (*blind, (unknown, math.inf)))

    def spans(self, start: float, end: float, *, unsure: bool = False) -> list[SoundSpan]:
        """Return private stretches that touch start..end (pts), with their padding.

        unsure: those too that the next words may make private. Complete up to the horizon; with
        `unsure` up to Findings.firm.
        """
        return self._ledger.spans(start, end, unsure=unsure)

    def forget(self, before: float) -> None:
        """Sound before this pts has left, and so have the pictures that go with it."""
        self._ledger.forget(before)

    @property
    def looks(self) -> int:
        """Chunks that were recognised so far."""
        return self._looks

    @property
    def found(self) -> int:
        """Private stretches found so far."""
        return self._ledger.found

    def _close(self) -> None:
        chunker, self._chunker = self._chunker, None
        if chunker is not None:
            self._todo.extend(chunker.close())
            self._voiced_to = max(self._voiced_to, chunker.voiced_to)

    def _absorb_windows(self, task: Listen, evidence: Evidence | None) -> None:
        chunker = self._chunker
        assert chunker is not None
        if not isinstance(evidence, list):
            self._lose(chunker.open_from, task.block.end)
            self._voiced_to = max(self._voiced_to, chunker.voiced_to)
            self._chunker = None
            return
        self._todo.extend(chunker.mark(evidence))
        self._voiced_to = max(self._voiced_to, chunker.voiced_to)

    def _absorb_words(self, chunk: Chunk, evidence: Evidence | None) -> None:
        self._looks += 1
        if not isinstance(evidence, Heard):
            self._lose(chunk.own_from, chunk.own_to)
            return
        if chunk.own_from - self._unheard_to < PAUSE_S:
            # It goes on from what nobody listened to: it may be the rest of a number.
            self._blind.append((chunk.own_from, chunk.own_to))
        self._ledger.take(evidence)

    def _lose(self, start: float, end: float) -> None:
        self._blind.append((min(start, end), end))
        self._unheard_to = max(self._unheard_to, end)
        self._ledger.force()  # nobody knows what followed

    def _decide(self) -> None:
        """Decide what is open where nothing can change it any more, or it cannot wait."""
        chunker = self._chunker
        collecting = chunker is not None and chunker.collecting
        now = self._end if chunker is None else chunker.time(chunker.known)
        if not collecting and now - self._voiced_to >= self._settings.settle_s:
            self._ledger.settle()
        elif now - (self._ledger.open_from - self._settings.reach_s) > self._settings.max_wait_s:
            self._ledger.force()

    def _tell(self) -> Findings:
        starts = [one.open_from for one in self._todo if isinstance(one, Chunk)]
        starts.append(self._end if self._chunker is None else self._chunker.open_from)
        reach = self._settings.reach_s
        self._firm = max(self._firm, min(starts) - reach)
        horizon = min(*starts, self._ledger.open_from) - reach
        self._horizon = max(self._horizon, horizon)
        blind, self._blind = tuple(self._blind), []
        return Findings(self._horizon, blind, self._firm)


class _Hearing:
    """Engines at work, in one thread. A stuck one is left behind with all that it holds."""

    def __init__(self, engines: SpeechEngines) -> None:
        self._engines = engines
        self._voice: VoiceDetector | None = None
        self._run = -1
        self._begun = 0
        """Samples of the run before the voice detector's first."""

    def listen(self, task: Listen) -> Windows:
        """Ask the voice detector of the run."""
        samples = task.block.samples[0]
        if not np.isfinite(samples).all():
            raise InferenceError("the sound has samples that are not numbers")
        if self._voice is None or self._run != task.run:
            self._voice, self._run = self._engines.new_voice(), task.run
            self._begun = task.heard - len(samples)
        windows: Windows = []
        known = task.known
        for end_s, probability in self._voice.listen(samples):
            end = self._begun + round(end_s * SAMPLE_RATE) if math.isfinite(end_s) else -1
            if not (known < end <= task.heard and 0 <= probability <= 1):
                raise InferenceError("the voice detector's answer makes no sense")
            windows.append((end, float(probability)))
            known = end
        if task.heard - known > _MAX_LAG_S * SAMPLE_RATE:
            raise InferenceError("the voice detector left sound out")
        return windows

    def recognise(self, task: Recognise) -> Heard:
        """Recognise a chunk and judge its words together with those before."""
        chunk = task.chunk
        new = self._engines.transcriber.transcribe(chunk.samples)
        check_words(new, len(chunk.samples) / SAMPLE_RATE)
        words = _joined(task.context, chunk, new)
        if not words:
            return Heard((), (), 0)
        spans = tuple(self._engines.tagger.tag(words))
        check_spans(spans, len(words))
        open_from = self._engines.tagger.open_end(words)
        if not 0 <= open_from <= len(words):
            raise InferenceError("the tagger left words open that there are not")
        return Heard(words, spans, open_from)


def check_words(words: Sequence[Word], seconds: float) -> None:
    """Refuse words that would be misunderstood. Raises InferenceError."""
    if len(words) > seconds * _WORDS_PER_S + _SPARE_WORDS:
        raise InferenceError(f"{len(words)} words in {seconds:.1f} s cannot have been said")
    for word in words:
        # Written so that NaN is refused, too.
        if not -_MAX_LAG_S <= word.start <= word.end <= seconds + _MAX_LAG_S:
            raise InferenceError("a word's time lies outside of its sound")


def check_spans(spans: Sequence[SpokenSpan], words: int) -> None:
    """Refuse spans that would be misunderstood. Raises InferenceError."""
    for span in spans:
        if not 0 <= span.first <= span.last < words:
            raise InferenceError("the tagger gave a span of words that there are not")
        if not (math.isfinite(span.start) and math.isfinite(span.end) and 0 <= span.score <= 1):
            raise InferenceError("the tagger gave NaN or infinity")


def _joined(context: tuple[Word, ...], chunk: Chunk, new: Sequence[Word]) -> tuple[Word, ...]:
    """Return the words before a chunk with its own, in order of time; all times become pts."""
    first = chunk.own_from - JITTER_S
    last = math.inf if chunk.ended else chunk.own_to + JITTER_S
    words = list(context)
    for one in new:
        start, end = one.start + chunk.pts, one.end + chunk.pts
        # What lies before it has been judged with the chunk before.
        word = Word(
            one.text, max(start, chunk.open_from), max(end, chunk.open_from), one.confidence
        )
        # One whose place is not known may be anywhere in the room that it was given.
        wide = end - start > _WIDE_S
        near, far = (end, start) if wide else ((start + end) / 2, (start + end) / 2)
        if near < first or far > last:
            continue
        before = _heard_before(word, words[: len(context)])
        if before is None:
            words.append(word)
        else:
            # Either chunk may have heard only a part of it.
            other = words[before]
            words[before] = replace(
                other, start=min(other.start, word.start), end=max(other.end, word.end)
            )
    return tuple(sorted(words, key=lambda word: word.start))


def _heard_before(word: Word, context: Sequence[Word]) -> int | None:
    """Return the index of the same word as the chunk before has heard it, if it has."""
    for n in range(max(0, len(context) - 4), len(context)):
        one = context[n]
        shared = min(one.end, word.end) - max(one.start, word.start)
        shorter = min(one.end - one.start, word.end - word.start)
        if shared > _SAME_WORD * shorter and one.text.casefold() == word.text.casefold():
            return n
    return None
