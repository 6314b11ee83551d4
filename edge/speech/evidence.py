"""What spoken numbers and announcements say by themselves, without a tagger."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge.pii.spans import Kind
from edge.speech.cues import Cue, plain
from edge.speech.normal import Normalised

_CODE: Final = re.compile(
    r"(?<![\w,.])\+?#?[A-Z]{0,6}[0-9]+(?:[ ./:-]?(?:[A-Z]{1,6}(?![a-z])"
    r"|[0-9]+(?!(?:st|nd|rd|th)\b)))*"
    r"(?![\w]|,\d)"
)
"""Digits and spelt letters that follow each other, perhaps with a sign or a space between."""
_HEX_GROUPS: Final = re.compile(r"(?<![\w:])[0-9A-Z]{1,4}(?: ?:[0-9A-Z]{1,4}){3,7}(?![\w:])")
"""An IPv6 or MAC address; "oh" may have become the letter."""
_AMOUNT: Final = re.compile(
    r"[ -]?(?:dollars?|euros?|pounds?|cents?|bucks|percent|per cent|people|views|viewers|followers"
    r"|subscribers|million|billion|trillion|thousand|years|times|miles|kilometres|kilometers|%)\b"
)
MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_MONTHS: Final = "|".join(MONTHS)
_DATE: Final = re.compile(
    rf"(?:\b(?:{_MONTHS}) (?:the )?\d{{1,2}}(?:st|nd|rd|th)?,? ?(?:of )?(?:\d{{4}})?"
    rf"|\b\d{{1,2}}(?:st|nd|rd|th)? (?:of )?(?:{_MONTHS}),? ?(?:\d{{4}})?"
    r"|\b(?:19|20)\d\d-[01]\d-[0-3]\d\b|\b[0-3]?\d[/.][0-3]?\d[/.](?:19|20)?\d\d\b)",
    re.IGNORECASE,
)
_PRIVATE_DIGITS: Final = 6
"""Digits in a row from which a number is taken for private whatever its form."""
_CARD_DIGITS: Final = 13
_PHONE_DIGITS: Final = 7

NUMBER_KINDS: Final = {Kind.PHONE: 4, Kind.ID: 4, Kind.CARD: 4, Kind.SECRET: 3, Kind.PLATE: 2}
"""Kinds that a cue announces as a number, and how many characters that has to have at least."""
_REACH: Final = 5
"""Words between a cue and the number that it announces."""
_NAME_WORDS: Final = 3
ENDS: Final = frozenset(
    [
        "and", "or", "but", "so", "because", "then", "i", "you", "he", "she", "it", "we", "they",
        "is", "was", "are", "were", "am", "be", "been", "have", "has", "had", "do", "does", "did",
        "will", "would", "can", "could", "should", "may", "might", "must", "not", "no", "yes",
        "the", "a", "an", "this", "that", "these", "those", "here", "there", "who", "what",
        "when", "where", "why", "how", "which", "if", "in", "on", "at", "from", "to", "of", "for",
        "with", "by", "about", "as", "just", "really", "very", "too", "also", "now", "today",
        "my", "your", "his", "her", "our", "their", "please", "thank", "thanks", "okay", "all",
        "going", "sorry", "sure", "glad", "happy", "fine", "good", "great", "like", "uh", "um",
        "er", "well", "by",
    ]
)  # fmt: skip
_SCHEMES: Final = ("http", "www")
_BEFORE_HOSTS: Final = ENDS | frozenset(
    [
        "visit", "see", "website", "site", "go", "check", "out", "use", "called", "page", "link",
        "click", "into", "try", "via", "open",
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evidence:
    """Words first..last (inclusive) may be of a kind; score 0..1."""

    first: int
    last: int
    kind: Kind
    score: float

    def moved(self, by: int) -> Evidence:
        """Return the same with indices moved."""
        return Evidence(self.first + by, self.last + by, self.kind, self.score)


def code_runs(normal: Normalised) -> list[tuple[int, int]]:
    """Return the words (first, last) of every number or code, however short."""
    return [normal.words(*match.span()) for match in _CODE.finditer(normal.text)]


def digit_evidence(texts: Sequence[str], normal: Normalised) -> list[Evidence]:
    """Long numbers are private by their length: nobody reads out seven digits for fun.

    Amounts ("250000 dollars") and dates are none.
    """
    found: list[Evidence] = []
    dates = [match.span() for match in _DATE.finditer(normal.text)]
    for match in _CODE.finditer(normal.text):
        digits = sum(c.isdigit() for c in match[0])
        in_date = any(start < match.end() and match.start() < end for start, end in dates)
        if digits < _PRIVATE_DIGITS or (in_date and digits <= 8):
            continue
        if _AMOUNT.match(normal.text, match.end()) and digits < _CARD_DIGITS:
            continue
        letters = any(c.isalpha() for c in match[0])
        kind = Kind.ID
        if digits >= _CARD_DIGITS and not letters:
            kind = Kind.CARD
        elif digits >= _PHONE_DIGITS and not letters:
            kind = Kind.PHONE
        found.append(Evidence(*normal.words(*match.span()), kind, 0.7))
    found += [
        Evidence(*normal.words(*match.span()), Kind.ID, 0.9)
        for match in _HEX_GROUPS.finditer(normal.text)
    ]
    return found


def host_evidence(texts: Sequence[str], normal: Normalised) -> list[Evidence]:
    """Addresses of the net that somebody said with a "dot com": nothing else sounds like that.

    A web address takes the word before it, too, where that may be a part of its name: "blue car
    dot com" is one host, and only the tagger could know. "h t t p" or "www" is a beginning.
    """
    found: list[Evidence] = []
    for first, last, is_email in normal.hosts:
        begin = first
        whole = "".join(plain(text) for text in texts[first : first + 4]).startswith(_SCHEMES)
        if not (is_email or whole or first == 0 or plain(texts[first - 1]) in _BEFORE_HOSTS):
            begin -= texts[first - 1][-1:] not in (*".,!?;:",)
        found.append(Evidence(begin, last, Kind.EMAIL if is_email else Kind.URL, 0.85))
    return found


def spoken_evidence(
    texts: Sequence[str], normal: Normalised, cues: Sequence[Cue]
) -> list[Evidence]:
    """Return what cues announce: the number behind "my number is", the name behind "my name is"."""
    codes = [(*normal.words(*match.span()), match[0]) for match in _CODE.finditer(normal.text)]
    found: list[Evidence] = []
    for cue in cues:
        if cue.kind in NUMBER_KINDS:
            found += _announced_number(cue, codes)
        elif cue.kind is Kind.NAME and cue.strong:
            found += _announced_name(cue, texts)
        elif cue.kind is Kind.BIRTHDAY:
            found += _announced_date(cue, normal)
        elif cue.kind is Kind.ADDRESS:
            found += _announced_address(cue, texts, codes)
    return found


def _announced_number(cue: Cue, codes: Sequence[tuple[int, int, str]]) -> list[Evidence]:
    for first, last, text in codes:
        if cue.after <= first <= cue.after + _REACH:
            if sum(c.isalnum() for c in text) >= NUMBER_KINDS[cue.kind]:
                return [Evidence(first, last, cue.kind, 0.9 if cue.strong else 0.75)]
            return []
    return []


def _announced_name(cue: Cue, texts: Sequence[str]) -> list[Evidence]:
    last = cue.after - 1
    for at in range(cue.after, min(len(texts), cue.after + _NAME_WORDS)):
        word = plain(texts[at])
        if word in ENDS or not word or any(c.isdigit() for c in word):
            break
        last = at
        if texts[at][-1] in ".,!?;":
            break
    return [Evidence(cue.after, last, Kind.NAME, 0.8)] if last >= cue.after else []


def _announced_date(cue: Cue, normal: Normalised) -> list[Evidence]:
    for pattern in (_DATE, re.compile(r"\b(?:19|20)\d\d\b")):
        for match in pattern.finditer(normal.text):
            first, last = normal.words(match.start(), len(match[0].rstrip()) + match.start())
            if cue.after <= first <= cue.after + _REACH:
                return [Evidence(first, last, Kind.BIRTHDAY, 0.9)]
    return []


def _announced_address(
    cue: Cue, texts: Sequence[str], codes: Sequence[tuple[int, int, str]]
) -> list[Evidence]:
    """Return the words up to the number behind "I live at", or the number before a name."""
    for first, last, _text in codes:
        if not cue.after <= first <= cue.after + _REACH:
            continue
        begin = cue.after if first > cue.after else first
        if any(plain(word) in ENDS for word in texts[begin:first]):
            return []
        score = 0.75 if cue.strong else 0.55
        return [Evidence(begin, last, Kind.ADDRESS, score)]
    return []
