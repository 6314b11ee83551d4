"""What is no plate and looks like one: signs, shop names, timestamps, QR codes, shirts, faces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from export.train.plates import glyphs
from export.train.plates.canvas import Painter, round_shape, rounded
from export.train.plates.vehicle import write

WORDS: Final = (
    "Bakery", "Pharmacy", "HOTEL", "Open", "CLOSED", "EXIT", "Taxi", "School", "Museum",
    "Parking", "PIZZA", "Coffee", "Market", "Bank", "Station", "Centre", "No", "entry",
    "PRIVATE", "Sale", "WELCOME", "Toilets", "Information", "LIVE", "NEWS", "Airport", "Library",
    "Main", "Street", "Church", "Rd", "Elm", "Avenue", "POLICE", "Ambulance", "Fresh", "fruit",
    "Sushi", "Bar", "Books", "Flowers", "Danger", "High", "voltage", "Fire", "door", "Keep",
    "clear", "Please", "wait", "here", "Push", "Pull", "STOP", "Yield", "One", "way", "Bus",
    "Tram", "Zoo",
)  # fmt: skip


def _words(rng: np.random.Generator, least: int = 1, most: int = 3) -> str:
    return " ".join(str(w) for w in rng.choice(WORDS, int(rng.integers(least, most + 1))))


def _pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a ground and a colour that is read on it."""
    ground = rng.uniform(0, 255, 3)
    if rng.random() < 0.4:
        ground = np.full(3, rng.choice([20.0, 235.0])) + rng.normal(0, 8, 3)
    return ground, np.full(3, 240.0) if ground.mean() < 128 else rng.uniform(0, 90, 3)


def sign(painter: Painter, rng: np.random.Generator) -> None:
    """A board with one to five lines of words, sometimes a post, an arrow or a symbol."""
    ground, colour = _pair(rng)
    lines = int(rng.integers(1, 6))
    wide = rng.uniform(180, 420)
    high = lines * rng.uniform(45, 80) + 20
    if rng.random() < 0.4:
        painter.fill(rounded(-12, high / 2, 12, high / 2 + 900), (120, 122, 126))
    painter.fill(rounded(-wide, -high / 2, wide, high / 2, rng.choice([0, 12, 40])), ground)
    if rng.random() < 0.5:
        edge = rounded(-wide + 8, -high / 2 + 8, wide - 8, high / 2 - 8)
        painter.line(np.vstack([edge, edge[:1]]), colour, 5)
    for k in range(lines):
        y = -high / 2 + high * (k + 0.5) / lines
        size = high / lines * rng.uniform(0.4, 0.75)
        # Very often words: only rarely something short in capitals with digits.
        text = _words(rng, 1, 3) if rng.random() < 0.85 else f"A{rng.integers(1, 99)}"
        text = text.upper() if rng.random() < 0.35 else text
        write(painter, text[: int(wide * 2 / size / 0.6)], (0, y, size), colour, rng)


def shop(painter: Painter, rng: np.random.Generator) -> None:
    """A shop's front: a band with its name over windows."""
    ground, colour = _pair(rng)
    painter.fill(rounded(-1600, -170, 1600, 170), ground)
    write(
        painter, _words(rng, 1, 2), (rng.uniform(-300, 300), 0, rng.uniform(120, 260)), colour, rng
    )
    for k in range(-2, 3):
        tone = rng.uniform(20, 160)
        painter.shade(
            rounded(k * 640 - 290, 210, k * 640 + 290, 1300), (tone,) * 3, (tone * 0.6,) * 3
        )
        if rng.random() < 0.3:
            write(painter, _words(rng, 1, 2), (k * 640, 500, 60), (240, 240, 235), rng)


