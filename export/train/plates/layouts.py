"""How plates of some seventy countries look: size, colours, side band, script, pictures.

Which characters follow each other is what edge.pii.plates knows already; here is the rest. Sizes
are those of the national rules or ISO 7591's usual ones, rounded to 5 mm; colours are RGB as a
camera shows the retroreflective sheeting, roughly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.pii.plates import LAYOUTS

Colour = tuple[int, int, int]

WHITE: Final[Colour] = (236, 238, 236)
YELLOW: Final[Colour] = (244, 197, 24)
BLACK: Final[Colour] = (18, 18, 20)
BLUE: Final[Colour] = (16, 48, 140)
NAVY: Final[Colour] = (20, 26, 70)
GREEN: Final[Colour] = (12, 92, 48)
RED: Final[Colour] = (176, 22, 30)
MINT: Final[Colour] = (170, 226, 186)
ORANGE: Final[Colour] = (236, 120, 20)
GREY: Final[Colour] = (176, 180, 182)

ON_WHITE = (WHITE, BLACK)
ON_YELLOW = (YELLOW, BLACK)


@dataclass(frozen=True, slots=True)
class Style:
    """How a country's plates look.

    sizes: width, height in mm and rows of characters, each as likely as often as it stands there.
    colours: ground and ink, likewise. band: colour of a band at the left edge, or None; code: what
    stands in it. script: what the special characters are of, besides Latin ones: a key of
    GLYPHS. legend: share of plates with a line of small print above or below. picture: share with
    a picture or a gradient as their ground. weight: how often against the others.
    """

    sizes: tuple[tuple[int, int, int], ...]
    colours: tuple[tuple[Colour, Colour], ...]
    band: Colour | None = None
    code: str = ""
    script: str = "latin"
    separators: str = " "
    legend: float = 0.0
    picture: float = 0.0
    weight: float = 1.0


LONG = (520, 110, 1)
TALL = (340, 200, 2)
AMERICAN = (305, 155, 1)
AMERICAN_TWO = (305, 155, 2)
CHINESE = (440, 140, 1)
JAPANESE = (330, 165, 2)
MOTORCYCLE = (220, 160, 2)
SMALL_SQUARE = (180, 180, 2)


def _european(
    code: str,
    *colours: tuple[Colour, Colour],
    separators: str = " ",
    sizes: tuple[tuple[int, int, int], ...] = (LONG, LONG, LONG, LONG, TALL, MOTORCYCLE),
    weight: float = 1.0,
) -> Style:
    return Style(sizes, colours or (ON_WHITE,), BLUE, code, separators=separators, weight=weight)


def _american(*, picture: float = 0.3, weight: float = 1.0) -> Style:
    return Style(
        (AMERICAN, AMERICAN, AMERICAN, AMERICAN, AMERICAN_TWO, (180, 100, 1)),
        (
            ON_WHITE, ON_WHITE, (WHITE, BLUE), (WHITE, BLUE), (WHITE, NAVY), (WHITE, RED),
            (WHITE, GREEN), ON_YELLOW, (BLUE, YELLOW), (BLUE, WHITE), (GREEN, WHITE),
            (BLACK, YELLOW), ((214, 226, 240), NAVY), ((250, 226, 190), (120, 20, 24)),
        ),
        separators=" -·",
        legend=0.95,
        picture=picture,
        weight=weight,
    )  # fmt: skip


def _plain(
    *colours: tuple[Colour, Colour],
    sizes: tuple[tuple[int, int, int], ...] = (LONG, LONG, (370, 130, 1), TALL),
    script: str = "latin",
    separators: str = " -",
    legend: float = 0.1,
    picture: float = 0.0,
) -> Style:
    return Style(
        sizes, colours or (ON_WHITE,), script=script, separators=separators, legend=legend,
        picture=picture,
    )  # fmt: skip


_BRITISH = ((520, 110, 1),) * 4 + ((280, 200, 2), (230, 175, 2))
_GULF = ((520, 110, 1), (335, 155, 1), (335, 155, 2), (320, 160, 2))
_BRAZILIAN = ((400, 130, 1),) * 4 + ((200, 170, 2),)

STYLES: Final[dict[str, Style]] = {
    "Albania": _european("AL"),
    "Argentina": Style(_BRAZILIAN, (ON_WHITE, (BLACK, WHITE)), BLUE, "", legend=0.7),
    "Australia": Style(
        ((370, 135, 1), (370, 100, 1), AMERICAN),
        (ON_WHITE, ON_YELLOW, (WHITE, BLUE), (WHITE, (110, 20, 40)), (BLACK, WHITE)),
        separators=" -·", legend=0.8, picture=0.1, weight=1.5,
    ),
    "Austria": _european("A", sizes=(LONG, LONG, TALL)),
    "Belarus": _european("BY", separators=" -"),
    "Belgium": _european("B", (WHITE, RED), separators="-"),
    "Bosnia": _european("BIH", separators="-"),
    "Brazil": Style(
        _BRAZILIAN, (ON_WHITE, ON_WHITE, (GREY, BLACK), (RED, WHITE)), separators=" -·",
        legend=0.9, weight=2,
    ),
    "Bulgaria": _european("BG"),
    "Canada": _american(picture=0.2),
    "Chile": _plain(sizes=((360, 130, 1), (360, 130, 1), TALL), separators="·-", legend=0.8),
    "China": Style(
        (CHINESE, CHINESE, CHINESE, (480, 140, 1), (440, 220, 2)),
        ((BLUE, WHITE), (BLUE, WHITE), (BLUE, WHITE), (MINT, BLACK), ON_YELLOW, (BLACK, WHITE)),
        script="china", separators="·", weight=3,
    ),
    "Colombia": Style(
        ((330, 160, 1), (235, 105, 1)), (ON_YELLOW, ON_YELLOW, ON_WHITE), separators=" -",
        legend=0.9,
    ),
    "Croatia": _european("HR", separators=" -"),
    "Czechia": _european("CZ"),
    "Denmark": _european("DK", ON_WHITE, (WHITE, (70, 8, 12))),
    "Egypt": Style(
        ((350, 170, 1), (350, 170, 1)), (ON_WHITE, ((150, 190, 230), BLACK)), script="arabic",
        legend=1.0,
    ),
    "Estonia": _european("EST"),
    "Finland": _european("FIN", separators="-"),
    "France": _european("F", separators="-", weight=2),
    "Germany": _european("D", ON_WHITE, ON_WHITE, (WHITE, GREEN), separators=" ·", weight=3),
    "Greece": _european("GR", separators="-"),
    "Hong Kong": _plain(ON_WHITE, ON_YELLOW, sizes=(*_BRITISH[:2], TALL)),
    "Hungary": _european("H", separators=" -"),
    "Iceland": _european("IS", (WHITE, BLUE)),
    "India": Style(
        (*_BRITISH[:2], (500, 120, 1), (340, 200, 2), (200, 100, 2)),
        (ON_WHITE, ON_WHITE, ON_YELLOW, (GREEN, WHITE), (BLACK, YELLOW)), separators=" -",
        code="IND", weight=2,
    ),
    "Indonesia": _plain(
        (BLACK, WHITE), (BLACK, WHITE), ON_WHITE, sizes=((395, 135, 1), (275, 110, 1)), legend=1.0
    ),
    "Ireland": _european("IRL", separators="-"),
    "Israel": Style((LONG, LONG, TALL), (ON_YELLOW,), BLUE, "IL", separators="-·"),
    "Italy": _european("I", weight=2),
    "Kazakhstan": _plain(ON_WHITE, legend=0.3),
    "Latvia": _european("LV", separators="-"),
    "Lithuania": _european("LT"),
    "Luxembourg": _european("L", ON_YELLOW),
    "Malaysia": _plain((BLACK, WHITE), sizes=((510, 110, 1), (370, 130, 1), (280, 200, 2))),
    "Mexico": _american(picture=0.3),
    "Moldova": _european("MD"),
    "Montenegro": _european("MNE"),
    "Netherlands": _european("NL", ON_YELLOW, separators="-", weight=2),
    "New Zealand": _plain(ON_WHITE, (BLACK, WHITE), sizes=((360, 125, 1),)),
    "North Macedonia": _european("NMK", separators=" -"),
    "Norway": _european("N", ON_WHITE, (GREEN, WHITE)),
    "Pakistan": _plain(ON_WHITE, ON_YELLOW, (WHITE, GREEN), legend=0.7),
    "Philippines": Style(
        ((390, 140, 1),), (ON_WHITE, (WHITE, GREEN), (WHITE, RED)), legend=0.9, picture=0.3
    ),
    "Poland": _european("PL", weight=2),
    "Portugal": _european("P", separators=" -"),
    "Romania": _european("RO"),
    "Russia": _plain(ON_WHITE, sizes=(LONG, LONG, LONG, (290, 170, 2)), legend=0.9),
    "Saudi Arabia": Style(_GULF, (ON_WHITE, ON_YELLOW), script="arabic", legend=0.6),
    "Serbia": _european("SRB", separators=" -"),
    "Singapore": _plain((BLACK, WHITE), ON_WHITE, ON_YELLOW, sizes=_BRITISH),
    "Slovakia": _european("SK", separators=" -"),
    "Slovenia": _european("SLO", ON_WHITE, (WHITE, GREEN), separators=" -"),
    "South Africa": _plain(
        ON_WHITE, ON_YELLOW, (WHITE, BLUE), sizes=(LONG, (440, 120, 1), (250, 205, 2)), picture=0.2
    ),
    "South Korea": Style(
        (LONG, (335, 155, 1), (335, 170, 2)), (ON_WHITE, (GREEN, WHITE), ON_YELLOW),
        script="korea", separators=" ",
    ),
    "Spain": _european("E", weight=2),
    "Sweden": _european("S"),
    "Switzerland": _plain(sizes=((300, 80, 1), (500, 110, 1), (300, 160, 2)), separators="·"),
    "Taiwan": _plain(
        ON_WHITE, (WHITE, GREEN), (GREEN, WHITE), sizes=((380, 160, 1), (320, 150, 1)),
        separators="-·",
    ),
    "Thailand": Style(
        ((340, 150, 1), (340, 150, 1), (220, 170, 2)), (ON_WHITE, (WHITE, GREEN), ON_YELLOW),
        script="thai", legend=1.0, picture=0.1,
    ),
    "Turkey": _european("TR"),
    "Ukraine": Style((LONG, LONG, TALL), (ON_WHITE,), BLUE, "UA"),
    "United Arab Emirates": Style(
        _GULF, (ON_WHITE, ON_WHITE, (RED, WHITE), ON_YELLOW), script="arabic", legend=0.8
    ),
    "United Kingdom": Style(_BRITISH, (ON_WHITE, ON_YELLOW, (BLACK, GREY)), legend=0.4, weight=3),
    "United States": _american(weight=11),
    "Uruguay": Style(_BRAZILIAN, (ON_WHITE,), legend=0.9),
    "Vietnam": _plain(
        ON_WHITE, ON_YELLOW, (BLUE, WHITE), sizes=(LONG, (330, 165, 2), (190, 140, 2)),
        separators="-·",
    ),
    # Not among the layouts of the text lane, whose reader knows no kana.
    "Japan": Style(
        (JAPANESE, JAPANESE, JAPANESE, (230, 125, 2)),
        (ON_WHITE, (WHITE, GREEN), ON_YELLOW, (BLACK, YELLOW), (GREEN, WHITE)),
        script="japan", separators="-·", weight=2,
    ),
}  # fmt: skip
"""By country, under the names of edge.pii.plates where that knows the characters' order."""

