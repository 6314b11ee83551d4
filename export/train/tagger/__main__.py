"""Train the small tagger of private words and write it as ONNX.

Everything it learns from is generated here, with a dictionary's ordinary words (WordNet, Debian's
wordnet-base): nothing is downloaded, and no text that the project measures itself with is read.

  python -m export.train.tagger --minutes 6 edge/pii/weights/tagger.onnx
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge.errors import PrivaedgeError
from edge.pii.spans import Kind
from edge.pii.word_features import ends_sentence, word_features
from export.train import wordnet
from export.train.lines.vocabulary import name_words
from export.train.tagger.generate import OUTSIDE, Generator, Sample
from export.train.tagger.network import Network, to_onnx

LABELS: Final = (OUTSIDE, *(f"{part}-{kind}" for kind in Kind for part in ("B", "I")))
_BATCH: Final = 96
_POOL: Final = 40
"""Batches that are generated and sorted by length together, so that little is padding."""
_PEAK_RATE: Final = 4e-3
_VALIDATION_SEED: Final = 90_001


class _Rows:
    """Features with a memory: words come again and again in training."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bool], list[int]] = {}

    def __call__(self, words: Sequence[str]) -> NDArray[np.int64]:
        rows: list[list[int]] = []
        begins = True
        for word in words:
            key = word, begins
            if key not in self._known:
                self._known[key] = word_features(word, begins=begins)
            rows.append(self._known[key])
            begins = ends_sentence(word)
        return np.array(rows, np.int64)


def _batches(generator: Generator, rows: _Rows) -> Iterator[list[Sample]]:
    rng = random.Random(0)  # noqa: S311 - the order of batches
    while True:
        pool = sorted(generator.samples(_BATCH * _POOL), key=lambda sample: len(sample.words))
        batches = [pool[at : at + _BATCH] for at in range(0, len(pool), _BATCH)]
        rng.shuffle(batches)
        yield from batches


def _tensors(samples: list[Sample], rows: _Rows) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = [len(sample.words) for sample in samples]
    arrays = [rows(sample.words) for sample in samples]
    features = np.zeros((len(samples), max(lengths), arrays[0].shape[1]), np.int64)
    targets = np.full((len(samples), max(lengths)), -100, np.int64)
    for at, (sample, array) in enumerate(zip(samples, arrays, strict=True)):
        features[at, : len(array)] = array
        targets[at, : len(array)] = [LABELS.index(label) for label in sample.labels]
    return torch.from_numpy(features), torch.from_numpy(targets)


def _evaluate(network: Network, samples: list[Sample], rows: _Rows) -> dict[str, float]:
    """Return recall of words by kind, and the share of ordinary words that are flagged."""
    network.eval()
    right: dict[str, int] = {}
    total: dict[str, int] = {}
    with torch.no_grad():
        ordered = sorted(samples, key=lambda sample: len(sample.words))
        for at in range(0, len(samples), 32):
            features, targets = _tensors(ordered[at : at + 32], rows)
            scores = network(features).softmax(-1)
            flagged = scores[..., 0] < 0.5
            for label, hit in zip(
                targets.flatten().tolist(), flagged.flatten().tolist(), strict=True
            ):
                if label < 0:
                    continue
                kind = LABELS[label].partition("-")[2] or "ordinary words flagged"
                total[kind] = total.get(kind, 0) + 1
                right[kind] = right.get(kind, 0) + hit
    network.train()
    return {kind: round(right[kind] / total[kind], 4) for kind in sorted(total)}


def train(
    seconds: float, seed: int, output: Path, english: wordnet.WordNet | None
) -> tuple[Network, dict[str, float], int]:
    """Train for so many seconds of this process's CPU time; return network, figures, samples.

    Every fifth of the way the model is written to output, so that a run can be judged, or stopped.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rows = _Rows()
    network = Network(len(LABELS))
    optimizer = torch.optim.AdamW(network.parameters(), lr=_PEAK_RATE, weight_decay=1e-4)
    loss_of = nn.CrossEntropyLoss(ignore_index=-100)
    validation = list(Generator(_VALIDATION_SEED, english=english).samples(1500))
    batches = _batches(Generator(seed, english=english), rows)
    begun = time.process_time()
    seen = 0
    shown = 0.0
    for batch in batches:
        done = (time.process_time() - begun) / seconds
        if done >= 1:
            break
        # Warm up over a thirtieth, then down to nothing.
        rate = _PEAK_RATE * min(done * 30 + 0.02, 1) * (1 - done) ** 1.2
        for group in optimizer.param_groups:
            group["lr"] = max(rate, 1e-5)
        features, targets = _tensors(batch, rows)
        logits = network(features, forget=0.15)
        loss = loss_of(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        seen += len(batch)
        if done - shown > 0.2:
            shown = done
            figures = _evaluate(network, validation, rows)
            output.write_bytes(to_onnx(network, LABELS))
            print(f"{done:4.0%} {seen} samples, loss {loss.item():.4f}, {figures}", flush=True)
    return network.eval(), _evaluate(network, validation, rows), seen


def main(argv: list[str]) -> int:
    """Train and write the model; print its figures, size and SHA-256 as JSON."""
    words = argparse.ArgumentParser(
        prog="python -m export.train.tagger",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("output", type=Path, help="where the ONNX file goes")
    words.add_argument("--minutes", type=float, default=6.0, help="CPU time of training")
    words.add_argument("--seed", type=int, default=7)
    words.add_argument(
        "--wordnet", type=Path, default=wordnet.DEBIAN_FOLDER, metavar="FOLDER",
        help="the dictionary (default: %(default)s)",
    )  # fmt: skip
    options = words.parse_args(argv)
    try:
        english = wordnet.load(options.wordnet, without=name_words())
    except PrivaedgeError as error:
        sys.exit(str(error))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    network, figures, seen = train(options.minutes * 60, options.seed, options.output, english)
    data = to_onnx(network, LABELS)
    options.output.write_bytes(data)
    report = {"samples": seen, "validation": figures, "bytes": len(data),
              "sha256": hashlib.sha256(data).hexdigest()}  # fmt: skip
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
