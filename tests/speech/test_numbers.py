"""Spoken numbers and addresses of the net in writing, and the way back to the words."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.speech.normal import normalise
from export.train.tagger import spoken

SAID = [
    ("nine one two three four five six seven", "91234567"),
    ("plus six five double nine triple one oh two", "+659911102"),
    ("twenty three", "23"),
    ("twenty-three baker street", "23 baker street"),
    ("nineteen eighty four", "1984"),
    ("twenty twenty five", "2025"),
    ("one twenty three", "123"),
    ("two hundred and five", "205"),
    ("twelve oh five", "1205"),
    ("four hundred fifty six", "456"),
    ("one thousand two hundred and thirty four", "1234"),
    ("two thousand five", "2005"),
    ("twenty three thousand four hundred", "23,400"),
    ("eight hundred five five five one two one two", "8005551212"),
    ("the twenty third of may nineteen eighty four", "the 23rd of may 1984"),
    ("may five nineteen eighty four", "may 5 1984"),
    ("may nineteen eighty four", "may 1984"),
    ("nine one to four five six seven eight", "91245678"),
    ("double oh seven", "007"),
    ("three point one four", "3.14"),
    ("five dash two", "5-2"),
    ("ten dot two eighteen dot six dot one thirty one", "10.218.6.131"),
    ("one dot o dot o dot one", "1.0.0.1"),
    ("nine c eight two colon a three colon f f", "9C82:A3:FF"),
    ("j o h n", "JOHN"),
    ("J-O-H-N", "JOHN"),
    ("b as in bravo e for echo n", "BEN"),
    ("alpha bravo charlie one two", "ABC12"),
    ("double u w w", "WWW"),
    ("s one two three four five six seven d", "S1234567D"),
    ("My number is 9123 4567, call me.", "My number is 9123 4567, call me."),
    ("it's 9123-4567 or 555-0199", "it's 9123-4567 or 555-0199"),
    ("9 1 2 3 4 5 6 7", "91234567"),
    ("john dot smith at g mail dot com", "john.smith@gmail.com"),
    ("j o h n underscore doe nine at my car dot co dot u k", "JOHN_doe9@mycar.co.uk"),
    ("john at gmail.com", "john@gmail.com"),
    ("w w w dot blue car dot com slash shop", "www.bluecar.com/shop"),
    ("h t t p s colon slash slash blue dash car dot de", "https://blue-car.de"),
]  # fmt: skip

UNCHANGED = [
    "oh my god oh well",
    "i ate an apple for lunch too",
    "a hundred people",
    "look at the point of it",
    "the dot in the middle",
    "double trouble",
    "we went to the hotel in november with mike",
    "i am a man",
]


@pytest.mark.parametrize(("said", "written"), SAID)
def test_writes_what_is_said(said: str, written: str) -> None:
    assert normalise(said.split()).text == written


@pytest.mark.parametrize("said", UNCHANGED)
def test_leaves_ordinary_words(said: str) -> None:
    assert normalise(said.split()).text == said


def test_small_words_stay_words_beside_single_digits() -> None:
    assert (
        normalise(["two", "to", "four", "for", "one", "day", "a", "week"]).text
        == "2 to 4 for 1 day a week"
    )


@given(st.text(string.digits, min_size=1, max_size=20), st.integers(0, 2**32))
def test_digits_come_back_however_they_are_said(digits: str, seed: int) -> None:
    words = spoken.digit_by_digit(digits, random.Random(seed))
    framed = ["say", "five", *words] if words[0] in ("oh", "o") else ["say", *words]
    text = normalise(framed).text.removeprefix("say ").replace(" ", "")
    expected = ["5" + digits, digits] if len(framed) > len(words) + 1 else [digits]
    # A lone "oh" is an exclamation.
    assert text in expected or set(words) <= {"oh", "o"}


@given(st.integers(0, 999_999))
def test_cardinals_come_back(number: int) -> None:
    text = normalise(spoken.cardinal(number)).text
    assert text.replace(",", "") == str(number)


@given(st.integers(1100, 2099).filter(lambda year: year % 100), st.integers(0, 99))
def test_years_come_back(year: int, seed: int) -> None:
    words = spoken.pairs(str(year), random.Random(seed))
    assert normalise(words).text == str(year)


_VOCABULARY = st.sampled_from(
    [
        *[
            "zero",
            "one",
            "two",
            "nine",
            "ten",
            "twelve",
            "twenty",
            "ninety",
            "hundred",
            "thousand",
            "and",
            "oh",
            "o",
            "double",
            "triple",
        ],
        *[
            "plus",
            "dash",
            "dot",
            "at",
            "slash",
            "colon",
            "underscore",
            "com",
            "uk",
            "a",
            "b",
            "i",
            "w",
            "as",
            "in",
            "for",
            "to",
            "bravo",
            "echo",
        ],
        *[
            "may",
            "the",
            "my",
            "is",
            "john",
            "gmail",
            "first",
            "third",
            "9123",
            "4567,",
            "9",
            "B-O-B",
            "twenty-three",
            "U.S.",
            "www",
        ],
        *[",", "'", "…", "é"],
        "",
    ]
)


@given(st.lists(st.one_of(_VOCABULARY, st.text(max_size=5)), max_size=25))
def test_every_span_maps_to_words_in_order(words: list[str]) -> None:
    normal = normalise(words)
    assert len(normal.first) == len(normal.last) == len(normal.text)
    for first, last in zip(normal.first, normal.last, strict=True):
        assert 0 <= first <= last < len(words)
    assert list(normal.first) == sorted(normal.first)
    if normal.text:
        first, last = normal.words(0, len(normal.text))
        assert 0 <= first <= last < len(words)


@given(
    st.lists(st.sampled_from(["hello", "see", "kitchen", "wonderful", "today"]), max_size=6),
    st.text(string.digits, min_size=4, max_size=16),
    st.lists(st.sampled_from(["thanks", "bye", "again", "friend"]), max_size=6),
    st.integers(0, 2**32),
)
def test_a_number_maps_to_exactly_the_words_that_said_it(
    before: list[str], digits: str, after: list[str], seed: int
) -> None:
    digits = "7" + digits
    said = spoken.digit_by_digit(digits, random.Random(seed))
    normal = normalise([*before, *said, *after])
    at = normal.text.index(digits)
    assert normal.words(at, at + len(digits)) == (len(before), len(before) + len(said) - 1)
    # Half of the digits are fewer words, never words outside.
    first, last = normal.words(at, at + len(digits) // 2)
    assert len(before) <= first <= last < len(before) + len(said)


@pytest.mark.parametrize("span", [(0, 0), (3, 2), (-1, 2), (0, 99)])
def test_refuses_spans_that_are_none(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no span"):
        normalise(["two", "words"]).words(*span)


def test_repr_hides_the_words() -> None:
    assert "1234" not in repr(normalise(["one", "two", "three", "four"]))
