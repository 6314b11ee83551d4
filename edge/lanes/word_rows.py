"""Words that stand in a row, joined to lines. Pure."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.detection import Detections, FloatArray

_SIZE_RATIO: Final = 1.8
"""Words of one line have about one height; a word of small letters only is the lower."""
_GAP: Final = 0.8
"""Heights of a word that may lie between neighbours: a wide space, not the next column."""
_OFFSET: Final = 0.4
"""Heights by which the middles of neighbours may differ across the line."""
_TALL: Final = 1.5
"""Height by width from which a box may be a word that runs downwards."""
_NARROW: Final = 4.0
"""Height by width up to which it may be a single letter of a line that runs across: an I."""


def join_words(words: Detections) -> Detections:
    """Return lines: words of about the same height and direction, one after the other, as one.

    words: with quads, corners clockwise from the top left. A line's score is its best word's, its
    quad the smallest rectangle along its longest word that holds all of its words.
    """
    quads = words.quads
    if len(words) < 2 or not len(quads):
        return words
    across, down = quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 0]
    width, height = np.linalg.norm(across, axis=1), np.linalg.norm(down, axis=1)
    across = across / np.maximum(width, 1e-6)[:, None]
    down = down / np.maximum(height, 1e-6)[:, None]
    # A tall box is a word that runs downwards, or a narrow letter.
    fits = _fitting(quads, across, width, height, height <= _NARROW * width)
    fits |= _fitting(quads, down, height, width, height > _TALL * width)
    fits |= fits.T
    along, long = np.where((height > width)[:, None], down, across), np.maximum(width, height)
    group = _components(fits)
    lines = [np.flatnonzero(group == number) for number in range(int(group.max()) + 1)]
    joined = np.stack([_around(quads[line], along[line[long[line].argmax()]]) for line in lines])
    scores = np.array([words.scores[line].max() for line in lines], np.float32)
    boxes = np.concatenate([joined.min(axis=1), joined.max(axis=1)], axis=1)
    return Detections(boxes.astype(np.float32), scores, label=words.label, quads=joined)


def _fitting(
    quads: FloatArray, along: FloatArray, long: FloatArray, short: FloatArray, able: NDArray[Any]
) -> NDArray[Any]:
    """(N, N) bool: whether b stands in the row of a, if a runs along its given direction.

    quads: (N, 4, 2). along: (N, 2) unit vectors. long, short: a's sides along it and across, (N,).
    able: which words may run that way. Only the longer of two says where their line runs.
    """
    sideways = np.stack([-along[:, 1], along[:, 0]], axis=1)
    corners = quads[None] - quads.mean(axis=1)[:, None, None]  # (N, N, 4, 2): b's, seen from a
    lengths = np.einsum("abij,aj->abi", corners, along)
    offsets = np.einsum("abij,aj->abi", corners, sideways)
    other_long, other_short = np.ptp(lengths, axis=2), np.ptp(offsets, axis=2)
    larger = np.maximum(short[:, None], other_short)
    smaller = np.minimum(short[:, None], other_short)
    gap = np.abs(lengths.mean(axis=2)) - (long[:, None] + other_long) / 2
    fits: NDArray[Any] = (
        able[:, None]
        & (long[:, None] >= other_long - 1)
        & (larger <= _SIZE_RATIO * smaller)
        & (gap <= _GAP * larger)
        & (np.abs(offsets.mean(axis=2)) <= _OFFSET * larger)
    )
    return fits


def _components(linked: NDArray[Any]) -> NDArray[Any]:
    """Number the groups of a symmetric (N, N) relation from 0: (N,) int."""
    group = np.full(len(linked), -1)
    number = 0
    for start in range(len(linked)):
        if group[start] >= 0:
            continue
        waiting = [start]
        group[start] = number
        while waiting:
            found = np.flatnonzero(linked[waiting.pop()] & (group < 0))
            group[found] = number
            waiting.extend(found.tolist())
        number += 1
    return group


def _around(quads: FloatArray, along: FloatArray) -> FloatArray:
    """Smallest rectangle along a direction that holds all corners: (4, 2), clockwise.

    A single word keeps its own quad.
    """
    if len(quads) == 1:
        single: FloatArray = quads[0]
        return single
    across = np.array([-along[1], along[0]])
    points = quads.reshape(-1, 2)
    lengths, offsets = points @ along, points @ across
    left, right = lengths.min(), lengths.max()
    top, bottom = offsets.min(), offsets.max()
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    rectangle = np.array([a * along + b * across for a, b in corners], np.float32)
    # As it lies in the picture: the corner nearest to the top left comes first, as for one word.
    turned: FloatArray = np.roll(rectangle, -int(rectangle.sum(axis=1).argmin()), axis=0)
    return turned
