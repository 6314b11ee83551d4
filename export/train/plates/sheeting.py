"""What a plate's characters stand on: sheeting, pictures on it, and what wear leaves of both."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from export.train.plates.layouts import Colour

Pixels = NDArray[np.uint8]


def sheet(
    size: tuple[int, int], ground: Colour, rng: np.random.Generator, *, picture: bool
) -> Pixels:
    """Return an empty plate, (rows, columns, 3) uint8, of one colour, a gradient or a picture."""
    colour = np.array(ground, np.float32) * rng.uniform(0.82, 1.06) + rng.normal(0, 6, 3)
    empty = np.broadcast_to(colour, (*size, 3)).astype(np.float32).copy()
    if picture:
        _picture(empty, rng)
    elif rng.random() < 0.25:  # a gradient from above or below
        other = np.clip(colour + rng.normal(0, 45, 3), 0, 255)
        ramp = np.linspace(0, 1, size[0], dtype=np.float32)[:, None, None] ** rng.uniform(0.5, 3)
        empty = empty * (1 - ramp) + other.astype(np.float32) * ramp
    return np.clip(empty, 0, 255).astype(np.uint8)


def _picture(empty: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Paint a pale landscape, a sun, stripes or a tree, as on plates of North America."""
    rows, columns = empty.shape[:2]

    def pale() -> tuple[float, ...]:
        return tuple(float(v) for v in rng.uniform(110, 250, 3))

    ramp = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    empty[:] = empty * (0.35 + 0.5 * ramp) + np.array(pale(), np.float32) * (0.65 - 0.5 * ramp)
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.integers(4)
        if kind == 0:  # hills
            xs = np.linspace(0, columns, 9)
            ys = rows * rng.uniform(0.35, 0.8) + rng.normal(0, rows * 0.09, 9)
            outline = [*np.stack([xs, ys], 1).tolist(), [columns, rows], [0, rows]]
            cv2.fillPoly(empty, [np.array(outline, np.int32)], pale(), cv2.LINE_AA)
        elif kind == 1:  # a sun or a fruit in the middle
            middle = int(columns * rng.uniform(0.3, 0.7)), int(rows * rng.uniform(0.3, 0.7))
            cv2.circle(empty, middle, int(rows * rng.uniform(0.12, 0.35)), pale(), -1, cv2.LINE_AA)
        elif kind == 2:  # stripes
            y = int(rows * rng.choice([0.0, 0.78]))
            cv2.rectangle(empty, (0, y), (columns, y + int(rows * 0.22)),
                          tuple(float(v) for v in rng.uniform(20, 220, 3)), -1)  # fmt: skip
        else:
            x = int(columns * rng.uniform(0.02, 0.9))
            tip = [[x, rows * 0.2], [x + columns * 0.1, rows], [x - columns * 0.1, rows]]
            cv2.fillPoly(empty, [np.array(tip, np.int32)], pale(), cv2.LINE_AA)


def wear(canvas: Pixels, scale: float, rng: np.random.Generator) -> None:
    """Dirt, a shadow from above, uneven light."""
    rows, columns = canvas.shape[:2]
    light = np.ones((rows, columns), np.float32)
    if rng.random() < 0.35:  # the shadow of the recess
        edge = int(rows * rng.uniform(0.05, 0.6))
        light[:edge] *= rng.uniform(0.35, 0.85)
        soft = cv2.GaussianBlur(light, (0, 0), max(0.5, 4 * scale))
        light = np.asarray(soft, np.float32)
    if rng.random() < 0.3:  # from one side
        light *= np.linspace(
            rng.uniform(0.6, 1.1), rng.uniform(0.6, 1.1), columns, dtype=np.float32
        )
    canvas[:] = np.clip(canvas * light[..., None], 0, 255)
    if rng.random() < 0.3:  # mud
        noise = rng.random((6, 14)).astype(np.float32)
        spots = cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_CUBIC)
        alpha = (np.clip(spots - rng.uniform(0.5, 0.8), 0, 0.4) * rng.uniform(0.8, 2.2))[..., None]
        mud = np.array([96, 78, 58], np.float32) * rng.uniform(0.5, 1.4)
        canvas[:] = np.clip(canvas * (1 - alpha) + mud * alpha, 0, 255)
