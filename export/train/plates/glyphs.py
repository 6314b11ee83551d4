"""Characters as masks: Latin ones from free fonts, those of other scripts as strokes that resemble.

The fonts come from pinned packages (the extra train-plates) and never into the repository. Masks
are scaled to the cell that a plate gives each character, which is how condensed letters arise.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge.errors import ModelError

Mask = NDArray[np.uint8]

HEIGHT: Final = 72
"""Pixels of a capital letter in its mask: plates are drawn at up to that, then made smaller."""
_FILES: Final = {
    "font_roboto": ("Roboto-Medium.ttf", "Roboto-Bold.ttf", "Roboto-Black.ttf"),
    "font_hanken_grotesk": ("HankenGrotesk-SemiBold.otf", "HankenGrotesk-Bold.otf"),
    "font_manrope": ("Manrope-Bold.ttf", "Manrope-ExtraBold.ttf"),
    "font_source_sans_pro": ("SourceSansPro-Semibold.ttf", "SourceSansPro-Bold.ttf"),
    "matplotlib": ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono-Bold.ttf"),
}
PLATE_FACES: Final = 11
"""Of faces(), the first so many are for plates; the rest is what else is written in a street."""
_OTHER_FILES: Final = {
    "matplotlib": ("DejaVuSerif-Bold.ttf", "DejaVuSans-BoldOblique.ttf", "DejaVuSerif.ttf"),
    "font_roboto": ("Roboto-Regular.ttf", "Roboto-BlackItalic.ttf", "Roboto-Light.ttf"),
}
_STROKES_PER_SCRIPT: Final = {"china": 9, "japan": 4, "korea": 5, "thai": 3, "arabic": 3}
_VARIANTS: Final = 40


@lru_cache(maxsize=1)
def faces() -> tuple[Path, ...]:
    """Return the font files. Raises ModelError, naming the package, where one is not installed."""
    found: list[Path] = []
    for package, names in [*_FILES.items(), *_OTHER_FILES.items()]:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModelError(
                f"{package} is not installed. Run `pip install 'privaedge[train-plates]'`."
            )
        root = Path(next(iter(spec.submodule_search_locations)))
        for name in names:
            path = next(iter(sorted(root.rglob(name))), None)
            if path is None:
                raise ModelError(f"{package} has no {name}. Install the release that is pinned.")
            found.append(path)
    return tuple(found)


@lru_cache(maxsize=64)
def _font(face: int, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(faces()[face]), size)


@lru_cache(maxsize=4096)
def glyph(character: str, face: int) -> Mask:
    """Return one character, HEIGHT rows for a capital, (H, W) uint8 0..255, cut to its ink."""
    mask = line(character, face, round(HEIGHT * 1.38))
    return mask if mask.size else np.zeros((HEIGHT, 4), np.uint8)


def line(text: str, face: int, size: int) -> Mask:
    """Return a line of text at a font size in pixels, (H, W) uint8, cut to its ink."""
    font = _font(face, size)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("L", (max(1, int(right - left)), max(1, int(bottom - top))))
    ImageDraw.Draw(picture).text((-left, -top), text, 255, font=font)
    return np.asarray(picture)


@lru_cache(maxsize=512)
def foreign(script: str, variant: int) -> Mask:
    """Return one of the characters of a script, (HEIGHT, HEIGHT) uint8: strokes, not writing."""
    rng = np.random.default_rng([len(script), sum(map(ord, script)), variant])
    size = HEIGHT * 2
    mask: Mask = np.zeros((size, size), np.uint8)
    strokes = _STROKES_PER_SCRIPT[script]
    width = int(rng.integers(9, 16))
    low, high = size // 10, size - size // 10
    for _ in range(int(rng.integers(strokes - 1, strokes + 3))):
        x, y = (int(v) for v in rng.integers(low, high, 2))
        kind = rng.random()
        if script in ("thai", "arabic", "japan") and kind < 0.6:  # mostly curves
            axes = tuple(int(v) for v in rng.integers(size // 8, size // 3, 2))
            start = int(rng.integers(0, 360))
            cv2.ellipse(mask, (size // 2, size // 2) if kind < 0.2 else (x, y), axes, 0, start,
                        start + int(rng.integers(120, 330)), 255, width, cv2.LINE_AA)  # fmt: skip
        elif kind < 0.45:
            length = int(rng.integers(size // 4, size))
            cv2.line(mask, (max(low, x - length // 2), y), (min(high, x + length // 2), y), 255,
                     width, cv2.LINE_AA)  # fmt: skip
        elif kind < 0.8:
            length = int(rng.integers(size // 4, size))
            cv2.line(mask, (x, max(low, y - length // 2)), (x, min(high, y + length // 2)), 255,
                     width, cv2.LINE_AA)  # fmt: skip
        else:
            to = (int(rng.integers(low, high)), int(rng.integers(low, high)))
            cv2.line(mask, (x, y), to, 255, width, cv2.LINE_AA)
    return np.asarray(cv2.resize(mask, (HEIGHT, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def any_foreign(script: str, rng: np.random.Generator) -> Mask:
    """Draw one of a script's characters."""
    return foreign(script, int(rng.integers(_VARIANTS)))
