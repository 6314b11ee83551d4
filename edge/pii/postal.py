"""Streets, houses, units and postal codes of several countries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edge.pii import streets
from edge.pii.reading import Reading
from edge.pii.spans import Kind, PiiSpan
from edge.pii.vocabulary import words

_NUMBER: Final = r"(?:no\.? ?|nr\.? ?|number )?\d{1,5}(?: ?[-/&] ?\d{1,5})?(?: ?[a-f](?![\w'.]))?"
_NAME: Final = r"[^\W\d_](?:[^\W\d_]|['.-]){0,24}"
_TYPES: Final = rf"(?:{streets.SURE_TYPES}|{streets.LOOSE_TYPES})"

_HOUSE_STREET = re.compile(
    rf"(?<![\w.,$€£#-])(?P<number>{_NUMBER}),? ?(?<=[\s\d,a-f])(?P<name>(?:\d{{1,3}}(?:st|nd|rd"
    rf"|th)|{_NAME})"
    rf"(?:[ .]{{1,2}}{_NAME}){{0,4}}?)[ .]{{1,2}}(?P<type>{_TYPES})\b\.?"
    r"(?: (?:north|south|east|west|n|s|e|w|ne|nw|se|sw|\d{1,3})\b)?"
)
_STREET_ALONE = re.compile(
    rf"(?<![\w.])(?P<name>(?:\d{{1,3}}(?:st|nd|rd|th)|{_NAME})(?: {_NAME}){{0,3}}?) "
    rf"(?P<type>{_TYPES})\b\.?"
    r"(?P<number> \d{1,3}[a-z]?\b(?![.:%]))?"
)
_SURE_TYPE = re.compile(streets.SURE_TYPES)
_PREFIXED = re.compile(
    rf"(?<![\w.])(?:(?P<before>\d{{1,5}}(?: ?(?:bis|ter|[a-f]))?),? "
    rf")?(?P<type>{streets.PREFIX_TYPES}) ?(?<=[ ./])"
    rf"(?:(?P<name>(?:\d{{1,3}}|{_NAME})(?: {_NAME}){{0,5}}?)"
    r",? (?:n[.oº°]{0,2} ?|num\.? ?|nr\.? ?)?(?P<after>\d{1,5}(?:[/-]\d{1,4})?[a-z]?)\b(?![.:%]\d)"
    rf"|(?:\d{{1,3}}(?! ?%)|{_NAME})(?: {_NAME}){{0,3}})"
)
_SUFFIXED = re.compile(
    rf"(?<![\w.])(?P<name>(?:{_NAME}[ -]){{0,2}}[^\W\d_]{{2,24}}[ -]?(?:{streets.SUFFIX_TYPES}))"
    r"[ .,]{1,2}"
    r"(?P<number>\d{1,4}(?: ?[-/] ?\d{1,4})? ?[a-h]?)\b(?![.:%,]\d| ?%| ?(?:km|m|min|kg|uhr|eur"
    r"|euro|€))"
)
_NOT_SUFFIXED: Final = words(
    "weg norweg hof markt platz alle oblast ballistrade balustrade strade veg vei vag alle moen"
    " roa weg, str str."
)

_UNIT = re.compile(
    r"(?<![\w.])(?:(?P<sure>blk|block|apt|apartment|appartement|apartamento|apto|depto"
    r"|departamento|suite|ste"
    r"|flat|wohnung|whg|bldg|building|plot|h\.? ?no|house no|door no|flat no|d\.? ?no|h\. ?no"
    r"|house number"
    r"|interior|edif|bloque|piso|hdb)\.?|(?P<loose>unit|lot))"
    r" ?#? ?(?P<value>[a-z]?\d{1,4}[a-z]?(?:[-/]\d{1,4})?)\b(?![.:%]\d| ?%)"
)
_SG_UNIT = re.compile(r"(?<!\w)# ?[b0-9]?\d{1,2} ?- ?\d{2,4}[a-z]?(?!\w)")
_PO_BOX = re.compile(
    r"(?<!\w)(?:p\.? ?o\.? ?box|post ?fach|apartado|casella postale|boite postale|caixa postal|psc"
    r"|gpo box"
    r"|locked bag|po ?box) ?(?:no\.? ?)?\d{1,6}|(?<!\w)(?:unit|psc) \d{4},? box \d{1,5}"
)
_LONE_STREET_CODES: Final = rf"(?:{streets.US_STATES})"

_SG_POSTAL = re.compile(r"(?<!\w)(?:singapore ?\(?|s ?\(|s(?=\d))(?:s ?)?\d{6}\)?(?!\w)")
_US_ZIP = re.compile(
    rf"(?<!\w)(?P<city>{_NAME}(?: {_NAME}){{0,2}},? )?(?P<state>{_LONE_STREET_CODES})\.?,? "
    rf"(?P<zip>\d{{5}}(?:-\d{{4}})?)(?![\w.,-]\d|\w)"
)
_ZIP_PLUS_4 = re.compile(r"(?<![\w.$-])\d{5}-\d{4}(?![\w-])")
_UK = re.compile(
    rf"(?<!\w)(?:{streets.UK_AREAS})(?:\d[a-z]|\d{{1,2}})(?P<gap> ?)\d[abd-hjlnp-uw-z]{{2}}(?!\w)"
)
_UNITS_OF_MEASURE: Final = ("gb", "tb", "ft", "lb", "hp", "th", "st", "nd", "rd", "ah", "wh", "pp")
_CANADA = re.compile(
    r"(?<!\w)[abceghj-nprstvxy]\d[abceghj-nprstv-z](?P<gap>[ -]?)\d[abceghj-nprstv-z]\d(?!\w)"
)
_NETHERLANDS = re.compile(
    r"(?<![\w.$-])[1-9]\d{3} ?(?!sa|sd|ss|ad|am|pm|kg|mg|ml|mm|cm|km|kw|hp|bc|ce|cc|gb|mb|tb|hz|rp"
    r"|pc|m2|lb|oz|in|ft|va|wh)[a-z]{2}(?![\w])"
)
_BRAZIL = re.compile(r"(?<![\w.-])\d{2}\.?\d{3}-\d{3}(?![\w-])")
_JAPAN = re.compile(r"〒 ?\d{3}-?\d{4}")
_POLAND = re.compile(rf"(?<![\w.-])\d{{2}}-\d{{3}} {_NAME}")
_AUSTRALIA = re.compile(rf"(?<!\w)(?:{streets.AU_STATES}),? \d{{4}}(?!\w)")
_INDIA = re.compile(
    r"(?<!\w)(?:pin ?(?:code)? ?[:-]? ?|[a-z]{3,20} ?- ?)[1-9]\d{2} ?\d{3}(?![\w-])"
)
_FIVE_CITY = re.compile(
    rf"(?<![\w.,$€£#-])(?:[a-z]{{1,2}}-)?(?P<code>\d{{5}}|\d{{3}} \d{{2}}) "
    rf"(?P<city>{_NAME}(?:[ -]{_NAME}){{0,2}})"
)
_CHINA = re.compile(r"[\u4e00-\u9fff]{1,10}(?:路|街|道|巷|弄|里)\d{1,5}(?:号|號|弄)?")
_INDIAN_PLACE = re.compile(
    rf"(?<!\w)(?:{_NAME} ){{1,3}}(?:nagar|marg|colony|chowk|puram|bagh|gali|extn|enclave|vihar"
    rf"|ganj)\b"
    r"|(?<!\w)(?:sector|phase|cross|main)[ -]\d{1,3}[a-z]?\b(?=,)"
)
_BARE_CODE = re.compile(r"^ *(?:\d{5}|\d{6}|\d{3} \d{2,3}|\d{4} ?[a-z]{2})[ ,.]*$", re.MULTILINE)
_LIVE_AT = re.compile(
    r"\b(?:i|we|he|she|they) (?:live|lives|lived|stay|stays|reside|resides)(?: \w{1,10})?? (?:at"
    r"|on|in|along)"
    r" (?P<value>[^\n.;!?]{3,80})"
    r"|\b(?:my|home|our|his|her|their|mailing|postal|billing|delivery|shipping) (?:home "
    r")?address(?: is| :|:)"
    r" ?(?P<value2>[^\n;!?]{3,90})"
)
_JOIN_GAP: Final = 28
"""Characters (a town's name) that may stand between two parts of one address."""


def addresses(reading: Reading) -> Iterator[PiiSpan]:
    """Addresses and their parts; parts that stand together are one span."""
    parts = sorted(_parts(reading), key=lambda span: span.start)
    current: PiiSpan | None = None
    for part in parts:
        if current is None:
            current = part
        elif part.start <= current.end or _continues(reading.low, current.end, part.start):
            joined = max(current.score, part.score)
            if part.start > current.end:  # two parts confirm each other
                joined = min(0.95, joined + 0.25)
            current = PiiSpan(current.start, max(current.end, part.end), Kind.ADDRESS, joined)
        else:
            yield current
            current = part
    if current is not None:
        yield current


def _continues(low: str, end: int, start: int) -> bool:
    gap = low[end:start]
    return (
        len(gap) <= _JOIN_GAP
        and not any(c in ".;!?" for c in gap.strip(" .,"))
        and not any(c.isdigit() for c in gap)
    )


def _parts(reading: Reading) -> Iterator[PiiSpan]:
    low = reading.low
    for match in _HOUSE_STREET.finditer(low):
        parts = match["name"].replace(".", " ").split()
        if any(part in streets.NOT_NAMES for part in parts):
            continue
        sure = _SURE_TYPE.fullmatch(match["type"]) is not None
        yield _span(match, 0.9 if sure else 0.75)
    yield from _street_names(reading)
    yield from _other_languages(reading)
    for match in _UNIT.finditer(low):
        yield _span(match, 0.6 if match["sure"] else 0.4)
    for pattern, score in ((_SG_UNIT, 0.85), (_PO_BOX, 0.9), (_SG_POSTAL, 0.95), (_ZIP_PLUS_4, 0.7),
                           (_BRAZIL, 0.8), (_JAPAN, 0.95), (_AUSTRALIA, 0.85), (_INDIA, 0.6),
                           (_CHINA, 0.9), (_INDIAN_PLACE, 0.55)):  # fmt: skip
        for match in pattern.finditer(low):
            yield _span(match, score)
    yield from _postal_codes(reading)
    for match in _LIVE_AT.finditer(low):
        name = "value" if match["value"] else "value2"
        value = match[name]
        has_number = any(c.isdigit() for c in value)
        yield PiiSpan(
            match.start(name), match.start(name) + len(value.rstrip()), Kind.ADDRESS,
            0.8 if has_number or name == "value2" else 0.45,
        )  # fmt: skip


def _street_names(reading: Reading) -> Iterator[PiiSpan]:
    for match in _STREET_ALONE.finditer(reading.low):
        parts = match["name"].split()
        if parts[-1] in streets.NOT_STREETS or parts[-1] in streets.NOT_NAMES:
            continue
        n_skipped = next(
            (len(parts) - n for n, w in enumerate(reversed(parts)) if w in streets.NOT_STREETS), 0
        )
        start = match.start("name")
        for word in parts[:n_skipped]:
            start = reading.low.index(word, start) + len(word)
        start += len(reading.low[start:]) - len(reading.low[start:].lstrip(" "))
        sure = _SURE_TYPE.fullmatch(match["type"]) is not None
        shown = reading.raw[start : start + 1]
        is_name = shown.isupper() or shown.isdigit()
        if match["number"] and sure:
            yield PiiSpan(start, match.end(), Kind.ADDRESS, 0.85)
        elif sure:
            yield PiiSpan(start, match.end(), Kind.ADDRESS, 0.6 if is_name else 0.4)
        elif is_name:
            yield PiiSpan(start, match.end(), Kind.ADDRESS, 0.35)


def _other_languages(reading: Reading) -> Iterator[PiiSpan]:
    for match in _PREFIXED.finditer(reading.low):
        sure = match["type"] in streets.SURE_PREFIXES
        numbered = match["before"] or match["after"]
        if len(match["type"].strip("./ ")) <= 3 and not sure and not match["after"]:
            continue  # "av", "am", "im": words of other languages
        if numbered or sure:
            yield _span(match, 0.85 if numbered and sure else 0.6)
    for match in _SUFFIXED.finditer(reading.low):
        if match["name"].split()[-1] not in _NOT_SUFFIXED:
            yield _span(match, 0.75)


def _postal_codes(reading: Reading) -> Iterator[PiiSpan]:
    low = reading.low
    for match in _US_ZIP.finditer(low):
        shown = reading.raw[match.start("state") : match.end("state")]
        if shown.isupper() or match["city"]:
            yield _span(match, 0.9 if match["city"] and shown.isupper() else 0.7)
    for match in _UK.finditer(low):
        spaced = bool(match["gap"]) or reading.raw[match.start() : match.end()].isupper()
        score = 0.85 if spaced else 0.6
        yield _span(match, 0.35 if match[0].endswith(_UNITS_OF_MEASURE) else score)
    for match in _CANADA.finditer(low):
        yield _span(match, 0.85 if match["gap"] else 0.65)
    for match in _NETHERLANDS.finditer(low):
        if reading.raw[match.end() - 2 : match.end()].isupper():
            yield _span(match, 0.6)
    for match in _POLAND.finditer(low):
        yield _span(match, 0.5)
    for match in _FIVE_CITY.finditer(low):
        shown = reading.raw[match.start("city")]
        if shown.isupper() and match["city"].split()[0] not in streets.NOT_NAMES:
            yield _span(match, 0.45)
    for match in _BARE_CODE.finditer(low):
        yield _span(match, 0.3)


def _span(match: re.Match[str], score: float) -> PiiSpan:
    return PiiSpan(match.start(), match.end(), Kind.ADDRESS, score)
