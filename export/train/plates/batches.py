"""Batches for training: parts of scenes, zoomed, mirrored, recoloured, some four to a picture."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from export.train.plates.scene import MAX_PLATES, SIDE, visible_share
from export.train.plates.shelf import DOUBTFUL, NONE, PLATE, Shelf

CROP: Final = 256
"""Pixels of a training picture."""
_ZOOM: Final = (0.72, 1.3)
_MOSAICS: Final = 0.15
_MIRRORED: Final = 0.3
_SMALLEST: Final = 8.5
"""Pixels of a plate's long side below which nobody asks for it."""
_VISIBLE: Final = 0.6
_GREY: Final = (114, 114, 114)

Batch = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]


def one_picture(shelf: Shelf, numbers: NDArray[np.intp], rng: np.random.Generator) -> Batch:
    """Return a picture (CROP, CROP, 3), quads (4·MAX_PLATES, 4, 2) and kinds of a random scene."""
    if rng.random() >= _MOSAICS:
        picture, quads, kinds = _window(shelf, int(rng.choice(numbers)), CROP, rng)
    else:
        half = CROP // 2
        picture = np.empty((CROP, CROP, 3), np.uint8)
        parts = []
        for y, x in ((0, 0), (0, half), (half, 0), (half, half)):
            part, corners, some = _window(shelf, int(rng.choice(numbers)), half, rng)
            picture[y : y + half, x : x + half] = part
            parts.append((corners + np.array([x, y], np.float32), some))
        quads = np.concatenate([corners for corners, _ in parts])
        kinds = np.concatenate([some for _, some in parts])
    full = 4 * MAX_PLATES
    padded = np.zeros((full, 4, 2), np.float32), np.zeros(full, np.uint8)
    padded[0][: len(quads)], padded[1][: len(kinds)] = quads, kinds
    return _recoloured(picture, rng), *padded


def _window(shelf: Shelf, number: int, size: int, rng: np.random.Generator) -> Batch:
    scene, quads, kinds = shelf.pictures[number], shelf.quads[number], shelf.kinds[number]
    there = kinds != NONE
    quads, kinds = np.array(quads[there], np.float64), np.array(kinds[there])
    zoom = rng.uniform(*_ZOOM) * size / CROP
    room = SIDE - size / zoom
    slack = 0.06 * SIDE  # now and then beyond the edge, onto the grey that frames pictures
    low, high = sorted((-slack if rng.random() < 0.2 else 0.0, room))
    left, top = rng.uniform(min(low, room), max(high, 0.0), 2)
    matrix = np.array([[zoom, 0, -left * zoom], [0, zoom, -top * zoom]])
    if rng.random() < _MIRRORED:
        matrix = np.array([[-zoom, 0, size + left * zoom], [0, zoom, -top * zoom]])
        quads = quads[:, [1, 0, 3, 2]]
    way = cv2.INTER_LINEAR
    if zoom < 0.6:  # linear interpolation would skip pixels
        scene = cv2.resize(np.asarray(scene), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        shrunk = matrix.copy()
        shrunk[:, :2] *= 2
        picture = cv2.warpAffine(scene, shrunk, (size, size), flags=way, borderValue=_GREY)
    else:
        picture = cv2.warpAffine(
            np.asarray(scene), matrix, (size, size), flags=way, borderValue=_GREY
        )
    quads = quads @ matrix[:, :2].T + matrix[:, 2]
    shares = visible_share(quads, size)
    longest = np.maximum(
        np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1),
        np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1),
    )
    clear = (kinds == PLATE) & (shares >= _VISIBLE) & (longest >= _SMALLEST)
    kinds = np.where(clear, PLATE, DOUBTFUL).astype(np.uint8)
    kept = shares > 0
    return np.asarray(picture, np.uint8), quads[kept].astype(np.float32), kinds[kept]


def _recoloured(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    shift = rng.uniform(-22, 22)
    table = np.clip(np.arange(256)[:, None] * gain + shift, 0, 255).astype(np.uint8)
    if rng.random() < 0.04:  # no colour at all
        picture = np.repeat(picture.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    return np.asarray(cv2.LUT(picture, table.reshape(256, 1, 3)), np.uint8)


def batches(shelf: Shelf, size: int, seed: int, workers: int) -> Iterator[Batch]:
    """Yield batches without end: pictures (N, CROP, CROP, 3), quads (N, M, 4, 2), kinds (N, M).

    Scenes that are being drawn meanwhile join in. workers: threads that prepare pictures.
    """
    count = 0
    with ThreadPoolExecutor(workers) as pool:

        def make(step: int) -> Batch:
            rng = np.random.default_rng([seed, step])
            numbers = shelf.drawn()
            made = [one_picture(shelf, numbers, rng) for _ in range(size)]
            pictures, quads, kinds = zip(*made, strict=True)
            return np.stack(pictures), np.stack(quads), np.stack(kinds)

        ahead = [pool.submit(make, k) for k in range(workers)]
        while True:
            ready = ahead.pop(0).result()
            count += 1
            ahead.append(pool.submit(make, count + workers - 1))
            yield ready
