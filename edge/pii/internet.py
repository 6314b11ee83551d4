"""E-mail addresses, handles and web addresses: as written, as misread, and as spoken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edge.pii.reading import Reading
from edge.pii.spans import Kind, PiiSpan
from edge.pii.vocabulary import words

_GENERIC: Final = (
    "com|net|org|info|biz|io|edu|gov|mil|app|dev|xyz|online|shop|store|site|tech|blog|club|page"
    "|link|live|news|me|tv|ly|ai|gg|cc|eu|asia|email|name|mobi|travel|museum|jobs|cloud"
)
_COUNTRY: Final = (
    "ac|ad|ae|ar|at|au|ba|be|bg|br|by|ca|ch|ci|cl|cn|co|cr|cy|cz|de|dk|dz|ec|ee|eg|es|fi|fr|ge|gr"
    "|hk|hr|hu|id|ie|il|in|ir|is|it|jp|ke|kr|kw|kz|lb|li|lk|lt|lu|lv|ma|mc|md|mk|mt|mx|my|ng|nl|no"
    "|np|nz|om|pe|ph|pk|pl|pr|pt|qa|ro|rs|ru|sa|se|sg|si|sk|th|tn|tr|tw|ua|ug|uk|us|uy|ve|vn|za"
)
_TLD: Final = rf"(?:{_GENERIC}|{_COUNTRY})"
_SECOND_LEVEL: Final = rf"(?:com?|org|net|edu|gov|ac)\.(?:{_COUNTRY})"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_LOCAL: Final = r"[a-z0-9](?:[a-z0-9._%+'-]{0,62}[a-z0-9_])?"

_EMAIL = re.compile(
    rf"(?<![a-z0-9._%+-]){_LOCAL} ?[@©®] ?{_LABEL}(?:\.{_LABEL}){{0,4}} ?[.,] "
    rf"?[a-z]{{2,18}}(?![a-z0-9-])"
)
_EMAIL_WITHOUT_DOT = re.compile(
    rf"(?<![a-z0-9._%+-]){_LOCAL}(?: ?@ ?{_LABEL} {_TLD}"
    rf"|@(?=[a-z0-9-]{{0,20}}[a-z]{{3}}){_LABEL})(?![a-z0-9.])"
)
_BRACKETED = re.compile(
    rf"(?<![a-z0-9._%+-]){_LOCAL} ?[(\[{{] ?at ?[)\]}}] ?{_LABEL}(?: ?(?:\.|[(\[{{] ?dot ?[)\]}}]) "
    rf"?{_LABEL}){{1,4}}"
)
_SPOKEN_PART: Final = r"[a-z0-9]{1,30}"
_SPOKEN_JOIN: Final = r"(?: (?:dot|period|point|underscore|dash|hyphen|minus) | ?[._-] ?| )"
_SPOKEN_EMAIL = re.compile(
    rf"(?<![\w.])(?:{_SPOKEN_PART}{_SPOKEN_JOIN}){{0,5}}?{_SPOKEN_PART} at {_SPOKEN_PART}"
    rf"(?: ?(?:dash|hyphen|-) ?{_SPOKEN_PART})?(?: dot {_SPOKEN_PART}){{1,3}}(?!\w)"
)
_SPOKEN_MAIL_HOST = re.compile(
    rf"(?<![\w.])(?:{_SPOKEN_PART}{_SPOKEN_JOIN}){{0,5}}?{_SPOKEN_PART} at"
    r" (?:gmail|g mail|hotmail|hot mail|yahoo|outlook|icloud|proton ?mail|live|aol|gmx|me|msn)"
    rf"(?:\.{_TLD}| ?dot ?{_TLD}| {_TLD})(?!\w)"
)
_SPOKEN_URL = re.compile(
    rf"(?<![\w.])(?:(?:www|w w w|double u double u double u) ?(?:dot|\.) ?)?{_SPOKEN_PART}"
    rf"(?: ?(?:dash|hyphen) ?{_SPOKEN_PART}){{0,3}} dot (?:co dot )?(?:{_GENERIC}|uk|sg|de|fr|ca"
    rf"|au|in|us)(?!\w)"
)
_NOT_LOCAL: Final = words(
    "look is are was it me my mail email e-mail address write contact us send to at or and the a "
    "an "
    "reach"
    " you can use under by mailed emailed via on that its it's please"
)
"""Words before a spoken address that are no part of it."""

_SCHEME_URL = re.compile(r"(?<![a-z0-9])(?:https?|ftp|rtsp)\s?[:;] ?/ ?/ ?[^\s<>\"']{3,300}")
_WWW = re.compile(
    rf"(?<![a-z0-9])w{{2,4}} ?[., ] ?{_LABEL}(?: ?[.,] ?{_LABEL}){{1,4}}(?:/[^\s<>\"']{{0,200}})?"
)
_WWW_SPACED = re.compile(rf"(?<![a-z0-9])www {_LABEL} {_TLD}(?![a-z0-9])")
_DOMAIN = re.compile(
    rf"(?<![\w@.-])(?:{_LABEL}\.){{1,4}}({_TLD})(?![a-z0-9-]|\.[a-z0-9])(/[^\s<>\"']{{0,200}})?"
)
_AMBIGUOUS_TLD: Final = words(
    "ac ad am as at be by ca co de do eg en es id ie il in ir is it la li live ma me mt my name"
    " news no om page pe ph pm pr sa se si site so store shop th to us ve club jobs link"
)
"""Top-level domains that are words: "parking.no entry" is no address."""

_HANDLE = re.compile(
    r"(?<![\w@./])[@＠] ?(?=[a-z0-9_.]{0,29}[a-z])[a-z0-9_](?:[a-z0-9_.]{0,28}[a-z0-9_])"
)
_LABELLED_HANDLE = re.compile(
    r"(?<![a-z])(?:instagram|insta|ig|twitter|tiktok|tik tok|snapchat|snap|telegram|facebook|fb"
    r"|youtube"
    r"|twitch|discord|line id|wechat|weixin|skype|linkedin|github|steam|psn|gamertag|user ?name"
    r"|user id"
    r"|login|handle)(?: (?:is|name|id|handle|account|user ?name))?\s{0,2}[:=/@-]?\s{0,2}[@]?"
    r"(?P<value>[a-z0-9](?:[a-z0-9_.#-]{1,38}[a-z0-9]))(?![a-z0-9])"
)
_AT_PREPOSITION: Final = words("the a an all our your home work any this")


def emails(reading: Reading) -> Iterator[PiiSpan]:
    """E-mail addresses: with an at sign, with "(at)", or spoken "at … dot …"."""
    low = reading.low
    for match in _EMAIL.finditer(low):
        if re.search(r"[@©®]", match[0]) and not (match[0].count("@") == 0 and " " in match[0]):
            yield PiiSpan(match.start(), match.end(), Kind.EMAIL, 0.98)
    for match in _EMAIL_WITHOUT_DOT.finditer(low):
        if any(c.isalpha() for c in match[0].split("@")[-1]):
            yield PiiSpan(match.start(), match.end(), Kind.EMAIL, 0.6)
    for match in _BRACKETED.finditer(low):
        yield PiiSpan(match.start(), match.end(), Kind.EMAIL, 0.95)
    for pattern, score in ((_SPOKEN_EMAIL, 0.9), (_SPOKEN_MAIL_HOST, 0.95)):
        for match in pattern.finditer(low):
            start = _skip_words(low, match)
            if low[start : match.end()].split(" ", 1)[0] not in _NOT_LOCAL:
                yield PiiSpan(start, match.end(), Kind.EMAIL, score)


def _skip_words(low: str, match: re.Match[str]) -> int:
    """Where in "you can reach me under john dot tan at …" the address begins."""
    local = low[match.start() : match.end()].rsplit(" at ", 1)[0]
    start = match.start()
    offset = 0
    for word in re.finditer(r"\S+", local):
        if word[0] in _NOT_LOCAL and word.end() < len(local):
            offset = word.end() + 1
    return start + offset


def urls(reading: Reading) -> Iterator[PiiSpan]:
    """Web addresses, with and without scheme, and spoken ones."""
    low = reading.low
    for pattern, score in (
        (_SCHEME_URL, 0.98),
        (_WWW, 0.95),
        (_WWW_SPACED, 0.9),
        (_SPOKEN_URL, 0.85),
    ):
        for match in pattern.finditer(low):
            yield PiiSpan(match.start(), match.end(), Kind.URL, score)
    for match in _DOMAIN.finditer(low):
        host = match[0].split("/")[0]
        if not any(c.isalpha() for c in host.rsplit(".", 1)[0]):
            continue
        sure = match[2] or host.count(".") > 1 or match[1] not in _AMBIGUOUS_TLD
        yield PiiSpan(match.start(), match.end(), Kind.URL, 0.9 if sure else 0.35)


def handles(reading: Reading) -> Iterator[PiiSpan]:
    """Names of accounts: @someone, or after the name of a network."""
    low = reading.low
    for match in _HANDLE.finditer(low):
        name = match[0].lstrip("@＠ ")
        if " " not in match[0]:
            yield PiiSpan(match.start(), match.end(), Kind.USERNAME, 0.9)
        elif name not in _AT_PREPOSITION:
            yield PiiSpan(match.start(), match.end(), Kind.USERNAME, 0.4)
    for match in _LABELLED_HANDLE.finditer(low):
        value = match["value"]
        separated = low[match.start("value") - 1] in ":=/@-"
        marked = any(c.isdigit() or c in "_.#" for c in value)
        named = re.search(r" is ", match[0]) is not None
        if separated or marked or named:
            yield PiiSpan(match.start("value"), match.end(), Kind.USERNAME, 0.8 if marked else 0.6)
