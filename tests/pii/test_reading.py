from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.pii.reading import MAX_LENGTH, Reading, fold


@given(st.text())
def test_all_forms_have_the_length_of_the_text(text: str) -> None:
    reading = Reading.of(text)
    assert len(reading.raw) == len(reading.low) == len(reading.digits) == len(text)


@given(st.text())
def test_line_breaks_stay_where_they_are(text: str) -> None:
    folded = fold(text)
    assert [n for n, c in enumerate(text) if c == "\n"] == [
        n for n, c in enumerate(folded) if c == "\n"
    ]


def test_accents_dashes_and_digits_of_other_scripts() -> None:
    assert fold("Stræde–Ångström ١٢３ ‘É’") == "strade-angstrom 123 'e'"


def test_letters_in_numbers_are_mended() -> None:
    assert Reading.of("call 9l23 4S67").digits == "call 9123 4567"
    assert Reading.of("the 1980s, 33l, 1st").digits == "the 1980s, 33l, 1st"
    assert Reading.of("SALE").digits == "sale"


def test_a_hostile_length_is_cut_and_nothing_is_shown() -> None:
    reading = Reading.of("secret" * MAX_LENGTH)
    assert len(reading.low) == MAX_LENGTH
    assert "secret" not in repr(reading)
