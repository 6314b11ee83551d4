"""How a live source's time runs beside ours: one timeline over reconnections and drifting clocks.

Pure: told what time it is, never asks.
"""

from __future__ import annotations

from collections import deque

_WINDOW_S = 4.0
"""Time over which the earliest arrival is taken for the undisturbed one: network jitter only ever
makes frames late."""
_FOLLOW_S = 20.0
"""Time constant with which the source's clock is followed: long against what jitter leaves in the
earliest arrivals (a few ms), short against the time in which a crystal is a frame off (minutes)."""
_MAX_DRIFT = 0.001
"""Share by which a clock can be off at most. Crystals: 0.0001; what is more is congestion."""
_STEADY_S = 0.020
"""A larger error is none of drift: nothing is learnt from it."""
_MAX_SLEW = 0.005
"""Share by which the source's time is stretched at most, while it catches up after congestion."""
_LONGEST_STEP_S = 1.0
"""Pictures that did not come for longer do not let time leap when they come."""


class Timeline:
    """Maps the pts of one connection after another to stream time (seconds since our start)."""

    def __init__(self) -> None:
        self.drift = 0.0
        """Share by which the source's seconds are longer than ours: above 0, its clock is slow."""
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
        # A phase-locked loop of second order, critically damped: a steady drift leaves no error.
        passed = min(now - self._slewed_at, _LONGEST_STEP_S)
        if abs(error) < _STEADY_S:
            learnt = self.drift + error * passed / (2 * _FOLLOW_S) ** 2
            self.drift = max(-_MAX_DRIFT, min(_MAX_DRIFT, learnt))
        slew = max(-_MAX_SLEW, min(_MAX_SLEW, self.drift + error / _FOLLOW_S))
        self._offset += slew * passed
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
