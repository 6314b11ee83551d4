"""Private values, made up: names, places, addresses, dates, numbers, in writing and as spoken.

Faker gives names of people, streets and firms from many countries; what it lacks (how people in
Singapore name their streets, Chinese and Indian names in Latin letters) is composed here. Names
that nobody bears are made from syllables, so that the tagger learns how a name stands in a
sentence and not which names there are.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from faker import Faker

from edge.pii.spans import Kind
from export.train.tagger import lexicon as lex
from export.train.tagger import spoken

_LOCALES: Final = (
    "en_US", "en_GB", "en_IN", "en_AU", "en_NZ", "de_DE", "fr_FR", "it_IT", "es_ES", "es_MX",
    "pt_BR", "pt_PT", "nl_NL", "pl_PL", "cs_CZ", "da_DK", "no_NO", "sv_SE", "fi_FI", "hu_HU",
    "tr_TR", "ro_RO", "hr_HR", "id_ID", "de_CH", "fr_CA", "en_NG", "sl_SI", "et_EE", "lt_LT",
    "vi_VN",
)  # fmt: skip
_DOMAINS: Final = (
    "gmail.com",
    "yahoo.com",
    "outlook.com",
    "hotmail.com",
    "icloud.com",
    "proton.me",
)
_TLDS: Final = (
    "com",
    "com",
    "com",
    "org",
    "net",
    "io",
    "co.uk",
    "de",
    "sg",
    "edu",
    "fr",
    "ca",
    "us",
)
_ONSETS: Final = (
    *"bcdfghjklmnprstvwyz",
    "br", "ch", "cl", "dr", "fl", "gr", "kl", "kr", "ll", "mc", "ph", "sch", "sh", "sk", "st",
    "str", "th", "tr", "zh",
)  # fmt: skip
_VOWELS: Final = ("a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ee", "ia", "ie", "io", "ou")
_CODAS: Final = ("", "", "", "n", "r", "l", "s", "ck", "ng", "rt", "nd", "sson", "ini", "ova",
                 "berg", "mann", "ton", "ski", "ez", "ley", "wald", "escu", "dottir",
                 "nen")  # fmt: skip
_PREFIXES: Final = ("de", "van", "von", "bin", "al", "el", "di", "da", "van der", "de la", "mac")


@dataclass(frozen=True, slots=True)
class Value:
    """A private value: its words as spoken, and as a recogniser with formatting writes them."""

    spoken: tuple[str, ...]
    written: tuple[str, ...]


class Values:
    """Draws values. The same seed gives the same values."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - text, no secret
        self._fakers = [Faker(locale) for locale in _LOCALES]
        for number, faker in enumerate(self._fakers):
            faker.seed_instance(seed * 1000 + number)
        self._makers: dict[Kind, Callable[[], str]] = {
            Kind.NAME: self.name,
            Kind.PLACE: self.place,
            Kind.ORGANISATION: self.organisation,
            Kind.ADDRESS: self.address,
            Kind.USERNAME: self.username,
            Kind.BIRTHDAY: self.date,
            Kind.PHONE: self.phone,
            Kind.EMAIL: self.email,
            Kind.URL: self.url,
            Kind.ID: self.ident,
            Kind.CARD: self.card,
            Kind.SECRET: self.secret,
            Kind.PLATE: self.plate,
        }

    def draw(self, kind: Kind) -> Value:
        """Return a value of a kind."""
        while True:
            text = spoken.latin(self._makers[kind]())
            spoken_words = tuple(self._say(kind, text))
            if spoken_words and text.split():
                return Value(spoken_words, tuple(text.split()))

    def _say(self, kind: Kind, text: str) -> list[str]:
        rng = self.rng
        if kind is Kind.PHONE:
            return spoken.phone(text, rng)
        if kind in (Kind.ID, Kind.CARD, Kind.PLATE):
            return spoken.code(text.replace(" ", ""), rng)
        if kind in (Kind.EMAIL, Kind.URL):
            return spoken.address_of_net(text, rng, split_words=rng.random() < 0.8)
        if kind is Kind.USERNAME:
            return spoken.address_of_net(text, rng, split_words=True)
        if kind is Kind.SECRET and text.isdigit():
            return spoken.number(text, rng)
        words = spoken.say(text, rng)
        if kind is Kind.NAME and rng.random() < 0.03:
            return [*words, *(["spelled"] if rng.random() < 0.3 else []), *"".join(words[-1:])]
        return words

    def job(self) -> str:
        """Return the title of a profession."""
        return str(self._fakers[0].job())

    def _faker(self) -> Faker:
        # A third English: what most recognisers of English write best.
        return self._fakers[self.rng.choice((0, 1, 2, 3)) if self.rng.random() < 0.33
                            else self.rng.randrange(len(self._fakers))]  # fmt: skip

    def _invented(self, syllables: int) -> str:
        rng = self.rng
        parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables)]
        return ("".join(parts) + rng.choice(_CODAS)).capitalize()

    def first_name(self) -> str:
        """Return a first name."""
        way = self.rng.random()
        if way < 0.12:
            return self._invented(self.rng.randint(1, 2))
        if way < 0.2:
            return " ".join(self.rng.sample(lex.ASIAN_GIVEN, 2)).title()
        return str(self._faker().first_name())

    def last_name(self) -> str:
        """Return a family name."""
        way = self.rng.random()
        if way < 0.2:
            return self._invented(self.rng.randint(1, 3))
        if way < 0.25:
            return f"{self.rng.choice(_PREFIXES)} {self._faker().last_name()}".title()
        return str(self._faker().last_name())

    def name(self) -> str:
        """Return what somebody may be called in a sentence."""
        rng, way = self.rng, self.rng.random()
        if way < 0.3:
            return self.first_name()
        if way < 0.7:
            return f"{self.first_name()} {self.last_name()}"
        if way < 0.74:
            return f"{self.first_name()} {rng.choice(string.ascii_uppercase)} {self.last_name()}"
        if way < 0.78:
            return f"{self.first_name()} {self.first_name()} {self.last_name()}"
        if way < 0.86:
            return self.last_name()
        if way < 0.94:
            given = [
                name.capitalize() for name in rng.sample(lex.ASIAN_GIVEN, rng.choice((1, 2, 2)))
            ]
            family = rng.choice(lex.ASIAN_FAMILY).capitalize()
            western = [str(self._fakers[0].first_name())] if rng.random() < 0.3 else []
            return " ".join((*western, family, *given) if rng.random() < 0.7 else (*given, family))
        return rng.choice(lex.SOUTH_NAMES).title()

    def place(self) -> str:
        """Return a town, region or country."""
        way = self.rng.random()
        if way < 0.55:
            return self.rng.choice(lex.CITIES).title()
        if way < 0.72:
            return str(self._fakers[0].country())
        if way < 0.78:
            return str(self._fakers[0].state())
        if way < 0.84:
            tail = self.rng.choice(("ville", "town", "burg", "field", "ford", " City", " Beach"))
            return self._invented(self.rng.randint(1, 2)) + tail
        return str(self._faker().city())

    def organisation(self) -> str:
        """Return a firm, an authority, a school."""
        way = self.rng.random()
        if way < 0.35:
            return self.rng.choice(lex.COMPANIES).title()
        if way < 0.65:
            return str(self._faker().company()).replace(",", "").replace("-", " ")
        tail = self.rng.choice(lex.COMPANY_TAILS).title()
        middle = self.rng.choice((self.last_name, self.place, self._word, self._coined))
        if way < 0.72:
            head = self.rng.choice(("University", "Bank", "College", "Hospital"))
            return f"{head} of {self.place()}"
        if way < 0.8:
            return self._coined()
        return f"{middle()} {tail}"

    def _word(self) -> str:
        return self.rng.choice((*lex.ADJECTIVES, *lex.NOUNS)).capitalize()

    def _coined(self) -> str:
        return self.rng.choice(lex.NOUNS).capitalize() + self.rng.choice(
            ("ly", "ify", "soft", "tech", "hub", "works", "base", "scope", "net", " Labs", " App")
        )

    def road(self) -> str:
        """Return a street's name."""
        rng, way = self.rng, self.rng.random()
        if way < 0.2:
            name = rng.choice((self.last_name, self.first_name, self._word))()
            pattern = rng.choice(lex.FOREIGN_ROADS)
            return pattern % name
        if way < 0.4:
            faker = self._faker()
            return "".join(c for c in str(faker.street_name()) if not c.isdigit())
        base = rng.choice(lex.ROADS) if way < 0.75 else rng.choice((self.last_name, self._word))()
        sides = ("north ", "south ", "east ", "west ", "old ", "new ", "upper ")
        side = rng.choice(sides) if rng.random() < 0.1 else ""
        number = f" {rng.randint(1, 99)}" if rng.random() < 0.2 else ""
        return f"{side}{base} {rng.choice(lex.ROAD_KINDS)}{number}"

    def address(self) -> str:
        """Return an address or a part that identifies one."""
        rng, way = self.rng, self.rng.random()
        house = str(rng.randint(1, 9999 if rng.random() < 0.3 else 299))
        road = self.road()
        if way < 0.08:
            return road
        line = f"{house} {road}" if rng.random() < 0.75 else f"{road} {house}"
        if way < 0.35:
            return line.title()
        extras = (
            lambda: f"Apartment {rng.randint(1, 999)}",
            lambda: f"Apt {rng.randint(1, 99)} {rng.choice('ABCDEF')}",
            lambda: f"Suite {rng.randint(1, 999)}",
            lambda: f"Unit {rng.randint(1, 30)} {rng.randint(1, 200)}",
            lambda: f"Flat {rng.randint(1, 99)}",
            lambda: f"Floor {rng.randint(1, 40)}",
            lambda: f"Room {rng.randint(1, 999)}",
        )
        block = f"{rng.choice(('Block', 'Blk', 'House', 'Building', 'Number'))} {line}"
        if way < 0.45:
            return block.title()
        unit = rng.choice(extras)()
        if way < 0.5:
            return unit
        if way < 0.6:
            return f"{unit} {line}".title()
        if way < 0.7:
            return f"{line} {unit}".title()
        if way < 0.74:
            return f"PO Box {rng.randint(1, 99999)} {self.place()}"
        code = "".join(rng.choice(string.digits) for _ in range(rng.choice((4, 5, 5, 6))))
        if rng.random() < 0.2:
            letters = string.ascii_uppercase
            a, b, c, d = rng.choices(letters, k=4)
            code = f"{a}{b}{rng.randint(1, 20)} {rng.randint(1, 9)}{c}{d}"
        town = self.place() if rng.random() < 0.6 else self._faker().city()
        state = f" {self._fakers[0].state()}" if rng.random() < 0.25 else ""
        middle = f" {unit}" if rng.random() < 0.35 else ""
        country = f" {self._fakers[0].country()}" if rng.random() < 0.2 else ""
        before = rng.random() < 0.4
        where = (
            f"{code} {town}"
            if before
            else f"{town}{state} {code}"
            if rng.random() < 0.7
            else f"{town}{state}"
        )
        return f"{line}{middle} {where}{country}"

    def username(self) -> str:
        """Return a user name or handle."""
        rng = self.rng
        name = str(self._faker().user_name()) if rng.random() < 0.5 else (
            rng.choice(("", "", "the", "mr", "real", "its", "x"))
            + rng.choice((self.first_name().split()[0], rng.choice(lex.NOUNS),
                          rng.choice(lex.ADJECTIVES)))
            + rng.choice(("", "_", ".", "_", "-"))
            + rng.choice((rng.choice(lex.NOUNS), self.last_name().split()[-1], ""))
            + rng.choice(("", "", str(rng.randint(1, 99)), str(rng.randint(1970, 2012))))
        ).lower().strip("_.-")  # fmt: skip
        return ("@" if rng.random() < 0.3 else "") + (name or "user")

    def date(self) -> str:
        """Return a date with a year, or without."""
        rng = self.rng
        day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1930, 2015)
        name = spoken.MONTHS[month - 1].capitalize()
        suffix = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(day, "th")
        return rng.choice(
            (f"{day}/{month}/{year}", f"{day}.{month}.{year}", f"{name} {day}{suffix} {year}",
             f"{day}{suffix} of {name} {year}", f"{name} {day} {year}", f"{day} {name} {year}",
             f"{name} {day}{suffix}", f"the {day}{suffix} of {name}", f"{name} {year}", f"{year}")
        )  # fmt: skip

    def _digits(self, count: int) -> str:
        return "".join(self.rng.choice(string.digits) for _ in range(count))

    def phone(self) -> str:
        """Return a telephone number."""
        rng, way = self.rng, self.rng.random()
        if way < 0.25:
            return f"{rng.choice('689')}{self._digits(3)} {self._digits(4)}"
        if way < 0.5:
            return f"{self._digits(3)}-{self._digits(3)}-{self._digits(4)}"
        if way < 0.7:
            return str(self._faker().phone_number()).replace("(", "").replace(")", " ")
        if way < 0.85:
            return f"+{rng.randint(1, 99)} {self._digits(4)} {self._digits(4)}"
        return self._digits(rng.randint(7, 11))

    def email(self) -> str:
        """Return an e-mail address."""
        rng = self.rng
        first, last = self.first_name().split()[0], self.last_name().split()[-1]
        handle = self.username().strip("@")
        user = rng.choice((f"{first}.{last}", f"{first}{last}", f"{first}_{last}", first, handle,
                           f"{first[0]}{last}", f"{first}{rng.randint(1, 99)}",
                           f"{last}-{first}"))  # fmt: skip
        return f"{user}@{self._domain()}"

    def _domain(self) -> str:
        rng = self.rng
        if rng.random() < 0.5:
            return rng.choice(_DOMAINS)
        coined = self._coined().replace(" ", "")
        word = rng.choice((self.last_name().split()[-1], rng.choice(lex.NOUNS), coined,
                           rng.choice(lex.ADJECTIVES) + rng.choice(lex.NOUNS)))  # fmt: skip
        return f"{word}.{rng.choice(_TLDS)}"

    def url(self) -> str:
        """Return a web address."""
        rng = self.rng
        words = "".join(rng.choice(lex.NOUNS).capitalize() for _ in range(rng.randint(1, 2)))
        path = f"/{rng.choice(lex.NOUNS)}" if rng.random() < 0.2 else ""
        head = rng.choice(("", "www.", "https://", "https://www.", "http://"))
        return f"{head}{words}.{rng.choice(_TLDS)}{path}"

    def ident(self) -> str:
        """Return a number that an authority or a firm gave."""
        rng, letters = self.rng, string.ascii_uppercase
        return rng.choice((
            f"{rng.choice('STFG')}{self._digits(7)}{rng.choice(letters)}",
            f"{self._digits(3)}-{self._digits(2)}-{self._digits(4)}",
            f"{rng.choice(letters)}{self._digits(rng.randint(6, 12))}",
            f"{rng.choice(letters)}{rng.choice(letters)}{self._digits(6)}{rng.choice(letters)}",
            f"GB{self._digits(2)}{''.join(rng.choices(letters, k=4))}{self._digits(14)}",
            f"DE{self._digits(20)}", self._digits(rng.randint(7, 12)),
            ".".join(str(rng.randint(0, 255)) for _ in range(4)),
        ))  # fmt: skip

    def card(self) -> str:
        """Return the digits of a payment card."""
        size = self.rng.choice((16, 16, 16, 15))
        return self.rng.choice("3456") + self._digits(size - 1)

    def secret(self) -> str:
        """Return a password or a PIN."""
        rng = self.rng
        if rng.random() < 0.5:
            return self._digits(rng.choice((4, 4, 6)))
        words = " ".join(rng.sample(lex.SECRETS, rng.randint(1, 4)))
        return words + (f" {rng.randint(1, 999)}" if rng.random() < 0.5 else "")

    def plate(self) -> str:
        """Return a licence plate."""
        rng, letters = self.rng, string.ascii_uppercase
        return rng.choice((
            f"S{rng.choice(letters)}{rng.choice(letters)}{self._digits(4)}{rng.choice(letters)}",
            "".join((*rng.choices(letters, k=2), self._digits(2), *rng.choices(letters, k=3))),
            f"{''.join(rng.choices(letters, k=3))}{self._digits(4)}",
        ))  # fmt: skip
