"""What people say before they say something private: "my number is", "I live at", "the PIN is"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge.pii.spans import Kind

_EDGE: Final = ".,!?;:\"'“”‘’()[]{}…"
_OWNER: Final = r"(?:my|our|his|her|their|your|the)"
_IS: Final = r"(?: is| was| are|'s|'re| will be| would be| should be)?(?: now| actually| still)?"
_PERSON: Final = r"(?:me|us|him|her|them|mom|dad)"


@dataclass(frozen=True, slots=True)
class Cue:
    """Words first..after-1 announce that a kind follows from word after on."""

    first: int
    after: int
    kind: Kind
    strong: bool
    """What follows is very probably private, whatever it looks like."""


_CUES: Final = tuple(
    (kind, strong, re.compile(rf"(?<!\S)(?:{pattern})(?!\S)"))
    for kind, strong, pattern in (
        (Kind.NAME, True,
         rf"{_OWNER}(?: full| real| first| last| middle| family| maiden| legal)? name"
         r"(?:'s| is| was)"
         r"|name is|name's|spelled|spelt"),
        (Kind.NAME, False,
         r"(?:you can |please |just )?call me|this is|i am|i'm|speaking (?:to|with)|named|called"
         r"|mister|missus|miss|ms|mr|mrs|doctor|dr|professor|uncle|auntie|aunt"),
        (Kind.PHONE, True,
         rf"{_OWNER}(?: new| old)?(?: phone| cell| mobile| telephone| contact| whatsapp| home"
         rf"| office| work| fax)?(?: phone)? number{_IS}"
         rf"|(?:phone|mobile|telephone|contact) number{_IS}"),
        (Kind.PHONE, False,
         rf"(?:reach|call|text|ring|phone|contact|whatsapp|message|dial)(?: {_PERSON})?"
         r"(?: back)?(?: at| on)|dial|(?:my|the) (?:phone|mobile|cell) is"),
        (Kind.ADDRESS, True,
         rf"{_OWNER}(?: home| new| old| delivery| billing| shipping| work| postal"
         rf"| mailing)? address{_IS}"
         rf"|(?:postal code|post code|postcode|zip code|zip){_IS}"),
        (Kind.ADDRESS, False,
         r"(?:live|lives|lived|living|stay|stays|staying|reside|resides|moved|moving)"
         r" (?:at|on|in|to)"
         r"|(?:located|office is|house is|home is) (?:at|on|in)"
         rf"|(?:come|deliver|send|ship|mail|drive|meet {_PERSON}|pick {_PERSON} up)"
         r"(?: it| them)? (?:to|at)"),
        (Kind.BIRTHDAY, True,
         rf"(?:date of birth|birth date|birthdate|d o b|dob|{_OWNER} birthday){_IS}(?: on)?"
         r"|(?:was|were|is|am|i'm) born(?: on| in)?(?: the)?|born (?:on|in)(?: the)?"),
        (Kind.SECRET, True,
         r"(?:password|passcode|pass code|passphrase|pass phrase|pin|pin code|pin number|p i n"
         r"|security code|access code|door code|gate code|verification code|c v v|c v c"
         r"|one time password|o t p)(?: is| was|'s| will be)"),
        (Kind.ID, True,
         r"(?:passport|identity card|i d|id|i c|n r i c|nric|social security|ssn|s s n|licen[cs]e"
         r"|driving licen[cs]e|driver's licen[cs]e|account|bank account|member|membership|tax"
         r"|tracking|order|employee|student|insurance|policy|case|reference|booking|iban|i ban)"
         r"(?: card)?"
         r"(?: number| code| no)?(?: is| was|'s)"),
        (Kind.CARD, True,
         rf"(?:credit|debit|visa|mastercard|master|bank|amex) card(?: number)?{_IS}"
         rf"|card number{_IS}"),
        (Kind.PLATE, True,
         r"(?:licen[cs]e plate|number plate|plate number|plates?|registration)(?: is| was|'s)"),
        (Kind.EMAIL, True,
         rf"(?:email|e mail|mail)(?: address)?(?: is| was|'s)"
         rf"|(?:email|mail|write) {_PERSON}(?: at| to)?"),
        (Kind.USERNAME, True,
         rf"(?:username|user name|handle|gamer tag|gamertag|account name|login|nickname"
         rf"|instagram|twitter|tiktok|snapchat|discord|telegram)"
         r"(?: handle| name| account)?(?: is| was|'s)"
         rf"|(?:follow|add|find) {_PERSON} (?:on \w+ )?(?:at|as|under)"),
    )
)  # fmt: skip


def plain(word: str) -> str:
    """Return a word in lower case, without the punctuation around it."""
    return word.lower().replace("’", "'").strip(_EDGE)


def find_cues(words: Sequence[str]) -> list[Cue]:
    """Return the cues in words, in order of where they end."""
    text = ""
    begins: dict[int, int] = {}
    ends: dict[int, int] = {}
    for index, word in enumerate(words):
        begins[len(text)] = index
        text += plain(word)
        ends[len(text)] = index
        text += " "
    found = [
        Cue(begins[match.start()], ends[match.end()] + 1, kind, strong)
        for kind, strong, pattern in _CUES
        for match in pattern.finditer(text)
        if match.start() in begins and match.end() in ends
    ]
    return sorted(found, key=lambda cue: (cue.after, cue.first))
