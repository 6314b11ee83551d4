"""One timebase for picture, sound and findings: conversions only.

pts is float64 seconds from the source's start. frame_id counts decoded frames from 0.
"""

from __future__ import annotations

import math
from fractions import Fraction

_EPSILON_S = 1e-6
"""A pts that was once a fraction (7/30 s) may sit one rounding below a sample's edge."""


def seconds(ticks: int, time_base: Fraction, start_ticks: int = 0) -> float:
    """Convert a stream's ticks to pts in seconds from the stream's start."""
    return float((ticks - start_ticks) * time_base)


def sample_index(pts: float, target_fps: float) -> int:
    """Number of the analysis slot that pts falls into: floor(t × target_fps).

    The same formula maps a sound's time to the analysed frame, so both lanes agree on it.
    """
    return math.floor((pts + _EPSILON_S) * target_fps)


def audio_sample(pts: float, sample_rate: int) -> int:
    """Index of the sound sample that is heard at pts."""
    return round(pts * sample_rate)
