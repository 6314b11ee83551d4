"""Train the plate detector on scenes that `render` drew, on a CPU or on a GPU.

Ends after --samples pictures or --minutes, whichever comes first: the learning rate falls along
with whichever is nearer. A checkpoint is written every few minutes and at the end; --resume goes
on from it. What was reached on validation scenes stands in curve.jsonl beside it.

examples:
  python -m export.train.plates.train --scenes scenes/train --valid scenes/valid --out run
  python -m export.train.plates.train --scenes scenes/train --valid scenes/valid --out run --resume
  python -m export.train.plates.train --device cuda --workers 12 --batch 64 --rate 4e-3 ...
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from torch import nn

from edge.errors import ModelError
from export.train.plates import state
from export.train.plates.batches import Batch, batches
from export.train.plates.evaluate import summary, validate
from export.train.plates.loss import plate_loss
from export.train.plates.network import PlateNet, cells
from export.train.plates.shelf import Shelf

_WARM_SAMPLES = 1600
_FINAL_RATE = 0.02
"""Share of the learning rate with which training ends."""
_MEMORY = 0.998
"""Weight of the past in the average of weights that is published."""
_DECAY = 0.02
_IMAGE_AXES = 4
_STEEPEST = 10.0
"""Norm to which gradients are cut."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast to train. minutes, rate (of AdamW), pictures per step, threads."""

    samples: int
    minutes: float
    rate: float
    batch: int
    workers: int
    device: str
    seed: int
    report_s: float
    valid_scenes: int


def train(scenes: Path, valid: Path, out: Path, plan: Plan, *, resume: bool) -> None:
    """Train and leave checkpoint.npz and curve.jsonl in a folder. Raises ModelError."""
    torch.manual_seed(plan.seed)
    shelf, held_out = Shelf.open(scenes), Shelf.open(valid)
    pupil = _Pupil(plan)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint, curve = out / "checkpoint.npz", out / "curve.jsonl"
    samples, before_s = 0, 0.0
    if resume:
        note = state.load(checkpoint, pupil.network, pupil.average, pupil.optimiser)
        samples, before_s = int(note["samples"]), float(note["seconds"])
    else:
        curve.unlink(missing_ok=True)
    start = reported = time.monotonic()
    recent: dict[str, float] = {}
    for batch in batches(shelf, plan.batch, plan.seed + samples, plan.workers):
        spent = before_s + time.monotonic() - start
        done = max(samples / plan.samples, spent / (60 * plan.minutes))
        ending = done >= 1
        if ending or time.monotonic() - reported > plan.report_s:
            reported = time.monotonic()
            note = {"samples": samples, "seconds": round(spent, 1), "scenes": len(shelf.drawn())}
            state.save(checkpoint, pupil.network, pupil.average, pupil.optimiser, note)
            result = summary(validate(pupil.average, held_out, plan.valid_scenes, plan.device))
            row = {**note, **{k: round(v, 4) for k, v in recent.items()}, **result}
            with curve.open("a") as sink:
                sink.write(json.dumps(row) + "\n")
            print(json.dumps(row), file=sys.stderr, flush=True)
        if ending:
            return
        steps = samples // plan.batch
        parts = pupil.learn(batch, plan.rate * _schedule(done, samples), _memory(steps))
        recent = {k: 0.98 * recent.get(k, v) + 0.02 * v for k, v in parts.items()}
        samples += plan.batch


def _schedule(done: float, samples: int) -> float:
    warm = min(1.0, (samples + 1) / _WARM_SAMPLES)
    return warm * (_FINAL_RATE + (1 - _FINAL_RATE) * (1 + math.cos(math.pi * min(1.0, done))) / 2)


def _memory(steps: int) -> float:
    """How much of the averaged weights a step leaves: little at first, when they are worthless."""
    return min(_MEMORY, (steps + 1) / (steps + 10))


class _Pupil:
    """The network that learns, its average, and what makes it learn."""

    def __init__(self, plan: Plan) -> None:
        self.device = plan.device
        self.network = PlateNet().to(plan.device)
        for weight in self.network.parameters():
            if weight.ndim == _IMAGE_AXES:  # twice as fast on a CPU
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval()
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": _DECAY}, {"params": others, "weight_decay": 0.0}],
            lr=plan.rate,
        )

    def learn(self, batch: Batch, rate: float, memory: float) -> dict[str, float]:
        """Learn from one batch; return the loss's parts. Raises ModelError where it diverged."""
        self.network.train()
        pictures, quads, kinds = (torch.as_tensor(part, device=self.device) for part in batch)
        seen = pictures.permute(0, 3, 1, 2).float() / 255
        answer = cells(self.network(seen.contiguous(memory_format=torch.channels_last)))
        loss, parts = plate_loss(answer, quads, kinds)
        if not torch.isfinite(loss):
            raise ModelError("training diverged. Resume from the checkpoint with a lower --rate.")
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward([loss])
        nn.utils.clip_grad_norm_(self.network.parameters(), _STEEPEST)
        self.optimiser.step()
        kept, new = self.average.state_dict(), self.network.state_dict()
        with torch.no_grad():
            for name, value in kept.items():
                if value.dtype.is_floating_point:
                    value.lerp_(new[name], 1 - memory)
                else:
                    value.copy_(new[name])
        return parts


def main() -> int:
    """Run the command."""
    words = argparse.ArgumentParser(
        prog="python -m export.train.plates.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("--scenes", type=Path, required=True, metavar="DIR", help="of render")
    words.add_argument("--valid", type=Path, required=True, metavar="DIR", help="of another seed")
    words.add_argument("--out", type=Path, required=True, metavar="DIR")
    words.add_argument("--samples", type=int, default=150_000, help="default: 150000")
    words.add_argument("--minutes", type=float, default=600.0, help="default: 600")
    words.add_argument("--rate", type=float, default=2e-3, help="learning rate (default: 2e-3)")
    words.add_argument("--batch", type=int, default=16, help="pictures a step (default: 16)")
    words.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    words.add_argument("--workers", type=int, default=1, help="threads for pictures (default: 1)")
    words.add_argument("--threads", type=int, default=1, help="of PyTorch on a CPU (default: 1)")
    words.add_argument("--seed", type=int, default=1, help="default: 1")
    words.add_argument("--report-s", type=float, default=240.0, help="default: 240")
    words.add_argument("--valid-scenes", type=int, default=200, help="each time (default: 200)")
    words.add_argument("--resume", action="store_true", help="go on from DIR/checkpoint.npz")
    args = words.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    plan = Plan(args.samples, args.minutes, args.rate, args.batch, args.workers, args.device,
                args.seed, args.report_s, args.valid_scenes)  # fmt: skip
    try:
        train(args.scenes, args.valid, args.out, plan, resume=args.resume)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
