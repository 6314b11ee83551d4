"""Nearest-neighbour identification and what chance would give: pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

SIGNIFICANCE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Attack:
    """How often the nearest face in a gallery of `identities` people was the right one.

    guesses: for each probe the probability that a random pick from the gallery names it: the
    share of the gallery's pictures that show this person.
    """

    hits: int
    guesses: tuple[float, ...]
    identities: int

    @property
    def probes(self) -> int:
        """Number of faces that were looked up."""
        return len(self.guesses)

    @property
    def rate(self) -> float:
        """Top-1 identification rate, 0..1; 0 without probes."""
        return self.hits / self.probes if self.probes else 0.0

    @property
    def chance(self) -> float:
        """Expected rate of guessing, 0..1; 0 without probes."""
        return math.fsum(self.guesses) / self.probes if self.probes else 0.0

    @property
    def chance_limit(self) -> int:
        """Most hits that guessing still gives with 95 % probability."""
        tails = tail(self.guesses)
        return max(k for k in range(self.probes + 1) if k == 0 or tails[k] > SIGNIFICANCE)

    @property
    def p_value(self) -> float:
        """Probability that guessing has at least as many hits (exact, one-sided)."""
        return float(tail(self.guesses)[self.hits])

    @property
    def at_chance(self) -> bool:
        """Whether the attack is not better than guessing, at the 5 % level."""
        return self.p_value > SIGNIFICANCE

    def __add__(self, other: Attack) -> Attack:
        """Count two attacks on the same people together."""
        people = max(self.identities, other.identities)
        return Attack(self.hits + other.hits, self.guesses + other.guesses, people)

    def to_json(self) -> dict[str, Any]:
        """Return counts and what follows from them as JSON-ready values."""
        return {
            "hits": self.hits,
            "probes": self.probes,
            "identities": self.identities,
            "top1": round(self.rate, 4),
            "chance": round(self.chance, 4),
            "chance_limit_hits": self.chance_limit,
            "p_value": float(f"{self.p_value:.3g}"),
            "at_chance": self.at_chance,
        }


def tail(probabilities: Sequence[float]) -> NDArray[np.float64]:
    """P(at least k of independent events happen) for k = 0..n: (n + 1,) float64.

    The binomial distribution where all probabilities are equal, else the Poisson binomial.
    """
    exactly = np.ones(1)
    for probability in probabilities:
        exactly = np.convolve(exactly, (1 - probability, probability))
    at_least: NDArray[np.float64] = exactly[::-1].cumsum()[::-1]
    return at_least


def identify(
    gallery: FloatArray, gallery_names: Sequence[str], probes: FloatArray, names: Sequence[str]
) -> Attack:
    """Look up every probe (M, D) in the gallery (N, D) by cosine; all rows are unit vectors.

    A person may be in the gallery more than once. Probes of people who are not in it are left out.
    """
    pictures = Counter(gallery_names)
    kept = [i for i, name in enumerate(names) if pictures[name]]
    if not kept:
        return Attack(0, (), len(pictures))
    nearest = (probes[kept] @ gallery.T).argmax(axis=1)
    hits = sum(gallery_names[j] == names[i] for i, j in zip(kept, nearest, strict=True))
    guesses = tuple(pictures[names[i]] / len(gallery) for i in kept)
    return Attack(hits, guesses, len(pictures))
