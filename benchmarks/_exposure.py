"""What a viewer could still recognise in a redacted picture: judged on pixels, pure.

The idea: what makes a face or a number plate recognisable is its fine detail. If the band-passed
redacted picture still follows the band-passed original inside a box, the detail got through,
whatever the program under test says it did. Blurs, tiles and solid fills all destroy it; a second
encode does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._common import BenchmarkError, ByteArray

FloatArray = NDArray[np.float32]

DETAIL_SIGMA_PX: Final = 3.0
"""Detail is what a Gaussian of this width takes away: eyes and mouth of a 20 px face, letters."""
GRID: Final = 4
"""Cells across the inner part of a box, each way."""
INNER_MARGIN: Final = 0.1
"""Share of a box left out at each side: hair, background, the plate's frame."""
MIN_CELL_PX: Final = 9
"""Pixels below which a cell's correlation says nothing."""
MIN_TEXTURE: Final = 2.5
"""Deviation of the original's detail, grey levels, below which a cell holds nothing to see."""
CELL_CORRELATION: Final = 0.5
"""Correlation above which a cell's detail is there to be seen."""
MIN_TEXTURED_CELLS: Final = 3
"""A box with fewer is not judged: the original itself shows nothing there."""
EXPOSED_SHARE: Final = 0.25
"""Share of its textured cells that may be visible before a box counts as exposed."""
CLEAR_GAIN: Final = 0.5
"""Strength of the visible detail, against the original's, above which little hides the box."""
SURROUND: Final = 0.25
"""Around a box, this share of its longer side may be changed and is not over-redaction."""
CHANGE_SIGMA_PX: Final = 2.0
CHANGE_LEVELS: Final = 12
"""A pixel is changed when the smoothed pictures differ by more; coding noise stays below."""


@dataclass(frozen=True, slots=True)
class TrueBox:
    """One labelled thing in one frame: x1 y1 x2 y2 in pixels, already cut to the picture."""

    kind: str
    ident: int
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y2 - self.y1

    def touches_border(self, width: int, height: int) -> bool:
        """Whether the box reaches the border of a width × height picture."""
        return self.x1 <= 0 or self.y1 <= 0 or self.x2 >= width or self.y2 >= height


@dataclass(frozen=True, slots=True)
class Truth:
    """The labels of a clip: for every frame what is where."""

    width: int
    height: int
    fps: float
    frames: tuple[tuple[TrueBox, ...], ...]

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read {"fps": f, "size": [w, h], "frames": [[[kind, id, x1, y1, x2, y2], ...], ...]}."""
        try:
            raw = json.loads(path.read_text())
            width, height = raw["size"]
            frames = tuple(
                tuple(TrueBox(str(k), int(i), *map(float, box)) for k, i, *box in rows)
                for rows in raw["frames"]
            )
            return cls(int(width), int(height), float(raw["fps"]), frames)
        except OSError as error:
            raise BenchmarkError(
                f"{path} cannot be read: {error.strerror}. Name the clip's label file."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(
                f"{path} is not a label file ({error}). It must be JSON with fps, size and frames."
            ) from error


def detail(gray: ByteArray) -> FloatArray:
    """Return the fine detail of a (H, W) uint8 picture: what a Gaussian takes away, float32."""
    picture = gray.astype(np.float32)
    result: FloatArray = picture - cv2.GaussianBlur(picture, (0, 0), DETAIL_SIGMA_PX)
    return result


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much of one box's detail got through.

    share: textured cells (0..1) whose detail follows the original's.
    gain: how strongly it does so: median slope of redacted on original detail in those cells. 1 in
    an untouched box, near 0 where a mask's own edge happens to follow the face's; 0 without any.
    """

    share: float
    gain: float

    @property
    def exposed(self) -> bool:
        """Whether enough follows the original for the box to count as leaked."""
        return self.share > EXPOSED_SHARE

    @property
    def clear(self) -> bool:
        """Whether it is exposed and more than half as strong as in the original."""
        return self.exposed and self.gain > CLEAR_GAIN


def expose(original: FloatArray, redacted: FloatArray, box: TrueBox) -> Exposure | None:
    """Judge one box; original, redacted: `detail` of the two whole pictures.

    None where the original shows too little in the box to judge it.
    """
    dx, dy = INNER_MARGIN * box.width, INNER_MARGIN * box.height
    xs = np.linspace(box.x1 + dx, box.x2 - dx, GRID + 1).astype(int)
    ys = np.linspace(box.y1 + dy, box.y2 - dy, GRID + 1).astype(int)
    textured = 0
    gains: list[float] = []
    for top, bottom in pairwise(ys):
        for left, right in pairwise(xs):
            before = original[top:bottom, left:right]
            after = redacted[top:bottom, left:right]
            if before.size < MIN_CELL_PX or (spread := float(before.std())) < MIN_TEXTURE:
                continue
            textured += 1
            scale = spread * float(after.std())
            if scale <= 1e-3:  # a flat fill follows nothing
                continue
            covariance = float(((before - before.mean()) * (after - after.mean())).mean())
            if covariance / scale > CELL_CORRELATION:
                gains.append(covariance / spread**2)
    if textured < MIN_TEXTURED_CELLS:
        return None
    return Exposure(len(gains) / textured, float(np.median(gains)) if gains else 0.0)


def changed_share(original: ByteArray, redacted: ByteArray, boxes: Iterable[TrueBox]) -> float:
    """Return the share (0..1) of the picture outside all true boxes that was visibly changed."""
    outside = np.ones(original.shape, np.uint8)
    for box in boxes:
        pad = SURROUND * max(box.width, box.height)
        corner = (int(box.x1 - pad), int(box.y1 - pad))
        cv2.rectangle(outside, corner, (int(box.x2 + pad), int(box.y2 + pad)), 0, -1)
    smooth = [
        cv2.GaussianBlur(picture, (0, 0), CHANGE_SIGMA_PX) for picture in (original, redacted)
    ]
    changed = cv2.absdiff(*smooth) > CHANGE_LEVELS
    total = int(outside.sum())
    return float((changed & (outside == 1)).sum()) / total if total else 0.0
