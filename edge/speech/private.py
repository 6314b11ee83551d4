"""Private words: what has a form, what is announced, and what the tagger knows, as spans of words.

A span covers whole words, all of them: the first digits of a number are as private as the last.
Where several ways of looking see the same thing, what they see is joined.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.pii.recognisers import recognise
from edge.pii.spans import Kind
from edge.pii.tagger import TokenTagger
from edge.speech.capitals import without_empty_capitals
from edge.speech.cues import Cue, find_cues, plain
from edge.speech.digit_runs import LEAST_DIGITS, digit_runs, open_run, reach
from edge.speech.evidence import (
    ENDS,
    MONTHS,
    NUMBER_KINDS,
    Evidence,
    digit_evidence,
    host_evidence,
    spoken_evidence,
)
from edge.speech.normal import Normalised, normalise
from edge.speech.open_end import open_from
from edge.speech.words import SpokenSpan, Word

_WINDOW: Final = 400
"""Words that are looked at together: minutes of speech. More are looked at in pieces."""
_OVERLAP: Final = 100
_CUE_ODDS: Final = {True: 6.0, False: 2.5}
"""By how much a cue multiplies the tagger's odds that what follows is of its kind: strong, weak."""
_CUE_REACH: Final = 6
"""Words after a cue that it speaks of."""
_EXTEND: Final = 0.4
"""Share of the threshold at which a span that was found goes on over a neighbouring word."""
_PARTICLES: Final = frozenset(
    [
        "van", "von", "de", "del", "della", "di", "da", "dos", "der", "den", "bin", "binti",
        "binte", "al", "el", "la", "le", "mac", "o",
    ]
)  # fmt: skip
_BRIDGES: Final = {Kind.ADDRESS: 2, Kind.EMAIL: 1, Kind.URL: 1, Kind.PHONE: 1, Kind.CARD: 1,
                   Kind.ID: 1, Kind.SECRET: 1, Kind.BIRTHDAY: 1}  # fmt: skip
"""Words between two spans of one kind that belong to it, too: "ten uh maple street"."""
_BREAKS: Final = frozenset(
    [
        "since", "but", "because", "tonight", "today", "tomorrow", "yesterday", "now", "when",
        "while", "please", "thanks", "after", "before", "until", "so", "that", "which", "who",
        "it", "i", "you", "we", "he", "she", "they", "is", "was", "are", "and",
    ]
)  # fmt: skip
"""Words that no address goes on over."""
_ANNOUNCED: Final = (Kind.SECRET, Kind.USERNAME, Kind.NAME, Kind.ADDRESS)
_DEGREES: Final = frozenset(
    [
        "very", "too", "really", "so", "quite", "not", "also", "just", "pretty", "always", "never",
    ]
)  # fmt: skip
"""Words that qualify what was announced and do not tell it: "my password is too short"."""
_TITLES: Final = frozenset(
    [
        "doctor", "dr", "mister", "mr", "mrs", "ms", "miss", "missus", "professor", "uncle",
        "aunt", "auntie", "sir", "captain", "officer",
    ]
)  # fmt: skip
_NEVER_AT_AN_END: Final = frozenset(
    [
        "the", "an", "and", "or", "but", "of", "to", "in", "on", "at", "for", "from", "with", "by",
        "as", "if", "is", "was", "are", "were", "has", "had", "this", "that", "my", "your", "his",
        "her", "our", "their", "it's", "i'm", "who", "which",
    ]
)  # fmt: skip
"""Words with which no name, number or address begins or ends."""
_SHORN: Final = frozenset(
    [
        Kind.NAME, Kind.ADDRESS, Kind.PHONE, Kind.CARD, Kind.ID, Kind.BIRTHDAY, Kind.EMAIL,
        Kind.URL, Kind.PLATE,
    ]
)  # fmt: skip
"""Kinds of which such words are taken off. Titles, user names and passwords may be any words."""
_EMAIL_REACH: Final = 4
_EMAIL_STARTS: Final = frozenset(
    [
        "is", "mail", "email", "address", "to", "at", "me", "us", "him", "her", "it's", "as",
        "or", "and",
    ]
)  # fmt: skip


_SURE: Final = 0.9
"""Score of a number that was heard whole: its form is right."""
_NUMBER_SCORE: Final = 0.6
"""Of a run of digits with odd words between them."""


