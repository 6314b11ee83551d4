"""Repairs a file's timestamps: missing, repeated, running backwards. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

JUMP_BACK_S = Fraction(1)
"""A step back of more than this is a restart of the clock (joined recordings, a rebooted camera);
less is a stray timestamp."""
JUMP_AHEAD_S = Fraction(3600)
"""No pause between two frames is this long; such a timestamp is garbage."""
SAME_JUMP_S = Fraction(1, 2)
"""Restarts that picture and sound see this close together are one and the same."""
FINEST_STEP_S = Fraction(1, 90_000)
"""Two frames are never closer than the coarsest clock that demands strictly rising times (TS)."""


@dataclass(slots=True)
class SharedShift:
    """What a restart of the clock adds to the later timestamps of all streams of one file."""

    seconds: Fraction = Fraction(0)


class StreamClock:
    """Strictly increasing timestamps for one stream, in its own time base, from 0 at the origin.

    Timestamps that are sound pass unchanged but for the origin, so a variable frame rate is kept
    exactly. Missing ones are filled in; wrong ones are replaced and counted in `repaired`.
    """

    def __init__(
        self, time_base: Fraction, usual_step: int, origin: int, shared: SharedShift
    ) -> None:
        """usual_step: ticks from one timestamp to the next where nothing says otherwise."""
        self.repaired = 0
        self._time_base = time_base
        self._usual_step = max(1, usual_step)
        self._least_step = max(1, math.ceil(FINEST_STEP_S / time_base))
        self._origin = origin
        self._shared = shared
        self._shift = 0
        self._last: int | None = None
        self._expected = 0

    def place(self, pts: int | None, duration: int = 0) -> int:
        """Return the timestamp, relative to the origin, for the next item of the stream.

        pts: what the file says, None where it says nothing. duration: the item's own in ticks, 0
        where unknown; it only serves to place what follows without a timestamp.
        """
        if pts is None:
            placed = self._expected
        else:
            placed = pts - self._origin + self._shift
            if self._last is not None:
                ahead = (placed - self._expected) * self._time_base
                if ahead < -JUMP_BACK_S or ahead > JUMP_AHEAD_S:
                    placed = self._restart(pts)
                if placed <= self._last:
                    self.repaired += 1
        if self._last is not None:
            placed = max(placed, self._last + self._least_step)
        self._last = placed
        self._expected = placed + (duration if duration > 0 else self._usual_step)
        return placed

    @property
    def end(self) -> int:
        """Where the last item ends, in ticks from the origin."""
        return self._expected

    def _restart(self, pts: int) -> int:
        self.repaired += 1
        wanted = (self._expected - (pts - self._origin)) * self._time_base
        if abs(self._shared.seconds - wanted) > SAME_JUMP_S:
            self._shared.seconds = wanted
        self._shift = round(self._shared.seconds / self._time_base)
        return pts - self._origin + self._shift
