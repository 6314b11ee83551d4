"""What is behind: photographs that may be used, and streets that are drawn."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from export.train.plates.canvas import Painter, rounded, view
from export.train.plates.decoys import windows

Pixels = NDArray[np.uint8]

SAMPLES: Final = (
    "astronaut.png", "astronaut.png", "astronaut.png", "camera.png", "camera.png", "chelsea.png",
    "coffee.png", "rocket.jpg", "brick.png", "gravel.png", "grass.png", "coins.png", "text.png",
)  # fmt: skip
"""Sample pictures of scikit-image that are in the public domain or CC0; none shows a plate."""
CLIPS: Final = ("one-by-one-person-detection.mp4", "car-detection.mp4")
"""Intel's sample videos, CC-BY-4.0. Of the second only what stands still is used, the street
itself: its cars bear plates, which must not be taught to be background."""
_CLIP_FRAMES: Final = 24


class Backdrops:
    """Photographs for backgrounds, all in memory: (H, W, 3) uint8 RGB each."""

    def __init__(self, clips: Path | None) -> None:
        """clips: folder with CLIPS; None does without. Raises ModelError where any is missing."""
        self._pictures = [*_samples(), *(_clips(clips) if clips is not None else [])]

    def __len__(self) -> int:
        return len(self._pictures)

    def draw(self, size: int, rng: np.random.Generator) -> Pixels:
        """Return a background, (size, size, 3): a part of a photograph or a drawn street."""
        kind = rng.random()
        if kind < 0.55:
            return self.photograph(size, rng)
        picture = _ground(size, rng)
        if kind < 0.85:
            middle = (size * rng.uniform(0.2, 0.8), size * rng.uniform(0.1, 0.5))
            windows(Painter(picture, view(rng, middle, rng.uniform(0.02, 0.2))), rng)
        else:
            _clutter(picture, rng)
        if rng.random() < 0.6:
            _road(picture, rng)
        return picture

    def photograph(self, size: int, rng: np.random.Generator) -> Pixels:
        """Return a part of a photograph, (size, size, 3), mirrored and tinted at random."""
        source = self._pictures[int(rng.integers(len(self._pictures)))]
        height, width = source.shape[:2]
        side = int(min(height, width) * rng.uniform(0.3, 1.0))
        y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        part = source[y : y + side, x : x + side]
        way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(part, (size, size), interpolation=way), np.uint8)
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        tint = rng.uniform(0.6, 1.25) * rng.uniform(0.85, 1.15, 3)
        return np.clip(picture * tint, 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _samples() -> list[Pixels]:
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "scikit-image is not installed. Run `pip install 'privaedge[train-plates]'`."
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    pictures: list[Pixels] = []
    for name in SAMPLES:
        picture = cv2.imread(str(folder / name), cv2.IMREAD_COLOR_RGB)
        if picture is None:
            raise ModelError(
                f"scikit-image has no {name}. Run `pip install 'privaedge[train-plates]'`."
            )
        pictures.append(np.asarray(picture, np.uint8))
    return pictures


def _clips(folder: Path) -> list[Pixels]:
    people, cars = (_frames(folder / name) for name in CLIPS)
    return [*people[::3], np.median(np.stack(cars), axis=0).astype(np.uint8)]


def _frames(path: Path) -> list[Pixels]:
    clip = cv2.VideoCapture(str(path))
    count = int(clip.get(cv2.CAP_PROP_FRAME_COUNT))
    frames: list[Pixels] = []
    for k in range(_CLIP_FRAMES):
        clip.set(cv2.CAP_PROP_POS_FRAMES, k * count // _CLIP_FRAMES)
        good, frame = clip.read()
        if good:
            frames.append(np.asarray(frame[..., ::-1], np.uint8))
    if len(frames) < _CLIP_FRAMES // 2:
        raise ModelError(
            f"clip {path} cannot be read. Name its folder by --clips, or leave it out."
        )
    return frames


def _ground(size: int, rng: np.random.Generator) -> Pixels:
    above, below = rng.uniform(40, 250, 3), rng.uniform(20, 160, 3)
    ramp = np.linspace(0, 1, size)[:, None, None] ** rng.uniform(0.5, 2)
    noise = rng.normal(0, rng.uniform(2, 22), (size // 8, size // 8, 1))
    grain = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)[..., None]
    picture = above * (1 - ramp) + below * ramp + grain
    return np.clip(np.broadcast_to(picture, (size, size, 3)), 0, 255).astype(np.uint8)


def _road(picture: Pixels, rng: np.random.Generator) -> None:
    size = picture.shape[0]
    horizon = int(size * rng.uniform(0.4, 0.8))
    tone = rng.uniform(50, 130)
    speckle = rng.normal(tone, rng.uniform(2, 14), (size - horizon, size, 1))
    picture[horizon:] = np.clip(speckle, 0, 255)
    for x in rng.uniform(0, size, 2):
        points = np.array([[x, size], [size / 2 + (x - size / 2) * 0.2, horizon]], np.int32)
        cv2.line(
            picture,
            tuple(points[0].tolist()),
            tuple(points[1].tolist()),
            (215,) * 3,
            2,
            cv2.LINE_AA,
        )


def _clutter(picture: Pixels, rng: np.random.Generator) -> None:
    size = picture.shape[0]
    plain = Painter(picture, np.eye(3))
    for _ in range(int(rng.integers(5, 40))):
        x, y = rng.uniform(0, size, 2)
        w, h = rng.uniform(4, size / 3, 2)
        plain.fill(rounded(x, y, x + w, y + h, rng.choice([0, 3, 30])), rng.uniform(0, 255, 3))
