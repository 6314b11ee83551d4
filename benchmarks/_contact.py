"""A contact sheet of exposed boxes: what a person can see of what leaked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from benchmarks._common import ByteArray, decode
from benchmarks._leak_report import Verdict

_TILE_PX: Final = 112
"""Height and width of one crop on the sheet."""
_CAPTION_PX: Final = 18
_GAP_PX: Final = 6
_COLUMNS: Final = 6
_CONTEXT: Final = 0.35
"""Around a box, this share of its longer side is shown, too."""
_BACKGROUND: Final = 24
_INK: Final = (220, 220, 220)


def choose(verdicts: Sequence[Verdict], limit: int) -> list[Verdict]:
    """Pick at most `limit` verdicts so that every thing is shown before one is shown again.

    A thing's own frames are taken spread over its life. The result is in order of frames.
    """
    by_thing: dict[tuple[int, str, int], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_thing[verdict.thing].append(verdict)
    rounds = zip_longest(*(_spread(frames) for frames in by_thing.values()))
    picked = [verdict for turn in rounds for verdict in turn if verdict is not None]
    return sorted(picked[:limit], key=lambda verdict: (verdict.frame, verdict.box.x1))


def _spread(frames: list[Verdict]) -> list[Verdict]:
    """Order a list so that any beginning of it is spread over the whole: first, last, middle, …"""
    order: dict[int, None] = {}
    last = len(frames) - 1
    parts = 1
    while len(order) < len(frames):
        for k in range(parts + 1):
            order.setdefault(round(k * last / parts))
        parts *= 2
    return [frames[i] for i in order]


def contact_sheet(
    original: Path, redacted: Path, verdicts: Sequence[Verdict], limit: int
) -> ByteArray:
    """Return a (H, W, 3) BGR picture: original | redacted crop of each box, with a caption."""
    chosen = choose(verdicts, limit)
    at_frame: dict[int, list[Verdict]] = defaultdict(list)
    for verdict in chosen:
        at_frame[verdict.frame].append(verdict)
    tiles: list[ByteArray] = []
    last = max(at_frame, default=-1)
    for n, pair in enumerate(
        zip(decode(original, "bgr24"), decode(redacted, "bgr24"), strict=False)
    ):
        tiles += [_tile(verdict, *pair) for verdict in at_frame.get(n, ())]
        if n >= last:
            break
    return _arrange(tiles)


def _crop(picture: ByteArray, verdict: Verdict) -> ByteArray:
    box = verdict.box
    half = (0.5 + _CONTEXT) * max(box.width, box.height)
    centre = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    scale = _TILE_PX / (2 * half)
    shift = [_TILE_PX / 2 - scale * c for c in centre]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    crop = cv2.warpAffine(picture, matrix, (_TILE_PX, _TILE_PX), flags=method)
    return np.asarray(crop, np.uint8)


def _tile(verdict: Verdict, original: ByteArray, redacted: ByteArray) -> ByteArray:
    crops = np.hstack([_crop(original, verdict), _crop(redacted, verdict)])
    caption: ByteArray = np.full((_CAPTION_PX, crops.shape[1], 3), _BACKGROUND, np.uint8)
    box = verdict.box
    size = f"{box.width:.0f}x{box.height:.0f}"
    text = (
        f"#{verdict.frame} {size} {100 * verdict.exposure.share:.0f}% x{verdict.exposure.gain:.2f}"
    )
    cv2.putText(caption, text, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    return np.vstack([crops, caption])


def _arrange(tiles: list[ByteArray]) -> ByteArray:
    if not tiles:
        empty: ByteArray = np.full((60, 360, 3), _BACKGROUND, np.uint8)
        cv2.putText(empty, "no exposed boxes", (20, 38), cv2.FONT_HERSHEY_SIMPLEX, 0.8, _INK, 1)
        return empty
    height, width = tiles[0].shape[0] + _GAP_PX, tiles[0].shape[1] + _GAP_PX
    columns = min(_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet: ByteArray = np.full((rows * height, columns * width, 3), _BACKGROUND, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * height, i % columns * width
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet
