"""A transcript as it would be written: numbers, codes, e-mail and web addresses from spoken words.

Every character of the text knows the words that made it, so a span that a recogniser finds in the
text becomes a span of words, and by their times a span of sound.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from edge.speech.numbers import Atom, atoms_of, join_codes

_TOP_LEVEL: Final = frozenset(
    [
        "com",
        "org",
        "net",
        "edu",
        "gov",
        "mil",
        "int",
        "info",
        "biz",
        "name",
        "io",
        "ai",
        "app",
        "dev",
        "me",
        "tv",
        "fm",
        "co",
        "cc",
        "xyz",
        "online",
        "site",
        "shop",
        "store",
        "blog",
        "tech",
        "cloud",
        "eu",
        "uk",
        "us",
        "ca",
        "au",
        "nz",
        "ie",
        "in",
        "sg",
        "my",
        "hk",
        "cn",
        "tw",
        "jp",
        "kr",
        "id",
        "ph",
        "th",
        "vn",
        "de",
        "at",
        "ch",
        "fr",
        "it",
        "es",
        "pt",
        "nl",
        "be",
        "lu",
        "dk",
        "se",
        "no",
        "fi",
        "is",
        "ee",
        "lv",
        "lt",
        "pl",
        "cz",
        "sk",
        "hu",
        "ro",
        "bg",
        "gr",
        "tr",
        "ru",
        "ua",
        "za",
        "ng",
        "ke",
        "br",
        "mx",
        "ar",
        "cl",
        "calm",
        "comm",
        "con",
    ]  # what recognisers make of "com"
)
_ARTICLES: Final = ("the", "a", "this", "that", "one", "every", "each", "my", "no", "")
_MISHEARD: Final = {"calm": "com", "comm": "com", "con": "com"}
_DOT: Final = ("dot", "point", "period")
_BETWEEN: Final = {
    "dash": "-", "hyphen": "-", "minus": "-", "slash": "/", "stroke": "/", "dot": ".",
    "point": ".", "colon": ":", "underscore": "_",
}  # fmt: skip
_IN_NAMES: Final = {"dash": "-", "hyphen": "-", "underscore": "_", "dot": ".", "plus": "+"}
_MAX_HOST_WORDS: Final = 3
_EDGE: Final = ".,!?;:\"'“”‘’()[]{}…"
_WRITTEN_HOST: Final = re.compile(r"[\w-]+(\.[\w-]+)*\.([a-z]{2,6})")


@dataclass(frozen=True, slots=True)
class Normalised:
    """Text, and for each of its characters the first and the last word that made it.

    A space between two pieces belongs to the words on its left. The text is private: repr does
    not show it.
    """

    text: str = field(repr=False)
    first: tuple[int, ...] = field(repr=False)
    last: tuple[int, ...] = field(repr=False)
    hosts: tuple[tuple[int, int, bool], ...] = ()
    """Words (first, last) that name an e-mail (True) or web address (False) with a "dot com"."""

    def words(self, start: int, end: int) -> tuple[int, int]:
        """Return the first and the last word (inclusive) of characters start..end (exclusive).

        Raises ValueError where the span is empty or not in the text.
        """
        if not 0 <= start < end <= len(self.text):
            raise ValueError(f"characters {start}..{end} are no span of {len(self.text)}")
        return min(self.first[start:end]), max(self.last[start:end])


def normalise(words: Sequence[str]) -> Normalised:
    """Return words, in order, as written text. Never fails; words that mean nothing stay."""
    atoms = atoms_of(words)
    join_codes(atoms)
    _signs(atoms)
    hosts = _hosts(atoms)
    text: list[str] = []
    first: list[int] = []
    last: list[int] = []
    for atom in atoms:
        if not atom.text:
            continue
        if text and not atom.glued:
            text.append(" ")
            first.append(first[-1])
            last.append(last[-1])
        text.extend(atom.text)
        first.extend([atom.first] * len(atom.text))
        last.extend([atom.last] * len(atom.text))
    return Normalised("".join(text), tuple(first), tuple(last), hosts)


def _plain(atoms: Sequence[Atom], at: int) -> str:
    return atoms[at].plain if 0 <= at < len(atoms) else ""


def _has_digits(atoms: Sequence[Atom], at: int) -> bool:
    return 0 <= at < len(atoms) and atoms[at].form in ("digits", "figures")


def _in_code(atoms: Sequence[Atom], at: int) -> bool:
    spelt = 0 <= at < len(atoms) and atoms[at].form == "letter"
    return spelt or _has_digits(atoms, at)


def _glue(atoms: list[Atom], at: int, text: str | None = None) -> None:
    """Write an atom without space before it, as another text where one is given."""
    if text is not None:
        atoms[at].text = atoms[at].plain = text
        atoms[at].form = "word"
    else:
        atoms[at].text = atoms[at].text.strip(_EDGE)
    atoms[at].glued = True


def _signs(atoms: list[Atom]) -> None:
    """Write "plus six five", "five dash two", "user underscore name", "hash five" as signs."""
    for at, atom in enumerate(atoms):
        if atom.form != "word":
            continue
        plain = atom.plain
        if plain in ("plus", "hash") and _has_digits(atoms, at + 1):
            atom.text = atom.plain = "+" if plain == "plus" else "#"
            _glue(atoms, at + 1)
        elif plain == "underscore" and 0 < at < len(atoms) - 1:
            _join(atoms, at, "_")
        elif (sign := _BETWEEN.get(plain)) and _in_code(atoms, at - 1) and _in_code(atoms, at + 1):
            if plain == "colon" or _has_digits(atoms, at - 1) or _has_digits(atoms, at + 1):
                _join(atoms, at, sign)
        elif plain == "at" and _plain(atoms, at + 1) in ("sign", "symbol"):
            atom.text = atom.plain = "@"
            atoms[at + 1].text = ""
            atom.last = atoms[at + 1].last
            if at + 2 < len(atoms):
                _glue(atoms, at + 2)


def _join(atoms: list[Atom], at: int, sign: str) -> None:
    """Write the word at as a sign between its neighbours."""
    atoms[at - 1].text = atoms[at - 1].text.rstrip(_EDGE)
    _glue(atoms, at, sign)
    _glue(atoms, at + 1)


def _hosts(atoms: list[Atom]) -> tuple[tuple[int, int, bool], ...]:
    """Write "john at g mail dot com slash x" as an e-mail or web address; return their words."""
    found: list[tuple[int, int, bool]] = []
    at = 0
    while at < len(atoms):
        top = _top_level(atoms, at)
        if top and at > 0:
            begin, at, is_email = _host(atoms, at, top)
            found.append((atoms[begin].first, atoms[at - 1].last, is_email))
        elif _WRITTEN_HOST.fullmatch(atoms[at].plain) and _plain(atoms, at - 1) == "at" and at > 1:
            begin = _email(atoms, at - 1, at)
            found.append((atoms[begin].first, atoms[at].last, True))
            at += 1
        else:
            at += 1
    return tuple(found)


def _top_level(atoms: Sequence[Atom], at: int) -> int:
    """Return how many atoms "dot com" (or "dot u k") takes here; 0 where there is none."""
    if _plain(atoms, at) not in _DOT or _plain(atoms, at - 1) in _ARTICLES:
        return 0
    if _plain(atoms, at) != "dot":
        return 2 if _plain(atoms, at + 1) in ("com", "org", "net") else 0
    if _plain(atoms, at + 1) in _TOP_LEVEL:
        return 2
    letters = ""
    for count in range(1, 4):
        if at + count >= len(atoms) or atoms[at + count].form != "letter":
            break
        letters += _plain(atoms, at + count)
        if letters in _TOP_LEVEL and count > 1:
            return count + 1
    return 0


def _host(atoms: list[Atom], dot: int, length: int) -> tuple[int, int, bool]:
    """Write the host whose top level begins at a dot.

    Returns the first atom of the address, the one after it, and whether it is an e-mail address.
    """
    end = dot + length
    while more := _top_level(atoms, end):  # "dot co dot uk"
        end += more
    begin = _host_begin(atoms, dot)
    sign = _nearest(atoms, dot, ("at", "@"))
    if sign is not None and 0 < sign < dot - 1:
        for at in range(sign + 1, end):
            _write_net(atoms, at, glue=at > sign + 1)
        return _email(atoms, sign, sign + 1), end, True
    mark = _nearest(atoms, dot, ("slash", *_DOT))
    if mark is not None and (_ends_scheme(atoms, mark) or _spells(atoms, mark, "www")):
        begin = mark + 1  # "w w w dot blue car dot com": all words between
    while begin > 0 and atoms[begin].glued:
        begin -= 1
    while _plain(atoms, end) in ("slash", "dash") and end + 1 < len(atoms):  # a path
        end += 2
    if begin > 1 and _plain(atoms, begin - 1) in _DOT:
        begin = _before_letters(atoms, begin - 1)
    if _ends_scheme(atoms, begin - 1):
        begin = _before_letters(atoms, begin - 3)
    for at in range(begin, end):
        _write_net(atoms, at, glue=at > begin)
    return begin, end, False


def _nearest(atoms: Sequence[Atom], dot: int, plain: Sequence[str]) -> int | None:
    """Return the nearest of some words before a host of few words, if one is there."""
    lowest = max(-1, dot - 2 - _MAX_HOST_WORDS)
    return next((at for at in range(dot - 1, lowest, -1) if _plain(atoms, at) in plain), None)


def _ends_scheme(atoms: Sequence[Atom], at: int) -> bool:
    """Whether the second slash of "colon slash slash" is here."""
    return at > 2 and [_plain(atoms, at - n) for n in range(3)] == ["slash", "slash", "colon"]


def _spells(atoms: Sequence[Atom], end: int, word: str) -> bool:
    """Whether atoms before end spell a word: as one, or by letters."""
    if _plain(atoms, end - 1) == word:
        return True
    return "".join(_plain(atoms, at) for at in range(max(0, end - len(word)), end)) == word


def _before_letters(atoms: Sequence[Atom], end: int) -> int:
    """Return where the word or the letters before end begin."""
    begin = max(0, end - 1)
    while begin > 0 and atoms[begin].glued:
        begin -= 1
    return begin


def _host_begin(atoms: Sequence[Atom], dot: int) -> int:
    """Return where the host's name begins: one word, or several joined by signs or spelt."""
    begin = dot - 1
    while begin > 0:
        joined = atoms[begin].glued
        if joined or (_in_code(atoms, begin) and _in_code(atoms, begin - 1)):
            begin -= 1
        elif _plain(atoms, begin - 1) in ("dot", "dash", "hyphen") and begin > 1:
            begin -= 2
        else:
            break
    return begin


