"""The delay line and the gate: what may leave, and how. Pure: no I/O, no threads, no clock.

A frame may leave as it is (its findings redacted) when its time is at or before the horizon of
every lane that is switched on, and in no stretch that a lane was blind for. Otherwise it waits;
when it can wait no longer it leaves masked whole. There is no third way out.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

_FILL_AGAIN = 7 / 8
"""Share of the most items from which on a full line is filled again."""


class Verdict(enum.Enum):
    """What the gate says of one frame."""

    WAIT = "wait"
    RELEASE = "release"
    MASK = "mask"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and for MASK the lanes that it is owed to.

    hurried: released without waiting for what later looks would have added: whatever a lane is
    unsure of has to be hidden, too.
    """

    verdict: Verdict
    lanes: tuple[str, ...] = ()
    hurried: bool = False


@dataclass(slots=True)
class _LaneState:
    name: str
    since: float = -math.inf
    until: float = math.inf
    """Frames with since <= pts < until have to be judged by it."""
    horizon: float = -math.inf
    firm: float = -math.inf
    """Up to here it has looked at both sides of every frame; up to the horizon, all is settled."""
    blind: list[tuple[float, float]] = field(default_factory=list)


class Gate:
    """Knows each lane's horizon and blind stretches, and judges frames by them."""

    def __init__(self, lanes: Iterable[str]) -> None:
        self._lanes = {name: _LaneState(name) for name in lanes}
        self._forgotten = -math.inf

    def add(self, lane: str, name: str, since: float) -> None:
        """From this pts on a further lane has to judge. name: what judgements call it.

        Raises ValueError where there is such a lane already, or for no time at all.
        """
        if lane in self._lanes or math.isnan(since):
            raise ValueError(f"the {lane} lane cannot be added from {since} on")
        self._lanes[lane] = _LaneState(name, since)

    def retire(self, lane: str, until: float) -> None:
        """From this pts on a lane has not to judge any more. The time can only be set once.

        Raises ValueError where it has been set, or for no time at all.
        """
        state = self._lanes[lane]
        if not state.until == math.inf or math.isnan(until):
            raise ValueError(f"the {lane} lane cannot be retired at {until}")
        state.until = until

    def advance(self, lane: str, horizon: float, firm: float = -math.inf) -> None:
        """A lane's knowledge is complete up to `horizon` (pts in seconds). It never goes back.

        firm: up to where it has at least looked, which is enough for a frame that cannot wait.
        Raises ValueError for NaN: a lane that does not know the time knows nothing.
        """
        if math.isnan(horizon) or math.isnan(firm):
            raise ValueError(f"the {lane} lane gave NaN as its horizon")
        state = self._lanes[lane]
        state.horizon = max(state.horizon, horizon)
        state.firm = max(state.firm, state.horizon, firm)

    def blind(self, lane: str, start: float, end: float) -> None:
        """A lane could not judge frames with start ≤ pts ≤ end (both may be infinite).

        It must be told before the horizon passes `start`: what has left cannot be called back.
        """
        if not start <= end:  # also refuses NaN
            raise ValueError(f"a blind stretch from {start} to {end} is not a stretch")
        self._lanes[lane].blind.append((start, end))

    def judge(self, pts: float, *, overdue: bool = False) -> Judgement:
        """Judge a frame. `overdue`: its deadline has come, waiting is not possible.

        A frame without a finite time, or from before what was forgotten, cannot be judged.
        """
        if not math.isfinite(pts) or pts < self._forgotten:
            return Judgement(Verdict.MASK, tuple(state.name for state in self._lanes.values()))
        late, blind, hurried = [], [], False
        for state in self._lanes.values():
            if not state.since <= pts < state.until:
                continue
            name = state.name
            if state.blind and any(start <= pts <= end for start, end in state.blind):
                blind.append(name)
            elif not pts <= (state.firm if overdue else state.horizon):
                late.append(name)
            else:
                hurried |= not pts <= state.horizon
        if late and not overdue:
            return Judgement(Verdict.WAIT, tuple(late))
        if late or blind:
            return Judgement(Verdict.MASK, tuple(late + blind))
        return Judgement(Verdict.RELEASE, hurried=hurried)

    def horizons(self) -> dict[str, float]:
        """Return up to where each lane has judged, by the names that judgements use.

        Of several lanes of one name, the one that is ahead: it replaces the others.
        """
        found: dict[str, float] = {}
        for state in self._lanes.values():
            found[state.name] = max(state.horizon, found.get(state.name, -math.inf))
        return found

    def forget(self, before: float) -> None:
        """Drop blind stretches that ended before a pts: those frames have left."""
        self._forgotten = max(self._forgotten, before)
        for lane in [key for key, one in self._lanes.items() if one.until <= before]:
            del self._lanes[lane]
        for state in self._lanes.values():
            state.blind = [span for span in state.blind if not span[1] < before]


class Timed(Protocol):
    """Anything with a place in time."""

    @property
    def pts(self) -> float:
        """Seconds from the source's start."""


T = TypeVar("T", bound=Timed)


class DelayLine(Generic[T]):
    """Frames in order of arrival, bounded in time and in number.

    The policy when it is full is the caller's: a file waits (`full` says so), a live source lets
    the oldest leave masked.
    """

    def __init__(self, seconds: float, max_items: int, refill_s: float = 0.0) -> None:
        """refill_s: how much of it has to leave before it is filled again. It has to be less than
        what a verdict does not need of its length, or nothing leaves any more."""
        if not seconds > refill_s >= 0 or max_items < 1:
            raise ValueError("a delay line needs a positive length")
        self._refill_s = refill_s
        self._items: deque[T] = deque()
        self._seconds = seconds
        self.max_items = max_items

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether it spans its length, or holds as many items as it may."""
        if len(self._items) >= self.max_items:
            return True
        return len(self._items) > 1 and self._items[-1].pts - self._items[0].pts >= self._seconds

    @property
    def roomy(self) -> bool:
        """Whether enough is free that filling it again is worth a start."""
        if len(self._items) > self.max_items * _FILL_AGAIN:
            return False
        span = self._items[-1].pts - self._items[0].pts if self._items else 0.0
        return len(self._items) <= 1 or span <= self._seconds - self._refill_s

    def append(self, item: T) -> None:
        """Add the newest. Raises OverflowError beyond the number of items allowed."""
        if len(self._items) >= self.max_items:
            raise OverflowError("the delay line is full")
        self._items.append(item)

    def oldest(self) -> T | None:
        """Return the next to leave, without removing it."""
        return self._items[0] if self._items else None

    def pop(self) -> T:
        """Remove and return the next to leave. Raises IndexError when empty."""
        return self._items.popleft()

    def clear(self) -> None:
        """Forget all that waits."""
        self._items.clear()
