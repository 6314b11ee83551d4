"""Payment cards, IBANs and other long numbers that belong to one person or thing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from edge.pii import checksums
from edge.pii.dates import is_time
from edge.pii.reading import LETTERS_FOR, LOOKALIKES, Reading, only_digits
from edge.pii.spans import Kind, PiiSpan

_LONG_RUN = re.compile(r"(?<![\w.,$€£¥-])\d(?:[ .-]{0,2}\d){8,40}(?![\w])")
_ISSUERS: Final = (
    (re.compile(r"4"), (19, 16, 13)),  # Visa
    (re.compile(r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), (16,)),  # Mastercard
    (re.compile(r"3[47]"), (15,)),  # American Express
    (re.compile(r"3(?:0[0-5]|[689])"), (19, 16, 14)),  # Diners Club
    (re.compile(r"35|1800|2131"), (19, 16, 15)),  # JCB
    (re.compile(r"6(?:011|4[4-9]|5|2|0|81)|9792"), (19, 16)),  # Discover, UnionPay, RuPay, Troy
    (re.compile(r"5[0678]|6[0-9]"), (19, 18, 16, 13)),  # Maestro
)
"""First digits of the card networks (ISO/IEC 7812) and the lengths of their numbers."""
_CARD_GROUPS = re.compile(
    r"\d{4}([ .-]{1,2})\d{4}\1\d{4}\1\d{4}|\d{4}[ .-]{1,2}\d{6}[ .-]{1,2}\d{5}"
)

_MIN_CARD_GROUP: Final = 3
"""Digits of a group on average: four, and less for spaces that a reader added."""
LIKELY_CARD: Final = 0.65
"""A number set like a card's whose check digit is wrong: misread or misheard, rarely not a card."""
LONG_NUMBER: Final = 0.55
"""Nine digits or more in one piece: an account, a licence, a parcel. Hardly ever a notice."""

_IBAN_START = re.compile(r"(?<![a-z0-9])[a-z]{2} ?[0-9a-z|]{2}(?=[ -]?[0-9a-z])")
_IBAN_TAIL: Final = 42
IBAN_LAYOUTS: Final[dict[str, str]] = {
    "ad": "8n12c", "ae": "19n", "al": "8n16c", "at": "16n", "az": "4a20c", "ba": "16n",
    "be": "12n", "bg": "4a6n8c", "bh": "4a14c", "br": "23n1a1c", "by": "4c4n16c", "ch": "5n12c",
    "cr": "18n", "cy": "8n16c", "cz": "20n", "de": "18n", "dk": "14n", "do": "4c20n", "ee": "16n",
    "eg": "25n", "es": "20n", "fi": "14n", "fo": "14n", "fr": "10n11c2n", "gb": "4a14n",
    "ge": "2a16n", "gi": "4a15c", "gl": "14n", "gr": "7n16c", "gt": "24c", "hr": "17n",
    "hu": "24n", "ie": "4a14n", "il": "19n", "iq": "4a15n", "is": "22n", "it": "1a10n12c",
    "jo": "4a4n18c", "kw": "4a22c", "kz": "3n13c", "lb": "4n20c", "lc": "4a24c", "li": "5n12c",
    "lt": "16n", "lu": "3n13c", "lv": "4a13c", "ly": "21n", "mc": "10n11c2n", "md": "20c",
    "me": "18n", "mk": "3n10c2n", "mr": "23n", "mt": "4a5n18c", "mu": "4a19n3a", "nl": "4a10n",
    "no": "11n", "pk": "4a16c", "pl": "24n", "ps": "4a21c", "pt": "21n", "qa": "4a21c",
    "ro": "4a16c", "rs": "18n", "sa": "2n18c", "sc": "4a20n3a", "se": "20n", "si": "15n",
    "sk": "20n", "sm": "1a10n12c", "st": "21n", "sv": "4a20n", "tl": "19n", "tn": "20n",
    "tr": "6n16c", "ua": "6n19c", "va": "18n", "vg": "4a16n", "xk": "16n",
}  # fmt: skip
"""Country code to what follows the check digits: counts of digits (n), letters (a) or either (c),
from the registry of ISO 13616."""


def cards(reading: Reading) -> Iterator[PiiSpan]:
    """Payment cards, proved by Luhn; such numbers with a wrong check digit as a likely id."""
    for match in _LONG_RUN.finditer(reading.digits):
        positions = [n for n in range(match.start(), match.end()) if reading.digits[n].isdigit()]
        number = "".join(reading.digits[n] for n in positions)
        starts = [n for n in range(len(positions)) if n == 0 or positions[n] - positions[n - 1] > 1]
        proved = _card_within(number, starts, positions)
        if proved is not None:
            yield PiiSpan(proved[0], proved[1], Kind.CARD, 1.0)
            continue
        if is_time(match[0]) or (len(number) in {12, 13} and checksums.ean(number)):
            continue  # a date, or the bar code of goods and books
        is_like_card = any(issuer.match(number) for issuer, _ in _ISSUERS) and (
            _CARD_GROUPS.search(match[0]) or (match[0].isdigit() and len(number) in {15, 16})
        )
        if is_like_card:
            yield PiiSpan(match.start(), match.end(), Kind.ID, LIKELY_CARD)
        elif match[0].isdigit() or len(number) >= 14:
            yield PiiSpan(match.start(), match.end(), Kind.ID, LONG_NUMBER)


