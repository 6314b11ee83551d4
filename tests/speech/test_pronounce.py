"""How written words are said."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.speech.pronounce import SOUNDS, Reading, cardinal, is_spelled_out, sounds_of, speak

D, N = Reading.DIGITS, Reading.NUMBERS


@pytest.mark.parametrize(
    ("written", "reading", "said"),
    [
        ("Hello,", D, "hello"),
        ("don't", D, "don't"),
        ("don’t", D, "don't"),
        ("Café", D, "cafe"),
        ("well-known", D, "well known"),
        ("9123", D, "nine one two three"),
        ("9123", N, "ninety one twenty three"),
        ("1-800-439", D, "one eight zero zero four three nine"),
        ("1995,", N, "nineteen ninety five"),
        ("1900", N, "nineteen hundred"),
        ("1905", N, "nineteen oh five"),
        ("2005", N, "two thousand five"),
        ("007", N, "zero zero seven"),
        ("10,000", N, "ten thousand"),
        ("1,234,567", N,
         "one million two hundred thirty four thousand five hundred sixty seven"),
        ("91234567", N, "nine one two three four five six seven"),
        ("21st", N, "twenty first"),
        ("20th", N, "twentieth"),
        ("3rd", D, "third"),
        ("$5.50", N, "five dollars point fifty"),
        ("10%", N, "ten percent"),
        ("john.doe@mail.com", D, "john dot doe at mail dot com"),
        ("jo_b@x.org.", D, "jo underscore b at x dot org"),
        ("www.a.com/b", D, "www dot a dot com slash b"),
        ("AT&T", D, "at and t"),
        ("٣٤", D, "three four"),
        ("...", D, ""),
        ("♪", D, ""),
        ("", D, ""),
    ],
)  # fmt: skip
def test_words_as_they_are_said(written: str, reading: Reading, said: str) -> None:
    assert " ".join(speak(written, reading)) == said


@given(st.text(max_size=60), st.sampled_from(Reading))
def test_anything_becomes_words_of_a_dictionary(written: str, reading: Reading) -> None:
    for word in speak(written, reading):
        assert re.fullmatch(r"[a-z]+(?:'[a-z]+)*", word)


@given(st.text("0123456789", min_size=1, max_size=24))
def test_digit_by_digit_says_every_digit(digits: str) -> None:
    names = cardinal_names()
    assert [names[w] for w in speak(digits, D)] == [int(c) for c in digits]


def cardinal_names() -> dict[str, int]:
    return {cardinal(n)[0]: n for n in range(10)}


VALUES = {" ".join(cardinal(n)): n for n in range(100)}


@given(st.integers(0, 999_999_999))
def test_a_cardinal_is_its_number(number: int) -> None:
    """Read the words back: units close what came before them."""
    total = part = 0
    words = cardinal(number)
    while words:
        if words[0] in ("million", "thousand"):
            total += part * (1_000_000 if words[0] == "million" else 1_000)
            part = 0
            words = words[1:]
        elif words[0] == "hundred":
            part *= 100
            words = words[1:]
        else:
            two = " ".join(words[:2])
            taken = 2 if two in VALUES and len(words) > 1 else 1
            part += VALUES[" ".join(words[:taken])]
            words = words[taken:]
    assert total + part == number


@pytest.mark.parametrize(
    ("word", "sounds"),
    [
        ("kio", "K IH OW"),
        ("xavier", "Z AE V IY R"),
        ("knox", "N AA K S"),
        ("phone", "F AA N"),
        ("bell", "B EH L"),
        ("zhang", "ZH AE NG"),
        ("me", "M EH"),
        ("o'neil", "AA N EY L"),
    ],
)
def test_unknown_words_are_guessed(word: str, sounds: str) -> None:
    assert " ".join(sounds_of(word)) == sounds


@given(st.text("abcdefghijklmnopqrstuvwxyz'", min_size=1, max_size=30))
def test_every_word_has_sounds(word: str) -> None:
    sounds = sounds_of(word)
    assert set(sounds) <= set(SOUNDS)
    assert sounds or not word.strip("'")


def test_what_has_no_vowel_is_spelled_out() -> None:
    assert is_spelled_out("bbc")
    assert not is_spelled_out("tan")
    assert not is_spelled_out("hmmmmm")
