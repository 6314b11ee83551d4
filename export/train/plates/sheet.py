"""Show what a detector still does wrong, as one small picture: plates missed, alarms for nothing.

Green is a plate that is there, red what was found and is none, blue what was found and is one.

example:
  python -m export.train.plates.sheet --model edge/lanes/weights/plates-own.onnx \\
      --valid scenes/valid --out docs/plates-own-failures.jpg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.lanes.plate_boxes import grown
from edge.lanes.plate_own import DEFAULT_CONF, GROWTH
from export.train.plates.evaluate import HIDDEN_SHARE, Judged, covered, judge, onnx_look, touching
from export.train.plates.shelf import PLATE, Shelf

COLUMNS: Final = 6
ROWS: Final = 4
TILE: Final = 160
"""Pixels of a scene's side on the sheet."""
_GREEN, _RED, _BLUE = (40, 230, 60), (255, 40, 30), (60, 120, 255)
_QUALITY: Final = 82


def mistakes(one: Judged) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which plates of a scene were missed, (N,), and which boxes found are none, (M,)."""
    boxes = one.found.boxes[one.found.scores >= DEFAULT_CONF]
    true = np.concatenate([one.quads.min(axis=1), one.quads.max(axis=1)], axis=1)
    missed = (covered(grown(boxes, GROWTH), true) < HIDDEN_SHARE) & (one.kinds == PLATE)
    return missed, touching(boxes, true) <= 0


def draw(picture: NDArray[np.uint8], one: Judged) -> NDArray[np.uint8]:
    """Return a scene, (TILE, TILE, 3), with its plates and what was found."""
    shown = np.array(picture)
    kept = one.found.scores >= DEFAULT_CONF
    _, false = mistakes(one)
    for quad, wrong in zip(one.found.quads[kept], false, strict=True):
        cv2.polylines(shown, [np.round(quad).astype(np.int32)], True, _RED if wrong else _BLUE, 2)
    for quad, kind in zip(one.quads, one.kinds, strict=True):
        if kind == PLATE:
            cv2.polylines(shown, [np.round(quad).astype(np.int32)], True, _GREEN, 1)
    return np.asarray(cv2.resize(shown, (TILE, TILE), interpolation=cv2.INTER_AREA), np.uint8)


def sheet(judged: list[Judged], shelf: Shelf) -> NDArray[np.uint8]:
    """Return the first scenes with mistakes, half of them missed plates where there are as many.

    Raises ModelError where there is no mistake to show.
    """
    numbers = shelf.drawn()[: len(judged)]
    found = [(number, one, *mistakes(one)) for number, one in zip(numbers, judged, strict=True)]
    missing = [(k, one) for k, one, missed, _ in found if missed.any()]
    alarmed = [(k, one) for k, one, missed, false in found if false.any() and not missed.any()]
    room = COLUMNS * ROWS
    half = max(room // 2, room - len(alarmed))
    chosen = [*missing[:half], *alarmed[: room - min(half, len(missing))]]
    if not chosen:
        raise ModelError("there is no mistake to show. Judge more scenes.")
    tiles = [draw(shelf.pictures[k], one) for k, one in chosen]
    tiles += [np.full((TILE, TILE, 3), 255, np.uint8)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[at : at + COLUMNS]) for at in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def main() -> int:
    """Run the command."""
    words = argparse.ArgumentParser(
        prog="python -m export.train.plates.sheet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("--model", type=Path, required=True, metavar="ONNX")
    words.add_argument("--valid", type=Path, required=True, metavar="DIR", help="of render")
    words.add_argument("--out", type=Path, required=True, metavar="JPG")
    args = words.parse_args()
    try:
        shelf = Shelf.open(args.valid)
        shown = sheet(judge(onnx_look(args.model), shelf, len(shelf.drawn())), shelf)
        coded = cv2.imencode(".jpg", shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
        args.out.write_bytes(coded.tobytes())
    except (ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
