"""Draw what carries a plate: cars from behind and from the front, lorries, motorcycles, gates."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from export.train.plates import glyphs
from export.train.plates.canvas import Painter, Pixels, Tone, round_shape, rounded
from export.train.plates.plate import Plate

BODIES: Final = (
    (232, 234, 236), (232, 234, 236), (196, 200, 204), (150, 154, 158), (92, 96, 102), (24, 25, 28),
    (24, 25, 28), (40, 44, 60), (146, 18, 22), (24, 60, 132), (18, 70, 48), (206, 170, 60),
    (110, 72, 46), (220, 96, 20), (120, 160, 190),
)  # fmt: skip
"""Paint, in about the shares in which it is bought."""
_BADGES: Final = (
    "TURBO", "SPORT", "GLX", "1.6", "TDI", "HYBRID", "4x4", "XL", "GT", "LX", "V6", "SE",
    "ELITE", "MAX", "320d", "CITY",
)  # fmt: skip
_DEALERS: Final = (
    "Autohaus Nord", "City Motors", "Garage du Lac", "www.cars.example", "Happy Driving",
    "Auto Center", "Best Deals 24", "Concesionario Sur", "MOTOR COMPANY", "Bilhuset",
)  # fmt: skip


def put_on(
    painter: Painter, plate: Plate | None, mirrored: Pixels, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Draw a vehicle about the plane's origin and mount a plate there; return its corners, (4, 2).

    mirrored: a photograph, (H, W, 3), whose reflection is seen in the paint.

    None for the plate leaves the holder empty, as on new cars and on fronts in some countries:
    then None is returned.
    """
    kind = rng.random()
    if kind < 0.68:
        _car(painter, mirrored, rng)
    elif kind < 0.8:
        _lorry(painter, rng)
    elif kind < 0.86:
        _motorcycle(painter, rng)
    width, height = (plate.width_mm, plate.height_mm) if plate else (520.0, 115.0)
    _holder(painter, width, height, rng)
    if plate is None:
        return None
    return painter.paste(plate.pixels, (-width / 2, -height / 2, width / 2, height / 2))


def _car(painter: Painter, mirrored: Pixels, rng: np.random.Generator) -> None:
    colour = np.array(BODIES[int(rng.integers(len(BODIES)))]) * rng.uniform(0.75, 1.05)
    front = rng.random() < 0.45
    half = rng.uniform(800, 960)
    roof, belt, sill = rng.uniform(-1150, -750), rng.uniform(-520, -330), rng.uniform(180, 420)
    waist = half * rng.uniform(0.72, 0.86)
    # What lies in the car's shade, and its tyres.
    painter.fill(round_shape(0, sill + 60, half * 1.05, 70), (25, 25, 27), 0.7)
    for side in (-1, 1):
        x = side * half * 0.83
        painter.fill(rounded(x - 110, sill - 160, x + 110, sill + 110, 40), (22, 22, 24))
    body = np.array([
        [-waist, roof + 60], [-waist * 0.9, roof], [waist * 0.9, roof], [waist, roof + 60],
        [half, belt], [half * 1.02, sill - 120], [half * 0.95, sill], [-half * 0.95, sill],
        [-half * 1.02, sill - 120], [-half, belt],
    ])  # fmt: skip
    painter.shade(body, colour * rng.uniform(0.95, 1.3), colour * rng.uniform(0.45, 0.85))
    glass = np.array([[-waist * 0.86, roof + 60], [waist * 0.86, roof + 60],
                      [half * 0.86, belt - 40], [-half * 0.86, belt - 40]])  # fmt: skip
    sky = rng.uniform(20, 190)
    painter.shade(glass, (sky, sky * 1.04, sky * 1.1), (20, 22, 26))
    if rng.random() < 0.6:
        seen = (-half * 0.85, belt, half * 0.85, sill - 60)
        painter.paste(mirrored, seen, rng.uniform(0.08, 0.4))
        painter.paste(
            mirrored, (-waist * 0.8, roof + 60, waist * 0.8, belt - 40), rng.uniform(0, 0.5)
        )
    if rng.random() < 0.5:
        x = rng.uniform(-0.6, 0.2) * half
        streak = np.array(
            [[x, roof + 60], [x + 260, roof + 60], [x + 60, belt - 40], [x - 200, belt - 40]]
        )
        painter.fill(streak, (220, 226, 232), rng.uniform(0.1, 0.4))
    _lamps(painter, rng, half, belt, front=front)
    if front:
        _grille(painter, rng, half, belt)
    else:
        _boot(painter, rng, half, belt, colour)
    _bumper(painter, rng, half, sill, colour)


def _lamps(
    painter: Painter, rng: np.random.Generator, half: float, belt: float, *, front: bool
) -> None:
    top, high = belt + rng.uniform(30, 120), rng.uniform(90, 260)
    wide = rng.uniform(150, 380) if front else rng.uniform(120, 330)
    lit = rng.random() < 0.3
    for side in (-1, 1):
        outer, inner = side * half * 0.98, side * (half * 0.98 - wide)
        low, up = sorted((outer, inner))
        slant = rng.uniform(-40, 40)
        shape = np.array(
            [[low, top], [up, top + slant * side], [up, top + high], [low, top + high]]
        )
        if front:
            painter.fill(shape, (60, 64, 70))
            painter.fill(round_shape((low + up) / 2, top + high / 2, wide * 0.32, high * 0.38),
                         (255, 252, 235) if lit else (190, 198, 206))  # fmt: skip
        else:
            red = (250, 40, 30) if lit else (rng.uniform(110, 190), 14, 22)
            painter.fill(shape, red)
            strip = (low, top + high * 0.35, up, top + high * 0.6)
            painter.fill(rounded(*strip), rng.choice([(235, 225, 220), (230, 130, 30), red]))


def _grille(painter: Painter, rng: np.random.Generator, half: float, belt: float) -> None:
    wide = half * rng.uniform(0.35, 0.7)
    top, bottom = belt + rng.uniform(60, 150), rng.uniform(-110, 40)
    painter.fill(rounded(-wide, top, wide, bottom, 50), (18, 19, 21))
    bars = int(rng.integers(0, 9))
    shine = rng.uniform(50, 210)
    for k in range(bars):
        y = top + (bottom - top) * (k + 0.5) / bars
        painter.line(np.array([[-wide * 0.95, y], [wide * 0.95, y]]), (shine,) * 3, 10)
    painter.fill(round_shape(0, (top + min(bottom, -80)) / 2, 55, 50), (200, 204, 208))
    painter.fill(rounded(-half * 0.7, 60, half * 0.7, rng.uniform(150, 260), 30), (22, 23, 25))


def _boot(
    painter: Painter, rng: np.random.Generator, half: float, belt: float,
    colour: NDArray[np.float64],
) -> None:  # fmt: skip
    shadow, shine = colour * 0.55, np.minimum(colour * 1.25 + 15, 255)
    bottom = rng.uniform(70, 160)
    for y, tone in ((belt + 12, shadow), (bottom, shadow * 0.6)):
        painter.line(np.array([[-half * 0.8, y], [half * 0.8, y]]), tone, 9)
    if rng.random() < 0.6:  # the recess, and a strip of chrome above the plate
        wide, up = rng.uniform(300, 480), rng.uniform(80, 150)
        painter.shade(
            rounded(-wide, -up, wide, rng.uniform(70, 130), 30), shadow * 0.6, shadow * 1.3
        )
        if rng.random() < 0.6:
            tone = np.array([205, 208, 212]) if rng.random() < 0.6 else shine
            painter.fill(rounded(-wide * 0.9, -up - 45, wide * 0.9, -up - 10, 12), tone)
    painter.fill(round_shape(0, belt + rng.uniform(60, 130), 48, 44), (205, 208, 212))
    for side in (-1, 1):
        if rng.random() < 0.6:
            write(painter, str(rng.choice(_BADGES)), (side * rng.uniform(380, 600), belt + 120,
                  rng.uniform(30, 65)), (205, 208, 212), rng)  # fmt: skip
    if rng.random() < 0.2:  # a sticker
        x = rng.choice([-1, 1]) * rng.uniform(400, 700)
        tone = rng.uniform(0, 255, 3)
        painter.fill(rounded(x - 120, -60, x + 120, 40), tone)
        write(painter, str(rng.choice(_DEALERS)), (x, -10, 40), 255 - tone, rng)


