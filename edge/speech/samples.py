"""What samples say by themselves: whether they are sound at all, where they are loud, where quiet.

Levels are taken over frames of 10 ms (FRAME samples).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError
from edge.speech.words import SAMPLE_RATE, Samples

FRAME: Final = SAMPLE_RATE // 100
"""Samples of a frame of 10 ms."""
_QUIET_DB: Final = -90.0
"""Level of digital silence: below the least significant bit of 16-bit sound."""
_ABOVE_FLOOR_DB: Final = 12.0
_BELOW_PEAK_DB: Final = 35.0
"""What is this much louder than the quietest tenth, and not this much quieter than the loudest
frame, may be a voice."""
_SMOOTH_FRAMES: Final = 10
"""A place to cut is quiet for 100 ms: longer than the closure before a plosive."""


def check_samples(samples: Samples, most_s: float | None = None) -> None:
    """Raise InferenceError unless samples are (n,) float32, finite, and of at most most_s."""
    if samples.ndim != 1 or samples.dtype != np.float32:
        raise InferenceError(
            f"sound came as {samples.dtype} with shape {samples.shape}, not as one row of float32"
        )
    if not np.isfinite(samples).all():
        raise InferenceError("the sound has samples that are NaN or infinity")
    if most_s is not None and len(samples) > most_s * SAMPLE_RATE:
        raise InferenceError(
            f"{len(samples) / SAMPLE_RATE:.1f} s of sound came at once, more than {most_s:g} s"
        )


def levels(samples: Samples) -> NDArray[np.float64]:
    """Return the level of each whole frame, in dB below full scale. (n,) → (n // FRAME,)."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    power = (frames**2).mean(axis=1)
    level: NDArray[np.float64] = np.maximum(10 * np.log10(power + 1e-12), _QUIET_DB)
    return level


def voiced(samples: Samples) -> NDArray[np.bool_]:
    """Say for each whole frame whether it is loud enough, in its surroundings, to be a voice.

    Knows nothing of voices: noise that swells counts, too. All frames of even sound are False.
    """
    level = levels(samples)
    if not len(level):
        return np.zeros(0, np.bool_)
    # Not np.percentile: it imports numpy.ma when it is first called, 60 ms before the first words.
    count = len(level)
    floor = np.interp((count - 1) / 10, np.arange(count), np.sort(level)) + _ABOVE_FLOOR_DB
    loud: NDArray[np.bool_] = level > max(floor, level.max() - _BELOW_PEAK_DB)
    return loud


def quietest_cut(samples: Samples) -> int:
    """Return the sample in the middle third at which a cut is least likely to hit a word."""
    level = levels(samples)
    if len(level) < 3:
        return len(samples) // 2
    power = 10 ** (level / 10)
    smooth = np.convolve(power, np.ones(_SMOOTH_FRAMES), "same")
    first, last = len(level) // 3, -(-2 * len(level) // 3)
    return (first + int(smooth[first:last].argmin())) * FRAME + FRAME // 2
