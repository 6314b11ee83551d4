"""Hand-written sentences that no pattern made: do the generated ones teach what real ones need?"""

from __future__ import annotations

import re
from collections import defaultdict
from importlib import resources
from typing import Final

from edge.pii.tagger import TokenTagger

_MARK: Final = re.compile(r"\{(\w+):([^}]*)\}")


def sentences() -> list[tuple[list[str], list[str]]]:
    """Return (words, kind of each word or "") of every sentence."""
    text = (resources.files("export.train.tagger") / "heldout.txt").read_text(encoding="utf-8")
    return [_parse(line) for line in text.splitlines() if line and not line.startswith("#")]


def _parse(line: str) -> tuple[list[str], list[str]]:
    words: list[str] = []
    kinds: list[str] = []
    at = 0
    for mark in _MARK.finditer(line):
        plain = line[at : mark.start()].replace("'s ", " ").split()
        words += plain
        kinds += [""] * len(plain)
        inside = mark[2].split()
        words += inside
        kinds += [mark[1]] * len(inside)
        at = mark.end()
    rest = line[at:].removeprefix("'s").split()
    return words + rest, kinds + [""] * len(rest)


def evaluate(tagger: TokenTagger, threshold: float = 0.5) -> dict[str, float]:
    """Return the share of words that are flagged, by true kind; "ordinary" for the others."""
    outside = [at for at, label in enumerate(tagger.labels) if label.kind is None]
    total: defaultdict[str, int] = defaultdict(int)
    flagged: defaultdict[str, int] = defaultdict(int)
    for words, kinds in sentences():
        private = 1 - tagger.scores(words)[:, outside].sum(axis=1)
        for kind, value in zip(kinds, private, strict=True):
            total[kind or "ordinary"] += 1
            flagged[kind or "ordinary"] += bool(value >= threshold)
    return {kind: round(flagged[kind] / total[kind], 3) for kind in sorted(total)}