def _card_within(number: str, starts: list[int], positions: list[int]) -> tuple[int, int] | None:
    """Where in a run of digits a card number stands; expiry or CVV may follow it."""
    for start in starts:
        for issuer, lengths in _ISSUERS:
            if not issuer.match(number, start):
                continue
            for length in lengths:
                end = start + length
                is_group = end == len(number) or (
                    end < len(number) and positions[end] - positions[end - 1] > 1
                )
                part = number[start:end]
                if not is_group or len(set(part)) == 1 or not checksums.luhn(part):
                    continue
                if _set_like_a_card(positions[start:end]):
                    return positions[start], positions[end - 1] + 1
    return None


def _set_like_a_card(positions: list[int]) -> bool:
    """Whether digits stand in few groups, as printed, or in equal ones, as spoken.

    A tenth of all numbers passes Luhn; other numbers are set in groups of other sizes.
    """
    sizes = [1]
    for a, b in pairwise(positions):
        if b - a > 1:
            sizes.append(0)
        sizes[-1] += 1
    return len(sizes) <= len(positions) // _MIN_CARD_GROUP or len(set(sizes[:-1])) == 1


def ibans(reading: Reading) -> Iterator[PiiSpan]:
    """International bank account numbers: proved by MOD 97, likely where only the layout fits."""
    for match in _IBAN_START.finditer(reading.low):
        layout = IBAN_LAYOUTS.get(match[0][:2])
        if layout is None:
            continue
        read = _read_layout(reading, match.start(), "2a2n" + layout)
        if read is None:
            continue
        number, end = read
        if checksums.mod_97(number[4:] + number[:4]):
            yield PiiSpan(match.start(), end, Kind.ID, 1.0)
        elif sum(character.isdigit() for character in number) >= 10:
            yield PiiSpan(match.start(), end, Kind.ID, 0.6)


def _read_layout(reading: Reading, start: int, layout: str) -> tuple[str, int] | None:
    """Read characters by their classes, mending what looks alike; None where they do not fit."""
    wanted = "".join(kind * int(count) for count, kind in re.findall(r"(\d+)([nac])", layout))
    result: list[str] = []
    gap = 0
    for n in range(start, min(len(reading.low), start + len(wanted) + _IBAN_TAIL)):
        character = reading.low[n]
        if character in " -\n":
            gap += 1
            if gap > 2:
                return None
            continue
        gap = 0
        kind = wanted[len(result)]
        if kind == "n" and not character.isdigit():
            character = LOOKALIKES.get(reading.raw[n], "")
        elif kind == "a" and character.isdigit():
            character = LETTERS_FOR.get(character, "")
        if not (character.isascii() and character.isalnum()):
            return None
        result.append(character)
        if len(result) == len(wanted):
            end = n + 1
            is_whole = end == len(reading.low) or not reading.low[end].isalnum()
            return ("".join(result), end) if is_whole else None
    return None


_CODE = re.compile(
    r"(?<![\w.-])(?:[a-z]{1,3}[ -]?\d{7,14}[a-z]{0,2}|\d{6,12}[ -]?[a-z]{1,2})(?![\w-])"
)
_UNIT = re.compile(r"\d+ ?(?:k|m|g|l|ml|kg|km|mm|cm|gb|mb|tb|ft|lb|oz|pm|am|hz|kw|v|w|th|st|s)")
_SHORT_CODE = re.compile(r"(?<![\w.-])[a-z]{1,2}\d{6}(?![\w-])")
_TRACKING = re.compile(
    r"(?<![a-z0-9])(?:([a-z]{2}) ?(\d{9}|\d{3} ?\d{3} ?\d{3}) ?([a-z]{2}))(?![a-z0-9])"
)
_UPS = re.compile(r"(?<![a-z0-9])1 ?z((?: ?[a-z0-9]){16})(?![a-z0-9])")
_CARRIER = re.compile(
    r"(?<![a-z0-9])(?:tba ?\d{12}|jj?d ?\d{10,20}|9[1-5](?: ?\d{2}){9,10})(?![a-z0-9])"
)
_VIN = re.compile(r"(?<![a-z0-9])[a-hj-npr-z0-9]{8}[0-9x][a-hj-npr-z0-9]{8}(?![a-z0-9])")


def codes(reading: Reading) -> Iterator[PiiSpan]:
    """Numbers with letters: parcels, vehicles, licences, memberships."""
    for match in _TRACKING.finditer(reading.low):
        if checksums.s10(only_digits(match[2])):
            yield PiiSpan(match.start(), match.end(), Kind.ID, 1.0)
    for match in _UPS.finditer(reading.low):
        body = match[1].replace(" ", "")
        if checksums.ups(body) if body[-1].isdigit() else False:
            yield PiiSpan(match.start(), match.end(), Kind.ID, 1.0)
        elif sum(character.isdigit() for character in body) >= 10:
            yield PiiSpan(match.start(), match.end(), Kind.ID, 0.6)
    for match in _CARRIER.finditer(reading.low):
        yield PiiSpan(match.start(), match.end(), Kind.ID, 0.8)
    for match in _VIN.finditer(reading.low):
        n_digits = sum(character.isdigit() for character in match[0])
        if 3 <= n_digits < 17:
            proved = checksums.vin(match[0])
            yield PiiSpan(match.start(), match.end(), Kind.ID, 1.0 if proved else 0.6)
    for match in _CODE.finditer(reading.digits):
        if not _UNIT.fullmatch(match[0]):
            yield PiiSpan(match.start(), match.end(), Kind.ID, LONG_NUMBER)
    for match in _SHORT_CODE.finditer(reading.digits):
        yield PiiSpan(match.start(), match.end(), Kind.ID, 0.4)