def _bumper(
    painter: Painter,
    rng: np.random.Generator,
    half: float,
    sill: float,
    colour: NDArray[np.float64],
) -> None:
    top = rng.uniform(-100, 110)
    tone = (
        colour * rng.uniform(0.8, 1.1) if rng.random() < 0.65 else np.full(3, rng.uniform(30, 90))
    )
    if rng.random() < 0.75:
        painter.shade(rounded(-half * 1.03, top, half * 1.03, sill, 60), tone * 1.1, tone * 0.6)
    painter.fill(rounded(-half * 0.8, sill - 100, half * 0.8, sill - 10, 30), (26, 27, 29))
    for side in (-1, 1):
        if rng.random() < 0.5:  # reflectors and fog lamps
            x = side * half * 0.78
            painter.fill(rounded(x - 80, sill - 180, x + 80, sill - 140), (170, 30, 24))
        if rng.random() < 0.3:  # exhaust
            x = side * half * 0.55
            painter.fill(round_shape(x, sill - 10, 50, 34), (120, 122, 126))


def _lorry(painter: Painter, rng: np.random.Generator) -> None:
    """A flat wall with ribs, hinges, stripes and large lettering; the plate low in a frame."""
    tone = np.array(BODIES[int(rng.integers(len(BODIES)))]) * rng.uniform(0.6, 1.0)
    floor = rng.uniform(-260, -90)
    painter.shade(rounded(-1250, -2600, 1250, floor), tone * 1.1, tone * 0.8)
    for x in np.linspace(-1200, 1200, int(rng.integers(2, 9))):
        painter.line(np.array([[x, -2600], [x, floor]]), tone * 0.7, 18)
    if rng.random() < 0.6:
        write(painter, str(rng.choice(_DEALERS)), (0, floor - rng.uniform(200, 700),
              rng.uniform(100, 320)), rng.uniform(0, 255, 3), rng)  # fmt: skip
    painter.fill(rounded(-1250, floor, 1250, 380), (40, 40, 42))
    for side in (-1, 1):
        lamp = side * rng.uniform(600, 1000)
        painter.fill(rounded(lamp - 170, -70, lamp + 170, 60, 20), (150, 22, 20))
        painter.fill(rounded(side * 900 - 250, 100, side * 900 + 250, 700, 60), (20, 20, 22))
    if rng.random() < 0.5:
        for k in range(-5, 6):
            bright = (220, 30, 30) if k % 2 else (235, 235, 235)
            painter.fill(rounded(k * 220 - 110, floor + 10, k * 220 + 110, floor + 60), bright)


def _motorcycle(painter: Painter, rng: np.random.Generator) -> None:
    dark = (28, 28, 30)
    painter.fill(rounded(-90, 60, 90, 700, 80), (24, 24, 26))  # tyre
    painter.fill(
        rounded(-140, -420, 140, -120, 60), np.array(BODIES[int(rng.integers(len(BODIES)))])
    )
    painter.fill(round_shape(0, -180, 90, 45), (180, 20, 24))
    for side in (-1, 1):
        painter.fill(round_shape(side * 190, -150, 40, 30), (230, 130, 30))
        painter.line(np.array([[side * 60, -160], [side * 190, -150]]), dark, 18)
        painter.line(np.array([[side * 110, -500], [side * 150, 500]]), (150, 152, 156), 26)


def _holder(painter: Painter, width: float, height: float, rng: np.random.Generator) -> None:
    """The frame around a plate, often with a dealer's name; never counted as plate."""
    style = rng.random()
    a, b = width / 2, height / 2
    if style < 0.25:
        return
    margin = rng.uniform(5, 16)
    below = rng.uniform(12, 30) if style > 0.5 else margin
    tone = (24, 24, 26) if rng.random() < 0.7 else (196, 198, 202)
    painter.fill(rounded(-a - margin, -b - margin, a + margin, b + below, 8), tone)
    if below > margin:
        text = str(rng.choice(_DEALERS))
        write(painter, text, (0, b + below / 2, below * 0.6), (225, 225, 225), rng)
    if rng.random() < 0.3:  # lamps above
        for side in (-1, 1):
            painter.fill(
                rounded(side * a * 0.5 - 30, -b - 40, side * a * 0.5 + 30, -b - 22), (240, 236, 215)
            )


def write(
    painter: Painter, text: str, place: tuple[float, float, float], colour: Tone,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Write a line without any ground of its own; place: its middle x, y and its height, in mm."""
    x, y, high = place
    face = int(rng.integers(len(glyphs.faces())))
    mask = glyphs.line(text, face, 26)
    wide = high * mask.shape[1] / mask.shape[0] * rng.uniform(0.8, 1.1)
    painter.stencil(mask, (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), colour)
