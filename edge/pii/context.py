"""What words announce: "my number is", "PIN", "born on", "Mr"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edge.pii.dates import DATE
from edge.pii.reading import Reading
from edge.pii.spans import Kind, PiiSpan
from edge.pii.vocabulary import words

_LINK: Final = (
    r"(?: (?:number|no|num|nr|code|id))?\.?(?: (?:is|was|are|should be|would be|ist|es|est|of))?"
    r"(?: like| uh| um| its| it's)?\s{0,2}[:#=.-]{0,2}\s{0,2}"
)
"""What may stand between a word that announces a number and the number."""
_VALUE: Final = (
    r"(?P<value>(?=(?:[^\n\d]{0,6}\d){4})[a-z0-9]"
    r"(?:[ .\n/-]?[a-z]{0,3}\d{1,16}){1,8}[a-z]{0,2})(?![\w])"
)
"""Four digits at least, with few letters and separators between."""

_ID_NUMBER = re.compile(
    r"(?<![a-z])(?:passport|pass|pp|licen[cs]e|driver'?s? licen[cs]e|lic|dl|account|acct|acc|a/c"
    r"|konto|iban"
    r"|sort code|routing|aba|swift|ssn|social security|social|nric|fin|ic|aadhaar|aadhar|pan|tax"
    r"|tin|tfn|ein"
    r"|medicare|medicaid|nhs|ni|national insurance|national id|identity|identity card|id card|id"
    r"|policy|member"
    r"|membership|customer|client|employee|staff|student|matric|patient|mrn|case|claim|booking"
    r"|reservation|pnr"
    r"|tracking|parcel|consignment|awb|ref|reference|confirmation|serial|s/n|sn|vin|imei|meid"
    r"|iccid|mac|voter"
    r"|ausweis|dni|nie|cpf|curp|rfc|loyalty|insurance|frequent flyer|badge|permit|visa)"
    + _LINK
    + _VALUE
)
_CARD_NUMBER = re.compile(
    r"(?<![a-z])(?:(?:credit|debit|bank|visa|master|amex) ?card|card)(?: (?:number|no))?\.?(?: "
    r"ending(?: in)?)?" + _LINK + _VALUE
)
_PHONE_NUMBER = re.compile(
    r"(?<![a-z])(?:(?:my|our|his|her|their|phone|mobile|cell|contact|telephone|whatsapp|fax|home"
    r"|work|office)"
    r"(?: (?:phone|mobile|cell|contact|telephone|whatsapp|home|work|office))? (?:number|no|num)"
    r"|(?:call|text|ring|reach|phone|dial|whatsapp|message|sms)(?: (?:me|us|him|her|them))?(?: "
    r"(?:at|on|under))?"
    r"|my (?:phone|mobile|cell|handphone|digits))(?: (?:is|was|are|at|on))?(?: like| uh| "
    r"um)?\s{0,2}[:#=-]{0,2}\s{0,2}"
    r"(?P<value>\+?\(?\d(?:[ .()/-]{0,2}\d){4,16})(?![\w:%])"
)

_PIN = re.compile(
    r"(?<![a-z])(?:pin(?: ?code)?|otp|passcode|pass code|cvv2?|cvc2?|security code|access code"
    r"|door code"
    r"|gate code|entry code|alarm code|verification code|one time (?:password|code)|unlock code"
    r"|voucher|2fa|tan"
    r"|key ?code|lock code|code)(?: (?:number|no))?\.?(?: (?:is|was|for [a-z ]{2,20} is))?(?: uh| "
    r"um)?"
    r"\s{0,2}(?P<sign>[:#=-]{0,2})\s{0,2}(?P<value>\d(?:[ -]?\d){2,9})(?![\w:%.]\d|\w)"
)
_PASSWORD = re.compile(
    r"(?<![a-z])(?:pass ?words?|pass ?phrase|pwd|passwd|pw|psw|wi-?fi (?:key|pass|code)|wpa2?(?: "
    r"key)?|network key"
    r"|contrasena|clave|mot de passe|mdp|senha|passwort|kennwort|wachtwoord|parola|haslo|lozinka"
    r"|secret(?: key| word)?"
    r"|api[ _-]?key|token|security answer|maiden name)(?![a-z])(?: (?:is|are|was|will be"
    r"|=))?\s{0,2}(?P<sign>[:=]{0,2})[ \n]{0,2}"
    r"(?P<value>[^\s]{3,64}(?: [^\s]{1,20}){0,3})"
)
_STOPS: Final = words(
    "and or but so then to for the a an is are was you i we he she it please which that this my "
    "your must"
    " should cannot can will not has have protected required reset on in at of with if because "
    "when do"
    " don't forgotten forgot manager change changed here"
)

_BORN = re.compile(
    r"(?<![a-z])(?:d\.? ?o\.? ?b\.?|date of birth|birth ?date|birth ?day|born|year of birth"
    r"|geboren(?: am)?"
    r"|geburtsdatum|ne\(?e?\)? le|date de naissance|fecha de nacimiento|nacid[oa](?: el)?|nat[oa] "
    r"il"
    r"|data di nascita|data de nascimento|geboortedatum)(?: is| was| on| in| the)?(?: the| "
    r"on)?\s{0,2}[:=-]{0,2}[ \n]{0,2}"
    rf"(?P<value>{DATE}|(?:19|20)\d\d(?!\d))"
)
_BORN_BEFORE = re.compile(
    rf"(?P<value>{DATE})(?: is| was|,)? (?:my|his|her|their) (?:birth ?day|date of birth)"
)

_NAME_WORD: Final = r"[^\W\d_](?:[^\W\d_]|['.-]){0,24}"
_TITLES: Final = (
    "mr|mrs|ms|mdm|madam|madame|mister|dr|doctor|prof|professor|herr|frau|mme|mlle|monsieur|senor"
    "|senora"
    "|signor|signora|encik|puan|datuk|dato|tan sri|shri|smt|sra|sr|capt|captain|sgt|sergeant|lt"
    "|lieutenant"
    "|col|colonel|officer|inspector|rev|reverend|pastor|father|rabbi|imam|justice|judge|sir|lady"
    "|lord|miss"
    "|auntie|uncle|aunt|cik|haji|ustaz|sheikh|mevrouw|meneer|pan|pani|dott|avv|ing|nurse|mag"
)
_TITLED = re.compile(
    rf"(?<![\w'])(?<!\d )(?P<title>{_TITLES})(?P<dot>\.?)[ ]{{0,2}}(?<=[ .])"
    rf"(?P<value>{_NAME_WORD}(?: {_NAME_WORD}){{0,3}})"
)
_SPOKEN_TITLES: Final = words(
    "mr mrs ms mdm mister doctor dr professor prof mme herr frau encik puan"
)
_ANNOUNCED_NAME = re.compile(
    r"(?<![a-z])(?:(?:my|his|her|their|full|first|last|family|maiden|sur|customer|patient|account "
    r"holder'?s?)"
    r" ?names? (?:is|was|are|:|=)|name ?[:=]|surname ?[:=]?|nom ?:|nombre ?:|hello my name is|i am "
    r"called"
    r"|attn\.?:?|attention:|c/o|signed by|signed:|yours (?:sincerely|truly|faithfully),?|best "
    r"regards,?|kind regards,?"
    r"|dear|this is|it's|i'm|i am|speaking to|speaking with|named|call me|deliver to:?|ship to:?"
    r"|bill to:?|recipient:?"
    r"|sender:?|passenger:?|holder:?|cardholder:?|pte\.?|patient:?|happy birthday|r\.?i\.?p\.?|in "
    r"loving memory of|née|nee)"
    rf"[ \n]{{1,2}}(?P<value>{_NAME_WORD}(?: {_NAME_WORD}){{0,3}})"
)
_SURE_ANNOUNCEMENT = re.compile(
    r"names? (?:is|was|are|:|=)|name ?[:=]|c/o|attn|signed|surname|hello my|cardholder|called"
)
_NOT_NAMES: Final = words(
    "the a an my your our his her their not no so very just going sure sorry glad happy here there "
    "is are was"
    " and or but for from with to at in on of it that this what who when where why how all we you "
    "they he she"
    " i'm it's good great fine okay ok yes please thank thanks sir madam customer customers "
    "customer's everyone"
    " team all friends guests guest resident residents visitor visitors parents passenger "
    "passengers driver"
    " drivers only also now really speaking calling will can may must should would could has have "
    "had be been"
    " do does did because about very much too than then right left new old big bus taxi public"
    " over under staff hiring coming looking trying working told said says called marten martens "
    "pepper bean"
    " president minister chairman speaker secretary"
)


def announced(reading: Reading) -> Iterator[PiiSpan]:
    """Numbers behind the words that say what they are."""
    for match in _ID_NUMBER.finditer(reading.low):
        yield _value(match, Kind.ID, 0.85)
    for match in _CARD_NUMBER.finditer(reading.low):
        yield _value(match, Kind.CARD, 0.75)
    for match in _PHONE_NUMBER.finditer(reading.low):
        yield _value(match, Kind.PHONE, 0.9)


def births(reading: Reading) -> Iterator[PiiSpan]:
    """Dates of birth, where words say that they are."""
    for pattern in (_BORN, _BORN_BEFORE):
        for match in pattern.finditer(reading.low):
            yield _value(match, Kind.BIRTHDAY, 0.9)


def secrets(reading: Reading) -> Iterator[PiiSpan]:
    """PINs, passwords, keys."""
    for match in _PIN.finditer(reading.low):
        vague = match[0].startswith(("code", "voucher", "tan")) and not match["sign"]
        yield _value(match, Kind.SECRET, 0.55 if vague and " is" not in match[0] else 0.9)
    for match in _PASSWORD.finditer(reading.low):
        words = match["value"].split(" ")
        said = re.search(r" (?:is|are|was|=)\s*$", match[0][: match.start("value") - match.start()])
        if not (match["sign"] or said or any(c.isdigit() for c in words[0])):
            continue
        if words[0] in _STOPS:
            continue
        n_words = next((n for n, word in enumerate(words) if word in _STOPS), len(words))
        end = match.start("value") + len(" ".join(words[:n_words]))
        yield PiiSpan(match.start("value"), end, Kind.SECRET, 0.9 if match["sign"] else 0.75)


def titled_names(reading: Reading) -> Iterator[PiiSpan]:
    """Names behind a title, and behind words that introduce somebody."""
    for match in _TITLED.finditer(reading.low):
        end = _name_end(reading, match)
        # In print a name has capitals; in lower case only titles that are no other word count.
        cased = reading.raw[match.start("value")].isupper()
        if end > match.start("value") and (cased or match["title"] in _SPOKEN_TITLES):
            is_sure = match["title"] in _SPOKEN_TITLES
            yield PiiSpan(match.start(), end, Kind.NAME, 0.85 if is_sure else 0.45)
    for match in _ANNOUNCED_NAME.finditer(reading.low):
        end = _name_end(reading, match)
        sure = _SURE_ANNOUNCEMENT.search(match[0][: match.start("value") - match.start()])
        cased = reading.raw[match.start("value")].isupper()
        whole_upper = reading.raw.isupper()
        if end > match.start("value") and (sure or (cased and not whole_upper)):
            yield PiiSpan(match.start("value"), end, Kind.NAME, 0.85 if sure else 0.6)


def _name_end(reading: Reading, match: re.Match[str]) -> int:
    """Where the name ends: at the first word in lower case in a text that has capitals, or at a
    word that is none."""
    start = match.start("value")
    cased = reading.raw[start].isupper()
    end = start
    limit = 4 if cased else 2
    for n, word in enumerate(re.finditer(r"[^ ]+", match["value"])):
        first = reading.raw[start + word.start()]
        is_particle = word[0] in {
            "van",
            "de",
            "der",
            "von",
            "bin",
            "binte",
            "del",
            "la",
            "di",
            "da",
            "al",
            "s/o",
            "d/o",
        }
        if (
            n >= limit
            or word[0].strip(".'-") in _NOT_NAMES
            or (cased and first.islower() and not is_particle)
        ):
            break
        end = start + word.end()
    return end


def _value(match: re.Match[str], kind: Kind, score: float) -> PiiSpan:
    return PiiSpan(match.start("value"), match.end("value"), kind, score)