class PrivateWords:
    """Finds private words. Implements edge.speech.words.Tagger; no state between calls."""

    def __init__(
        self, tagger: TokenTagger | None, *, hide: Collection[Kind], threshold: float
    ) -> None:
        """hide: kinds that are private. threshold: how sure it has to be, 0..1.

        tagger: None leaves what has a form or is announced.
        """
        self._tagger = tagger
        self._hide = frozenset(hide)
        self._threshold = threshold

    def tag(self, words: Sequence[Word]) -> list[SpokenSpan]:
        """Return private spans in order, possibly overlapping where kinds differ.

        Raises InferenceError where the tagger fails.
        """
        found: list[Evidence] = []
        step = _WINDOW - _OVERLAP
        for begin in range(0, max(1, len(words) - _OVERLAP), step):
            texts = [word.text for word in words[begin : begin + _WINDOW]]
            found += [one.moved(begin) for one in self._look(texts).found]
        spans = [
            SpokenSpan(
                one.first, one.last, min(w.start for w in words[one.first : one.last + 1]),
                max(w.end for w in words[one.first : one.last + 1]), one.kind, one.score,
            )
            for one in _joined(found, _NO_WORDS)
        ]  # fmt: skip
        return self._with_numbers(words, spans)

    def _with_numbers(self, words: Sequence[Word], spans: list[SpokenSpan]) -> list[SpokenSpan]:
        """Add numbers that were heard in part, where nothing sure covers them."""
        if Kind.PHONE not in self._hide or self._threshold > _NUMBER_SCORE:
            return spans
        for run in digit_runs(words):
            covered = any(
                one.score >= _SURE and one.first <= run.first and run.last <= one.last
                for one in spans
            )
            if run.digits < LEAST_DIGITS or covered:
                continue
            start, end = reach(words, run)
            whole = SpokenSpan(run.first, run.last, start, end, Kind.PHONE, _NUMBER_SCORE)
            same = [
                one
                for one in spans
                if one.kind is Kind.PHONE and one.first <= run.last and run.first <= one.last
            ]
            spans = [*(one for one in spans if one not in same), _hull([whole, *same])]
        return sorted(spans, key=lambda span: (span.first, span.last))

    def open_end(self, words: Sequence[Word]) -> int:
        """Return the index of the first word whose meaning more speech may still change.

        len(words) where nothing is open. Open are a number, code or address that may go on, a name
        at the end, a cue with nothing behind it yet, and the cue before what is open. Raises
        InferenceError.
        """
        begin = max(0, len(words) - _WINDOW)
        texts = [word.text for word in words[begin:]]
        if not texts:
            return 0
        look = self._look(texts)
        first = open_from(texts, look.normal, look.cues, look.found, look.mass >= self._low)
        # A run that was cut off by the window has been open for too long already.
        return begin + min(first, open_run(words[begin:]))

    @property
    def _low(self) -> float:
        return self._threshold * _EXTEND

    def _look(self, texts: Sequence[str]) -> _Look:
        """Look at a window of words in every way there is."""
        normal = normalise(texts)
        cues = find_cues(texts)
        seen = [
            _trimmed(Evidence(*normal.words(span.start, span.end), span.kind, span.score), texts)
            for span in recognise(normal.text)
            if span.end > span.start
        ]
        found = [one for one in seen if one is not None]
        found += digit_evidence(texts, normal)
        found += host_evidence(texts, normal)
        found += spoken_evidence(texts, normal, cues)
        mass = np.zeros(len(texts), np.float32)
        if self._tagger is not None and len(texts):
            tagged, mass = self._tagged(self._tagger, texts, cues)
            found += tagged
        kept = [one for one in found if one.kind in self._hide and one.score >= self._threshold]
        kept = [_whole_email(one, texts) for one in kept]
        return _Look(normal, cues, _joined(kept, [plain(text) for text in texts]), mass)

    def _tagged(
        self, tagger: TokenTagger, texts: Sequence[str], cues: Sequence[Cue]
    ) -> tuple[list[Evidence], NDArray[np.float32]]:
        """Return the tagger's spans, and for each word how probably it is of a hidden kind."""
        scores = tagger.scores([without_empty_capitals(text) for text in texts])
        kinds = sorted({label.kind for label in tagger.labels if label.kind in self._hide})
        by_kind = np.zeros((len(texts), len(kinds)), np.float32)
        begins = np.zeros_like(by_kind)
        for column, label in enumerate(tagger.labels):
            if label.kind is not None and label.kind in self._hide:
                by_kind[:, kinds.index(label.kind)] += scores[:, column]
                if label.begins:
                    begins[:, kinds.index(label.kind)] += scores[:, column]
        if not kinds:
            return [], np.zeros(len(texts), np.float32)
        mass = np.minimum(by_kind.sum(axis=1), 1)
        low = self._low
        for cue in cues:
            if cue.kind in kinds:
                reach = slice(cue.after, cue.after + _CUE_REACH)
                odds = _CUE_ODDS[cue.strong]
                seen = mass[reach]
                # Only where the tagger sees something: a cue makes no span longer.
                raised = odds * seen / (1 + (odds - 1) * seen)
                mass[reach] = np.where(seen >= low, raised, seen)
        best = by_kind.argmax(axis=1)
        found: list[Evidence] = []
        at = 0
        while at < len(texts):
            if mass[at] < low:
                at += 1
                continue
            end = at + 1
            while end < len(texts) and mass[end] >= low and best[end] == best[at]:
                if begins[end, best[end]] > by_kind[end, best[end]] / 2 and mass[end] >= low * 2:
                    break  # another one of the same kind begins
                end += 1
            span = Evidence(at, end - 1, kinds[best[at]], float(mass[at:end].max()))
            if (shorn := _shorn(span, texts)) is not None:
                found.append(shorn)
            at = end
        return found, mass


