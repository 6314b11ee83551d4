"""Numbers that were heard in part: digits close together in time, with odd words between them.

A recogniser of speech hears "seven four six to the three five" for eight digits, and each piece
alone is too short to be taken for a number. Whoever dictates a number says nothing else meanwhile:
where most of what is said is digits, all of it is the number. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge.speech.normal import normalise
from edge.speech.words import Word

LEAST_DIGITS: Final = 6
"""Digits from which a run is a number that somebody dictates: fewer are counted, or a price."""
_MOST_ODD_WORDS: Final = 2
"""Words between two digits that may be misheard ones."""
_MOST_PAUSE_S: Final = 1.6
"""Pause within a number: people group digits."""
_LEAST_SHARE: Final = 0.5
"""Part of a run's words that has to be digits."""
_CLOSE_S: Final = 0.5
"""A shorter pause is none."""
EDGE_BEFORE_S: Final = 0.8
_EDGE_AFTER_S: Final = 0.8
"""One or two digits."""
_ALIKE: Final = frozenset(
    [
        "to", "too", "for", "fore", "ate", "won", "oh", "o", "sex", "tree", "free", "fife", "nein",
        "wan", "tu", "sics",
    ]
)  # fmt: skip
"""Words that sound like a digit: they count as words of a number, not as digits."""
_NEXT: Final = frozenset(
    [
        "card", "cards", "account", "address", "addresses", "phone", "mobile", "number", "numbers",
        "email", "order", "ticket", "price", "room", "line",
    ]
)  # fmt: skip
"""Words that say what the next number is: the one before has ended."""


@dataclass(frozen=True, slots=True)
class DigitRun:
    """Words first..last (inclusive) hold this many digits."""

    first: int
    last: int
    digits: int


def digit_runs(words: Sequence[Word]) -> list[DigitRun]:
    """Return the runs of digits in words, in order, however short."""
    runs: list[DigitRun] = []
    likely = 0  # words of the newest run that are, or sound like, digits
    for at, word in enumerate(words):
        digits = _digits(word.text)
        if not digits:
            likely += _sounds_alike(word.text)
            continue
        if runs and _goes_on(words, runs[-1], at, likely + 1):
            runs[-1] = DigitRun(runs[-1].first, at, runs[-1].digits + digits)
            likely += 1
        else:
            runs.append(DigitRun(at, at, digits))
            likely = 1
    return runs


def open_run(words: Sequence[Word]) -> int:
    """Return the index of the first word of a run that may go on; len(words) where none may."""
    runs = digit_runs(words)
    if not runs or len(words) - 1 - runs[-1].last > _MOST_ODD_WORDS:
        return len(words)
    first = runs[-1].first
    begin = words[first].start - EDGE_BEFORE_S
    return next((at for at in range(first) if words[at].end > begin), first)


def reach(words: Sequence[Word], run: DigitRun) -> tuple[float, float]:
    """Return from when to when a run is said, in seconds, at most.

    Its first and last digits are those that are misheard most often, or taken for part of the word
    beside them. Where speech goes on without a pause, some of that is counted in.
    """
    inside = words[run.first : run.last + 1]
    start, end = min(word.start for word in inside), max(word.end for word in inside)
    if any(word.end > start - _CLOSE_S for word in words[: run.first]):
        start -= EDGE_BEFORE_S
    if any(word.start < end + _CLOSE_S for word in words[run.last + 1 :]):
        end += _EDGE_AFTER_S
    return start, end


def _goes_on(words: Sequence[Word], run: DigitRun, at: int, likely: int) -> bool:
    between = words[run.last + 1 : at]
    if any(word.text.strip(" .,!?;:'\"").casefold() in _NEXT for word in between):
        return False
    odd = sum(not _sounds_alike(word.text) for word in between)
    pause = words[at].start - words[at - 1].end
    share = likely / (at - run.first + 1)
    return odd <= _MOST_ODD_WORDS and pause <= _MOST_PAUSE_S and share >= _LEAST_SHARE


def _digits(text: str) -> int:
    """Digits that one word stands for; none for one that only begins with them, such as 3rd."""
    plain = normalise([text]).text.strip(" .,!?;:")
    if any(c.isalpha() for c in plain):
        return 0
    digits = sum(c.isdigit() for c in plain)
    # "twenty" is one word of a number, as "two" is; figures have been put together from several.
    return digits if any(c.isdigit() for c in text) else min(1, digits)


def _sounds_alike(text: str) -> bool:
    return text.strip(" .,!?;:'\"").casefold() in _ALIKE
