"""One street scene with the corners of its plates, from a seed and a number alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from export.train.plates.backdrop import Backdrops
from export.train.plates.canvas import Painter, view
from export.train.plates.decoys import DECOYS, timestamp
from export.train.plates.lens import photograph
from export.train.plates.plate import draw_plate
from export.train.plates.vehicle import put_on

SIDE: Final = 320
"""Pixels of a scene, as the network would see that part of a picture."""
MAX_PLATES: Final = 6
NARROWEST: Final = 10.0
WIDEST: Final = 290.0
"""Pixels of a plate's width. An input of 640 pixels shows plates up to half of it as large."""
_SEEN: Final = 0.6
"""Share of a plate that has to be in the scene for it to count as one."""


@dataclass(frozen=True, slots=True)
class Scene:
    """picture (SIDE, SIDE, 3) uint8 RGB; quads (N, 4, 2) float32, clockwise from the top left.

    doubtful: (N,) whether a plate is mostly outside or too small to be asked for: neither a plate
    nor background to the training.
    """

    picture: NDArray[np.uint8]
    quads: NDArray[np.float32]
    doubtful: NDArray[np.bool_]


def make_scene(seed: int, number: int, backdrops: Backdrops) -> Scene:
    """Draw a scene. The same seed, number and backdrops give the same scene, bit by bit."""
    rng = np.random.default_rng([seed, number])
    picture = np.ascontiguousarray(backdrops.draw(SIDE, rng))
    quads: list[NDArray[np.float64]] = []
    hidden: list[bool] = []
    kind = rng.random()
    if kind < 0.2:  # nothing but decoys, or nothing at all
        _decoys(picture, rng, int(rng.integers(0, 5)))
    elif kind < 0.78:
        _decoys(picture, rng, int(rng.integers(0, 2)))
        quads, hidden = _vehicles(picture, backdrops, rng, 1, WIDEST)
    else:
        _decoys(picture, rng, int(rng.integers(0, 3)))
        quads, hidden = _vehicles(picture, backdrops, rng, int(rng.integers(2, MAX_PLATES)), 90)
    if rng.random() < 0.15:
        timestamp(picture, rng)
    corners = np.array(quads, np.float64).reshape(-1, 4, 2)
    widths = _long_side(corners)
    finest = float(widths.min()) if len(widths) else 60.0
    picture, corners = photograph(picture, corners, finest, rng)
    if rng.random() < 0.04:
        picture = np.ascontiguousarray(255 - picture)  # so that ink and ground never say it all
    inside = visible_share(corners, SIDE)
    kept = inside > 0.05
    doubtful = np.array(hidden, bool) | (inside < _SEEN) | (_long_side(corners) < NARROWEST * 0.8)
    return Scene(picture, corners[kept].astype(np.float32), doubtful[kept])


def visible_share(quads: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Share of each quad's area, (N, 4, 2), that lies in a picture of side × side: (N,)."""
    frame = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    shares = []
    for quad in quads.astype(np.float32):
        area = abs(cv2.contourArea(quad))
        common = cv2.intersectConvexConvex(quad, frame)[0] if area > 0 else 0.0
        shares.append(common / area if area > 0 else 0.0)
    return np.array(shares)


def _long_side(quads: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1)
    return result


def _decoys(picture: NDArray[np.uint8], rng: np.random.Generator, count: int) -> None:
    for _ in range(count):
        middle = (rng.uniform(0, SIDE), rng.uniform(0, SIDE))
        size = np.exp(rng.uniform(np.log(0.06), np.log(0.8)))
        draw = DECOYS[int(rng.integers(len(DECOYS)))]
        draw(Painter(picture, view(rng, middle, size, tilt=0.8)), rng)


def _vehicles(
    picture: NDArray[np.uint8], backdrops: Backdrops, rng: np.random.Generator, count: int,
    most: float,
) -> tuple[list[NDArray[np.float64]], list[bool]]:  # fmt: skip
    """Draw vehicles, the far ones first; return the plates' corners and whether they are hidden.

    most: pixels of the widest plate.
    """
    widths = np.sort(np.exp(rng.uniform(np.log(NARROWEST), np.log(most), count)))
    quads: list[NDArray[np.float64]] = []
    hidden: list[bool] = []
    for width in widths:
        plate = draw_plate(rng, width)
        reach = min(0.5, 0.5 * width / SIDE)
        middle = rng.uniform(reach * 0.8, 1 - reach * 0.8, 2) * SIDE
        painter = Painter(picture, view(rng, (middle[0], middle[1]), width / plate.width_mm))
        before = picture.copy()
        mirrored = backdrops.photograph(64, rng)
        quad = put_on(painter, None if rng.random() < 0.08 else plate, mirrored, rng)
        hidden = [h or _changed(before, picture, q) for h, q in zip(hidden, quads, strict=True)]
        if quad is not None:
            quads.append(quad)
            hidden.append(False)
    return quads, hidden


def _changed(
    before: NDArray[np.uint8], after: NDArray[np.uint8], quad: NDArray[np.float64]
) -> bool:
    """Whether anything in a quad's box is now another colour: a nearer car stands before it."""
    x0, y0 = np.clip(np.floor(quad.min(0)), 0, SIDE).astype(int)
    x1, y1 = np.clip(np.ceil(quad.max(0)), 0, SIDE).astype(int)
    return bool((before[y0:y1, x0:x1] != after[y0:y1, x0:x1]).any())
