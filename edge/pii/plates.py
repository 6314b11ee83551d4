"""Does a line of text read like a vehicle's licence plate?

The judge of last resort where no plate detector is at hand, and a second opinion where one is.
"""

from __future__ import annotations

import re
from typing import Final

from edge.pii.dates import MONTH
from edge.pii.reading import LETTERS_FOR, LOOKALIKES, fold

LAYOUTS: Final[dict[str, str]] = {
    "Albania": "AA999AA",
    "Argentina": "AA999AA AAA999",
    "Australia": "AAA99A AAA999 9AA9AA AA99AA 999AAA 9AAA999 A999AAA AAA9A",
    "Austria": "A9999A A99999A AA999AA AA9999A AA999A AA99999",
    "Belarus": "9999AA9 AA99999",
    "Belgium": "9AAA999 AAA999 999AAA",
    "Bosnia": "A99A999",
    "Brazil": "AAA9999 AAA9A99",
    "Bulgaria": "AA9999AA A9999AA",
    "Canada": "AAAA999 AAA999 999AAA AA999A 9AA999 AAA9999 A99AAA 999A999 AA99999",
    "Chile": "AAAA99 AA9999",
    "China": "AA99999 AA9A999 AA999A9 AA9999A AA99A99 AAA9999 AAD99999 AAF99999",
    "Colombia": "AAA999 AAA99A",
    "Croatia": "AA999A AA9999A AA999AA AA9999AA",
    "Czechia": "9A99999 9AA9999 9AA99999",
    "Denmark": "AA99999",
    "Egypt": "AAA999 AAA9999",
    "Estonia": "999AAA",
    "Finland": "AAA999 AA999 AAA99",
    "France": "AA999AA 9999AA99 999AAA99 999AA99",
    "Germany": (
        "AA999 AA9999 AAA99 AAA999 AAA9999 AAAA99 AAAA999 AAAA9999 AAAAA99 AAAAA999 AAA999E AA99E"
    ),
    "Greece": "AAA9999",
    "Hong Kong": "AA9999 AA999 A9999",
    "Hungary": "AAA999 AAAA999",
    "Iceland": "AA999 AAA99 AA99A",
    "India": "AA99AA9999 AA99A9999 AA9AA9999 AA9A9999 99AA9999AA AA9AAA9999 99BH9999AA",
    "Indonesia": "A9999AA A9999AAA AA9999AA A999AA AA9999A A9999A AA9999AAA AA999AA",
    "Ireland": "99A99999 999A9999 999A99999 999AA999 999A999 999AA9999",
    "Israel": "9999999 99999999",
    "Italy": "AA999AA",
    "Kazakhstan": "999AAA99 A999AAA",
    "Latvia": "AA9999 AA999",
    "Lithuania": "AAA999",
    "Luxembourg": "AA9999",
    "Malaysia": "AAA9999 AAA999 AA9999A AA9999 A9999A QAA9999A WAA9999A AA999A AAA99",
    "Mexico": "AAA999A AAA9999 A99AAA AAA99AA 999AAA AA9999A A999AAA",
    "Moldova": "AAA999",
    "Montenegro": "AAAA999 AA999AA",
    "Netherlands": (
        "9AAA99 99AAA9 AA999A A999AA AAA99A AA99AA 99AAAA 99AA99 AA9999 AAAA99 9AA999 999AA9"
    ),
    "New Zealand": "AAA999 AA9999",
    "North Macedonia": "AA9999AA",
    "Norway": "AA99999",
    "Pakistan": "AAA999 AAA9999 AA9999",
    "Philippines": "AAA9999 AAA999 AA99999",
    "Poland": "AA99999 AAA9999 AAA999A AA9999A AA999AA AAA99AA AAA9A99 AAA99A9 AAAA999 AA9A999",
    "Portugal": "AA99AA 99AA99 9999AA AA9999",
    "Romania": "AA99AAA A999AAA A99AAA",
    "Russia": "A999AA99 A999AA999",
    "Saudi Arabia": "9999AAA AAA9999",
    "Serbia": "AA999AA AA9999AA",
    "Singapore": "AAA9999A AAA999A AAA99A AA9999A AAA9A AA999A A9999A",
    "Slovakia": "AA999AA",
    "Slovenia": "AAAA999 AA99AAA AA999AA AAAAA99",
    "South Africa": "AA99AAGP AAA999GP AA99AA A999999 AAA999AA CA999999 AA99AAAA",
    "South Korea": "99A9999 999A9999",
    "Spain": "9999AAA A9999AA AA9999AA",
    "Sweden": "AAA999 AAA99A",
    "Switzerland": "AA999999 AA99999 AA9999 AA999",
    "Taiwan": "AAA9999 9999AA AA9999 AAA999",
    "Thailand": "9AA9999 AA9999 9AA999 9AA99 AA999",
    "Turkey": "99AAA999 99AA999 99A9999 99AA9999 99AAA99 99A99999",
    "Ukraine": "AA9999AA",
    "United Arab Emirates": "A99999 AA99999 A9999",
    "United Kingdom": "AA99AAA A999AAA A99AAA AAA999A AAA99A AAA9A A9AAA AAA9999 999AAA AAAA99",
    "United States": (
        "AAA9999 9AAA999 AAA999 999AAA AA99999 A99AAA 9AA9999 AAA99A 99AAA99 999AA9 9999AA 999A999"
        " AA9999 AA999A 9999AAA A999999 999AAA9 AAAA99 99A9999 9A9999 9A99999 999AAAA AA9A99 9AA999"
        " AAA9A9 AAA99AA AA999AA AA9A999 A999AAA A99999 99AA9AA AAAA999 9AAA99 AAAAA9 99999A9 "
        "AAA9A99"
        " 9AAAAA 999999A AA9A9A AA99A9 A9999A 99999AA AA99AA 9AA9A9 A99999A 999AA AAA99 A9A9AA"
    ),
    "Uruguay": "AAA9999",
    "Vietnam": "99A99999 99A9999 99AA99999",
}  # fmt: skip
"""Country to its layouts: A a letter, 9 a digit, any other letter itself; without separators."""

