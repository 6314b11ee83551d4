"""Written text as a speech recogniser would write what is said: numbers in words, no punctuation.

People say one number in many ways ("one two three", "one twenty three", "double five"), so every
choice is drawn from a random generator that the caller seeds.
"""

from __future__ import annotations

import random
import re
import unicodedata
from typing import Final

ONES: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS: Final = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen",
)  # fmt: skip
TENS: Final = (
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip
_ORDINALS: Final = (
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth",
    "ninth", "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth",
    "seventeenth", "eighteenth", "nineteenth",
)  # fmt: skip
MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_SIGNS: Final = {
    ".": "dot", "@": "at", "_": "underscore", "-": "dash", "/": "slash", ":": "colon",
    "+": "plus", "#": "hash", "&": "and", "=": "equals", "?": "question mark", "%": "percent",
}  # fmt: skip

_NO_ACCENT: Final = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ß": "ss", "đ": "d", "Đ": "D", "æ": "ae",
     "Æ": "Ae", "ı": "i", "þ": "th", "ð": "d"}
)  # fmt: skip
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
_URL: Final = re.compile(
    r"(https?://|www\.)\S+|[\w-]+(\.[\w-]+)*\.[a-z]{2,4}(/\S*)?", re.IGNORECASE
)
_DATE: Final = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})")
_ISO_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_ORDINAL: Final = re.compile(r"(\d{1,2})(st|nd|rd|th)")
_PIECE: Final = re.compile(r"[A-Za-z]+|\d+|[^A-Za-z\d]")
_CAMEL: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def latin(text: str) -> str:
    """Return a text in ASCII, as recognisers of English write: accents go, other scripts vanish."""
    plain = unicodedata.normalize("NFKD", text.translate(_NO_ACCENT))
    return plain.encode("ascii", "ignore").decode()


