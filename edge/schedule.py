"""Which frames are looked at. Pure: the same frames give the same looks on any machine.

A look is guaranteed in every slot of 1/target_fps seconds (the sample index of timeline.py), on
both sides of every cut, and on the first and the last frame. Between those, more looks come where
boxes could go wrong sooner: when the camera has moved far, or when its motion is unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.motion import Motion
from edge.timeline import sample_index

MAX_GAP_FRAMES = 16
"""Frames between two looks at most, whatever the frame rate: bounds what waits for a verdict."""
_UNKNOWN_TRAVEL = 1 / 3
"""Share of max_travel that a frame counts for whose motion could not be measured."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often to look.

    target_fps: looks per second that are guaranteed. max_fps: an extra look comes no sooner than
    1/max_fps seconds after the look before it. max_travel: fraction of the picture's width that
    the camera may move between two looks.
    """

    target_fps: float
    max_fps: float
    max_travel: float


class Scheduler:
    """Chooses frames to look at, for one stream."""

    def __init__(self, cadence: Cadence, width: int, height: int) -> None:
        self._cadence = cadence
        self._width = width
        self._corners = ((0, 0), (width, 0), (0, height), (width, height))
        self._slot: int | None = None
        self._travel = 0.0
        self._last_look_pts = -math.inf
        self._since = 0

    def change(self, cadence: Cadence) -> None:
        """Look this often from now on."""
        self._cadence = cadence
        self._slot = None

    def decide(self, pts: float, motion: Motion) -> bool:
        """Return whether the next frame, at `pts` and moved as given, is to be looked at.

        The look before a cut is the caller's: only it still has that frame.
        """
        slot = sample_index(pts, self._cadence.target_fps)
        self._travel += self._moved(motion)
        self._since += 1
        due = motion.cut or slot != self._slot or self._since >= MAX_GAP_FRAMES
        far = self._travel >= self._cadence.max_travel
        rested = pts - self._last_look_pts >= 1 / self._cadence.max_fps - 1e-6
        if not (due or (far and rested)):
            return False
        self._slot, self._travel, self._since = slot, 0.0, 0
        self._last_look_pts = pts
        return True

    def _moved(self, motion: Motion) -> float:
        """Largest shift of a corner of the picture, as a fraction of its width."""
        if not motion.reliable:
            return self._cadence.max_travel * _UNKNOWN_TRAVEL
        (a, b, dx), (c, d, dy) = motion.matrix.tolist()
        shifts = [
            max(abs(a * x + b * y + dx - x), abs(c * x + d * y + dy - y)) for x, y in self._corners
        ]
        return float(max(shifts)) / self._width