class _Look:
    """What was found in a window of words."""

    __slots__ = ("cues", "found", "mass", "normal")

    def __init__(
        self, normal: Normalised, cues: list[Cue], found: list[Evidence], mass: NDArray[np.float32]
    ) -> None:
        self.normal = normal
        self.cues = cues
        self.found = found
        self.mass = mass


_NO_WORDS: Final[tuple[str, ...]] = ()


def _joined(found: Sequence[Evidence], words: Sequence[str]) -> list[Evidence]:
    """Join spans of one kind that overlap, or have only a bridge between them."""
    joined: list[Evidence] = []
    for kind in sorted({one.kind for one in found}):
        before: Evidence | None = None
        for one in sorted((o for o in found if o.kind is kind), key=lambda o: (o.first, o.last)):
            gap = one.first - before.last - 1 if before else 0
            if before and (
                gap < 0 or (words and gap and _bridged(kind, words[before.last + 1 : one.first]))
            ):
                before = Evidence(before.first, max(before.last, one.last), kind,
                                  max(before.score, one.score))  # fmt: skip
                joined[-1] = before
            else:
                before = one
                joined.append(one)
    return sorted(joined, key=lambda one: (one.first, one.last))


def _bridged(kind: Kind, between: Sequence[str]) -> bool:
    if kind is Kind.NAME:
        return len(between) <= 2 and all(word in _PARTICLES for word in between)
    return len(between) <= _BRIDGES.get(kind, 0)


def _trimmed(one: Evidence, texts: Sequence[str]) -> Evidence | None:
    """Take ordinary words off a span that a pattern for print has stretched over them.

    In print a line break ends an address or a number; in speech "since may" just goes on, and
    "my password is very weak" gives nothing away. None where nothing is left.
    """
    first, last = one.first, one.last
    words = [plain(text) for text in texts]
    if one.kind in _ANNOUNCED and words[first] in _DEGREES:
        return None
    if one.kind is Kind.ADDRESS:
        while first < last and words[first] in ENDS:
            first += 1
        cut = (at for at in range(first + 1, last + 1) if words[at] in _BREAKS)
        last = next(cut, last + 1) - 1
        if first == last and words[first].isalpha():
            return None
    elif one.kind is Kind.NAME:
        cut = (at for at in range(first, last + 1) if words[at] in ENDS)
        last = next(cut, last + 1) - 1
        if all(word in _TITLES for word in words[first : last + 1]):
            return None
    elif one.kind in NUMBER_KINDS and one.kind is not Kind.SECRET:
        while first < last and words[first] in ENDS:
            first += 1
        while first < last and words[last] in ENDS:
            last -= 1
    return Evidence(first, last, one.kind, one.score)


def _shorn(one: Evidence, texts: Sequence[str]) -> Evidence | None:
    """Take words off both ends of a span with which it cannot begin or end; None for no others,
    and for a date without a number or a month: "born on the beach".

    The last word that was heard stays: "four" at the end may have been taken for a "for".
    """
    first, last = one.first, one.last
    if one.kind not in _SHORN:
        return one
    if one.kind is Kind.BIRTHDAY and not _tells_a_date(texts[first : last + 1]):
        return None
    while first <= last and plain(texts[first]) in _NEVER_AT_AN_END:
        first += 1
    while first <= last < len(texts) - 1 and plain(texts[last]) in _NEVER_AT_AN_END:
        last -= 1
    return Evidence(first, last, one.kind, one.score) if first <= last else None


def _tells_a_date(texts: Sequence[str]) -> bool:
    text = normalise(texts).text.lower()
    return any(c.isdigit() for c in text) or any(month in text for month in MONTHS)


def _whole_email(one: Evidence, texts: Sequence[str]) -> Evidence:
    """Extend an e-mail address to the left over a name said as several words.

    "my email is anna maria at gmail dot com": from behind the "is" on. Without such a word within
    reach the span stays as it is: then the tagger has to know.
    """
    if one.kind is not Kind.EMAIL:
        return one
    for at in range(one.first - 1, max(-1, one.first - 2 - _EMAIL_REACH), -1):
        if plain(texts[at]) in _EMAIL_STARTS:
            return Evidence(at + 1, one.last, one.kind, one.score)
    return one


def _hull(spans: Sequence[SpokenSpan]) -> SpokenSpan:
    """Join spans of one kind."""
    return SpokenSpan(
        min(one.first for one in spans),
        max(one.last for one in spans),
        min(one.start for one in spans),
        max(one.end for one in spans),
        spans[0].kind,
        max(one.score for one in spans),
    )
