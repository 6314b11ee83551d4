"""What happens between the scene and the file: light, weather, optics, sensor, codec."""

from __future__ import annotations

import io
from typing import Any, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]

PATCH: Final = 0.3
"""Share of scenes that go through a video codec, another as large through JPEG."""


def photograph(
    scene: Pixels, quads: Points, finest: float, rng: np.random.Generator
) -> tuple[Pixels, Points]:
    """Return a scene, (H, W, 3), as a camera and a codec leave it, and where its quads then are.

    finest: width in pixels of the smallest plate, which limits every blur: what nobody could tell
    from a smear teaches nothing. quads: (N, 4, 2).
    """
    if rng.random() < 0.15:
        scene, quads = rolling_shutter(scene, quads, rng)
    picture = scene.astype(np.float32)
    picture = _light(picture, rng)
    if rng.random() < 0.12:
        _rain(picture, rng)
    picture = _optics(picture, finest, rng)
    picture = _sensor(picture, rng)
    out = np.clip(picture, 0, 255).astype(np.uint8)
    kind = rng.random()
    if kind < PATCH:
        quality = int(rng.integers(25, 92))
        coded = cv2.imencode(".jpg", out[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB), np.uint8)
    elif kind < 2 * PATCH:
        out = through_h264(out, int(rng.integers(20, 37)))
    return out, quads


def rolling_shutter(
    scene: Pixels, quads: Points, rng: np.random.Generator
) -> tuple[Pixels, Points]:
    """Shear a scene as a camera does that reads its lines one after the other while it turns."""
    height, width = scene.shape[:2]
    slant = rng.uniform(-0.25, 0.25)
    matrix = np.array([[1.0, slant, -slant * height / 2], [0.0, 1.0, 0.0]])
    moved = cv2.warpAffine(scene, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    shifted = quads.copy()
    shifted[..., 0] += slant * (quads[..., 1] - height / 2)
    return np.asarray(moved, np.uint8), shifted


def through_h264(picture: Pixels, crf: int) -> Pixels:
    """Encode and decode one picture, (H, W, 3) uint8 with even sides, by x264."""
    held = io.BytesIO()
    with av.open(held, "w", format="h264") as sink:
        stream = sink.add_stream("libx264", rate=25)
        stream.width, stream.height = picture.shape[1], picture.shape[0]
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": str(crf), "threads": "1"}
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            sink.mux(packet)
    held.seek(0)
    with av.open(held, "r", format="h264") as source:
        decoded = next(iter(source.decode(video=0)))
        return np.asarray(decoded.to_ndarray(format="rgb24"), np.uint8)


def _light(picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    rows, columns = picture.shape[:2]
    kind = rng.random()
    if kind < 0.15:  # night, with a lamp or two
        picture = (
            picture * np.float32(rng.uniform(0.12, 0.5)) * rng.uniform(0.8, 1.2, 3).astype("f")
        )
        ys, xs = np.mgrid[:rows, :columns].astype(np.float32)
        for _ in range(int(rng.integers(0, 4))):
            x, y, r = rng.uniform(0, columns), rng.uniform(0, rows), rng.uniform(8, 90)
            glow = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * r * r))[..., None]
            picture = picture + glow * rng.uniform(30, 230) * np.array([1, 0.95, 0.8], np.float32)
    elif kind < 0.3:  # sun: a hard shadow across
        edge = np.float32(rng.uniform(0.35, 0.8))
        mask = np.ones((rows, columns), np.float32)
        points = rng.uniform(-0.3, 1.3, (4, 2)) * [columns, rows]
        cv2.fillPoly(mask, [points.astype(np.int32)], float(edge), cv2.LINE_AA)
        picture = picture * cv2.GaussianBlur(mask, (0, 0), rng.uniform(1, 6))[..., None]
    elif kind < 0.38:  # haze or glare
        veil = np.linspace(rng.uniform(0, 0.6), rng.uniform(0, 0.6), rows, dtype=np.float32)
        picture = picture * (1 - veil[:, None, None]) + 225 * veil[:, None, None]
    gain = np.float32(rng.uniform(0.7, 1.3))
    gamma = rng.uniform(0.75, 1.35)
    out = 255 * (np.clip(picture * gain, 0, 255) / 255) ** gamma
    if rng.random() < 0.08:
        out = np.repeat(out.mean(axis=2, keepdims=True), 3, axis=2)
    else:
        out = out * rng.uniform(0.88, 1.12, 3)
    return np.asarray(out, np.float32)


def _rain(picture: NDArray[np.float32], rng: np.random.Generator) -> None:
    rows, columns = picture.shape[:2]
    slant, length = rng.uniform(-0.3, 0.3), rng.uniform(6, 26)
    layer = np.zeros((rows, columns), np.float32)
    for x, y in rng.uniform(0, 1, (int(rng.integers(30, 250)), 2)) * [columns, rows]:
        cv2.line(
            layer, (int(x), int(y)), (int(x + slant * length), int(y + length)), 1.0, 1, cv2.LINE_AA
        )
    picture += cv2.GaussianBlur(layer, (0, 0), 0.7)[..., None] * np.float32(rng.uniform(30, 110))


def _optics(
    picture: NDArray[np.float32], finest: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    rows, columns = picture.shape[:2]
    limit = max(0.35, finest / 45)
    kind = rng.random()
    if kind < 0.3:
        picture = _floats(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, limit)))
    elif kind < 0.5:
        length = int(np.clip(rng.uniform(2, max(2.5, limit * 4)), 2, 21))
        kernel = np.zeros((length, length), np.float32)
        angle = rng.uniform(0, np.pi)
        middle = (length - 1) / 2
        for t in np.linspace(-middle, middle, 3 * length):
            kernel[
                round(middle + t * np.sin(angle) * 0.999), round(middle + t * np.cos(angle) * 0.999)
            ] = 1
        picture = _floats(cv2.filter2D(picture, -1, kernel / kernel.sum()))
    elif kind < 0.65:  # enlarged from a smaller picture
        share = rng.uniform(max(0.35, min(0.9, 14 / finest)), 1)
        small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        picture = _floats(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR))
    if rng.random() < 0.25:  # a camera's sharpening, with its halos
        soft = _floats(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 2.0)))
        picture = picture + rng.uniform(0.3, 1.3) * (picture - soft)
    return picture


def _sensor(picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    if rng.random() < 0.6:
        noise = rng.standard_normal(picture.shape, dtype=np.float32)
        picture = picture + noise * np.float32(rng.uniform(0.5, 11) * rng.uniform(0.2, 1))
    return picture


def _floats(picture: Any) -> NDArray[np.float32]:
    """OpenCV keeps the type that it is given, which its stubs do not know."""
    return np.asarray(picture, np.float32)