_BY_LENGTH: Final[dict[int, tuple[str, ...]]] = {
    length: tuple(
        sorted({one for row in LAYOUTS.values() for one in row.split() if len(one) == length})
    )
    for length in range(4, 11)
}
_PRIOR: Final = {4: 0.3, 5: 0.6, 6: 0.8, 7: 0.92, 8: 0.92, 9: 0.9, 10: 0.9}
"""Score of a clean match by length: the shorter, the more other things look like it."""
_MISREAD_COST: Final = 0.08
_MAX_MISREAD: Final = 2
_UNKNOWN_LAYOUT: Final = 0.52
"""Six to eight letters and digits, two of each at least, in an order that no layout has: vanity
plates, countries that are not listed, misreadings."""
_PLAIN_DIGITS: Final = 0.25

_SEPARATORS = re.compile(r"[ .·•*:=_'|~°\u2010-\u2015\u2212-]+")
_CHINESE_PROVINCE = re.compile(
    "^[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领]"
)
_DATE = re.compile(rf"\d{{1,2}} ?{MONTH}\.? ?(?:19|20)\d\d")
_AMOUNT = re.compile(
    r"(?:(?:ONLY|SAVE|GET|MAX|MIN|UP TO|OVER|FROM|EXTRA) ?)?\d{1,5}(?:[.,]\d{1,3})? ?(?:ML|CL|L|G"
    r"|KG|MG|LB|LBS|OZ"
    r"|CM|MM|M|KM|FT|IN|GB|TB|MB|HZ|KHZ|MHZ|GHZ|W|KW|KWH|V|A|AH|MAH|HP|CC|AM|PM|HR|HRS|HOURS?|MIN"
    r"|MINS|DAYS?"
    r"|YRS?|YEARS?|MONTHS?|WEEKS?|P|K|PCS|PC|PACK|PKT|SET|OFF|X|ST|ND|RD|TH|S|EUR|USD|SGD|GBP|RM"
    r"|RS|SQFT"
    r"|SQM|M2|PAX|CAL|KCAL|MPH|KMH|KM/H|MILES?|MI|STEPS|ITEMS|IN1|D|MP|FPS|DPI|UP|H|C|F|B|BAR|PSI"
    r"|RPM|SPF"
    r"|INCH)"
    r"|\d{1,4} ?(?:FOR|IN|X|TO|OR|AND|PER|BY|PLUS) ?\d{1,4}[A-Z]?"
    r"|\d{1,4}(?:AM|PM|H|HRS)? ?-? ?\d{1,4}(?:AM|PM|H|HRS)"
    r"|\d{1,2}[:.]\d{2} ?(?:[AP]\.?M\.?|H|HRS|UHR)?"
)
_MEASURE = re.compile(
    r"(?<![A-Z0-9])\d{1,5} ?(?:ML|CL|KG|MG|LBS|OZ|CM|MM|KM|FT|GB|TB|MB|MHZ|GHZ|KW|KWH|MAH|PCS"
    r"|MINS?|HRS|DAYS?"
    r"|YEARS?|MPH|KCAL)(?![A-Z0-9])"
)
_WORDS_WITH_NUMBERS = re.compile(
    r"(?:NO|NR|NOS|TEL|FAX|EXT|EXIT|GATE|GATES|ROOM|RM|LOT|BAY|APT|UNIT|BLK|LEVEL|LVL|FLOOR|FL|BUS"
    r"|TRAM|LINE|ROUTE"
    r"|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|SEPT|OCT|NOV|DEC|MON|TUE|WED|THU|FRI|SAT|SUN|VOL|FIG"
    r"|REF|ISO|DIN|RAL|ANSI"
    r"|COVID|USB|RTX|GTX|HDMI|TYPE|STEP|PAGE|PP|PART|AGE|AGES|SIZE|FROM|ONLY|SAVE|SALE|WIN|GET|BUY"
    r"|TOP|BEST"
    r"|EST|SINCE|ANNO|AD|CE|BC|YEAR|CLASS|FORM|ROW|SEAT|TABLE|ZONE|AREA|SECTOR|PLATFORM|TERMINAL"
    r"|PIER|DOCK|CAT"
    r"|GRADE|MODEL|SERIES|MARK|MK|VERSION|VER|AT|FOR|AND|THE|USD|SGD|EUR|GBP|RM|RS|INR|AUD|HKD|CHF"
    r"|NT|FM|AM|DAB"
    r"|GSM|LTE|WIFI|MPEG|MP|HD|UHD|FULLHD|WD|UB|PS|XBOX|IPHONE|GALAXY|OVER|UNDER|TO|IN|ON|OF|UP|PM"
    r"|PH|CALL|SMS"
    r"|PIN|CODE|BOX|PO|POBOX|STORE|SHOP|BLOCK|TOWER|HALL|LAB|CH|TV|CHANNEL|SCORE|LEFT|STOP|BOOTH"
    r"|LANE|LIFT|HWY|RTE)"
    r"\d{1,5}[A-Z]?"
)


