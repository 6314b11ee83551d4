"""From frames to gaps: motion is measured, frames to look at are chosen, lanes are given work."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from edge.errors import InferenceError
from edge.frame import Frame, Picture
from edge.inference.picture import ResidentPicture
from edge.lanes.lane import Gap
from edge.motion import Motion, MotionEstimator, analysis_size
from edge.schedule import Cadence, Scheduler
from edge.stats import Stats

_log = logging.getLogger(__name__)


class Submit(Protocol):
    """Hands out work."""

    def __call__(self, gap: Gap, *, last: bool) -> None:
        """Take the next gap of the stream; last: no more will come."""


class Analyst:
    """Takes the frames of one source in order. Used by one thread.

    enqueue(frame): puts a frame into the delay line. It is called before the frame can become part
    of a gap, so that what is looked at also waits. submit(gap, last): hands out work.
    """

    def __init__(
        self,
        cadence: Cadence,
        size: tuple[int, int],
        stats: Stats,
        *,
        enqueue: Callable[[Frame], None],
        submit: Submit,
    ) -> None:
        self._estimator = MotionEstimator()
        self._scheduler = Scheduler(cadence, *size)
        self._stats = stats
        self._enqueue = enqueue
        self._submit = submit
        self._pending: list[tuple[Frame, Motion]] = []

    def take(self, frame: Frame) -> None:
        """Measure a frame, queue it, and hand out a gap where it is to be looked at."""
        with self._stats.timed("motion"):
            motion = self._measure(frame.picture)
        self._stats.frames_in += 1
        self._stats.cuts += motion.cut
        if motion.cut:
            self.flush()  # the last frame before the cut
        look = self._scheduler.decide(frame.pts, motion)
        self._enqueue(frame)
        self._pending.append((frame, motion))
        if look:
            self.flush()

    def _measure(self, picture: Picture) -> Motion:
        if not isinstance(picture, ResidentPicture):
            return self._estimator.step(picture.luma)
        width, height = picture.width, picture.height
        try:
            small = picture.small_luma(*analysis_size(width, height))
        except InferenceError as error:
            # What the lanes cannot see either leaves masked; the decoder is about to be replaced.
            _log.debug("no motion: %s", error)
            return self._estimator.forget()
        return self._estimator.step_small(small, width, height)

    def change(self, cadence: Cadence) -> None:
        """Hand out what was not looked at yet, and look this often from now on."""
        self.flush()
        self._scheduler.change(cadence)

    def flush(self, *, last: bool = False) -> None:
        """Hand out what was not looked at yet. last: no more frames will come."""
        if not self._pending:
            return
        frames, motions = zip(*self._pending, strict=True)
        self._pending = []
        self._submit(Gap(frames, motions), last=last)
