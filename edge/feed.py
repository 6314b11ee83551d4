"""Gives one lane its gaps. Pure: what a lane has no need or no time for is joined, never dropped.

Joined gaps cover the same frames with fewer looks. A look on both sides of a cut is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from edge.lanes.lane import Gap
from edge.recall import put_away

MAX_JOINED_FRAMES = 32
"""Frames from one look to the next at most where a lane looks seldom: bounds what waits for a
verdict, whatever the frame rate."""
MAX_GAP_S = 1.0
"""Longest stretch between two looks that still counts as judged, for a lane that is too slow."""
_MOST_BACKLOG = 4
"""Gaps that a live lane may have before it, while cuts leave no choice."""
_SLOW = 0.5
"""Share of its interval that a look may take before gaps are given only to an idle lane: what
waits in a queue gets old there."""
_EPSILON_S = 1e-3


class Worker(Protocol):
    """What a feed has to know of the lane's worker."""

    @property
    def backlog(self) -> int:
        """Gaps that wait or are looked at."""

    @property
    def look_s(self) -> float:
        """Seconds that a look takes, of late."""

    def put(self, gap: Gap) -> None:
        """Take a gap, without waiting."""


class Joiner:
    """Joins the gaps of one stream until a look is due."""

    def __init__(self, looks_per_s: float, *, between: bool) -> None:
        """between: also frames between two looks may be looked at, so that their pictures stay,
        even where the delay line does not keep them."""
        self.interval_s = 1 / looks_per_s
        self._between = between
        self._pending: list[Gap] = []
        self._looked = -math.inf

    @property
    def span_s(self) -> float:
        """Seconds since the last look, up to the newest frame that waits for one."""
        if not self._pending:
            return 0.0
        begin = self._looked if math.isfinite(self._looked) else self._pending[0].frames[0].pts
        return self._pending[-1].look.pts - begin

    @property
    def due(self) -> bool:
        """Whether it is time for a look."""
        if not self._pending:
            return False
        frames = sum(len(gap.frames) for gap in self._pending)
        first = self._looked == -math.inf
        return first or frames >= MAX_JOINED_FRAMES or self.span_s >= self.interval_s - _EPSILON_S

    def add(self, gap: Gap) -> None:
        """Append a gap; the one before a cut has to be popped first."""
        if not self._between:
            if self._pending:
                self._pending[-1] = _put_away(self._pending[-1])
            gap = replace(gap, frames=(*map(put_away, gap.frames[:-1]), gap.look))
        self._pending.append(gap)

    def pop(self) -> Gap | None:
        """Return all that waits as one gap; None where nothing does."""
        if not self._pending:
            return None
        pending, self._pending = self._pending, []
        self._looked = pending[-1].look.pts
        if len(pending) == 1:
            return pending[0]
        return Gap(
            tuple(frame for gap in pending for frame in gap.frames),
            tuple(motion for gap in pending for motion in gap.motions),
        )


class FileFeed:
    """For a source that waits: looks come as often as the lane wants them."""

    def __init__(
        self, submit: Callable[[Gap], None], looks_per_s: float, *, between: bool = True
    ) -> None:
        """submit: takes a gap, and waits until there is room for it. between: see Joiner."""
        self._submit = submit
        self._joiner = Joiner(looks_per_s, between=between)

    def take(self, gap: Gap, *, last: bool) -> None:
        """Take the next gap of the stream. last: no more will come."""
        cut = gap.motions[0].cut
        if cut:
            self._send()
        self._joiner.add(gap)
        if cut or last or self._joiner.due:
            self._send()

    def poke(self) -> None:
        """Do nothing: what is due was handed out when it came."""

    def flush(self) -> None:
        """Hand out what waits for more: there is no more."""
        self._send()

    def _send(self) -> None:
        gap = self._joiner.pop()
        if gap is not None:
            self._submit(gap)


class LiveFeed:
    """For a source that never waits: looks come as often as the lane wants and manages.

    A slow lane gets fewer looks, each over more frames, and more again when it has caught up.
    Only where it does not manage one in MAX_GAP_S is a stretch left unjudged.
    """

    def __init__(self, worker: Worker, looks_per_s: float, *, between: bool = True) -> None:
        """between: see Joiner."""
        self._worker = worker
        self._joiner = Joiner(looks_per_s, between=between)

    def take(self, gap: Gap, *, last: bool) -> None:
        """Take the next gap of the stream. last: the signal is lost, or the stream ends."""
        cut = gap.motions[0].cut
        if cut:
            self._send(_MOST_BACKLOG)
        self._joiner.add(gap)
        if cut or last:
            self._send(_MOST_BACKLOG)
        else:
            self.poke()

    def flush(self) -> None:
        """Hand out what waits for more: there is no more, or none for now."""
        self._send(_MOST_BACKLOG)

    def poke(self) -> None:
        """Look whether a gap that had to wait can go now. Quick: once for every frame."""
        joiner = self._joiner
        if not joiner.due:
            return
        slow = self._worker.look_s > _SLOW * joiner.interval_s
        if self._worker.backlog < (1 if slow else 2):
            self._send(_MOST_BACKLOG)
        elif joiner.span_s >= MAX_GAP_S:
            self._send(0)

    def _send(self, most: int) -> None:
        gap = self._joiner.pop()
        if gap is None:
            return
        if self._worker.backlog < most:
            self._worker.put(gap)
            return
        # A gap that waits must not keep pictures that have left.
        frames = tuple(frame.without_picture() for frame in gap.frames)
        self._worker.put(Gap(frames, gap.motions, skipped=True))


def _put_away(gap: Gap) -> Gap:
    return replace(gap, frames=tuple(map(put_away, gap.frames)))