def windows(painter: Painter, rng: np.random.Generator) -> None:
    """A wall with windows, vents or shelves: rectangles in rows."""
    tone, glass = rng.uniform(60, 230, 3), rng.uniform(10, 140, 3)
    wide, high = rng.uniform(150, 500), rng.uniform(150, 500)
    painter.fill(rounded(-2500, -2000, 2500, 2000), tone)
    for x in np.arange(-2400, 2400, wide * 1.6):
        for y in np.arange(-1900, 1900, high * 1.7):
            painter.fill(rounded(x, y, x + wide, y + high), glass * rng.uniform(0.6, 1.3))


def road_sign(painter: Painter, rng: np.random.Generator) -> None:
    """A speed limit, a warning triangle, a house number."""
    kind = rng.random()
    if kind < 0.4:
        painter.fill(round_shape(0, 0, 200, 200), (200, 20, 28))
        painter.fill(round_shape(0, 0, 160, 160), (240, 240, 240))
        limit = str(rng.choice(["30", "50", "70", "80", "100"]))
        write(painter, limit, (0, 0, 130), (20, 20, 20), rng)
    elif kind < 0.6:
        painter.fill(np.array([[0, -220], [220, 160], [-220, 160]], float), (200, 20, 28))
        painter.fill(np.array([[0, -150], [150, 120], [-150, 120]], float), (244, 240, 225))
    elif kind < 0.8:
        painter.fill(rounded(-110, -110, 110, 110, 10), (20, 60, 160))
        write(painter, str(rng.integers(1, 250)), (0, 0, 110), (240, 240, 240), rng)
    else:
        ground, colour = _pair(rng)
        painter.fill(rounded(-200, -200, 200, 200, 30), ground)
        painter.fill(round_shape(rng.uniform(-60, 60), 0, 90, 110), colour)


def qr_code(painter: Painter, rng: np.random.Generator) -> None:
    """A QR code, or a bar code, on its label."""
    count = int(rng.choice([21, 25, 29]))
    if rng.random() < 0.6:
        cells = (rng.random((count, count)) < 0.5).astype(np.uint8)
        for y, x in ((0, 0), (0, count - 7), (count - 7, 0)):
            cells[y : y + 7, x : x + 7] = 1
            cells[y + 1 : y + 6, x + 1 : x + 6] = 0
            cells[y + 2 : y + 5, x + 2 : x + 5] = 1
        size = 150.0, 150.0
    else:
        cells = np.repeat((rng.random((1, 60)) < 0.5).astype(np.uint8), 20, axis=0)
        size = 220.0, 110.0
    mask = np.kron(cells, np.full((4, 4), 255, np.uint8)).astype(np.uint8)
    painter.fill(
        rounded(-size[0] * 1.2, -size[1] * 1.2, size[0] * 1.2, size[1] * 1.25), (242, 242, 242)
    )
    painter.stencil(mask, (-size[0], -size[1], size[0], size[1]), (15, 15, 15))


def person(painter: Painter, rng: np.random.Generator) -> None:
    """A head, shoulders and a shirt, often with a word, a number or a picture on it."""
    skin = np.array([225, 175, 145]) * rng.uniform(0.3, 1.1)
    shirt, colour = _pair(rng)
    body = np.array(
        [[-90, 120], [90, 120], [260, 190], [310, 700], [-310, 700], [-260, 190]], float
    )
    painter.shade(body, shirt * 1.05, shirt * 0.75)
    if rng.random() < 0.5:
        text = _words(rng, 1, 1) if rng.random() < 0.75 else str(rng.integers(1, 100))
        write(painter, text, (0, rng.uniform(280, 420), rng.uniform(50, 150)), colour, rng)
    if rng.random() < 0.25:  # a jacket's lapels and a tie
        painter.fill(np.array([[-60, 130], [60, 130], [0, 520]], float), (236, 236, 236))
        painter.fill(np.array([[-18, 150], [18, 150], [28, 480], [-28, 480]], float), colour)
    painter.fill(rounded(-55, 40, 55, 190, 30), skin * 0.8)
    painter.shade(round_shape(0, -30, 105, 140), skin * 1.1, skin * 0.85)
    hair = rng.uniform(10, 120) * np.array([1.0, 0.85, 0.65])
    top = round_shape(0, -60, 118, 125)
    painter.fill(top[(top[:, 1] < rng.uniform(-100, -60))], hair)
    for side in (-1, 1):
        painter.fill(round_shape(side * 42, -45, 22, 11), (240, 240, 236))
        painter.fill(round_shape(side * 42, -45, 9, 10), (40, 30, 24))
        painter.line(np.array([[side * 20.0, -72], [side * 66.0, -70]]), hair, 9)
        if rng.random() < 0.3:
            outline = round_shape(side * 42, -45, 36, 30)
            painter.line(np.vstack([outline, outline[:1]]), (20, 20, 22), 6)
    painter.fill(np.array([[-12, 5], [12, 5], [0, -30]], float), skin * 0.75)
    teeth = (238, 234, 228) if rng.random() < 0.5 else skin * 0.55
    painter.fill(round_shape(0, 45, 40, rng.uniform(6, 20)), teeth)


