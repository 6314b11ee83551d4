"""What to do where a recogniser did not finish: hear the sound again in parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from edge.errors import InferenceError
from edge.speech.samples import quietest_cut
from edge.speech.words import SAMPLE_RATE, Samples, Word

SPLITS: Final = 2
"""How often sound is cut in two. Of 32 chunks of 5 s with fast spoken numbers, Moonshine left 10
incomplete, and 4 of their 20 halves; after two cuts 6 of 114 chunks remain."""
_SHORTEST_PART_S: Final = 0.6
"""Shorter parts are not cut out: they would be halves of words."""

Attempt = Callable[[Samples], list[Word] | None]
"""Hears samples: all of their words, or None where that is not sure to be all. May raise
InferenceError."""


def hear(samples: Samples, attempt: Attempt, splits: int = SPLITS) -> list[Word]:
    """Return the words of samples; where an attempt is incomplete, those of both halves.

    The cut is where the sound is quietest, so that it hits no word. Raises InferenceError where
    parts stay incomplete: words are never missing without that.
    """
    words = attempt(samples)
    if words is not None:
        return words
    cut = quietest_cut(samples)
    cut_s, seconds = cut / SAMPLE_RATE, len(samples) / SAMPLE_RATE
    if splits == 0 or min(cut_s, seconds - cut_s) < _SHORTEST_PART_S:
        raise InferenceError(
            f"the speech model came to no end on {seconds:.1f} s of sound: words may be missing"
        )
    early = hear(samples[:cut], attempt, splits - 1)
    late = hear(samples[cut:], attempt, splits - 1)
    return early + [replace(w, start=w.start + cut_s, end=w.end + cut_s) for w in late]
