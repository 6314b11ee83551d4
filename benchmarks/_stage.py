"""Clips of known people: photographs of faces that move over a wall, encoded as video.

Every actor is one photographed face with its surroundings. Where each true face is, is known for
every frame, since it is put there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._common import ByteArray
from benchmarks._portraits import Portrait

WIDTH: Final = 960
HEIGHT: Final = 540
FPS: Final = 25

FloatArray = NDArray[np.float32]
Path2D = Callable[[float], tuple[float, float, float]]
"""Second → centre x, centre y and longer side of a face, pixels."""
Light = Callable[[ByteArray], ByteArray]


@dataclass(frozen=True, slots=True)
class Actor:
    """One face on the stage. Later actors stand in front of earlier ones."""

    portrait: Portrait
    path: Path2D

    @property
    def name(self) -> str:
        """Whose face it is."""
        return self.portrait.name


@dataclass(frozen=True, slots=True)
class Scene:
    """A clip to be made: who is in it, for how long, in which light."""

    title: str
    actors: tuple[Actor, ...]
    seconds: float = 3.0
    light: Light | None = None


@dataclass(frozen=True, slots=True)
class TrueFace:
    """Where an actor's face is in a frame.

    clear: it is whole and nobody stands before it. open: part of its box in which it is seen at
    all, 0..1: inside the picture and with nobody before it.
    """

    name: str
    box: FloatArray
    clear: bool
    open: float


def stand(x: float, y: float, size: float) -> Path2D:
    """Stay, swaying a little as people do."""
    return lambda t: (x + 5 * math.sin(1.7 * t), y + 3 * math.sin(2.3 * t), size)


def walk(
    start: tuple[float, float], end: tuple[float, float], seconds: float, size: float
) -> Path2D:
    """Go from one place to another in the given time, and on."""

    def path(t: float) -> tuple[float, float, float]:
        share = t / seconds
        x, y = (a + (b - a) * share for a, b in zip(start, end, strict=True))
        return x, y, size

    return path


def approach(x: float, y: float, small: float, large: float, seconds: float) -> Path2D:
    """Come nearer."""
    return lambda t: (x + 8 * math.sin(t), y, small + (large - small) * t / seconds)


def dim(picture: ByteArray) -> ByteArray:
    """A third of the light."""
    return cv2.convertScaleAbs(picture, alpha=0.45)


def glaring(picture: ByteArray) -> ByteArray:
    """Overexposed."""
    return cv2.convertScaleAbs(picture, alpha=1.3, beta=25)


def soft(picture: ByteArray) -> ByteArray:
    """Slightly out of focus."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)


def grainy(picture: ByteArray) -> ByteArray:
    """With a sensor's noise; the same in every run."""
    rng = np.random.default_rng(int(picture[0, 0, 0]))
    noise = rng.normal(0, 9, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def film(scene: Scene, path: Path) -> list[list[TrueFace]]:
    """Write a scene's clip (H.264), and return the true faces of every frame."""
    truth = []
    wall = _wall()
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "21"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(scene.seconds * FPS)):
            picture, faces = _frame(scene, wall, number / FPS)
            truth.append(faces)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return truth


def _wall() -> ByteArray:
    rng = np.random.default_rng(7)
    noise = rng.normal(128, 140, (HEIGHT, WIDTH, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 2.5), 0, 255).astype(np.uint8)


def _frame(scene: Scene, wall: ByteArray, t: float) -> tuple[ByteArray, list[TrueFace]]:
    canvas = wall.copy()
    placed = [(actor.name, *_paste(canvas, actor, t)) for actor in scene.actors]
    if scene.light is not None:
        canvas = scene.light(canvas)
    faces = []
    for index, (name, box, _) in enumerate(placed):
        whole = box[0] >= 0 and box[1] >= 0 and box[2] <= WIDTH and box[3] <= HEIGHT
        before = [picture for _, _, picture in placed[index + 1 :]]
        free = all(not _touch(box, picture) for picture in before)
        if box[2] > 0 and box[0] < WIDTH and box[3] > 0 and box[1] < HEIGHT:
            faces.append(TrueFace(name, box, bool(whole) and free, _open(box, before)))
    return canvas, faces


def _open(box: FloatArray, before: Sequence[NDArray[np.float64]]) -> float:
    """Part of a box that is in the picture and covered by none of some others."""
    seen = np.zeros((HEIGHT, WIDTH), bool)
    seen[_pixels(box)] = True
    for other in before:
        seen[_pixels(other)] = False
    return float(seen.sum() / max(float((box[2:] - box[:2]).prod()), 1.0))


def _pixels(box: NDArray[np.floating]) -> tuple[slice, slice]:
    x1, y1, x2, y2 = (max(0, round(float(v))) for v in box)
    return slice(y1, y2), slice(x1, x2)


def _touch(a: NDArray[np.floating], b: NDArray[np.floating]) -> bool:
    return bool(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


def _paste(canvas: ByteArray, actor: Actor, t: float) -> tuple[FloatArray, NDArray[np.float64]]:
    """Put an actor onto the canvas. Return the face's box, and the whole photograph's."""
    x, y, size = actor.path(t)
    portrait = actor.portrait
    scale = size / portrait.size
    centre = (portrait.box[:2] + portrait.box[2:]) / 2
    picture = portrait.picture
    height, width = picture.shape[:2]
    matrix = np.array([[scale, 0, x - scale * centre[0]], [0, scale, y - scale * centre[1]]])
    if scale < 1:  # warpAffine has no area filter
        sides = (max(2, round(width * scale)), max(2, round(height * scale)))
        picture = np.asarray(cv2.resize(picture, sides, interpolation=cv2.INTER_AREA), np.uint8)
        matrix[:, :2] = np.diag([width * scale / sides[0], height * scale / sides[1]])
    cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), dst=canvas, flags=cv2.INTER_LINEAR,
                   borderMode=cv2.BORDER_TRANSPARENT)  # fmt: skip
    corner = np.array([x - scale * centre[0], y - scale * centre[1]])
    whole = np.concatenate([corner, corner + scale * np.array([width, height])])
    half = (portrait.box[2:] - portrait.box[:2]) * scale / 2
    middle = np.array([x, y])
    return np.concatenate([middle - half, middle + half]).astype(np.float32), whole


def beside(people: Sequence[Portrait], size: float, y: float = HEIGHT / 2) -> tuple[Actor, ...]:
    """Put people in a row that fills the stage."""
    step = WIDTH / len(people)
    return tuple(
        Actor(portrait, stand((index + 0.5) * step, y, size))
        for index, portrait in enumerate(people)
    )
