"""Train the classifier of lines and write it as ONNX.

It learns from text that this script generates: Faker's names and addresses of many countries, the
signs of signs.txt, words of Python's documentation and of a dictionary (WordNet, Debian's
wordnet-base), shop names, prices, and misreadings. One word in twenty is held out for calibration
and figures. Some minutes on one core.

example:
  python -m export.train.lines edge/pii/weights/lines.onnx
Then pin the SHA-256 that it prints in edge/pii/classifier.py.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.errors import PrivaedgeError
from export.train import wordnet
from export.train.lines import network, vocabulary
from export.train.lines.generate import ADDRESS, NAME, ORDINARY, Generator
from export.train.lines.noise import misread

_THRESHOLDS = (0.2, 0.5)
_MISREAD_SHARE = 0.3
_VALIDATION = 12_000
_FALSE_ALARMS = 0.036
"""Share of ordinary validation lines that may be taken for private at threshold 0.5; recognisers
add theirs to it, and the goal for both is 0.05."""


def examples(
    seed: int, count: int, *, held_out: bool, english: wordnet.WordNet | None = None
) -> tuple[list[str], list[int]]:
    """Return lines and classes, some of them misread."""
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    lines = Generator(seed, held_out=held_out, english=english).lines(count)
    texts = [
        misread(one.text, rng, rng.choice((0.02, 0.05)))
        if rng.random() < _MISREAD_SHARE
        else one.text
        for one in lines
    ]
    return texts, [one.label for one in lines]


def _mixed(seed: int) -> tuple[list[str], list[int]]:
    """Lines of known words and of held-out ones, as many of each: streets show both."""
    known = examples(seed, _VALIDATION, held_out=False)
    unknown = examples(seed + 1, _VALIDATION, held_out=True)
    return known[0] + unknown[0], known[1] + unknown[1]


def report(weights: network.Weights, texts: Sequence[str], labels: Sequence[int]) -> None:
    """Print what held-out lines get."""
    logits = weights.logits(texts)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    private = 1 - odds[:, ORDINARY] / odds.sum(1)
    truth = np.asarray(labels)
    for threshold in _THRESHOLDS:
        share = {name: float((private[truth == label] >= threshold).mean())
                 for name, label in (("ordinary", ORDINARY), ("name", NAME), ("address",
                 ADDRESS))}  # fmt: skip
        print(f"threshold {threshold}: " + ", ".join(f"{k} {v:.1%}" for k, v in share.items()))


def main() -> None:
    """Run the command."""
    words = argparse.ArgumentParser(
        "python -m export.train.lines", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    words.add_argument("output", type=Path, help="the .onnx file to write")
    words.add_argument("--lines", type=int, default=500_000, help="(default: %(default)s)")
    words.add_argument("--hidden", type=int, default=29, help="units (default: %(default)s)")
    words.add_argument("--epochs", type=int, default=4, help="(default: %(default)s)")
    words.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    words.add_argument(
        "--wordnet", type=Path, default=wordnet.DEBIAN_FOLDER, metavar="FOLDER",
        help="the dictionary (default: %(default)s)",
    )  # fmt: skip
    args = words.parse_args()
    try:
        english = wordnet.load(args.wordnet, without=vocabulary.name_words())
    except PrivaedgeError as error:
        sys.exit(str(error))
    texts, labels = examples(args.seed, args.lines, held_out=False, english=english)
    print(f"{len(texts)} lines", flush=True)
    weights = network.fit(texts, labels, hidden=args.hidden, epochs=args.epochs, seed=args.seed)
    weights = network.calibrate(weights, *_mixed(args.seed + 1), false_alarms=_FALSE_ALARMS)
    print("lines of which half are made of words that were held out, private at")
    report(weights, *_mixed(args.seed + 3))
    print("lines that are all made of words that were held out, private at")
    report(weights, *examples(args.seed + 5, _VALIDATION, held_out=True))
    data = network.to_onnx(weights)
    args.output.write_bytes(data)
    print(f"{args.output}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
