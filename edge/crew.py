"""The lanes of one stream at work: given gaps, asked for regions, and replaced while it runs.

A lane that replaces another works beside it until it has seen its first picture. From that
picture's time on the gate asks the new one, before it the old one: nothing is masked for a change
of settings, and nothing leaves that neither has judged.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from edge.delay import Gate, Judgement
from edge.detection import FloatArray
from edge.feed import FileFeed, LiveFeed
from edge.lanes.lane import Findings, Gap
from edge.lanes.worker import LaneEvent, LaneWorker
from edge.redact.mouth import mouth_boxes

_log = logging.getLogger(__name__)

WorkerFactory = Callable[[Callable[[str, Findings], None], Callable[[LaneEvent], None]], LaneWorker]
"""Makes a lane's worker, given where findings and events go."""


class Feed(Protocol):
    """Gives a worker its gaps."""

    def take(self, gap: Gap, *, last: bool) -> None:
        """Take the next gap of the stream."""

    def poke(self) -> None:
        """A frame has come: look whether a gap that had to wait can go now."""

    def flush(self) -> None:
        """Hand out what waits for more frames: there are none."""


@dataclass(slots=True)
class _Post:
    """One worker, and from when to when it counts."""

    key: str
    worker: LaneWorker
    feed: Feed
    on_duty: bool
    """Whether the gate asks it. A new one is not until it has looked."""
    until: float = math.inf