def cardinal(number: int) -> list[str]:
    """Return 0..999999 in words, without "and"."""
    if number < 10:
        return [ONES[number]]
    if number < 20:
        return [TEENS[number - 10]]
    if number < 100:
        return [TENS[number // 10], *([ONES[number % 10]] if number % 10 else [])]
    unit, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    rest = cardinal(number % unit) if number % unit else []
    return [*cardinal(number // unit), name, *rest]


def ordinal(number: int) -> list[str]:
    """Return 0..99 as an ordinal in words."""
    if number < 20:
        return [_ORDINALS[number]]
    tens, ones = divmod(number, 10)
    return [TENS[tens], _ORDINALS[ones]] if ones else [TENS[tens][:-1] + "ieth"]


def digit_by_digit(digits: str, rng: random.Random) -> list[str]:
    """Return digits one at a time, zeros as "zero" or "oh", repeats now and then as "double"."""
    zero = rng.choice(("zero", "oh", "zero", "o"))
    doubles = rng.random() < 0.4
    words: list[str] = []
    at = 0
    while at < len(digits):
        same = len(digits) - at - len(digits[at:].lstrip(digits[at]))
        name = zero if digits[at] == "0" else ONES[int(digits[at])]
        if doubles and same >= 3:
            words += ["triple", name]
            at += 3
        elif doubles and same == 2:
            words += ["double", name]
            at += 2
        else:
            words.append(name)
            at += 1
    return words


def pairs(digits: str, rng: random.Random) -> list[str]:
    """Return digits two at a time: "nineteen eighty four", "twelve oh five"; an odd one first."""
    words = digit_by_digit(digits[: len(digits) % 2], rng)
    for at in range(len(digits) % 2, len(digits), 2):
        pair = digits[at : at + 2]
        if pair[0] == "0":
            words += [rng.choice(("oh", "zero")), "zero" if pair[1] == "0" else ONES[int(pair[1])]]
        else:
            words += cardinal(int(pair))
    return words


def number(digits: str, rng: random.Random) -> list[str]:
    """Return a short number (a house, a year, a quantity) in one of the ways that people say."""
    if digits[0] == "0" or len(digits) > 6:
        return digit_by_digit(digits, rng)
    value = int(digits)
    if len(digits) <= 2:
        return cardinal(value)
    way = rng.random()
    if len(digits) <= 4 and way < 0.4 and digits[-2:] != "00":
        return pairs(digits, rng)
    if len(digits) >= 3 and way < 0.65:
        return digit_by_digit(digits, rng)
    words = cardinal(value)
    if "hundred" in words[:-1] and rng.random() < 0.5:
        words.insert(len(words) - 1 - words[::-1].index("hundred") + 1, "and")
    return words


def code(text: str, rng: random.Random) -> list[str]:
    """Return a code of letters and digits, spelled: "S12-3" → s one two dash three."""
    words: list[str] = []
    dashes = rng.random() < 0.5
    for piece in _PIECE.findall(text):
        if piece.isdigit():
            paired = len(piece) in (2, 4) and rng.random() < 0.2 and "0" not in piece[::2]
            words += pairs(piece, rng) if paired else digit_by_digit(piece, rng)
        elif piece.isalpha():
            words += list(piece.lower())
        elif piece in ".:" or (piece in "-/" and dashes):
            words.append(_SIGNS[piece])
    return words


def phone(text: str, rng: random.Random) -> list[str]:
    """Return a telephone number; separators are pauses, "x" is an extension."""
    words: list[str] = []
    in_pairs = rng.random() < 0.15
    for piece in re.findall(r"\d+|\+|x|ext", text):
        if piece == "+":
            words.append("plus")
        elif piece in ("x", "ext"):
            words.append(rng.choice(("extension", "x")))
        elif in_pairs and len(piece) % 2 == 0:
            words += pairs(piece, rng)
        else:
            words += digit_by_digit(piece, rng)
    return words


def address_of_net(text: str, rng: random.Random, *, split_words: bool = False) -> list[str]:
    """Return an e-mail address, a URL or a host name as it is read out.

    split_words: say the parts of CamelCase as words of their own, as they are heard.
    """
    words: list[str] = []
    for piece in _PIECE.findall(re.sub(r"/$", "", text)):
        if piece.isdigit():
            words += number(piece, rng) if len(piece) <= 4 else digit_by_digit(piece, rng)
        elif piece.isalpha():
            short = piece.lower() in ("www", "http", "https", "uk", "de", "fr", "sg", "us")
            if short and rng.random() < 0.7:
                words += list(piece.lower())
            elif split_words:
                words += [part.lower() for part in _CAMEL.findall(piece)]
            else:
                words.append(piece.lower())
        else:
            words += _SIGNS.get(piece, "").split()
    return words


def say(text: str, rng: random.Random, *, split_words: bool = True) -> list[str]:
    """Return the words of any written text, in lower case and without punctuation."""
    words: list[str] = []
    for token in text.split():
        bare = token.strip(".,;:!?\"'()[]{}“”‘’…*")
        if bare:
            words += _say_token(bare, rng, split_words=split_words)
    return words


def _say_token(bare: str, rng: random.Random, *, split_words: bool) -> list[str]:
    if _EMAIL.fullmatch(bare) or _URL.fullmatch(bare):
        return address_of_net(bare, rng, split_words=split_words)
    if date := _DATE.fullmatch(bare) or _ISO_DATE.fullmatch(bare):
        return _date(*(int(part) for part in date.groups()), rng=rng)
    if match := _ORDINAL.fullmatch(bare):
        return ordinal(int(match[1]))
    if bare.isdecimal():
        return number(bare, rng)
    if any(c.isdigit() for c in bare):
        is_code = any(c.isalpha() for c in bare) or sum(c.isdigit() for c in bare) > 4
        return code(bare, rng) if is_code else phone(bare, rng)
    if len(bare) <= 3 and bare.isupper() and bare.isalpha() and len(bare) > 1:
        return list(bare.lower()) if rng.random() < 0.5 else [bare.lower()]
    spaced = re.sub(r"[^\w'’]+", lambda sign: " and " if sign[0] == "&" else " ", bare)
    return spaced.replace("_", " ").lower().split()


def _date(first: int, second: int, third: int, *, rng: random.Random) -> list[str]:
    """Return a date; the year is the part above 31, the month one that can be a month."""
    if first > 31:
        year, month, day = first, second, third
    else:
        year, month, day = third, first, second
        if month > 12:
            month, day = day, month
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return digit_by_digit(f"{first}{second}{third}", rng)
    said_year = pairs(str(year), rng) if str(year)[2:] != "00" else cardinal(year)
    name = MONTHS[month - 1]
    way = rng.random()
    if way < 0.45:
        return [name, *(ordinal(day) if rng.random() < 0.7 else cardinal(day)), *said_year]
    if way < 0.8:
        return [*(["the"] if rng.random() < 0.5 else []), *ordinal(day), "of", name, *said_year]
    return [*cardinal(day), *cardinal(month), *said_year]
