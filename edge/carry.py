"""Boxes as plain numbers, and how a camera's motion carries them. Pure.

A tracker moves a few boxes through a few frames at a time: on four numbers Python's own arithmetic
takes a tenth of what arrays of them take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from edge.motion import Matrix

Box: TypeAlias = tuple[float, float, float, float]
"""(x1, y1, x2, y2) in pixels."""


class Move(NamedTuple):
    """A (2, 3) similarity in full-frame pixels: (x, y) → (a x + b y + dx, c x + d y + dy)."""

    a: float
    b: float
    dx: float
    c: float
    d: float
    dy: float

    @classmethod
    def of(cls, matrix: Matrix) -> Move:
        """Take the numbers of a matrix, as edge.motion has them."""
        (a, b, dx), (c, d, dy) = matrix.tolist()
        return cls(a, b, dx, c, d, dy)

    def then(self, after: Move) -> Move:
        """Return the move that does this one first, and another one after it."""
        a, b, dx, c, d, dy = self
        e, f, x, g, h, y = after
        return Move(
            e * a + f * c, e * b + f * d, e * dx + f * dy + x,
            g * a + h * c, g * b + h * d, g * dx + h * dy + y,
        )  # fmt: skip

    def back(self) -> Move:
        """Return the move that undoes this one. Raises ZeroDivisionError where nothing can."""
        a, b, dx, c, d, dy = self
        scale = 1 / (a * d - b * c)
        a, b, c, d = d * scale, -b * scale, -c * scale, a * scale
        return Move(a, b, -a * dx - b * dy, c, d, -c * dx - d * dy)

    def carry(self, box: Box) -> Box:
        """Move a box; it stays upright and scales with the zoom. As edge.motion.move_boxes."""
        a, b, dx, c, d, dy = self
        x1, y1, x2, y2 = box
        middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
        x, y = a * middle_x + b * middle_y + dx, c * middle_x + d * middle_y + dy
        half_zoom = math.hypot(a, c) / 2
        half_width, half_height = (x2 - x1) * half_zoom, (y2 - y1) * half_zoom
        return x - half_width, y - half_height, x + half_width, y + half_height


STAY = Move(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


class Step(NamedTuple):
    """A frame on the way from one frame to another: moves from the first to it, and back from the
    other."""

    on: Move
    back: Move


class Ways:
    """How the picture moved from earlier frames to this one: worked out once for all tracks."""

    def __init__(self, moves: Mapping[int, Move | None], frame_id: int) -> None:
        """All frames that are asked for have known moves up to this one, without a cut."""
        self._moves, self._end = moves, frame_id
        self._on: dict[int, list[Move]] = {}
        self._steps: dict[int, list[Step]] = {}

    def since(self, start: int) -> Move:
        """The move from frame `start` to this one."""
        return self._from(start)[-1]

    def steps(self, start: int) -> list[Step]:
        """All frames from `start` to this one, both included."""
        steps = self._steps.get(start)
        if steps is None:
            on = self._from(start)
            back = on[-1].back()
            steps = self._steps[start] = [Step(move, back.then(move)) for move in on]
        return steps

    def _from(self, start: int) -> list[Move]:
        on = self._on.get(start)
        if on is None:
            on = self._on[start] = [STAY]
            for frame_id in range(start + 1, self._end + 1):
                move = self._moves[frame_id]
                assert move is not None
                on.append(on[-1].then(move))
        return on


def hull(a: Box, b: Box) -> Box:
    """Return the smallest box around both."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    ax1, ay1, ax2, ay2 = a
    bx1, by1, bx2, by2 = b
    inter = max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - inter
    return inter / max(union, 1e-6)