def _write_net(atoms: list[Atom], at: int, *, glue: bool) -> None:
    """Write one atom inside a host or path: in lower case, signs as signs."""
    plain = atoms[at].plain
    sign = "." if plain in _DOT else _BETWEEN.get(plain, _MISHEARD.get(plain, plain))
    atoms[at].text = sign
    atoms[at].glued = atoms[at].glued or glue


def _email(atoms: list[Atom], sign: int, host: int) -> int:
    """Write "john dot smith at" before a host as the local part of an e-mail address.

    Returns where it begins.
    """
    _glue(atoms, sign, "@")
    atoms[host].glued = True
    atoms[host].text = atoms[host].text.strip(_EDGE)
    begin = sign - 1
    while begin > 0:
        spelt = _in_code(atoms, begin)
        name_and_number = spelt and atoms[begin - 1].plain not in ("is", "at", "to", "me", "mail")
        if atoms[begin].glued:
            begin -= 1
        elif _plain(atoms, begin - 1) in _IN_NAMES and begin > 1:
            _write_local(atoms, begin - 1)
            atoms[begin].glued = True
            begin -= 2
        elif name_and_number:
            atoms[begin].glued = True
            begin -= 1
        else:
            break
    for atom in atoms[begin:sign]:
        atom.text = atom.text.strip(_EDGE) or atom.text  # a "." between names stays
    return begin


def _write_local(atoms: list[Atom], at: int) -> None:
    _glue(atoms, at, _IN_NAMES[atoms[at].plain])
