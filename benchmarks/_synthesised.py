"""Sentences to be synthesised: private values of Faker's in patterns written for the benchmark."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from benchmarks._common import BenchmarkError

LOCALES: Final = ("en_US", "en_GB", "en_AU", "en_IN", "de_DE", "es_ES", "fr_FR")
_SLOT: Final = "{}"

PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    "name": (
        "my name is {} and i will be helping you today",
        "this parcel is for {} on the second floor",
        "yesterday i had lunch with {} near the office",
        "please ask {} to call the garage before noon",
        "the prize goes to {} who waited a whole year for it",
    ),
    "address": (
        "i live at {} just behind the bakery",
        "please send the books to {} before the weekend",
        "the party is at {} and it begins at eight",
        "my new address is {} as of next month",
    ),
    "phone": (
        "my phone number is {} in case you get lost",
        "you can reach me at {} after dinner",
        "just call {} and ask for the manager",
    ),
    "email": (
        "my email address is {} and i read it every morning",
        "send the pictures to {} when they are ready",
        "you can write to {} if anything is missing",
    ),
    "card": (
        "my card number is {} and it was stolen on the train",
        "please charge the credit card {} for both tickets",
    ),
    "birthday": (
        "i was born on {} in a very small town",
        "her date of birth is {} according to this form",
    ),
    "secret": (
        "the pin is {} but please do not tell the others",
        "the code for the door is {} at night",
    ),
    "id": (
        "my passport number is {} and it is valid for two more years",
        "the account number is {} at the usual bank",
    ),
    "url": (
        "the whole story is on {} with all the drawings",
        "please visit {} for the opening hours",
    ),
    "username": (
        "my instagram handle is {} if you want to see more",
        "follow me as {} on the other channel",
    ),
}
"""By type; the slot is where the value is said."""

ORDINARY: Final = (
    "we are waiting for the bus and it is getting cold",
    "this soup needs a little more salt and perhaps some pepper",
    "i painted the whole kitchen last weekend and my arms still hurt",
    "the second half of the game was much better than the first",
    "could somebody please close the window it is really loud outside",
    "i think the museum opens at ten but we should check that again",
    "there were about forty people in the room and only one fan",
    "the new keyboard is great for typing but the screen is too dark",
    "shopping on a saturday is a terrible idea in my opinion",
    "if you turn the screw to the left the lid comes off easily",
    "the train was twenty minutes late so we missed the first act",
    "my neighbour grows tomatoes on the roof and gives most of them away",
    "let us take a short break and come back in five minutes",
    "the river was so high last spring that the bridge had to be closed",
    "he always forgets his umbrella when the forecast says rain",
    "you need three eggs two cups of flour and a pinch of salt",
    "we watched a film about penguins and then went straight to bed",
    "the dog ran after the ball and came back with a stick",
    "this jacket was half price and it even fits",
    "nobody knows why the lights went out but it was over in a second",
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words to be said, in lower case; values: (first word, last word, type)."""

    words: tuple[str, ...] = field(repr=False)
    values: tuple[tuple[int, int, str], ...] = ()


def ordinary_sentence(rng: random.Random) -> Sentence:
    """Return a sentence without anything private."""
    return Sentence(tuple(rng.choice(ORDINARY).split()))


def private_sentence(rng: random.Random, number: int) -> Sentence:
    """Return a sentence with one private value; its type goes round with number.

    Raises BenchmarkError where Faker is not installed.
    """
    kind = tuple(PATTERNS)[number % len(PATTERNS)]
    before, _, after = rng.choice(PATTERNS[kind]).partition(_SLOT)
    first = before.split()
    value = _value(kind, rng)
    words = (*first, *value, *after.split())
    return Sentence(words, ((len(first), len(first) + len(value) - 1, kind),))


@cache
def _fakers() -> tuple[Any, ...]:
    try:
        from faker import Faker
    except ImportError as error:
        raise BenchmarkError(
            f"values cannot be made up ({error}). Install what training needs: pip install Faker"
        ) from error
    return tuple(Faker(locale) for locale in LOCALES)


def _value(kind: str, rng: random.Random) -> Sequence[str]:
    """Draw a value and say it, in one of the ways that people do."""
    from export.train.tagger import spoken

    fakers = _fakers()
    faker = rng.choice(fakers)
    faker.seed_instance(rng.randrange(2**32))
    english = fakers[rng.randrange(3)]
    for one in (english, fakers[0]):  # the words of other locales are Latin
        one.seed_instance(rng.randrange(2**32))
    match kind:
        case "name":
            text = f"{faker.first_name()} {faker.last_name()}"
            said = spoken.say(spoken.latin(text), rng)
        case "address":
            text = str(english.street_address()).replace("\n", " ")
            said = spoken.say(spoken.latin(f"{text} {english.city()}"), rng)
        case "phone":
            said = spoken.phone(str(english.phone_number()).partition("x")[0], rng)
        case "email":
            first, last = faker.first_name(), faker.last_name()
            user = spoken.latin(rng.choice((f"{first}.{last}", f"{first}_{last}", str(first))))
            said = spoken.address_of_net(
                f"{user.replace(' ', '')}@{english.free_email_domain()}", rng, split_words=True
            )
        case "card":
            said = spoken.digit_by_digit(str(english.credit_card_number("visa16")), rng)
        case "birthday":
            said = spoken.say(str(english.date_of_birth(minimum_age=18).isoformat()), rng)
        case "secret":
            said = spoken.digit_by_digit(_digits(rng.choice((4, 6)), rng), rng)
        case "id":
            said = spoken.code(rng.choice("CKLX") + _digits(8, rng), rng)
        case "url":
            said = spoken.address_of_net(
                f"www.{fakers[0].word()}{fakers[0].word()}.com", rng, split_words=True
            )
        case _:
            handle = f"{fakers[0].word()}_{fakers[0].word()}{rng.randint(10, 99)}"
            said = spoken.address_of_net(handle, rng, split_words=True)
    return said


def _digits(count: int, rng: random.Random) -> str:
    return "".join(rng.choices("0123456789", k=count))
