"""Numbers by which states know people: layouts, check digits, and how much each proves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from edge.pii import checksums
from edge.pii.reading import LETTERS_FOR, LOOKALIKES, Reading
from edge.pii.spans import Kind, PiiSpan


@dataclass(frozen=True, slots=True)
class NationalId:
    """One layout.

    layout: per character of the bare number, n for a digit, a for a letter, c for either.
    pattern: on folded text, with the separators that occur; `#` stands for a digit or a letter
    that looks like one. proved: the score where the check agrees (1 where it excludes chance, less
    where a tenth of all numbers pass). likely: where it does not, or there is none; 0 where the
    layout alone says nothing.
    """

    name: str
    layout: str
    pattern: str
    check: Callable[[str], bool] | None
    proved: float = 1.0
    likely: float = 0.0


_DIGIT: Final = "[0-9oilszbgq|]"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = r"(?:0[1-9]|[12]\d|3[01])"

LAYOUTS: Final = (
    NationalId("SG NRIC/FIN", "annnnnnna", r"[stfgm5] ?#{7} ?[a-z]", checksums.nric, likely=0.55),
    NationalId("US SSN", "nnnnnnnnn", r"(?!000|666)#{3}-#{2}-#{4}", None, likely=0.9),
    NationalId("US SSN", "nnnnnnnnn", r"(?!000|666)\d{3}[ .]\d{2}[ .]\d{4}", None, likely=0.7),
    NationalId(
        "UK NI", "aannnnnna", r"(?!bg|gb|kn|nk|nt|tn)[a-ceghj-prstw-z][a-ceghj-nprstw-z]"
        r" ?#{2} ?#{2} ?#{2} ?[a-d]", None, likely=0.9,
    ),
    NationalId("UK NHS", "n" * 10, r"\d{3}[ -]\d{3}[ -]\d{4}", checksums.nhs, proved=0.8),
    NationalId("ES DNI", "nnnnnnnna", r"\d#{7}[ -]?[a-hj-np-tv-z]", checksums.dni),
    NationalId("ES NIE", "annnnnnna", r"[xyz][ -]?#{7}[ -]?[a-hj-np-tv-z]", checksums.dni),
    NationalId("DE tax", "n" * 11, r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}", checksums.mod_11_10,
        proved=0.8),
    NationalId(
        "IT codice fiscale", "aaaaaannannannna",
        r"[a-z]{3} ?[a-z]{3} ?#{2}[a-ehlmprst]#{2} ?[a-z][0-9a-z]{3}[a-z]",
        checksums.codice_fiscale, likely=0.6,
    ),
    NationalId("IN Aadhaar", "n" * 12, r"[2-9]\d{3}[ -]\d{4}[ -]\d{4}", checksums.verhoeff,
        likely=0.6),
    NationalId("IN Aadhaar", "n" * 12, r"[2-9]\d{11}", checksums.verhoeff, proved=0.8),
    NationalId("IN PAN", "aaaaannnna", r"[a-z]{3}[abcfghljpt][a-z]#{4}[a-z]", None, likely=0.8),
    NationalId("BR CPF", "n" * 11, r"\d{3}\.\d{3}\.\d{3} ?- ?\d{2}", checksums.cpf, likely=0.6),
    NationalId("BR CPF", "n" * 11, r"\d{11}", checksums.cpf),
    NationalId("AU TFN", "n" * 9, r"\d{3} ?\d{3} ?\d{3}", checksums.tfn, proved=0.8),
    NationalId("CA SIN", "n" * 9, r"[1-79]\d{2}[ -]\d{3}[ -]\d{3}", checksums.luhn, proved=0.85),
    NationalId("NL BSN", "n" * 9, r"\d{9}", checksums.bsn, proved=0.7),
    NationalId(
        "FR NIR", "nnnnncnnnnnnnnn",
        rf"[12] ?\d{{2}} ?{_MONTH} ?(?:\d{{2}}|2[ab]) ?\d{{3}} ?\d{{3}} ?\d{{2}}", checksums.nir,
    ),
    NationalId("PL PESEL", "n" * 11, rf"\d{{2}}[0-389]\d{_DAY}\d{{5}}", checksums.pesel,
        proved=0.8),
    NationalId(
        "SE personnummer", "n" * 10, rf"\d{{2}}{_MONTH}{_DAY}[-+]\d{{4}}", checksums.luhn,
        likely=0.6
    ),
    NationalId(
        "FI hetu", "nnnnnn-nnnc", rf"{_DAY}{_MONTH}\d{{2}}[-+a]\d{{3}}[0-9a-y]", checksums.hetu
    ),
    NationalId(
        "CZ rodne cislo", "n" * 10, r"\d{2}[0-35-8]\d[0-3]\d/\d{4}", checksums.rodne_cislo,
        likely=0.6
    ),
    NationalId("CN resident", "n" * 17 + "c",
        rf"[1-8]\d{{5}}(?:19|20)\d{{2}}{_MONTH}{_DAY}\d{{3}}[\dx]",
               checksums.mod_11_2, likely=0.6),
    NationalId(
        "KR RRN", "n" * 13, rf"\d{{2}}{_MONTH}{_DAY} ?- ?[1-8]\d{{6}}", checksums.rrn, likely=0.75
    ),
    NationalId("HK ID", "annnnnnc", r"[a-z]\d{6} ?\(?[0-9a]\)?", checksums.hkid, proved=0.95),
    NationalId("HK ID", "aannnnnnc", r"[a-z]{2}\d{6} ?\(?[0-9a]\)?", checksums.hkid, proved=0.95),
    NationalId("TW ID", "a" + "n" * 9, r"[a-z][1289]\d{8}", checksums.taiwan),
    NationalId("MY NRIC", "n" * 12, rf"\d{{2}}{_MONTH}{_DAY} ?- ?\d{{2}} ?- ?\d{{4}}", None,
        likely=0.9),
    NationalId("HR OIB", "n" * 11, r"\d{11}", checksums.mod_11_10, proved=0.8),
)  # fmt: skip

_PATTERNS: Final = tuple(
    (
        one,
        re.compile(
            rf"(?<![\w.,/$€£-])(?<!\d )(?:{one.pattern.replace('#', _DIGIT)})(?![\w/-]| \d)"
        ),
    )
    for one in LAYOUTS
)


def national_ids(reading: Reading) -> Iterator[PiiSpan]:
    """National identity, tax and insurance numbers."""
    for one, pattern in _PATTERNS:
        for match in pattern.finditer(reading.low):
            number = _bare(one, reading.raw[match.start() : match.end()], match[0])
            if number is None:
                continue
            proved = one.check is not None and one.check(number)
            score = one.proved if proved else one.likely
            if score > 0:
                yield PiiSpan(match.start(), match.end(), Kind.ID, score)


def _bare(one: NationalId, raw: str, low: str) -> str | None:
    """Return the number without separators, mended by its layout; None where it does not fit.

    Half of its digits at least must have been read as digits: words are made of letters that look
    like digits, too.
    """
    keeps_sign = "-" in one.layout
    pairs = [
        (a, b) for a, b in zip(low, raw, strict=True) if a.isalnum() or (keeps_sign and a in "-+")
    ]
    if len(pairs) != len(one.layout):
        return None
    result = ""
    n_mended = 0
    for kind, (character, original) in zip(one.layout, pairs, strict=True):
        if kind == "n" and not character.isdigit():
            n_mended += 1
            result += LOOKALIKES.get(original, "") or LOOKALIKES.get(character, "")
        elif kind == "a" and character.isdigit():
            result += LETTERS_FOR.get(character, "")
        else:
            result += character
    if len(result) != len(one.layout) or 2 * n_mended > one.layout.count("n"):
        return None
    return result
