"""Who would be visible: the face lane over a source, without anything being written.

The lane is the one that a stream runs, with the same looks at the same frames; only the waiting is
left out. What a file says here is what a run of it shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.analysis import Analyst
from edge.detection import FloatArray
from edge.frame import Frame
from edge.lanes.faces import FaceLane
from edge.lanes.lane import Gap
from edge.lanes.whitelist import Vote
from edge.schedule import Cadence
from edge.stats import Stats

_FORGET_EVERY = 32

LaneMaker = Callable[[int, int, Callable[[int, Sequence[Vote]], None]], FaceLane]
"""Makes a lane for pictures of a width and height, that reports its votes."""
OnFrame = Callable[[Frame, FloatArray, list[int], set[int]], None]


@dataclass(slots=True)
class Appearance:
    """One track. Times in seconds, frames counted where its box is in the picture.

    nearest: index of the enrolled person it resembled most, None where no look told anything.
    likeness: the cosines with that person, one for each look that told something. agreed: in how
    many of those looks it was taken for the person.
    """

    track_id: int
    first_s: float
    last_s: float
    frames: int = 0
    visible: int = 0
    votes: list[Vote] = field(default_factory=list)

    @property
    def nearest(self) -> int | None:
        """The person whom most looks named, agreeing ones before others."""
        if not self.votes:
            return None
        agreed = [vote.nearest for vote in self.votes if vote.person is not None]
        named = agreed or [vote.nearest for vote in self.votes]
        return max(set(named), key=lambda who: (named.count(who), -who))

    @property
    def likeness(self) -> list[float]:
        """Cosines with that person, in order of time."""
        return [vote.likeness for vote in self.votes if vote.nearest == self.nearest]

    @property
    def agreed(self) -> int:
        """Looks in which it was taken for that person."""
        return sum(vote.person is not None and vote.person == self.nearest for vote in self.votes)


def audition(
    frames: Iterable[Frame], make: LaneMaker, cadence: Cadence, on_frame: OnFrame | None = None
) -> list[Appearance]:
    """Let the face lane judge frames, and return every track that it hid or showed.

    on_frame(frame, boxes, tracks, visible): told of every judged frame in order, with the boxes of
    all faces in it and which tracks may be seen. Raises what the lane and the frames raise.
    """
    hearing = _Hearing(make, cadence, on_frame)
    for frame in frames:
        hearing.take(frame)
    hearing.finish()
    return sorted(hearing.appearances.values(), key=lambda a: (a.first_s, a.track_id))


class _Hearing:
    def __init__(self, make: LaneMaker, cadence: Cadence, on_frame: OnFrame | None) -> None:
        self._make, self._cadence, self._on_frame = make, cadence, on_frame
        self._lane: FaceLane | None = None
        self._analyst: Analyst | None = None
        self._line: deque[Frame] = deque()
        self._votes: dict[int, list[Vote]] = {}
        self.appearances: dict[int, Appearance] = {}

    def take(self, frame: Frame) -> None:
        if self._analyst is None:
            size = (frame.picture.width, frame.picture.height)
            self._lane = self._make(*size, self._hear)
            self._analyst = Analyst(
                self._cadence, size, Stats(), enqueue=self._line.append, submit=self._judge
            )
        self._analyst.take(frame)

    def finish(self) -> None:
        if self._analyst is None or self._lane is None:
            return
        self._analyst.flush(last=True)
        self._lane.finish()
        self._release(np.inf)

    def _judge(self, gap: Gap, *, last: bool) -> None:
        del last  # `finish` follows it
        lane = self._lane
        assert lane is not None
        lane.enter(gap)
        self._release(lane.absorb(gap, lane.look(gap)).horizon)

    def _hear(self, _: int, votes: Sequence[Vote]) -> None:
        for vote in votes:
            self._votes.setdefault(vote.track_id, []).append(vote)

    def _release(self, horizon: float) -> None:
        lane = self._lane
        assert lane is not None
        while self._line and self._line[0].pts <= horizon:
            frame = self._line.popleft()
            boxes, tracks = lane.faces(frame.frame_id)
            visible = set(tracks) - set(lane.regions(frame.frame_id)[1])
            for track in set(tracks):
                known = self.appearances.get(track)
                if known is None:
                    known = Appearance(track, frame.pts, frame.pts)
                    self.appearances[track] = known
                    known.votes = self._votes.setdefault(track, [])
                known.last_s = frame.pts
                known.frames += 1
                known.visible += track in visible
            if self._on_frame is not None:
                self._on_frame(frame, boxes, tracks, visible)
            if frame.frame_id % _FORGET_EVERY == 0:
                lane.forget(frame.frame_id)