_JAPANESE = ("9999", "999", "99")
_SPECIAL = {
    "china": ("Z", 1.0),
    "korea": ("Z", 1.0),
    "thai": ("Z", 0.9),
    "arabic": ("Z", 0.5),
    "japan": ("Z", 1.0),
}
"""What becomes of letters (Z: a character of the country's script) in which share of plates."""


def countries() -> tuple[list[str], np.ndarray]:
    """Return the countries' names and their shares, (N,) float64, which add up to 1."""
    names = list(STYLES)
    weights = np.array([STYLES[name].weight for name in names])
    return names, weights / weights.sum()


def characters(country: str, rng: np.random.Generator) -> str:
    """Draw what stands on a plate: capitals, digits, "Z" for a glyph of another script, spaces.

    Z itself is never drawn as a Latin letter. Raises KeyError for a country without a style.
    """
    style = STYLES[country]
    layouts = _JAPANESE if country == "Japan" else tuple(LAYOUTS[country].split())
    pattern = str(rng.choice(layouts))
    glyph, share = _SPECIAL.get(style.script, ("", 0.0))
    other = rng.random() < share
    out: list[str] = []
    for at, kind in enumerate(pattern):
        if kind == "9":
            # Arabic-Indic digits stand beside Latin ones.
            out.append(glyph if style.script == "arabic" and other and at % 2
                       else str(rng.integers(10)))  # fmt: skip
        elif kind == "A" and other and (style.script != "china" or at == 0):
            out.append(glyph)
        elif kind == "A":
            out.append(str(rng.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXY"))))
        else:
            out.append(kind)
    joined = "".join(out)
    if country == "Japan" and len(joined) == 4:  # the one with a dash
        return joined[:2] + "-" + joined[2:]
    return _separated(joined, str(rng.choice(list(style.separators))), rng)


def _separated(text: str, separator: str, rng: np.random.Generator) -> str:
    """Put a separator where letters give way to digits, mostly, or in the middle."""
    if rng.random() < 0.25:  # a quarter have none
        return text
    places = [k for k in range(1, len(text)) if text[k].isdigit() != text[k - 1].isdigit()]
    if not places:
        places = [len(text) // 2]
    for place in reversed(places[:2]):
        text = text[:place] + separator + text[place:]
    return text
