"""How written words are said: digits and signs as words, unknown words as sounds. English, pure.

Made for alignment: what is said need not be known exactly, only well enough that the aligner finds
where each word lies. Sounds are ARPAbet without stress, as in the CMU dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum, auto
from typing import Final

_ONES: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = (
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip
_ORDINALS: Final = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
_SIGNS: Final = {"@": "at", "&": "and", "%": "percent", "+": "plus", "_": "underscore"}
_PIECE: Final = re.compile(r"[a-z]+(?:'[a-z]+)*|\d+(?:,\d{3})+(?!\d)|\d+|[^\s]")
_ORDINAL_ENDINGS: Final = ("st", "nd", "rd", "th")
_MANY_DIGITS: Final = 5
"""From so many on, digits without commas are hardly ever said as one number."""


class Reading(Enum):
    """How digits may have been said: 1995 as one nine nine five, or as nineteen ninety-five."""

    DIGITS = auto()
    NUMBERS = auto()


def speak(written: str, reading: Reading) -> list[str]:
    """Return a written word as words that could stand in a dictionary: a-z and apostrophes.

    `john.doe@mail.com` becomes john dot doe at mail dot com. Empty where nothing can be said.
    """
    pieces = _PIECE.findall(_plain(written))
    said: list[str] = []
    for index, piece in enumerate(pieces):
        before = pieces[index - 1] if index else ""
        after = pieces[index + 1] if index + 1 < len(pieces) else ""
        if piece[0].isdecimal():
            words = _digits(piece, reading)
            said += _ordinal(words) if after in _ORDINAL_ENDINGS else words
            if before == "$":
                said.append("dollars")
        elif piece[0] in _LETTERS:
            if not (before[:1].isdecimal() and piece in _ORDINAL_ENDINGS):
                said.append(piece)
        elif piece == "." and before and after[:1] in _LETTERS:
            said.append("dot")
        elif piece == "." and reading is Reading.NUMBERS and before and after[:1].isdecimal():
            said.append("point")
        elif piece == "/" and before[:1] in _LETTERS and after:
            said.append("slash")
        elif piece in _SIGNS:
            said.append(_SIGNS[piece])
    return said


def _plain(written: str) -> str:
    """Return text in lower case without accents and typographic apostrophes."""
    decomposed = unicodedata.normalize("NFKD", written.replace("’", "'"))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).lower()


def _digits(piece: str, reading: Reading) -> list[str]:
    digits = "".join(str(int(c)) for c in piece if c.isdecimal())
    alone = [_ONES[int(c)] for c in digits]
    grouped = "," in piece
    if reading is Reading.DIGITS or (digits[0] == "0" and not grouped):
        return alone
    if len(digits) == 4 and not grouped and digits[1] != "0":
        last = int(digits[2:])
        tail = ["hundred"] if last == 0 else cardinal(last)
        return cardinal(int(digits[:2])) + (["oh", *tail] if 0 < last < 10 else tail)
    if len(digits) >= _MANY_DIGITS and not grouped:
        return alone
    return cardinal(int(digits)) if len(digits) <= 9 else alone


def cardinal(number: int) -> list[str]:
    """Return a number of at most nine digits in words, without "and"."""
    for unit, name in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if number >= unit:
            rest = number % unit
            return [*cardinal(number // unit), name, *(cardinal(rest) if rest else ())]
    if number < len(_ONES):
        return [_ONES[number]]
    return [_TENS[number // 10], *([_ONES[number % 10]] if number % 10 else ())]


def _ordinal(words: list[str]) -> list[str]:
    last = words[-1]
    regular = last.removesuffix("y") + "ieth" if last.endswith("y") else last + "th"
    return [*words[:-1], _ORDINALS.get(last, regular)]


_LETTERS: Final = {
    "tion": "SH AH N", "sion": "ZH AH N", "ough": "AO", "eigh": "EY",
    "igh": "AY", "tch": "CH", "sch": "SH", "dge": "JH", "air": "EH R", "ear": "IH R", "eer": "IH R",
    "oor": "AO R", "our": "AO R",
    "sh": "SH", "ch": "CH", "th": "TH", "ph": "F", "gh": "G", "wh": "W", "ck": "K", "qu": "K W",
    "ng": "NG", "zh": "ZH", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW", "oi": "OY",
    "oy": "OY", "ai": "EY", "ay": "EY", "ei": "EY", "ey": "IY", "ie": "IY", "au": "AO", "aw": "AO",
    "oa": "OW", "ue": "UW", "ui": "UW", "ew": "UW", "er": "ER", "ir": "ER", "ur": "ER",
    "ar": "AA R", "or": "AO R", "ce": "S EH", "ci": "S IH", "cy": "S IY",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH",
    "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R",
    "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
"""What letters sound like in most English words, the longest match first."""
_AT_START: Final = {
    "kn": "N", "wr": "R", "ps": "S", "y": "Y", "x": "Z", "gn": "N", "gh": "G", "xi": "SH IY",
}  # fmt: skip
_AT_END: Final = {"a": "AH", "i": "IY", "o": "OW", "u": "UW", "gh": "", "ce": "S", "ge": "JH"}
_LONGEST: Final = 4
SOUNDS: Final = tuple(
    sorted(
        {s for table in (_LETTERS, _AT_START, _AT_END) for v in table.values() for s in v.split()}
    )
)
"""All that sounds_of ever returns."""


def sounds_of(word: str) -> list[str]:
    """Guess how a word, a-z and apostrophes, is said. Empty only where it has no letter."""
    letters = "".join(c for c in word if c in _LETTERS)
    sounds: list[str] = []
    at = 0
    while at < len(letters):
        silent_e = at == len(letters) - 1 and letters[at] == "e" and _has_vowel(letters[:at])
        doubled = at > 0 and letters[at] == letters[at - 1]
        if silent_e or doubled:
            at += 1
            continue
        for length in range(min(_LONGEST, len(letters) - at), 0, -1):
            piece = letters[at : at + length]
            sound = _LETTERS.get(piece)
            if at == 0:
                sound = _AT_START.get(piece, sound)
            if at + length == len(letters) and at > 0:
                sound = _AT_END.get(piece, sound)
            if sound is not None:
                sounds += sound.split()
                at += length
                break
    return sounds


def _has_vowel(letters: str) -> bool:
    return any(c in "aeiouy" for c in letters)


def is_spelled_out(word: str) -> bool:
    """Whether a word that no dictionary has is rather said letter by letter: bbc, pm, xyz."""
    return len(word) <= _LONGEST and not _has_vowel(word)
