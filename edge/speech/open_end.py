"""Which words at the end of a transcript mean something else once more is said.

"nine one two" may be the first digits of a telephone number, "john at" of an e-mail address, "my
name is" of nothing yet. Such words have to wait for the next chunk, and be looked at again with it.
What is open is at the end; opening too much costs some delay, opening too little lets a word out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.pii.spans import Kind
from edge.speech.cues import Cue, plain
from edge.speech.evidence import Evidence
from edge.speech.normal import Normalised

_NUMBER: Final = re.compile(
    r"[+#]?(?:[A-Z]{1,6}[ -]?)?\d[\w./:,-]*(?: [\w./:,-]*\d[\w./:,-]*)*|\b[A-Z]{2,}\b"
)
"""Anything with digits in it, ordinals too, and spelt letters."""
_FILLERS: Final = frozenset(
    [
        "uh", "um", "er", "erm", "ah", "hmm", "like", "so", "okay", "well", "it's", "its", "is",
        "at", "on", "the", "a", "of", "my",
    ]
)  # fmt: skip
_CONNECTORS: Final = frozenset(
    [
        "double", "triple", "plus", "at", "dot", "dash", "hyphen", "underscore", "slash", "colon",
        "hash", "hundred", "thousand", "and", "point", "january", "february", "march", "april",
        "may", "june", "july", "august", "september", "october", "november", "december",
        "extension", "as", "in", "for", "van", "de", "bin", "von", "der",
    ]
)  # fmt: skip
"""Words that a number, a code, a date or a name goes on after."""
_BEGIN_CUES: Final = frozenset(
    [
        "my", "our", "his", "her", "their", "the", "your", "full", "first", "last", "real",
        "phone", "cell", "mobile", "home", "office", "work", "email", "e", "mail", "user",
        "user's", "account", "credit", "debit", "bank", "card", "passport", "pin", "password",
        "passcode", "code", "number", "name", "address", "birthday", "birth", "born", "date",
        "of", "username", "handle", "live", "lives", "stay", "located", "call", "text", "reach",
        "ring", "phone", "contact", "me", "us", "him", "security", "social", "licence", "license",
        "plate", "postal", "zip", "was", "i'm", "i", "am", "this", "is", "can", "you", "please",
        "was", "were", "d", "o", "b",
    ]
)  # fmt: skip
"""Words that a cue may be made of: a chunk may end within one."""
_MOST_CUE_WORDS: Final = 4
_EMAIL_REACH: Final = 6
_WAITS: Final = {Kind.NAME: 3, Kind.ADDRESS: 7, Kind.EMAIL: 8, Kind.BIRTHDAY: 6, Kind.SECRET: 5}
_WAIT: Final = 6
"""Words behind a cue after which nothing is expected of it any more."""
_WEAK_NAME_WAIT: Final = 1


def open_from(
    texts: Sequence[str],
    normal: Normalised,
    cues: Sequence[Cue],
    found: Sequence[Evidence],
    maybe: NDArray[np.bool_],
) -> int:
    """Return the index of the first of n words that is open; n where none is.

    maybe: (n,) whether a tagger thinks a word may be private, far below its threshold.
    """
    end = len(texts)
    tail = end - _trailing(texts, _FILLERS | _CONNECTORS)
    first = end
    if any(plain(text) in _CONNECTORS for text in texts[tail:]):
        first = max(0, tail - 1)
    for match in _NUMBER.finditer(normal.text):
        begin, last = normal.words(*match.span())
        if last >= tail - 1:
            first = min(first, begin)
    first = min(first, _email(texts), _cue_begun(texts))
    while first > 0 and first - 1 < len(maybe) and maybe[first - 1 : first].any():
        first -= 1
    for cue in cues:
        if end - cue.after < _patience(cue) and not _answered(cue, found, end):
            first = min(first, cue.first)
    return _over_spans_and_cues(first, tail, cues, found, texts)


def _trailing(texts: Sequence[str], of: Collection[str]) -> int:
    """Count the words of a set at the end."""
    count = 0
    while count < len(texts) and plain(texts[len(texts) - 1 - count]) in of:
        count += 1
    return count


def _email(texts: Sequence[str]) -> int:
    """Return where "john dot smith at gmail" begins near the end; n where nothing like it is."""
    words = [plain(text) for text in texts]
    end = first = len(words)
    for at in range(end - 1, max(0, end - 1 - _EMAIL_REACH), -1):
        if words[at] in ("at", "underscore", "dot"):
            begin = at - 1
            while begin > 1 and words[begin - 1] in ("dot", "underscore", "dash", "hyphen", "at"):
                begin -= 2
            first = min(first, begin)
    return first


def _cue_begun(texts: Sequence[str]) -> int:
    """Return where a cue may have begun that the end cuts off: "my phone"."""
    count = min(_trailing(texts, _BEGIN_CUES), _MOST_CUE_WORDS)
    return len(texts) - count


def _patience(cue: Cue) -> int:
    if cue.kind is Kind.NAME and not cue.strong:
        return _WEAK_NAME_WAIT + 1
    return _WAITS.get(cue.kind, _WAIT)


def _answered(cue: Cue, found: Sequence[Evidence], end: int) -> bool:
    """Whether what a cue announced is there, and other words follow it."""
    return any(
        one.kind is cue.kind and one.first >= cue.first and one.last < end - 1 for one in found
    )


def _over_spans_and_cues(
    first: int, tail: int, cues: Sequence[Cue], found: Sequence[Evidence], texts: Sequence[str]
) -> int:
    """Move an open end back over private spans that reach into it, and over the cues before it."""
    moved = True
    while moved:
        before = first
        for one in found:
            if one.first < first and one.last >= min(first, tail) - 1:
                first = one.first
        for cue in cues:
            between = texts[cue.after : first]
            near = len(between) <= 2 or all(plain(word) in _FILLERS for word in between)
            if cue.first < first and near:
                first = cue.first
        moved = first < before
    return first
