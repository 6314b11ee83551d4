"""Phone numbers, as printed, written down or spoken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import phonenumbers

from edge.pii.checksums import ean
from edge.pii.dates import is_time
from edge.pii.reading import Reading, only_digits
from edge.pii.spans import Kind, PiiSpan

_RUN = re.compile(
    r"(?<![\w$€£¥.,:#/\\=-])(?:\+ ?)?\(?\+?\d(?:[ \n./()-]{0,3}\d){5,16}"
    r"(?: ?(?:x|ext\.? ?|extension |# ?)\d{1,6})?(?![\w%°$€£]|[.,:]\d| ?(?:kg|km|mm|cm|ml|gb|mb"
    r"|kwh?|"
    r"usd|eur|euros?|dollars?|items?|pcs|people)\b)"
)
_EXTENSION = re.compile(r"(?:x|ext|#).*$")
_CUE = re.compile(
    r"(?:\b(?:tel[e.]?|telefon|telephone|telefono|phone|ph|mobile|mob|cell|hand ?phone|hp|handy"
    r"|call"
    r"|fax|whats ?app|wa|sms|text|contact|hotline|helpline|dial|ring|reach|t|m|f|gsm|celular|movil"
    r"|portable|number|fono|enquir(?:y|ies)|booking)s?\b|☎|✆|📞|📱)[^\d\n+(]{0,12}$"
)
_REGIONS: Final = (
    "US", "GB", "SG", "AU", "IN", "DE", "FR", "ES", "IT", "NL", "BR", "MY", "HK", "JP", "CN", "KR",
    "PH", "ID", "TH", "ZA", "MX", "SE", "NO", "DK", "FI", "CH", "AT", "BE", "PL", "PT", "IE", "NZ",
    "CZ", "HU", "GR", "TR", "IL", "AE", "RU", "TW",
)  # fmt: skip
"""Whose national formats are tried where no country code stands in front."""

_NORTH_AMERICAN = re.compile(
    r"(?:\+?1[ .-]?|001[ .-]?)?(?:\(\d{3}\) ?-?|\d{3}[ .-]{1,2})\d{3}[ .-]{1,2}\d{4}|\(\d{3}\) "
    r"?\d{7}"
)
_PARENTHESES = re.compile(r"\+?\d{0,3} ?\(\d{1,5}\)[ .-]?\d{2,5}(?:[ .-]?\d{2,5}){1,3}")
_TRUNK = re.compile(r"0\d{1,4}[ ./-]{1,3}\d{2,8}(?:[ ./-]\d{2,5}){0,4}")
_EVEN_GROUPS = re.compile(r"\d{4}([ .-])\d{4}|\d{3}([ .-])\d{4}|\d{2}([ .-])\d{2}\3\d{2}\3\d{2}")
_THREES = re.compile(
    r"\d{2,3}([ .-])\d{3}\1\d{3,4}|\d{3}([ .-])\d{2}\2\d{2}|\d([ .-])\d{3}\3\d{3}\3\d{4}"
)


def phones(reading: Reading) -> Iterator[PiiSpan]:
    """Phone numbers: the surer, the more of country code, cue word, validity and layout agree."""
    for match in _RUN.finditer(reading.digits):
        text = match[0].strip()
        number = only_digits(_EXTENSION.sub("", text))
        if not 7 <= len(number) <= 17 or is_time(text) or len(set(number)) == 1:
            continue
        if len(number) == 13 and number.startswith(("978", "979")) and ean(number):
            continue  # a book
        before = reading.low[max(0, match.start() - 30) : match.start()]
        score = _score(_EXTENSION.sub("", text).strip(), number)
        if _CUE.search(before):
            score = max(score, 0.9)
        if score > 0:
            yield PiiSpan(match.start(), match.end(), Kind.PHONE, score)


def _score(text: str, number: str) -> float:
    if text.lstrip("(").startswith("+"):
        return 0.97 if _valid("+" + number) else 0.8
    if number.startswith("00") and _valid("+" + number[2:]):
        return 0.9
    flat = text.replace("\n", " ")
    if _NORTH_AMERICAN.fullmatch(flat):
        return 0.9 if _valid_somewhere(number) else 0.8
    if _PARENTHESES.fullmatch(flat):
        return 0.85
    if _TRUNK.fullmatch(flat) and len(number) >= 8:
        return 0.85 if _valid_somewhere(number) else 0.65
    if text.isdigit():
        return _score_plain(number)
    groups = re.split(r"[ \n./()-]+", text)
    if max(map(len, groups)) <= 2 and not _EVEN_GROUPS.fullmatch(flat) and number[0] != "0":
        return 0.2  # bus lines, sizes, scores
    if max(map(len, groups)) <= 2 and " " in flat and number[0] != "0":
        return 0.5 if _valid(number, "DK") or _valid(number, "NO") else 0.4
    if _EVEN_GROUPS.fullmatch(flat) or _THREES.fullmatch(flat):
        return 0.7 if len(number) >= 8 and _valid_somewhere(number) else 0.55
    if len(number) <= 13 and _valid_somewhere(number):
        return 0.6
    return 0.4 if len(number) <= 13 else 0.0


def _score_plain(number: str) -> float:
    """Digits in one piece: numbers of all sorts look so."""
    match len(number):
        case 8:
            return 0.6 if number[0] in "3689" else 0.52
        case 9 | 10 | 11 | 12:
            return 0.65 if _valid_somewhere(number) else 0.5
        case 7:
            return 0.3
        case _:
            return 0.0


def _valid_somewhere(number: str) -> bool:
    return any(_valid(number, region) for region in _REGIONS)


def _valid(number: str, region: str | None = None) -> bool:
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(parsed)
