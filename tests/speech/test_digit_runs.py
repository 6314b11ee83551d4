from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edge.pii.spans import Kind
from edge.speech.digit_runs import LEAST_DIGITS, DigitRun, digit_runs, open_run, reach
from edge.speech.private import PrivateWords
from edge.speech.words import Word

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ORDINARY = [
    "he",
    "could",
    "wait",
    "no",
    "longer",
    "dinner",
    "turnips",
    "carrots",
    "potatoes",
    "sauce",
]


def spoken(text: str, step: float = 0.5, start: float = 0.0) -> list[Word]:
    return [
        Word(word, start + at * step, start + (at + 0.8) * step)
        for at, word in enumerate(text.split())
    ]


def test_odd_words_between_digits_do_not_break_a_number() -> None:
    words = spoken("eight eight five little zero three four six four to one")
    assert digit_runs(words) == [DigitRun(0, 10, 9)]
    words = spoken("seven four set to the three five zero zero")
    assert digit_runs(words) == [DigitRun(0, 8, 6)]


def test_what_is_far_apart_is_no_number() -> None:
    words = spoken("two people and then three of them had four children with one dog and five cats")
    assert all(run.digits < LEAST_DIGITS for run in digit_runs(words))
    pause = [*spoken("one two three"), *spoken("four five six", start=9.0)]
    assert [run.digits for run in digit_runs(pause)] == [3, 3]


def test_word_that_names_the_next_number_ends_one() -> None:
    words = spoken("my code is nine four eight for this card four seven one six")
    assert digit_runs(words) == [DigitRun(3, 5, 3), DigitRun(9, 12, 4)]


def test_figures_count_and_ordinals_and_letters_do_not() -> None:
    assert digit_runs(spoken("46843 533. 3rd b2b"))[0] == DigitRun(0, 1, 8)


@given(st.lists(st.sampled_from(DIGITS + ORDINARY), max_size=30))
def test_runs_are_in_order_apart_and_begin_and_end_with_digits(texts: list[str]) -> None:
    words = spoken(" ".join(texts))
    runs = digit_runs(words)
    for run in runs:
        assert texts[run.first] in DIGITS
        assert texts[run.last] in DIGITS
        inside = texts[run.first : run.last + 1]
        assert run.digits == sum(text in DIGITS for text in inside)
        assert 2 * run.digits >= len(inside)
    assert all(a.last < b.first for a, b in itertools.pairwise(runs))
    assert sum(run.digits for run in runs) == sum(text in DIGITS for text in texts)


@given(st.lists(st.sampled_from(DIGITS), min_size=6, max_size=16), st.integers(1, 4))
def test_a_number_that_goes_on_in_the_next_chunk_is_open_until_then(
    digits: list[str], heard: int
) -> None:
    """Nothing is decided that what follows would make private."""
    before = ["he", "could", "wait", "no", "longer"]
    words = spoken(" ".join([*before, *digits]))
    some = words[: len(before) + heard]
    tagger = PrivateWords(None, hide=frozenset(Kind), threshold=0.5)
    first = min(open_run(some), tagger.open_end(some))
    spans = tagger.tag(words)
    assert spans, "a whole number is private"
    assert first <= min(span.first for span in spans)
    begin = min(span.start for span in spans)
    decided = [word for at, word in enumerate(some) if at < first]
    assert all(word.end <= begin for word in decided)


def test_speech_that_touches_a_number_is_covered_and_a_pause_is_not() -> None:
    close = spoken("sauce one two three four five potatoes")
    (run,) = digit_runs(close)
    start, end = reach(close, run)
    assert start < close[0].end
    assert end > close[-1].start
    apart = [*spoken("sauce"), *spoken("one two three four five", start=5.0)]
    (run,) = digit_runs(apart)
    assert reach(apart, run) == (5.0, apart[-1].end)
