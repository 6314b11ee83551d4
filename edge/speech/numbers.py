"""Spoken numbers, letters and signs in writing, with a map back to the words that were said.

"nine one two three double four" is no telephone number to a recogniser of formats, "9123 44" is.
So words become text as it would be written, and every character of it knows which words made it.
Numbers may be said in any of the ways that English has; what a recogniser of speech has already
written in digits stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

_ONES: Final = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "niner": 9, "fife": 5,
}  # fmt: skip
_ZERO: Final = ("zero", "nought", "naught", "nil")
_OH: Final = ("oh", "o", "ow")
_TEENS: Final = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS: Final = {
    "twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60,
    "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_ORDINALS: Final = {
    "first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th",
    "sixth": "6th", "seventh": "7th", "eighth": "8th", "ninth": "9th",
}  # fmt: skip
_REPEATS: Final = {"double": 2, "triple": 3, "treble": 3, "quadruple": 4}
_HOMOPHONES: Final = {"to": "2", "too": "2", "for": "4", "fore": "4", "ate": "8", "won": "1"}
"""Taken for digits only in the middle of single digits: "nine one to four"."""

_MONTHS: Final = frozenset(
    [
        "january", "february", "march", "april", "may", "june", "july", "august", "september",
        "october", "november", "december",
    ]
)  # fmt: skip
_SEPARATORS: Final = ("dot", "dash", "colon")
_NATO: Final = {
    "alpha", "alfa", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india",
    "juliet", "juliett", "kilo", "lima", "mike", "november", "oscar", "papa", "quebec", "romeo",
    "sierra", "tango", "uniform", "victor", "whiskey", "whisky", "xray", "x-ray", "yankee", "zulu",
}  # fmt: skip
_SPELT: Final = {"zed": "z", "zee": "z", "aitch": "h", "haitch": "h"}
_WORD_LETTERS: Final = ("a", "i")
"""Letters that are words, too."""

_EDGE: Final = ".,!?;:\"'“”‘’()[]{}…"

Form = Literal["word", "digits", "letter", "figures"]


@dataclass(slots=True)
class Atom:
    """A piece of the text in the making: words first..last (inclusive) said it."""

    text: str = field(repr=False)
    """As it will be written."""
    plain: str = field(repr=False)
    """In lower case, without punctuation around it."""
    first: int
    last: int
    form: Form
    """digits: from spoken numbers; figures: written in digits by the recogniser of speech."""
    single: bool = False
    """A digit said on its own, or repeated by "double"; a letter that cannot be a word."""
    quantity: bool = False
    """Counted in thousands: an amount and no part of a longer number."""
    glued: bool = False
    """Follows the piece before without a space."""


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    plain: str
    index: int


def atoms_of(words: Sequence[str]) -> list[Atom]:
    """Return numbers, spelt letters and all other words of n words, in order."""
    pieces = [piece for index, word in enumerate(words) for piece in _pieces(word, index)]
    atoms: list[Atom] = []
    at = 0
    while at < len(pieces):
        atom, used = _number(pieces, at) or _letter(pieces, at) or (_plain_word(pieces[at]), 1)
        atoms.append(atom)
        at += used
    _nato_runs(atoms)
    return atoms


def _pieces(word: str, index: int) -> list[_Piece]:
    """Split "twenty-three" and "J-O-H-N", which are one word with several parts."""
    bare = word.strip(_EDGE)
    parts = [part for part in re.split(r"[-.]", bare) if part]
    spelt = len(parts) > 1 and all(len(part) == 1 and part.isalpha() for part in parts)
    counted = len(parts) > 1 and all(_is_number_word(part.lower()) for part in parts)
    if spelt or counted:
        return [_Piece(part, part.lower(), index) for part in parts]
    return [_Piece(word, bare.lower(), index)]


def _is_number_word(plain: str) -> bool:
    return plain in _ONES or plain in _TEENS or plain in _TENS or plain in _ZERO


def _plain_word(piece: _Piece) -> Atom:
    form: Form = "figures" if any(c.isdigit() for c in piece.plain) else "word"
    return Atom(piece.text, piece.plain, piece.index, piece.index, form)


def _plain_at(pieces: Sequence[_Piece], at: int) -> str:
    return pieces[at].plain if 0 <= at < len(pieces) else ""


def _number(pieces: Sequence[_Piece], at: int) -> tuple[Atom, int] | None:
    """Return the number that begins here and how many pieces it takes, if one does."""
    plain = pieces[at].plain
    if (repeat := _REPEATS.get(plain)) and (digit := _digit(pieces, at + 1, repeated=True)):
        return _atom(pieces, at, 2, digit * repeat, single=True), 2
    if plain in _ZERO or plain in _OH or plain in _HOMOPHONES:
        single = _digit(pieces, at)
        return (_atom(pieces, at, 1, single, single=True), 1) if single else None
    value, used = _below_hundred(pieces, at)
    if not used:
        return None
    tens = _TENS.get(_plain_at(pieces, at + used - 1))
    if tens and (ordinal := _ORDINALS.get(_plain_at(pieces, at + used))):
        return _atom(pieces, at, used + 1, f"{tens // 10}{ordinal}"), used + 1
    if used == 1 and plain in _ONES and _plain_at(pieces, at + 1) not in ("hundred", "thousand"):
        return _atom(pieces, at, 1, str(value), single=True), 1
    quantity = False
    if _plain_at(pieces, at + used) == "hundred":
        value, used = _hundreds(pieces, at, value, used)
    if _plain_at(pieces, at + used) == "thousand":
        quantity = True
        value, used = value * 1000, used + 1
        rest, more = _rest(pieces, at + used)
        if more:
            value, used = value + rest, used + more
    text = f"{value:,}" if value > 9999 and quantity else str(value)
    return _atom(pieces, at, used, text, quantity=quantity), used


def _atom(
    pieces: Sequence[_Piece], at: int, used: int, text: str, *,
    single: bool = False, quantity: bool = False,
) -> Atom:  # fmt: skip
    last = pieces[at + used - 1].index
    return Atom(text, text, pieces[at].index, last, "digits", single, quantity)


def _below_hundred(pieces: Sequence[_Piece], at: int) -> tuple[int, int]:
    """Return (value, pieces) of 1..99; (0, 0) where there is none."""
    plain = _plain_at(pieces, at)
    if plain in _TENS:
        ones = _ONES.get(_plain_at(pieces, at + 1))
        return (_TENS[plain] + ones, 2) if ones else (_TENS[plain], 1)
    if plain in _TEENS:
        return _TEENS[plain], 1
    return (_ONES[plain], 1) if plain in _ONES else (0, 0)


def _hundreds(pieces: Sequence[_Piece], at: int, value: int, used: int) -> tuple[int, int]:
    """Extend a value over "hundred" and what follows it: "two hundred and five"."""
    value, used = value * 100, used + 1
    joined = _plain_at(pieces, at + used) == "and"
    rest, more = _below_hundred(pieces, at + used + joined)
    # "eight hundred five five five": the five begins the next digits.
    goes_on = more == 1 and _digit(pieces, at + used + 1) and rest < 10 and not joined
    if more and not goes_on:
        return value + rest, used + joined + more
    return value, used


def _rest(pieces: Sequence[_Piece], at: int) -> tuple[int, int]:
    """Return (value, pieces) of what follows "thousand": below a thousand, perhaps after "and"."""
    joined = _plain_at(pieces, at) == "and"
    value, used = _below_hundred(pieces, at + joined)
    if not used:
        return 0, 0
    if _plain_at(pieces, at + joined + used) == "hundred":
        value, used = _hundreds(pieces, at + joined, value, used)
    return value, used + joined


def _digit(pieces: Sequence[_Piece], at: int, *, repeated: bool = False) -> str:
    """Return the one digit that is said here, or ""."""
    plain = _plain_at(pieces, at)
    if plain in _ONES:
        return str(_ONES[plain])
    if plain in _ZERO:
        return "0"
    if len(plain) == 1 and plain.isdigit():
        return plain
    if plain in _OH:
        return "0" if repeated or _amid_numbers(pieces, at) else ""
    if plain in _HOMOPHONES:
        return _HOMOPHONES[plain] if _amid_digits(pieces, at) else ""
    return ""


def _is_number(plain: str) -> bool:
    return _is_number_word(plain) or plain.isdigit() or plain in _REPEATS


def _amid_numbers(pieces: Sequence[_Piece], at: int) -> bool:
    """Whether "oh" here is a zero: a number before it, or two after it, or a letter and a number
    around it."""
    before, after = at - 1, at + 1
    while _plain_at(pieces, before) in (*_OH, *_SEPARATORS):
        before -= 1
    if _is_number(_plain_at(pieces, before)):
        return True
    while _plain_at(pieces, after) in _OH:
        after += 1
    if len(_plain_at(pieces, before)) == 1 and before >= 0:
        return _is_number(_plain_at(pieces, after))
    follows = _plain_at(pieces, after + 1)
    return _is_number(_plain_at(pieces, after)) and (
        _is_number(follows) or follows in _OH or after > at + 1
    )


def _amid_digits(pieces: Sequence[_Piece], at: int) -> bool:
    """Whether single digits stand on both sides, at least three of them."""

    def digits(step: int) -> int:
        count = 0
        while count < 2:
            plain = _plain_at(pieces, at + step * (count + 1))
            single = plain in _ONES or plain in _ZERO or (len(plain) == 1 and plain.isdigit())
            if not single:
                break
            count += 1
        return count

    left, right = digits(-1), digits(1)
    return bool(left and right) and left + right >= 3


def _letter(pieces: Sequence[_Piece], at: int) -> tuple[Atom, int] | None:
    """Return the letter that is spelt here: "b", "b as in bravo", "capital b", "double l"."""
    plain = pieces[at].plain
    begin, repeat = at, 1
    if plain in ("capital", "letter", *_REPEATS):
        following = _plain_at(pieces, at + 1)
        if plain == "double" and following in ("u", "you"):
            return _letter_atom(pieces, at, 2, "w"), 2
        if len(following) != 1 or not following.isalpha():
            return None
        repeat = _REPEATS.get(plain, 1)
        at, plain = at + 1, following
    letter = _SPELT.get(plain, plain)
    if len(letter) != 1 or not letter.isalpha():
        return None
    used = at - begin + 1
    example = 0
    if _plain_at(pieces, at + 1) == "as" and _plain_at(pieces, at + 2) in ("in", "and"):
        example = 3
    elif _plain_at(pieces, at + 1) in ("for", "like") and _plain_at(pieces, at + 2) in _NATO:
        example = 2
    if example and _plain_at(pieces, at + example).startswith(letter):
        used += example
    return _letter_atom(pieces, begin, used, letter * repeat), used


def _letter_atom(pieces: Sequence[_Piece], at: int, used: int, letters: str) -> Atom:
    text = letters if used > 1 else pieces[at].text
    last = pieces[at + used - 1].index
    return Atom(text, letters, pieces[at].index, last, "letter", single=used > 1)


def _nato_runs(atoms: list[Atom]) -> None:
    """Turn three or more words of the spelling alphabet in a row into letters."""
    at = 0
    while at < len(atoms):
        end = at
        while end < len(atoms) and (atoms[end].plain in _NATO or atoms[end].form == "digits"):
            end += 1
        run = [atom for atom in atoms[at:end] if atom.form == "word"]
        if len(run) >= 3 or (len(run) >= 2 and len(run) < end - at):
            for atom in run:
                atom.text = atom.plain = atom.plain[0]
                atom.form, atom.single = "letter", True
        at = end + 1


def join_codes(atoms: list[Atom]) -> None:
    """Write spelt letters and the digits of one number without spaces between them."""
    at = 0
    while at < len(atoms):
        end = at
        while end < len(atoms) and _in_code(atoms[end]):
            end += 1
        # "may five nineteen eighty" is a day and a year, not 51980.
        year = sum(len(atom.plain) for atom in atoms[at + 1 : end] if atom.form != "letter")
        in_date = at > 0 and atoms[at - 1].plain in _MONTHS and year >= 4
        hexadecimal = "colon" in (_atom_plain(atoms, at - 1), _atom_plain(atoms, end))
        _join_run(atoms[at + in_date : end], hexadecimal=hexadecimal)
        at = end + 1


def _atom_plain(atoms: Sequence[Atom], at: int) -> str:
    return atoms[at].plain if 0 <= at < len(atoms) else ""


def _in_code(atom: Atom) -> bool:
    return (atom.form in ("digits", "letter") and not atom.quantity) or (
        atom.form == "figures" and atom.plain.isdigit()
    )


def _join_run(run: list[Atom], *, hexadecimal: bool) -> None:
    """Join what belongs together in a run of letters, digits and figures.

    hexadecimal: part of "nine c colon four a", in which "a" is a digit.
    """
    digits = sum(len(atom.plain) for atom in run if atom.form != "letter")
    # "a" and "i" at the edges of a short run are words: "7 a day", "i one".
    if not hexadecimal and digits < 5 and (len(run) < 3 or digits):
        while run and run[0].plain in _WORD_LETTERS and not run[0].single:
            run = run[1:]
        while run and run[-1].plain in _WORD_LETTERS and not run[-1].single:
            run = run[:-1]
    letters = [atom for atom in run if atom.form == "letter"]
    spelt = len(letters) >= 2 or (bool(letters) and (digits >= 2 or hexadecimal))
    for before, atom in pairwise(run):
        if before.form == "letter" or atom.form == "letter":
            atom.glued = spelt
        elif before.form == "figures" or atom.form == "figures":
            # "9 1 2 3" is one number, "9123 4567" is written well as it is.
            atom.glued = min(len(before.plain), len(atom.plain)) == 1
        else:
            atom.glued = before.plain.isdigit() and atom.plain.isdigit()
    for at, atom in enumerate(run):
        if atom.form == "letter" and spelt:
            follows = at + 1 < len(run) and run[at + 1].glued
            if atom.glued or follows:
                atom.text = atom.plain.upper()