class Crew:
    """Lanes of one stream. `replace` and the feeding methods belong to the thread that reads,
    `leave` to the one that writes; the others to any."""

    def __init__(
        self,
        factories: Sequence[WorkerFactory],
        changed: threading.Condition,
        *,
        feed: Callable[[LaneWorker], Feed],
        on_event: Callable[[LaneEvent], None],
    ) -> None:
        """changed: guards the gate, and is notified when a lane has something new to say."""
        self._changed = changed
        self._feed, self._on_event = feed, on_event
        self._gate = Gate(())
        self._left = -math.inf
        self._count = 0
        self._retired_looks = 0
        self._retired_found: dict[str, int] = {}
        self._news = 0
        """Counts what could have changed how much was found."""
        self._counted: tuple[int, dict[str, int]] = (-1, {})
        """`found`, and the news that it was counted after."""
        # Replaced as a whole, never changed: threads read it without a lock.
        self._posts: tuple[_Post, ...] = ()
        for make in factories:
            post = self._hire(make, on_duty=True)
            self._gate.add(post.key, post.worker.name, -math.inf)
            self._posts += (post,)

    @property
    def workers(self) -> list[LaneWorker]:
        """All that work now, those on their way in or out included."""
        return [post.worker for post in self._posts]

    @property
    def looks(self) -> int:
        """Pictures that detectors have seen."""
        return self._retired_looks + sum(worker.looks for worker in self.workers)

    @property
    def found(self) -> dict[str, int]:
        """Things found so far by each lane."""
        news, found = self._counted
        if news != self._news:
            news, found = self._news, dict(self._retired_found)
            for worker in self.workers:
                found[worker.name] = found.get(worker.name, 0) + worker.found
            self._counted = news, found
        return dict(found)

    def start(self) -> None:
        """Start looking."""
        for worker in self.workers:
            worker.start()

    def take(self, gap: Gap, *, last: bool) -> None:
        """Hand out the next gap of the stream."""
        for post in self._posts:
            post.feed.take(gap, last=last)

    def poke(self) -> None:
        """A frame has come."""
        for post in self._posts:
            post.feed.poke()

    def pause(self) -> None:
        """The signal is lost."""
        for post in self._posts:
            post.feed.flush()
            post.worker.pause()

    def end(self) -> None:
        """No more gaps will come."""
        for post in self._posts:
            post.feed.flush()
            post.worker.end()

    def stop(self) -> None:
        """Drop what is queued; nothing more is published."""
        for worker in self.workers:
            worker.stop()

    def check(self) -> None:
        """Notice stalls."""
        for worker in self.workers:
            worker.check()

    def judge(self, pts: float, *, overdue: bool = False) -> Judgement:
        """Judge a frame; the caller holds `changed`."""
        return self._gate.judge(pts, overdue=overdue)

    def horizons(self) -> dict[str, float]:
        """Up to where each lane has judged (pts); the caller holds `changed`."""
        return self._gate.horizons()

    def regions(self, frame_id: int, *, unsure: bool = False) -> tuple[FloatArray, list[int]]:
        """What all lanes want hidden in a frame, and the track that each box is of."""
        answers = [worker.regions(frame_id, unsure=unsure) for worker in self.workers]
        if not answers:
            return np.zeros((0, 4), np.float32), []
        boxes = np.concatenate([boxes for boxes, _ in answers])
        return boxes, [track for _, tracks in answers for track in tracks]

    def with_mouths(
        self, frame_id: int, boxes: FloatArray, tracks: list[int]
    ) -> tuple[FloatArray, list[int]]:
        """Add the mouths of all faces that are not hidden anyway."""
        faces = [worker.spared(frame_id) for worker in self.workers]
        found = [(box, track) for part, ids in faces for box, track in zip(part, ids, strict=True)]
        if not found:
            return boxes, tracks
        mouths = mouth_boxes(np.stack([box for box, _ in found]))
        return np.concatenate([boxes, mouths]), [*tracks, *(track for _, track in found)]

    def leave(self, pts: float, frame_id: int) -> None:
        """This frame and all before it have left."""
        with self._changed:
            self._left = max(self._left, pts)
            self._gate.forget(pts)
        for post in self._posts:
            if post.until <= pts:
                self._dismiss(post)
            else:
                post.worker.forget(frame_id)

    def replace(self, factories: Sequence[WorkerFactory], pts: float) -> None:
        """Let other lanes take over from the next gap on, whose first frame has this pts.

        Lanes whose kind is not among the new ones end with the frame before it.
        """
        posts = [self._hire(make, on_duty=False) for make in factories]
        names = {post.worker.name for post in posts}
        with self._changed:
            for old in self._posts:
                if old.worker.name not in names:
                    self._retire(old, pts)
            # A change that follows another before that has come into force: those never began.
            idle = [old for old in self._posts if not old.on_duty and old.until == math.inf]
            self._posts = (*(old for old in self._posts if old not in idle), *posts)
            self._news += 1
        for old in idle:
            old.worker.stop()
        for post in posts:
            post.worker.start()

    def _hire(self, make: WorkerFactory, *, on_duty: bool) -> _Post:
        self._count += 1
        key = f"lane {self._count}"
        worker = make(lambda _name, findings: self._hear(key, findings), self._on_event)
        return _Post(key, worker, self._feed(worker), on_duty)

    def _hear(self, key: str, findings: Findings) -> None:
        with self._changed:
            self._news += 1
            post = next((one for one in self._posts if one.key == key), None)
            if post is None or post.until <= self._left:
                return
            if not post.on_duty and not self._take_over(post, findings):
                return
            for start, end in findings.blind:  # before the horizon: it may lie beyond them
                self._gate.blind(key, start, end)
            self._gate.advance(key, findings.horizon, findings.firm)
            self._changed.notify_all()

    def _take_over(self, post: _Post, findings: Findings) -> bool:
        """Put a newcomer on duty with the first picture that it has really looked at."""
        since = findings.firm
        seen = math.isfinite(since) and not any(a <= since <= b for a, b in findings.blind)
        if not seen:
            return False
        post.on_duty = True
        self._gate.add(post.key, post.worker.name, since)
        for old in self._posts:
            if old is not post and old.on_duty and old.worker.name == post.worker.name:
                self._retire(old, since)
        _log.debug("the %s lane was replaced from %.2f s on", post.worker.name, since)
        return True

    def _retire(self, post: _Post, until: float) -> None:
        if post.on_duty and post.until == math.inf:
            self._gate.retire(post.key, until)
            post.until = until

    def _dismiss(self, post: _Post) -> None:
        with self._changed:
            if post not in self._posts:
                return
            self._posts = tuple(one for one in self._posts if one is not post)
        worker = post.worker
        self._retired_looks += worker.looks
        self._retired_found[worker.name] = self._retired_found.get(worker.name, 0) + worker.found
        with self._changed:
            self._news += 1
        worker.stop()


def file_feed(give_up: Callable[[], bool]) -> Callable[[LaneWorker], Feed]:
    """Return what feeds lanes of a file, whose reader waits for them."""

    return lambda worker: FileFeed(
        partial(worker.submit, give_up=give_up),
        worker.looks_per_s,
        between=worker.looks_between,
    )


def live_feed(worker: LaneWorker) -> Feed:
    """Return what feeds a lane of a live stream, which never waits."""

    return LiveFeed(worker, worker.looks_per_s, between=worker.looks_between)
