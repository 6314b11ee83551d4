"""Judge a detector on drawn scenes that it was not trained on, and choose its threshold there.

A plate counts as hidden where at least 80 % of its upright box is covered by boxes that were found
and grown; a picture as falsely alarmed where a box touches neither a plate nor anything doubtful.
With --model the time of a look on one core is measured, too.

examples:
  python -m export.train.plates.evaluate --model plates-own.onnx --valid scenes/valid
  python -m export.train.plates.evaluate --checkpoint run/checkpoint.npz --valid scenes/valid
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge.detection import Detections, FloatArray
from edge.errors import ModelError
from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from edge.lanes.letterbox import Placement
from edge.lanes.plate_boxes import grown
from edge.lanes.plate_own import GROWTH, OUTPUTS, decode
from export.train.plates import state
from export.train.plates.scene import SIDE
from export.train.plates.shelf import NONE, PLATE, Shelf

HIDDEN_SHARE: Final = 0.8
WEAKEST: Final = 0.1
LEARNT_CONF: Final = 0.4
"""Threshold while training goes on: scores are calibrated only when weights are published."""
THRESHOLDS: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
GROWTHS: Final = (0.0, 0.05, 0.1, 0.15, 0.2)
BANDS: Final = ((0, 16), (16, 32), (32, 64), (64, 128), (128, 400))
"""Pixels of a plate's width at the network's input."""
_COST_SIZE: Final = (384, 640)
"""Height and width of the input for a picture of 16 : 9 at the usual long side."""
_COST_RUNS: Final = 60
_WHOLE = Placement(SIDE, SIDE, 0, 0, SIDE, SIDE, 1.0, 1.0)

Look = Callable[[NDArray[np.float32]], Tensors]


@dataclass(frozen=True, slots=True)
class Judged:
    """One scene: what was found, without any growth, and what there is."""

    found: Detections
    quads: NDArray[np.float32]
    kinds: NDArray[np.uint8]


def validate(network: nn.Module, shelf: Shelf, count: int, device: str) -> list[Judged]:
    """Let a network look at the first scenes of a shelf."""

    def look(tensor: NDArray[np.float32]) -> Tensors:
        with torch.no_grad():
            maps = network(torch.from_numpy(tensor).to(device))
        return {name: one.cpu().numpy() for name, one in zip(OUTPUTS, maps, strict=True)}

    return judge(look, shelf, count)


def onnx_look(path: Path) -> Look:
    """Return what a published file sees, on one core. Raises ModelError, OSError."""
    engine = OnnxEngine(path.read_bytes(), path.name, threads=1)
    return lambda tensor: engine.run({engine.inputs[0]: tensor})


def judge(look: Look, shelf: Shelf, count: int) -> list[Judged]:
    """Look at the first scenes of a shelf."""
    judged = []
    for number in shelf.drawn()[:count]:
        tensor = shelf.pictures[number].transpose(2, 0, 1)[None].astype(np.float32) / 255
        found = decode(look(tensor), _WHOLE, WEAKEST, growth=0.0)
        there = shelf.kinds[number] != NONE
        judged.append(Judged(found, shelf.quads[number][there], shelf.kinds[number][there]))
    return judged


def score(judged: list[Judged], conf: float, growth: float) -> dict[str, Any]:
    """Return hidden_pct, false_pct (of pictures), over (covered area beside plates) and bands."""
    hidden: list[bool] = []
    widths: list[float] = []
    false = 0
    for one in judged:
        boxes = one.found.boxes[one.found.scores >= conf]
        boxes = grown(boxes, growth)
        true = np.concatenate([one.quads.min(axis=1), one.quads.max(axis=1)], axis=1)
        shares = covered(boxes, true)
        plates = one.kinds == PLATE
        hidden.extend((shares[plates] >= HIDDEN_SHARE).tolist())
        widths.extend((true[plates, 2] - true[plates, 0]).tolist())
        false += int((touching(boxes, true) <= 0).any())
    sizes, good = np.array(widths), np.array(hidden)
    bands = {
        f"{low}-{high}": round(100 * float(good[(sizes >= low) & (sizes < high)].mean()), 1)
        for low, high in BANDS
        if ((sizes >= low) & (sizes < high)).any()
    }
    return {"conf": conf, "growth": growth, "plates": len(good), "pictures": len(judged),
            "hidden_pct": round(100 * float(good.mean()), 2) if len(good) else 0.0,
            "false_pct": round(100 * false / max(1, len(judged)), 2), "bands": bands}  # fmt: skip


def cost_ms(look: Look) -> float:
    """Return the median time of a look at _COST_SIZE in ms, on as many threads as look takes."""
    tensor = np.random.default_rng(0).random((1, 3, *_COST_SIZE), dtype=np.float32)
    took = []
    for _ in range(_COST_RUNS):
        start = time.perf_counter()
        look(tensor)
        took.append(time.perf_counter() - start)
    return 1000 * float(np.median(took))


def summary(judged: list[Judged]) -> dict[str, Any]:
    """Return what a line of the learning curve says: the figures at the decoder's settings."""
    result = score(judged, LEARNT_CONF, GROWTH)
    return {key: result[key] for key in ("hidden_pct", "false_pct", "bands")}


def covered(boxes: FloatArray, true: FloatArray) -> NDArray[np.float64]:
    """Share of each true box, (M, 4), that the union of boxes, (N, 4), covers: (M,)."""
    shares = []
    for x0, y0, x1, y1 in true:
        grid_x = np.linspace(x0, x1, 41)[:-1] + (x1 - x0) / 80
        grid_y = np.linspace(y0, y1, 41)[:-1] + (y1 - y0) / 80
        seen = np.zeros((40, 40), bool)
        for a0, b0, a1, b1 in boxes:
            seen |= ((grid_y >= b0) & (grid_y <= b1))[:, None] & ((grid_x >= a0) & (grid_x <= a1))
        shares.append(float(seen.mean()))
    return np.array(shares)


def touching(boxes: FloatArray, true: FloatArray) -> NDArray[np.float64]:
    """Pixels that each of boxes, (N, 4), has in common with the true box it touches most: (N,)."""
    if not len(true):
        return np.zeros(len(boxes))
    low = np.maximum(boxes[:, None, :2], true[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], true[None, :, 2:])
    result: NDArray[np.float64] = np.clip(high - low, 0, None).prod(axis=2).max(axis=1)
    return result


def main() -> int:
    """Run the command."""
    words = argparse.ArgumentParser(
        prog="python -m export.train.plates.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = words.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, metavar="ONNX")
    what.add_argument("--checkpoint", type=Path, metavar="NPZ")
    words.add_argument("--valid", type=Path, required=True, metavar="DIR", help="of render")
    words.add_argument("--scenes", type=int, default=10**9, metavar="N", help="default: all")
    args = words.parse_args()
    torch.set_num_threads(1)
    try:
        shelf = Shelf.open(args.valid)
        if args.model is not None:
            look = onnx_look(args.model)
            judged = judge(look, shelf, args.scenes)
            print(json.dumps({"median_ms": round(cost_ms(look), 2), "input": _COST_SIZE}))
        else:
            judged = validate(state.load_average(args.checkpoint), shelf, args.scenes, "cpu")
    except (ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for conf in THRESHOLDS:
        for growth in GROWTHS:
            print(json.dumps(score(judged, conf, growth)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
