"""One text in the forms that recognisers look at. All have its length, so positions agree."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Final

MAX_LENGTH: Final = 20_000
"""Characters that are looked at. A line or a stretch of speech is a hundredth of that; the limit
keeps the cost of a hostile text bounded."""

_DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_QUOTES: Final = "\u2018\u2019\u201b\u02bc\u00b4`"
_SPECIAL: Final = str.maketrans(
    {
        **dict.fromkeys(_DASHES, "-"),
        **dict.fromkeys(_QUOTES, "'"),
        **dict(zip("\t\rÆæŒœØøŁłĐđÐðıÞþ", "  AaOoOoLlDdDdiTt", strict=True)),
    }
)
"""Also letters that Unicode does not take apart into a letter and a mark."""

LOOKALIKES: Final[dict[str, str]] = {
    **dict.fromkeys("OoQD", "0"),
    **dict.fromkeys("Iil|!", "1"),
    **dict.fromkeys("Zz", "2"),
    **dict.fromkeys("Ss", "5"),
    **dict.fromkeys("Gb", "6"),
    "B": "8",
    **dict.fromkeys("gq", "9"),
}
"""What readers of print take digits for, and the digits."""
LETTERS_FOR: Final[dict[str, str]] = {"0": "o", "1": "i", "2": "z", "5": "s", "6": "g", "8": "b"}
"""The other way: digits that stand where a letter must be."""

_WORD = re.compile(r"[0-9a-z|!]+")
_DECADE_OR_VOLUME = re.compile(r"\d{1,4}[sl]")
"""1980s, 33 l: letters that mean what they say."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A text, folded. repr shows none of it.

    raw: as it came, cut at MAX_LENGTH. low: lower case, without accents, with one kind of dash,
    quote, space and digit. digits: low, with letters in numbers taken for the digits they look
    like (`9l23 4S67` is 9123 4567).
    """

    raw: str = field(repr=False)
    low: str = field(repr=False)
    digits: str = field(repr=False)

    @classmethod
    def of(cls, text: str) -> Reading:
        """Fold a text."""
        raw = text[:MAX_LENGTH]
        low = fold(raw)
        return cls(raw, low, _with_digits(raw, low))


def fold(text: str) -> str:
    """Return a text of the same length in lower case, without accents, and with ASCII digits."""
    if text.isascii():
        return text.lower().translate(_SPECIAL)
    return "".join(map(_fold_character, text.translate(_SPECIAL)))


def only_digits(text: str) -> str:
    """Return the ASCII digits of a folded text."""
    return "".join(character for character in text if "0" <= character <= "9")


def as_digits(raw: str) -> str:
    """Return raw with every letter that looks like a digit replaced by it."""
    return "".join(LOOKALIKES.get(character, character) for character in raw)


def _fold_character(character: str) -> str:
    if character == "\n" or character.isascii():
        return character.lower()
    if character.isspace():
        return " "
    for form in ("NFKC", "NFD"):
        folded = unicodedata.normalize(form, character)
        # A ligature or a fraction would change the length. Of a letter with accents, which NFD
        # takes apart, the letter is kept.
        if len(folded) == 1 or (form == "NFD" and unicodedata.combining(folded[1])):
            character = folded[0]
    lowered = character.lower()
    if len(lowered) != 1:
        return character
    decimal = unicodedata.decimal(lowered, None)
    return lowered if decimal is None else str(decimal)


def _with_digits(raw: str, low: str) -> str:
    def corrected(match: re.Match[str]) -> str:
        word = match[0]
        n_digits = sum(character.isdigit() for character in word)
        if n_digits < 2 or n_digits == len(word) or 2 * n_digits < len(word):
            return word
        original = raw[match.start() : match.end()]
        if _DECADE_OR_VOLUME.fullmatch(word) and original[-1].islower():
            return word
        if all(a.isdigit() or b in LOOKALIKES for a, b in zip(word, original, strict=True)):
            return "".join(
                a if a.isdigit() else LOOKALIKES[b] for a, b in zip(word, original, strict=True)
            )
        return word

    return _WORD.sub(corrected, low)