def page(painter: Painter, rng: np.random.Generator) -> None:
    """A printed page, a screen or a poster: many small lines."""
    ground, colour = _pair(rng)
    painter.fill(rounded(-160, -220, 160, 220), ground)
    write(painter, _words(rng, 1, 2), (0, -180, 36), colour, rng)
    for y in np.arange(-130, 200, rng.uniform(16, 40)):
        painter.line(np.array([[-130, y], [rng.uniform(20, 130), y]]), colour, 6)


def blank(painter: Painter, rng: np.random.Generator) -> None:
    """An empty board in a plate's shape, with stripes, a rim or nothing."""
    ground, colour = _pair(rng)
    high = rng.choice([110, 155, 200])
    painter.fill(rounded(-230, -high / 2, 230, high / 2, 10), ground)
    if rng.random() < 0.5:
        for x in np.linspace(-200, 200, int(rng.integers(2, 12))):
            painter.line(
                np.array([[x, -high / 2], [x + rng.choice([0, 60]), high / 2]]), colour, 14
            )


DECOYS: Final[tuple[Callable[[Painter, np.random.Generator], None], ...]] = (
    sign, sign, sign, shop, windows, road_sign, qr_code, person, person, page, blank,
)  # fmt: skip


def timestamp(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Write a time, a channel's name or a score into the picture, as cameras and channels do."""
    date = f"{rng.integers(2009, 2030)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}"
    time = f"{rng.integers(24):02d}:{rng.integers(60):02d}:{rng.integers(60):02d}"
    kinds = (f"{date} {time}", time, date, f"CAM {rng.integers(1, 17)}", "REC", _words(rng, 1, 2),
             f"{_words(rng, 1, 1)[:3].upper()} {rng.integers(9)}-{rng.integers(9)}")  # fmt: skip
    mask = glyphs.line(str(rng.choice(kinds)), int(rng.integers(len(glyphs.faces()))),
                       int(rng.integers(9, 30)))  # fmt: skip
    rows, columns = picture.shape[:2]
    mask = mask[: rows - 8, : columns - 8]
    high, wide = mask.shape
    x = int(rng.choice([4, max(4, columns - wide - 4), rng.integers(4, max(5, columns - wide))]))
    y = int(rng.choice([4, rows - high - 4, rng.integers(4, max(5, rows - high))]))
    if rng.random() < 0.4:
        cv2.rectangle(picture, (x - 3, y - 3), (x + wide + 3, y + high + 3),
                      tuple(float(v) for v in rng.uniform(0, 90, 3)), -1)  # fmt: skip
    alpha = mask[..., None].astype(np.float32) / 255
    part = picture[y : y + high, x : x + wide]
    part[:] = (
        part * (1 - alpha[: part.shape[0], : part.shape[1]])
        + 240 * alpha[: part.shape[0], : part.shape[1]]
    )
