from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.pii.plates import LAYOUTS, plate_score

SHOWN = 0.5


@pytest.mark.parametrize(
    "text",
    ["SBA 1234 A", "AB12 CDE", "6ZJG379", "B-MW 1234", "7ABC123", "MH 12 AB 1234", "京A12345",
        "1-ABC-234", "AA-123-AA",
     "1234 BCD", "S·AB 123", "WX 12345", "ABC1D23", "34 ABC 123", "А 123".replace("А",
     "A") + " BC 77", "SBG5412"],
)  # fmt: skip
def test_plates(text: str) -> None:
    assert plate_score(text, 4.0) >= SHOWN
    assert plate_score(text, None) >= SHOWN


@pytest.mark.parametrize(
    "text",
    ["SALE20", "COVID19", "100ML", "2 FOR 10", "ISO9001", "WD40", "STOP", "OPEN 24 HOURS",
     "RTX4090", "LEVEL3", "9AM-5PM", "24HRS", "SAVE 50", "1080P", "A4", "EXIT 12", "5678",
     "12:30", "$12.50", "", "<<<", "JAN2024", "supercalifragilistic", "20% OFF", "500GB",
     "ROOM 12", "16GB RAM", "6:00 AM", "10.45 Pm", "6 MAY 2002", "24 DEC 1997"],
)  # fmt: skip
def test_other_things(text: str) -> None:
    assert plate_score(text, 4.0) < SHOWN


def test_there_are_layouts_of_many_countries() -> None:
    assert len(LAYOUTS) >= 40
    assert all(
        set(one) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ9") and 4 <= len(one) <= 10
        for row in LAYOUTS.values()
        for one in row.split()
    )


def test_two_misread_characters_are_forgiven() -> None:
    assert plate_score("AB12 CDE", 4) > plate_score("ABI2 CDE", 4) > SHOWN
    assert plate_score("AB I2 CD3", 4) >= SHOWN


def test_capitals_and_shape_count() -> None:
    assert plate_score("ab12 cde", 4) < plate_score("AB12 CDE", 4)
    assert plate_score("AB12 CDE", 20) < plate_score("AB12 CDE", 4)


@given(st.text(max_size=30), st.one_of(st.none(), st.floats(0.01, 100)))
def test_any_text_has_a_score(text: str, aspect: float | None) -> None:
    assert 0 <= plate_score(text, aspect) <= 1


@given(st.sampled_from(sorted({one for row in LAYOUTS.values() for one in row.split()})), st.data())
def test_every_layout_of_six_and_more_is_known(layout: str, data: st.DataObject) -> None:
    text = "".join(
        data.draw(st.sampled_from("34")) if kind == "9" else "J" if kind == "A" else kind
        for kind in layout
    )
    mixed = any(c.isdigit() for c in text) and any(c.isalpha() for c in text)
    if len(text) >= 6 and mixed:
        assert plate_score(text, 4) >= SHOWN
