"""Draw one plate, straight from the front: band, characters, small print, rim, screws, dirt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from export.train.plates import glyphs
from export.train.plates.layouts import STYLES, Colour, Style, characters, countries
from export.train.plates.sheeting import Pixels, sheet, wear

Box = tuple[float, float, float, float]

_BASE: Final = 8.0
"""Millimetres kept free at the plate's edge."""
_PALE: Final = (235, 235, 235)
STATES: Final = (
    "Alabama", "Alaska", "Arizona", "Arkansas", "California", "Colorado", "Connecticut",
    "Delaware", "Florida", "Georgia", "Hawaii", "Idaho", "Illinois", "Indiana", "Iowa", "Kansas",
    "Kentucky", "Louisiana", "Maine", "Maryland", "Massachusetts", "Michigan", "Minnesota",
    "Mississippi", "Missouri", "Montana", "Nebraska", "Nevada", "Ohio", "Oklahoma", "Oregon",
    "Pennsylvania", "Tennessee", "Texas", "Utah", "Vermont", "Virginia", "Washington",
    "Wisconsin", "Wyoming",
)  # fmt: skip
_WORDS: Final = (
    "Discover the spirit", "Land of lakes", "Sunshine State", "Great outdoors", "Live free",
    "First in flight", "Heart of it all", "Wild and wonderful", "Famous potatoes",
    "Grand Canyon", "Natural State", "Big sky", "Share the wonder", "Explore", "Garden State",
    "Golden", "Drive safely", "Friendship", "Keep it green",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plate:
    """A drawn plate: pixels (H, W, 3) uint8 RGB, and its size in mm. country names its style."""

    pixels: Pixels
    width_mm: float
    height_mm: float
    country: str


def draw_plate(rng: np.random.Generator, width_px: float) -> Plate:
    """Draw a plate of a random country for a scene in which it will be about width_px wide."""
    names, shares = countries()
    country = names[int(rng.choice(len(names), p=shares))]
    style = STYLES[country]
    width, height, rows = style.sizes[int(rng.integers(len(style.sizes)))]
    ground, colour = style.colours[int(rng.integers(len(style.colours)))]
    # Twice as fine as it will be shown, so that shrinking smooths it as a lens does.
    scale = float(np.clip(1.6 * width_px / width, 60 / width, 480 / width))
    size = max(8, round(height * scale)), max(16, round(width * scale))
    pixels = sheet(size, ground, rng, picture=rng.random() < style.picture)
    face = int(rng.integers(glyphs.PLATE_FACES))
    drawing = _Drawing(pixels, scale, width, height, style, face, colour, rng)
    left, right, top, bottom = _BASE, width - _BASE, _BASE, height - _BASE
    if style.band is not None and (style.code or rng.random() < 0.9):
        left = drawing.band(style.band)
    elif style.code:
        drawing.print(style.code, (left, height * 0.3, left + 30, height * 0.6), colour)
        left += 34
    if rng.random() < style.legend and height > 90:  # there is room
        top, bottom = drawing.legend()
    drawing.characters(characters(country, rng), rows, (left, top, right, bottom))
    drawing.edge()
    wear(pixels, scale, rng)
    return Plate(pixels, width, height, country)


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A plate that is being drawn. scale: pixels per mm. face: of its characters."""

    pixels: Pixels
    scale: float
    width: int
    height: int
    style: Style
    face: int
    ink: Colour
    rng: np.random.Generator

    def band(self, colour: Colour) -> float:
        """Paint the band at the left, or along the top; return where it ends at the left, in mm."""
        style, scale, rng = self.style, self.scale, self.rng
        rows, columns = self.pixels.shape[:2]
        if not style.code:  # along the top, as in the Mercosur
            bottom = self.height * 0.22
            cv2.rectangle(self.pixels, (0, 0), (columns, round(bottom * scale)), colour, -1)
            word = str(rng.choice(["BRASIL", "ARGENTINA", "URUGUAY", "REPUBLICA"]))
            self.print(word, (self.width * 0.3, 4, self.width * 0.7, bottom - 4), _PALE)
            return _BASE
        right = min(44.0, self.width * 0.14)
        cv2.rectangle(self.pixels, (0, 0), (round(right * scale), rows), colour, -1)
        gold = (240, 205, 40) if rng.random() < 0.8 else _PALE
        centre = (right / 2 * scale, self.height * 0.33 * scale)
        for angle in np.arange(12) * np.pi / 6:
            at = (round(centre[0] + right * 0.3 * scale * np.cos(angle)),
                  round(centre[1] + right * 0.3 * scale * np.sin(angle)))  # fmt: skip
            cv2.circle(self.pixels, at, max(1, round(2.2 * scale)), gold, -1, cv2.LINE_AA)
        self.print(
            style.code, (right * 0.2, self.height * 0.62, right * 0.8, self.height * 0.86), _PALE
        )
        if self.width > 400 and rng.random() < 0.25:  # France, Italy: one at the right, too
            start = columns - round(right * scale)
            cv2.rectangle(self.pixels, (start, 0), (columns, rows), colour, -1)
        return right + 4

    def legend(self) -> tuple[float, float]:
        """Print a name above and often a motto below; return where characters may stand, in mm."""
        width, height, rng = self.width, self.height, self.rng
        top, bottom = height * 0.24, height - _BASE
        colour = self.ink if rng.random() < 0.6 else tuple(int(v) for v in rng.integers(0, 150, 3))
        name = str(rng.choice(STATES))
        if rng.random() < 0.6:
            name = name.upper()
        face = int(rng.integers(len(glyphs.faces())))
        half = width * rng.uniform(0.16, 0.34)
        self.print(name, (width / 2 - half, 7, width / 2 + half, top - 5), colour, face)
        if rng.random() < 0.65:
            bottom = height * 0.82
            words = str(rng.choice(_WORDS))
            words = words.upper() if rng.random() < 0.5 else words
            half = width * rng.uniform(0.18, 0.36)
            below = (width / 2 - half, bottom + 4, width / 2 + half, height - 6)
            self.print(words, below, colour, face)
        for x in (width * 0.1, width * 0.9):  # stickers: month and year
            for y in (height * 0.12, height * 0.88):
                if rng.random() < 0.35:
                    a = round((x - 16) * self.scale), round((y - 11) * self.scale)
                    b = round((x + 16) * self.scale), round((y + 11) * self.scale)
                    tone = tuple(int(v) for v in rng.integers(20, 255, 3))
                    cv2.rectangle(self.pixels, a, b, tone, -1)
        return top, bottom

    def print(self, text: str, box: Box, colour: tuple[int, ...], face: int | None = None) -> None:
        """Print a line into a box in mm, as high as it is and no wider."""
        left, top, right, bottom = (round(v * self.scale) for v in box)
        if bottom - top < 3 or right - left < 3:  # nothing would be seen of it
            return
        mask = glyphs.line(text, self.face if face is None else face, 24)
        width = min(right - left, round(mask.shape[1] * (bottom - top) / mask.shape[0]))
        left += (right - left - width) // 2
        blend(self.pixels, mask, (left, top, max(1, width), bottom - top), colour)

    def characters(self, text: str, rows: int, box: Box) -> None:
        """Stamp the registration itself into a box in mm, in one row or two."""
        left, top, right, bottom = box
        lines = [text] if rows == 1 else _two_lines(text)
        inner = (right - left, bottom - top)
        fill = self.rng.uniform(0.62, 0.92) if rows == 1 else self.rng.uniform(0.8, 0.94)
        heights = [fill * inner[1]] if rows == 1 else [fill * inner[1] * s for s in (0.44, 0.52)]
        if rows > 1 and self.style.script in ("japan", "china"):
            heights = [fill * inner[1] * 0.34, fill * inner[1] * 0.62]
        y = top + (inner[1] - sum(heights)) / (len(heights) + 1)
        gap = (inner[1] - sum(heights)) / (len(heights) + 1)
        pressed = self.rng.random() < 0.5
        for letters, tall in zip(lines, heights, strict=True):
            wide = tall * self.rng.uniform(0.46, 0.68)
            spread = wide * self.rng.uniform(1.12, 1.35)
            steps = [0.55 if c in " -·" else 1.25 if c == "Z" else 1.0 for c in letters]
            total = sum(steps) * spread
            if total > inner[0] * 0.97:
                squeeze = inner[0] * 0.97 / total
                wide, spread, total = wide * squeeze, spread * squeeze, inner[0] * 0.97
            x = left + (inner[0] - total) * self.rng.uniform(0.35, 0.65)
            for letter, step in zip(letters, steps, strict=True):
                cell = step * spread
                if letter == "Z":
                    mask = glyphs.any_foreign(self.style.script, self.rng)
                    width = wide * 1.2
                elif letter == " ":
                    x += cell
                    continue
                elif letter in "-·":
                    mask = np.full((2, 2), 255, np.uint8)
                    width = wide * (0.5 if letter == "-" else 0.25)
                else:
                    mask = glyphs.glyph(letter, self.face)
                    width = wide * (0.45 if letter in "1I" else 1.0)
                high = tall * (0.14 if letter in "-·" else 1.0)
                place = (
                    round((x + (cell - width) / 2) * self.scale),
                    round((y + (tall - high) / 2) * self.scale),
                    max(1, round(width * self.scale)), max(1, round(high * self.scale)),
                )  # fmt: skip
                if pressed and self.scale > 0.4:  # the rim of a pressed character
                    shift = max(1, round(2 * self.scale))
                    shine = (place[0] + shift, place[1] + shift, *place[2:])
                    blend(self.pixels, mask, shine, (250, 250, 250), 0.35)
                blend(self.pixels, mask, place, self.ink)
                x += cell
            y += tall + gap

    def edge(self) -> None:
        """Paint the rim, and screws."""
        rng, scale = self.rng, self.scale
        rows, columns = self.pixels.shape[:2]
        if rng.random() < 0.6:
            at = max(0, round(rng.uniform(2, 5) * scale))
            cv2.rectangle(self.pixels, (at, at), (columns - 1 - at, rows - 1 - at), self.ink,
                          max(1, round(3 * scale)), cv2.LINE_AA)  # fmt: skip
        for x, y in ((0.14, 0.1), (0.86, 0.1), (0.14, 0.9), (0.86, 0.9)):
            if rng.random() < 0.45:
                at_px = round(x * columns), round(y * rows)
                tone = (int(rng.integers(20, 230)),) * 3
                cv2.circle(self.pixels, at_px, max(1, round(6 * scale)), tone, -1, cv2.LINE_AA)


def _two_lines(text: str) -> list[str]:
    places = [k for k, c in enumerate(text) if c in " -·"]
    if places:
        middle = min(places, key=lambda k: abs(k - len(text) / 2 + 1))
        first, second = text[:middle], text[middle + 1 :]
    else:
        middle = len(text) // 2
        first, second = text[:middle], text[middle:]
    return [first or second, second or first]


def blend(
    canvas: Pixels, mask: Pixels, place: tuple[int, int, int, int],
    colour: Colour | tuple[int, ...], strength: float = 1.0,
) -> None:  # fmt: skip
    """Blend a colour into a canvas where a mask, scaled to place (left, top, width, height), is."""
    left, top, width, height = place
    if width < 1 or height < 1:
        return
    shrunk = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(canvas.shape[1], left + width), min(canvas.shape[0], top + height)
    if x1 <= x0 or y1 <= y0:
        return
    alpha = shrunk[y0 - top : y1 - top, x0 - left : x1 - left, None].astype(np.float32)
    alpha *= strength / 255
    part = canvas[y0:y1, x0:x1]
    part[:] = part * (1 - alpha) + np.array(colour, np.float32) * alpha