def plate_score(text: str, aspect: float | None) -> float:
    """How much a line reads like a licence plate, 0..1.

    aspect: width / height of the line's box; None where it is not known. A plate's characters make
    a line 2 to 8 times as wide as high; a single word of the same length may, too, so the aspect
    only takes away.
    """
    raw = text.strip()
    if not 4 <= len(raw) <= 16:
        return 0.0
    characters = _SEPARATORS.sub("", _CHINESE_PROVINCE.sub("A", raw))
    upper = characters.upper()
    if not (upper.isascii() and upper.isalnum() and 4 <= len(upper) <= 10):
        return 0.0
    # Spaces stay where they tell an amount from a plate: "20 KG" but not "20 KGB 7".
    shown = raw.upper()
    if " " in raw and len(raw.split()) > 1 and _MEASURE.match(shown) and not upper[-1].isdigit():
        return 0.0  # "16GB RAM"
    if _DATE.fullmatch(fold(shown)):
        return 0.0  # "6 MAY 2002"
    if _AMOUNT.fullmatch(shown.strip(" .-")) or _WORDS_WITH_NUMBERS.fullmatch(upper):
        return 0.0
    score = _layout_score(upper)
    if sum(character.islower() for character in characters) > 1:
        score *= 0.5  # plates are in capitals
    if len(raw.split()) > 4:
        score *= 0.5
    return score * _aspect_factor(aspect)


def _layout_score(upper: str) -> float:
    n_digits = sum(character.isdigit() for character in upper)
    n_letters = len(upper) - n_digits
    if n_digits == 0:
        return 0.0
    if n_letters == 0:
        return _PLAIN_DIGITS if 5 <= len(upper) <= 8 else 0.0
    costs = [cost for one in _BY_LENGTH[len(upper)] if (cost := _misread(upper, one)) is not None]
    known = max(0.0, _PRIOR[len(upper)] - _MISREAD_COST * min(costs)) if costs else 0.0
    mixed = 6 <= len(upper) <= 8 and n_digits >= 2 and n_letters >= 2
    return max(known, _UNKNOWN_LAYOUT if mixed else 0.0)


def _misread(upper: str, layout: str) -> int | None:
    """How many characters must have been misread for a text to fit a layout; None: too many."""
    count = 0
    for character, kind in zip(upper, layout, strict=True):
        if kind == "9":
            wrong, mendable = not character.isdigit(), character in LOOKALIKES
        elif kind == "A":
            wrong, mendable = character.isdigit(), character in LETTERS_FOR
        else:
            wrong, mendable = character != kind, False
        if wrong:
            count += 1
            if not mendable or count > _MAX_MISREAD:
                return None
    return count


def _aspect_factor(aspect: float | None) -> float:
    if aspect is None or 1.6 <= aspect <= 9:
        return 1.0
    return 0.8 if 1.0 <= aspect <= 11 else 0.5
