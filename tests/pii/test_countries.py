"""Lines that end an address below one, and are nothing alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge.pii.countries import ends_address
from edge.pii.lines import LineJudge, ReadLine
from edge.pii.spans import Kind


@pytest.mark.parametrize(
    "text",
    ["Ethiopia", "POLAND", "Democratic Republic of the Congo 31420", "Deutschland", "España", "NSW",
     "BY.", "United States"],
)  # fmt: skip
def test_countries_and_regions(text: str) -> None:
    assert ends_address(text)


@pytest.mark.parametrize("text", ["Open", "Poland Street", "sale", "nsw", "ABCD", "12345", "", "*"])
def test_all_else(text: str) -> None:
    assert not ends_address(text)


def test_they_are_private_only_below_an_address() -> None:
    judge = LineJudge(None, hide=[Kind.ADDRESS], threshold=0.5)
    street = ReadLine("12 Elm Street", 1.0, (0, 0, 200, 24))
    below = ReadLine("Ethiopia", 1.0, (0, 30, 120, 54))
    away = ReadLine("Ethiopia", 1.0, (0, 300, 120, 324))
    kinds = [verdict.kind for verdict in judge.judge([street, below, away])]
    assert kinds == [Kind.ADDRESS, Kind.ADDRESS, None]


def test_the_names_cost_no_library_of_area_codes() -> None:
    asked = "import sys; from edge.pii.countries import ends_address; ends_address('Peru')"
    check = "sys.exit('phonenumbers.geodata' in sys.modules)"
    subprocess.run([sys.executable, "-c", f"{asked}; {check}"], check=True, timeout=60)
