"""When things come and when they are due: the arithmetic of live sources. Pure; knows no clock.

`now` is always monotonic time in seconds, `pts` presentation time in seconds.
"""

from __future__ import annotations

from typing import Final

_BURST: Final = 0.5
"""Frames that come in less than this share of their spacing were waiting for us."""
_CATCH_UP_S: Final = 2.0
"""A source that still sends faster than real time after this was never live."""

JUMP_S: Final = 1.0
"""Frames this much earlier or, for long, later than they should come: the clock was set."""
_WINDOW_S: Final = 5.0
_FOLLOW: Final = 0.01
"""Clocks drift by 1 % at most (crystals: 0.01 %); the rest of a growing lag is congestion."""


class Backlog:
    """Finds the live edge: a server hands out what it has kept, or what probing held up, at once.

    What is shown from that backlog would be late for the life of the connection.
    """

    def __init__(self) -> None:
        self._start: float | None = None
        self._last = (0.0, 0.0)

    def is_over(self, pts: float, now: float) -> bool:
        """True from the first frame that had to be waited for; the first frame of all is none."""
        if self._start is None:
            self._start = now
            self._last = (pts, now)
            return False
        last_pts, last_now = self._last
        self._last = (pts, now)
        return now - last_now > _BURST * (pts - last_pts) or now - self._start > _CATCH_UP_S


class ArrivalWatch:
    """Tells a clock that was set, or a lag that does not go away, from drift and from jitter."""

    def __init__(self) -> None:
        self._usual: float | None = None
        self._least = float("inf")
        self._until = float("-inf")

    def fault(self, pts: float, now: float) -> str | None:
        """Take one frame's arrival; say why the connection's time can be trusted no longer."""
        lag = now - pts
        if self._usual is None:
            self._usual, self._until = lag, now + _WINDOW_S
        if lag < self._usual - JUMP_S:
            return "its clock jumped ahead"
        self._least = min(self._least, lag)
        if now >= self._until:
            follow = self._usual + _FOLLOW * _WINDOW_S
            if self._least > self._usual + JUMP_S:
                return "it fell behind"
            self._usual = min(self._least, follow)
            self._least, self._until = float("inf"), now + _WINDOW_S
        else:
            self._usual = min(self._usual, lag)
        return None


class Pace:
    """Real time for a source that gives out as fast as it is read."""

    def __init__(self, slack_s: float = float("inf")) -> None:
        """slack_s: a stall longer than this moves everything later instead of being made up."""
        self._slack_s = slack_s
        self._anchor: float | None = None

    def wait_s(self, pts: float, now: float) -> float:
        """Seconds until an item is due, 0 where it is late."""
        if self._anchor is None:
            self._anchor = now - pts
        late = now - pts - self._anchor
        if late > self._slack_s:
            self._anchor += late
        return max(0.0, -late)
