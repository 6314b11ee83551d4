"""What a date looks like: private after "born", and never a phone number."""

from __future__ import annotations

import re
from typing import Final

MONTH: Final = (
    r"(?:jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|fevrier|mar(?:ch|s|zo)?|marz|apr(?:il)?|avril"
    r"|abril|may|mai|mayo|june?|juni|juin|junio|july?|juli|juillet|julio|aug(?:ust)?|aout|agosto"
    r"|sep(?:t|tember|tembre|tiembre)?|oct(?:ober|obre|ubre)?|okt(?:ober)?|nov(?:ember|embre"
    r"|iembre)?|dec(?:ember|embre)?|dez(?:ember)?|diciembre|janeiro|enero|gennaio)"
)
"""In English, German, French and Spanish; on folded text."""
_ORDINAL: Final = (
    r"(?:(?:twenty|thirty)[ -])?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth"
    r"|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth"
    r"|nineteenth|twentieth|thirtieth)"
)
_DAY: Final = rf"(?:\d{{1,2}}(?:st|nd|rd|th)?|{_ORDINAL})"
_YEAR_WORDS: Final = (
    r"(?:nineteen|twenty|two thousand)(?:[ -](?:hundred|oh|and|ten|eleven|twelve|\w{3,5}teen"
    r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|one|two|three|four|five|six|seven"
    r"|eight|nine)){0,3}"
)
NUMERIC: Final = (
    r"(?:\d{4} ?[-/.] ?\d{1,2} ?[-/.] ?\d{1,2}|\d{1,2} ?[-/.] ?\d{1,2} ?[-/.] ?(?:\d{4}|\d{2}))"
)
DATE: Final = (
    rf"(?:{NUMERIC}|(?:the )?{_DAY}\.?[ -]?(?:of )?{MONTH}\b\.?(?:,? ?-?(?:\d{{4}}|'?\d{{2}}"
    rf"|{_YEAR_WORDS}))?|{MONTH}\b\.? ?(?:the )?{_DAY}(?:,? ?(?:\d{{4}}|{_YEAR_WORDS}))?)"
)
"""A whole date in digits or words, as printed or spoken; on folded text."""

_CLOCK: Final = r"(?:[t ,]{0,3}\d{1,2}[:.]\d{2}(?:[:.]\d{2})?)?"
_LOOKS_LIKE_DATE = re.compile(rf"{NUMERIC}{_CLOCK}")
_YEARS = re.compile(r"(?:19|20)\d\d ?[-/] ?(?:19|20)\d\d")
_COMPACT = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_HOURS = re.compile(
    r"[0-2]?\d[:.h]?[0-5]?\d? ?- ?[0-2]?\d[:.h]?[0-5]\d(?:[ /,&+]{1,3}[0-2]?\d[:.h]?[0-5]\d"
    r" ?- ?[0-2]?\d[:.h]?[0-5]\d){0,2}"
)


def is_time(text: str) -> bool:
    """Whether a folded text of digits and separators is a date, a span of years or of hours."""
    text = text.strip(" .,")
    return any(
        pattern.fullmatch(text) is not None
        for pattern in (_LOOKS_LIKE_DATE, _YEARS, _COMPACT, _HOURS)
    )
