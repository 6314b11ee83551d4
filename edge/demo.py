"""A clip to try things on, made of a public-domain photograph, and a before/after picture.

The photograph is NASA's portrait of astronaut Eileen Collins, which scikit-image carries. It is
hung several times, in several sizes, on a wall that a camera pans and zooms over.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from edge.errors import ModelError, SinkError

WIDTH, HEIGHT, FPS = 1280, 720, 30
_SCENES_S = (5.0, 5.0)
_WALL = (1500, 2600)
_PHOTOS = ((60, 80, 1.5), (930, 120, 0.9), (1500, 60, 1.3), (940, 680, 0.5), (1300, 800, 0.8),
           (2250, 300, 0.45), (2250, 640, 0.6), (300, 960, 0.9))  # fmt: skip
"""x, y and scale of each print on the wall."""

Image = NDArray[np.uint8]


def astronaut() -> Image:
    """Return the photograph, (512, 512, 3) BGR. Raises ModelError without scikit-image."""
    try:
        from skimage import data
    except ImportError as error:
        raise ModelError(
            "the demo needs the photograph in scikit-image. "
            "Install it: pip install 'privaedge[demo]'"
        ) from error
    pictures: Any = data  # skimage's functions have no types
    photo: Image = np.ascontiguousarray(pictures.astronaut()[:, :, ::-1])
    return photo


def make_clip(path: Path) -> None:
    """Write the clip, 10 s of 720p30 in two shots. Raises SinkError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(
                "libx264", rate=FPS, options={"preset": "veryfast", "crf": "20"}
            )
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            _film(container, stream)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror}. Choose another folder."
        ) from error


def _film(container: av.container.OutputContainer, stream: VideoStream) -> None:
    wall = _hang(astronaut())
    n = 0
    for shot, length in enumerate(_SCENES_S):
        for k in range(round(length * FPS)):
            frame = av.VideoFrame.from_ndarray(_look(wall, shot, k / FPS), format="bgr24")
            frame.pts, frame.time_base = n, Fraction(1, FPS)
            container.mux(stream.encode(frame))
            n += 1
    container.mux(stream.encode(None))


def _hang(photo: Image) -> Image:
    wall = np.random.default_rng(7).normal(120, 9, (*_WALL, 3)).clip(0, 255).astype(np.uint8)
    wall = np.asarray(cv2.GaussianBlur(wall, (0, 0), 1.2), np.uint8)
    for x, y, scale in _PHOTOS:
        small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = min(small.shape[0], _WALL[0] - y), min(small.shape[1], _WALL[1] - x)
        wall[y : y + height, x : x + width] = small[:height, :width]
    return wall


def _look(wall: Image, shot: int, t: float) -> Image:
    """What the camera sees at time t of a shot."""
    phase = 0.4 + 2.2 * shot
    zoom = 1.0 + 0.3 * math.sin(0.9 * t + phase)
    x = _WALL[1] / 2 + 0.45 * (_WALL[1] - WIDTH) * math.sin(0.8 * t + phase)
    y = _WALL[0] / 2 + 0.45 * (_WALL[0] - HEIGHT) * math.sin(0.6 * t + 2 * phase)
    matrix = np.array([[zoom, 0, WIDTH / 2 - zoom * x], [0, zoom, HEIGHT / 2 - zoom * y]])
    view = cv2.warpAffine(
        wall, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT
    )
    return np.ascontiguousarray(view, np.uint8)


def before_after(original: Path, redacted: Path, picture: Path) -> Path:
    """Write a PNG of the frame that changed most, original above redacted. Raises SinkError."""
    best, change = None, -1.0
    for before, after in zip(_frames(original), _frames(redacted), strict=False):
        difference = float(cv2.norm(before, after, cv2.NORM_L1))
        if difference > change:
            best, change = np.vstack([before, after]), difference
    if best is None or not cv2.imwrite(str(picture), best):
        raise SinkError(f"{picture} cannot be written. Choose another folder.")
    return picture


def _frames(path: Path, every: int = 6) -> list[Image]:
    with av.open(str(path)) as container:
        return [
            np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
            for n, frame in enumerate(container.decode(video=0))
            if n % every == 0
        ]
