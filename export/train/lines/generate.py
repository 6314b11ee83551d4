"""Lines that somebody might read in a picture: names, addresses, and everything else."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from faker import Faker

from export.train.lines import vocabulary
from export.train.lines.vocabulary import Names
from export.train.wordnet import WordNet

ORDINARY, NAME, ADDRESS = range(3)
_SHARES: Final = (0.52, 0.30, 0.18)
"""Of ordinary lines, names and addresses in what is learnt from."""
_MONTHS: Final = ("January", "March", "May", "June", "Aug", "Dec", "Nov")
_SECTIONS: Final = {"notices": 6, "shops": 6, "brands": 4, "phrases": 4, "words": 5, "places": 1,
                    "other languages": 4, "menu": 2, "things": 5}  # fmt: skip
"""How often a phrase is drawn from each section of signs.txt."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line and its class."""

    text: str
    label: int


class Generator:
    """Draws lines from one side of the vocabulary: for learning, or held out for validation."""

    def __init__(self, seed: int, *, held_out: bool, english: WordNet | None = None) -> None:
        """english: many more ordinary words, and phrases; only for learning."""
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self._locales = vocabulary.LOCALES
        self._weights = [vocabulary.WEIGHTS[one] for one in self._locales]
        everyone = {one: vocabulary.names_of(one) for one in self._locales}
        self._names = {
            locale: Names(
                vocabulary.split(names.first, held_out=held_out) or names.first,
                vocabulary.split(names.last, held_out=held_out) or names.last,
            )
            for locale, names in everyone.items()
        }
        self._fakers = {one: Faker(one) for one in self._locales}
        for faker in self._fakers.values():
            faker.seed_instance(seed)
        known = {
            word.lower() for names in everyone.values() for word in (*names.first, *names.last)
        }
        sections = vocabulary.signs()
        self._signs = {
            name: vocabulary.split(entries, held_out=held_out) for name, entries in sections.items()
        }
        self._phrases = [e for entries in self._signs.values() for e in entries]
        documented = vocabulary.words_of_documentation(tuple(sorted(known)))
        self._words = vocabulary.split(
            sorted({*documented, *self._faker_words(known)}), held_out=held_out
        )
        self._ordinary: tuple[tuple[float, Callable[[], str]], ...] = (
            (26, self._phrase), (18, self._part_of_phrase), (8, self._shop), (10, self._amount),
            (18, self._word), (5, self._sentence), (4, self._job), (3, self._company), (5,
                self._code),
            (3, self._place),
        )  # fmt: skip
        self._entries: tuple[str, ...] = ()
        self._texts: tuple[str, ...] = ()
        if english is not None:
            self._entries = vocabulary.split(english.words, held_out=held_out)
            self._texts = english.sentences + english.definitions
            self._ordinary += ((24, self._entry), (10, self._part_of_text), (6, self._foreign))

    def lines(self, count: int) -> list[Line]:
        """Return lines of all classes, in random order."""
        labels = self._random.choices(range(3), _SHARES, k=count)
        makers = (self.ordinary, self.name, self.address)
        return [Line(makers[label](), label) for label in labels]

    def ordinary(self) -> str:
        """Return a sign, a notice, a shop's name, a price: what is nobody's."""
        weights, makers = zip(*self._ordinary, strict=True)
        text = self._random.choices(makers, weights)[0]()
        return self._cased(text, (0.35, 0.30, 0.2, 0.15))

    def name(self) -> str:
        """Return a person's name in one of the ways in which names are written."""
        draw = self._random.random()
        if draw < 0.10:
            text = self._chinese()
        elif draw < 0.14:
            text = self._malay()
        elif draw < 0.18:
            text = " ".join(
                self._random.sample(vocabulary.INDIAN_GIVEN, self._random.choice((1, 2, 2, 3)))
            )
        else:
            text = self._from_lists()
        if self._random.random() < 0.06:
            title = self._random.choice(
                ("Mr", "Mrs", "Ms", "Dr", "Mdm", "Prof.", "Mr.", "Miss", "Herr", "Frau", "Mme")
            )
            text = f"{title} {text}"
        return self._cased(text, (0.25, 0.45, 0.15, 0.15))

    def address(self) -> str:
        """Return an address or one line of one."""
        draw = self._random.random()
        text = (
            self._singapore()
            if draw < 0.12
            else self._made_up()
            if draw < 0.3
            else self._faker_address()
        )
        return self._cased(text, (0.25, 0.2, 0.2, 0.35))

    # Names

    def _locale(self) -> str:
        return self._random.choices(self._locales, self._weights)[0]

    def _from_lists(self) -> str:
        names = self._names[self._locale()]
        r = self._random
        first, last = r.choice(names.first), r.choice(names.last)
        second = r.choice(names.first)
        if not last.isascii() and "\u3040" <= last[0] <= "\ud7af":
            return r.choice((last + first, f"{last} {first}", last + first))
        initial = second[0]
        return r.choices(
            (
                f"{first} {last}", first, last, f"{last} {first}", f"{first[0]}. {last}",
                f"{last}, {first}",
                f"{first} {initial}. {last}", f"{first} {second} {last}",
                f"{first}-{second} {last}",
                f"{first} {last}-{r.choice(names.last)}", f"{first} {last} {r.choice(names.last)}",
                f"{first[0]} {last}", f"{first} {last[0]}.", f"{last} {first[0]}",
                f"{first} and {second}",
                f"{first} & {second} {last}",
            ),
            (36, 17, 15, 4, 4, 3, 4, 3, 1, 1, 3, 2, 1, 1, 1, 1),
        )[0]  # fmt: skip

    def _chinese(self) -> str:
        r = self._random
        surname = r.choice(vocabulary.SURNAMES_OF_THE_CHINESE_DIASPORA)
        given = r.sample(vocabulary.GIVEN_SYLLABLES, 2)
        joined = given[0] + given[1].lower()
        english = r.choice(self._names["en_GB"].first)
        return r.choice(
            (
                f"{surname} {given[0]} {given[1]}", f"{surname} {given[0]} {given[1]}",
                f"{surname} {joined}",
                f"{given[0]} {given[1]} {surname}", f"{english} {surname}",
                f"{english} {surname} {given[0]} {given[1]}",
                f"{surname} {given[0]}-{given[1]}", f"{joined} {surname}", f"{surname} {given[0]}",
            )
        )  # fmt: skip

    def _malay(self) -> str:
        r = self._random
        first, second, third = r.sample(vocabulary.MALAY_GIVEN, 3)
        return r.choice((f"{first} {second}", f"{first} bin {second}",
        f"{first} {second} bin {third}",
                         f"{first} binte {second}", first))  # fmt: skip

    # Addresses

    def _singapore(self) -> str:
        r = self._random
        number = r.randint(1, 990)
        town, kind = r.choice(vocabulary.TOWNS), r.choice(vocabulary.STREET_KINDS)
        road = f"{town} {kind} {r.randint(1, 99)}" if r.random() < 0.7 else f"{town} {kind}"
        jalan = f"{r.choice(('Jalan', 'Lorong', 'Jln', 'Lor'))} {r.choice(vocabulary.JALAN)}"
        unit = f"#{r.randint(1, 40):02d}-{r.randint(1, 999):02d}"
        block = r.choice(("Blk", "Block", "BLK")) + f" {number}{r.choice(('', '', '', 'A', 'B'))}"
        return r.choice((
            f"{block} {road} {unit}", f"{block} {road}", f"{number} {road}", f"{road} {unit}",
            f"{number} {road} {unit}",
            f"{block} {unit}", f"Singapore {r.randint(10000, 829999):06d}", f"{number} {jalan}",
            jalan, road, f"{block}",
        ))  # fmt: skip

    def _made_up(self) -> str:
        """A house and a street named after whatever streets are named after."""
        r = self._random
        locale = r.choice(("en_US", "en_GB", "en_AU", "en_CA", "en_IE"))
        names = self._names[locale]
        title = r.choice((r.choice(names.last), r.choice(names.last), r.choice(names.first),
            r.choice(self._words).title(),
                          r.choice(("Church", "Station", "Mill", "Oak", "Elm", "Maple", "Cedar",
                          "Pine", "Park", "Lake",
                                    "Victoria", "Queen", "King", "Washington", "Lincoln", "Main",
                                    "High", "2nd", "3rd",
                                    "5th", "42nd", "North", "River", "Hill", "Sunset", "Meadow",
                                    "Chestnut"))))  # fmt: skip
        kind = r.choice(("Street", "St", "Road", "Rd", "Avenue", "Ave", "Lane", "Ln", "Drive", "Dr",
            "Court", "Ct", "Close",
                         "Crescent", "Place", "Pl", "Way", "Terrace", "Blvd", "Boulevard", "Square",
                         "Grove", "Gardens",
                         "Parkway", "Hill", "Mews", "Walk", "Row"))  # fmt: skip
        number = r.choice(
            (
                str(r.randint(1, 200)),
                str(r.randint(1, 9999)),
                f"{r.randint(1, 99)}{r.choice('ABC')}",
            )
        )
        street = f"{title} {kind}"
        return r.choices((f"{number} {street}", street, f"{number}, {street}", f"{street} {number}",
                          f"{r.choice(('Apt', 'Apt.', 'Flat', 'Unit', 'Suite'))} "
                          f"{r.randint(1, 999)}, {number} {street}",
                          f"{title} {number}"), (8, 4, 1, 1, 2, 2))[0]  # fmt: skip

    def _faker_address(self) -> str:
        r = self._random
        faker = self._fakers[self._locale()]
        draw = r.random()
        if draw < 0.35:
            return str(faker.street_address()).replace("\n", " ")
        if draw < 0.45:
            return str(faker.street_name())
        parts = [
            part for line in str(faker.address()).split("\n") for part in line.split(", ") if part
        ]
        if draw < 0.7:
            return ", ".join(parts)
        numbered = [
            part
            for part in parts
            if any(c.isdigit() for c in part) and any(c.isalpha() for c in part)
        ]
        return r.choice(numbered or [", ".join(parts)])

    # Everything else

    def _phrase(self) -> str:
        section = self._random.choices(list(self._signs), [_SECTIONS[one] for one in self._signs])[
            0
        ]
        return self._random.choice(self._signs[section])

    def _part_of_phrase(self) -> str:
        words = self._random.choice(self._phrases).split()
        start = self._random.randrange(len(words))
        return " ".join(words[start : start + self._random.choice((1, 1, 2, 3))])

    def _word(self) -> str:
        return " ".join(self._random.choices(self._words, k=self._random.choice((1, 1, 1, 2, 3))))

    def _entry(self) -> str:
        """One or two words of the dictionary; at times with a common one beside it."""
        r = self._random
        word = r.choice(self._entries)
        beside = r.choice((r.choice(self._entries), r.choice(self._words), self._part_of_phrase()))
        return r.choices((word, f"{word} {beside}", f"{beside} {word}"), (3, 1, 1))[0]

    def _part_of_text(self) -> str:
        words = [
            word
            for word in self._random.choice(self._texts).split()
            if not vocabulary.is_held_out(word)
        ]
        start = self._random.randrange(max(1, len(words) - 1))
        return " ".join(words[start : start + self._random.choice((2, 3, 4, 6))]) or self._entry()

    def _foreign(self) -> str:
        """A word or two of another language."""
        faker = self._fakers[self._locale()]
        return " ".join(map(str, faker.words(nb=self._random.choice((1, 1, 2)))))

    def _place(self) -> str:
        r = self._random
        place = r.choice(self._signs["places"])
        return r.choice(
            (
                place,
                f"{place} {r.randint(1, 300)} km",
                f"{place} {r.randint(1, 99)}",
                f"to {place}",
                f"{place} north",
            )
        )

    def _shop(self) -> str:
        r = self._random
        kind = r.choice(self._signs["shops"])
        word = r.choice(self._words)
        owner = (
            r.choice(self._names["en_US"].last)
            if r.random() < 0.4
            else r.choice(vocabulary.GIVEN_SYLLABLES)
        )
        return r.choice((f"{word} {kind}", f"the {word} {kind}", f"{owner}'s {kind}",
        f"{word} & {r.choice(self._words)}",
                         f"{word} {r.choice(self._words)} {kind}", f"{kind} {word}",
                         f"{owner} {kind}", f"the {word}"))  # fmt: skip

    def _amount(self) -> str:
        r = self._random
        n, m = r.randint(1, 99), r.randint(0, 99)
        sign = r.choice(("$", "£", "€", "S$", "RM", "¥", "Rs "))
        unit = r.choice(
            (
                "kg",
                "g",
                "ml",
                "l",
                "km",
                "m",
                "cm",
                "%",
                "pcs",
                "min",
                "hrs",
                "mph",
                "km/h",
                "kcal",
                "GB",
                "W",
            )
        )
        day = r.choice(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Monday", "Sunday"))
        return r.choice((
            f"{sign}{n}.{m:02d}", f"{n}.{m:02d}", f"{n * 10}{unit}", f"{n} {unit}", f"{n}% off",
            f"{n}", f"{r.randint(100, 9999)}",
            f"{r.randint(1, 12)}:{r.choice(('00', '15', '30', '45'))} {r.choice(('am', 'pm'))}",
            f"{r.randint(0, 23):02d}:{m % 60:02d}",
            f"{r.randint(6, 11)}am - {r.randint(1, 11)}pm", f"{day} {r.randint(6, 11)}:00 - "
                                                            f"{r.randint(13, 23)}:00",
            f"{r.randint(1, 28)}/{r.randint(1, 12)}/{r.randint(1990, 2030)}", str(r.randint(1950,
            2030)), f"{day} - {r.choice(('Fri', 'Sat', 'Sun'))}",
            f"{r.randint(1, 28)} {r.choice(_MONTHS)} {r.randint(1990, 2030)}",
            f"{n} for {sign}{m}", f"buy {r.randint(1, 3)} get {r.randint(1, 2)} free",
            f"{n}-{n + r.randint(1, 40)}", f"{sign}{n}",
            f"{n},{r.randint(100, 999)}", f"since {r.randint(1850, 2020)}",
            f"{r.randint(1, 5)} for {r.randint(1, 4)}",
        ))  # fmt: skip

    def _code(self) -> str:
        r = self._random
        if r.random() < 0.4:  # "vitamin c 1000", "12 rooms": a number makes no address
            number = r.choice((r.randint(1, 30), r.randint(1, 150), r.randint(1, 5) * 100))
            thing = self._word() if r.random() < 0.5 else self._part_of_phrase()
            return r.choice(
                (f"{thing} {number}", f"{number} {thing}", f"{thing} {number} {self._word()}")
            )
        word = r.choice(("gate", "level", "platform", "room", "exit", "bay", "lot", "zone",
            "counter", "terminal", "bus", "line",
                         "size", "no.", "type", "model", "vol.", "page", "table", "row", "lane",
                         "stop", "route", "step"))  # fmt: skip
        letter = r.choice("ABCDEFGHJKLMNPRSTVWX")
        return r.choice((f"{word} {r.randint(1, 99)}", f"{word} {letter}",
        f"{word} {letter}{r.randint(1, 30)}", f"{letter}{r.randint(1, 99)}",
                         f"{letter}", f"{r.randint(1, 99)}{letter}",
                         f"{letter}{r.choice('ABCDEGKLMSTX')}{r.randint(1, 999)}",
                         f"{r.choice('BLG')}{r.randint(1, 5)}", f"{letter}{letter}"))  # fmt: skip

    def _sentence(self) -> str:
        faker = self._fakers[self._locale()]
        return str(faker.sentence(nb_words=self._random.randint(2, 6))).rstrip(".")

    def _job(self) -> str:
        return str(self._fakers["en_US"].job())

    def _company(self) -> str:
        faker = self._fakers["en_US"]
        return str(self._random.choice((faker.company, faker.catch_phrase, faker.bs))())

    def _faker_words(self, known: set[str]) -> set[str]:
        words = {str(word).lower() for word in self._fakers["en_US"].get_words_list()}
        for _ in range(1500):
            words.update(
                word.strip(",()/").lower()
                for word in str(self._fakers["en_US"].catch_phrase()).split()
            )
        return {word for word in words if word.isalpha() and word not in known}

    # How it is set

    def _cased(self, text: str, weights: Sequence[float]) -> str:
        """Upper case, capitalised, lower case, as it is; without accents at times, as signs are."""
        style = self._random.choices(range(4), weights)[0]
        match style:
            case 0:
                return text.upper()
            case 1:
                return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))
            case 2:
                return text.lower()
            case _:
                return text
