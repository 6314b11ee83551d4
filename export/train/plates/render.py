"""Draw street scenes with plates, for training or for validation.

The same seed gives the same scenes, one by one, whatever the count. Started again it goes on where
it was stopped.

examples:
  python -m export.train.plates.render --seed 1 --scenes 24000 --out scenes/train
  python -m export.train.plates.render --seed 2 --scenes 800 --out scenes/valid
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2

from edge.errors import ModelError
from export.train.plates.backdrop import Backdrops
from export.train.plates.scene import make_scene
from export.train.plates.shelf import Shelf


def render(out: Path, seed: int, scenes: int, clips: Path | None) -> None:
    """Draw scenes into a folder. Raises ModelError."""
    backdrops = Backdrops(clips)
    shelf = Shelf(out, seed, scenes, write=True)
    for done, number in enumerate(shelf.missing()):
        shelf.put(int(number), make_scene(seed, int(number), backdrops))
        if done % 500 == 499:
            print(f"{number + 1} of {scenes} scenes", file=sys.stderr, flush=True)


def main() -> int:
    """Run the command."""
    words = argparse.ArgumentParser(
        prog="python -m export.train.plates.render",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("--out", type=Path, required=True, metavar="DIR")
    words.add_argument("--seed", type=int, default=1, help="default: 1")
    words.add_argument("--scenes", type=int, default=24000, metavar="N", help="default: 24000")
    words.add_argument(
        "--clips", type=Path, metavar="DIR",
        help="folder with Intel's sample videos (CC-BY-4.0), for backgrounds; else without",
    )  # fmt: skip
    args = words.parse_args()
    cv2.setNumThreads(1)
    try:
        render(args.out, args.seed, args.scenes, args.clips)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
