"""What was said and is being decided, and the stretches of sound that are private. Pure.

Words live here only as long as they are open, or as the words before such, and until the speaker
has paused. What stays is times and kinds.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.pii.spans import Kind
from edge.sound import SoundSpan
from edge.speech.align import times_guessed
from edge.speech.chunker import STRADDLE_S
from edge.speech.words import SpokenSpan, Word

CONTEXT_WORDS = 16
"""Words before the open ones that are kept while somebody speaks: "my number is" and the like."""
SNAP_S = 0.3
"""How far padding may reach beyond its length so that no half of a word is heard."""
KEPT_S = 5.0
"""How long stretches are kept after what they hide has left: mouths are hidden some time after."""
_BLOCK_S = 0.2
"""A block of sound, and a window of the voice detector that it does not complete."""
_LEAST_PAD = 0.5
"""Part of the padding that has to remain where it is shortened to the nearest word's edge."""


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """How speech is judged. All times in seconds; the names as in edge.config_lanes.Audio.

    hide: kinds that are silenced, from a score of `threshold`. vad_threshold: probability from
    which sound counts as speech. settle_s: silence after which nothing that was said can change
    any more. max_wait_s: how long a word that may still become private is waited for, together
    with its padding; then it is hidden. Longer than two chunks makes no sense; at least
    chunk_s + reach_s joins every word with the chunk after it.
    """

    hide: frozenset[Kind] = field(default_factory=lambda: frozenset(Kind))
    threshold: float = 0.5
    vad_threshold: float = 0.1
    chunk_s: float = 5.0
    pad_before_s: float = 0.4
    pad_after_s: float = 0.2
    settle_s: float = 2.0
    max_wait_s: float = 8.0

    @property
    def reach_s(self) -> float:
        """How far before a word its padding may begin."""
        return self.pad_before_s + SNAP_S

    @property
    def lag_s(self) -> float:
        """How far the horizon stays behind the sound at most, if engines took no time.

        A delay has to be longer by what recognising a chunk takes.
        """
        return max(self.max_wait_s, self.chunk_s + STRADDLE_S + self.reach_s) + _BLOCK_S


@dataclass(frozen=True, slots=True)
class Heard:
    """Words (pts), what is private in them, and the first that more words may change.

    open_from is an index, len(words) where all is decided.
    """

    words: tuple[Word, ...]
    spans: tuple[SpokenSpan, ...]
    open_from: int


class Ledger:
    """Keeps words until they are decided, and private stretches until they are forgotten."""

    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._words: tuple[Word, ...] = ()
        self._open_from = 0
        self._maybe: list[SoundSpan] = []
        """Stretches within open words that are private as things stand."""
        self._spans: list[SoundSpan] = []
        """By start."""
        self.found = 0
        """Private stretches so far, each counted once."""

    @property
    def context(self) -> tuple[Word, ...]:
        """Words to be judged once more, together with the next ones."""
        return self._words

    @property
    def open_from(self) -> float:
        """When the first word that is not decided begins (pts); infinity where there is none."""
        return min((word.start for word in self._words[self._open_from :]), default=math.inf)

    def take(self, heard: Heard) -> None:
        """Take the words known so far with what they mean; they replace the ones before."""
        self._maybe = []
        for span in heard.spans:
            if span.kind not in self._settings.hide or span.score < self._settings.threshold:
                continue
            stretch = self._padded(heard.words, span)
            if span.first < heard.open_from:
                self._add(stretch)
            else:
                self._maybe.append(stretch)
        first = max(0, heard.open_from - CONTEXT_WORDS)
        self._words = heard.words[first:]
        self._open_from = heard.open_from - first

    def settle(self) -> None:
        """Nothing more will be said that could change anything: decide, and forget all words."""
        for stretch in self._maybe:
            self._add(stretch)
        self._maybe, self._words, self._open_from = [], (), 0

    def force(self) -> None:
        """Open words cannot wait any longer: hide them. They stay as context for the next."""
        if (stretch := self._open_stretch(0.0)) is not None:
            for one in self._maybe:
                self._add(one)
            self._add(stretch)
        self._maybe = []
        self._words = self._words[-CONTEXT_WORDS:]
        self._open_from = len(self._words)

    def spans(self, start: float, end: float, *, unsure: bool) -> list[SoundSpan]:
        """Return stretches that touch start..end (pts); unsure: that of the open words, too."""
        last = bisect.bisect_right(self._spans, end, key=lambda span: span.start)
        found = [span for span in self._spans[:last] if span.end >= start]
        if unsure and (stretch := self._open_stretch(SNAP_S)) is not None:
            found += [
                one for one in (*self._maybe, stretch) if one.start <= end and one.end >= start
            ]
        return found

    def forget(self, before: float) -> None:
        """Drop stretches that ended long before a pts."""
        self._spans = [span for span in self._spans if span.end >= before - KEPT_S]

    def _open_stretch(self, more_s: float) -> SoundSpan | None:
        """All open words with their padding, and more on both sides."""
        words = self._words[self._open_from :]
        if not words:
            return None
        start = min(word.start for word in words) - self._settings.pad_before_s
        end = max(word.end for word in words) + self._settings.pad_after_s
        return SoundSpan(start - more_s, end + more_s, None, 0.0)

    def _padded(self, words: Sequence[Word], span: SpokenSpan) -> SoundSpan:
        """Pad, so that the edges lie between words where there are any near."""
        inside = words[span.first : span.last + 1]
        first = min(span.start, *(word.start for word in inside))
        last = max(span.end, *(word.end for word in inside))
        before, after = self._settings.pad_before_s, self._settings.pad_after_s
        if any(times_guessed(word) for word in inside):
            return SoundSpan(first - before - SNAP_S, last + after + SNAP_S, span.kind, span.score)
        # Time runs backwards for the start, so that one rule does for both edges.
        earlier = [(-word.end, -word.start) for word in words if word.start < first]
        later = [(word.start, word.end) for word in words if word.end > last]
        return SoundSpan(
            -_snapped(-first, before, earlier), _snapped(last, after, later), span.kind, span.score
        )

    def _add(self, span: SoundSpan) -> None:
        """Add a stretch, joined with what overlaps it and is of the same kind."""
        same = [
            one
            for one in self._spans
            if one.kind == span.kind and one.start <= span.end and span.start <= one.end
        ]
        for one in same:
            self._spans.remove(one)
        joined = [span, *same]
        bisect.insort(
            self._spans,
            SoundSpan(
                min(one.start for one in joined),
                max(one.end for one in joined),
                span.kind,
                max(one.score for one in joined),
            ),
            key=lambda one: one.start,
        )
        self.found += not same


def _snapped(edge: float, pad: float, words: Sequence[tuple[float, float]]) -> float:
    """Return where padding that begins at `edge` ends: not within a word, if that can be.

    The nearer end of the word it would end in, as long as enough padding is left.
    """
    far = edge + pad
    for start, end in words:
        if start < far < end:
            if far - start <= end - far and start - edge >= _LEAST_PAD * pad:
                return start
            return end if end - far <= SNAP_S else far
    return far
