"""How a live source's time runs beside ours: one timeline over reconnections and drifting clocks.

Pure: told what time it is, never asks.
"""

from __future__ import annotations

from collections import deque

_WINDOW_S = 4.0
"""Time over which the earliest arrival is taken for the undisturbed one: network jitter only ever
makes frames late."""
_TOLERANCE_S = 0.010
"""Difference between the clocks that is left alone: a third of a frame at 30 fps."""
_MAX_SLEW = 0.005
"""Share by which the source's time is stretched at most to follow our clock: inaudible, and 50
times what a bad crystal is off (100 ppm)."""


class Timeline:
    """Maps the pts of one connection after another to stream time (seconds since our start)."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._late: deque[tuple[float, float]] = deque()
        self._last = float("-inf")
        self._slewed_at = 0.0

    def restart(self) -> None:
        """A new connection begins: its first frame is now, whatever its pts."""
        self._offset = None
        self._late.clear()

    def place(self, pts: float, now: float, step: float) -> float:
        """Return the stream time of a frame of this connection that arrived `now`.

        Later than any before it by at least a tenth of `step`, the usual time between frames.
        """
        if self._offset is None:
            self._offset = max(now, self._last + step) - pts
            self._slewed_at = now
        self._slew(pts, now)
        placed = max(pts + self._offset, self._last + step / 10)
        self._last = placed
        return placed

    def sound(self, pts: float) -> float | None:
        """Return the stream time of sound of this connection; None before its first frame."""
        return None if self._offset is None else pts + self._offset

    def _slew(self, pts: float, now: float) -> None:
        """Follow our clock slowly: what comes ever later, or earlier, is a clock that drifts."""
        assert self._offset is not None
        self._late.append((now, now - pts))
        while self._late[0][0] < now - _WINDOW_S:
            self._late.popleft()
        if now - self._late[0][0] < _WINDOW_S / 2:
            return  # too short to tell drift from jitter
        error = min(late for _, late in self._late) - self._offset
        if abs(error) > _TOLERANCE_S:
            most = _MAX_SLEW * (now - self._slewed_at)
            self._offset += max(-most, min(most, error))
        self._slewed_at = now


class Backoff:
    """Waiting times between attempts to connect: doubling, jittered, bounded."""

    def __init__(self, first_s: float = 0.25, most_s: float = 1.0) -> None:
        """most_s: with connecting and the delay, a source that is back is on air in about 5 s."""
        self._first_s, self._most_s = first_s, most_s
        self._next_s = first_s

    def wait_s(self, luck: float) -> float:
        """Return the next waiting time. luck in 0..1 spreads boxes that lost the same server."""
        spread = self._next_s * (0.5 + luck)
        self._next_s = min(self._most_s, self._next_s * 2)
        return min(spread, self._most_s)

    def reset(self) -> None:
        """It worked: begin anew."""
        self._next_s = self._first_s
