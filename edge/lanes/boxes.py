"""A lane that looks for things with a box: faces, plates, lines of text.

It runs a detector, follows what that sees along the motion, and says what to hide. Lanes that
know more of what they see override `examine` (slow: reads or recognises), `learn` (quick: keeps
what that told) and `regions`.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.detection import Detections, FloatArray
from edge.errors import InferenceError
from edge.frame import Frame
from edge.lanes.lane import Detector, Findings, Gap
from edge.motion import IDENTITY, Motion
from edge.track import Tracker, TrackerSettings

MAX_LOOKAHEAD_FRAMES = 60
"""Frames that a verdict may wait for later looks, whatever the frame rate: bounds the memory that
a 240 fps recording takes."""
_MIN_REFINED_GAP = 4
"""Frames in a gap below which a look in its middle cannot tell anything new."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen in one frame. notes: what `examine` made of it."""

    frame_id: int
    seen: Detections
    notes: Any = None


Evidence = list[Sight]
"""What was seen, in order; the last entry is the gap's own look."""


class BoxLane:
    """Implements edge.lanes.lane.Lane."""

    def __init__(
        self,
        name: str,
        detector: Detector,
        settings: TrackerSettings,
        width: int,
        height: int,
        *,
        lookahead_s: float,
        refine: int,
    ) -> None:
        """lookahead_s: how long a verdict waits for later looks to add to it. refine: how often
        a surprising gap is halved by one more look."""
        self.name = name
        self._detector = detector
        self._tracker = Tracker(settings, width, height)
        self._lookahead_s = lookahead_s
        self._refine = refine
        self._frames: deque[tuple[int, float]] = deque()
        self._failing = False
        self._entered = (-1, -math.inf)
        """frame_id and pts of the newest frame that this lane was told of."""
        self._hole: tuple[float, float] | None = None
        self._looks = 0

    def renew(self, detector: Detector) -> None:
        """Go on with another detector: the old one is stuck."""
        self._detector = detector

    def enter(self, gap: Gap) -> None:
        """Take note of new frames. Frames left out before them will be said to be unjudged."""
        self._hole = None
        motions = gap.motions
        first = gap.frames[0]
        if first.frame_id != self._entered[0] + 1:
            # Whoever lost them: no look vouches for frames that this lane has not been told of.
            self._hole = (
                math.nextafter(self._entered[1], math.inf),
                math.nextafter(first.pts, -math.inf),
            )
            motions = (Motion(IDENTITY, cut=True, reliable=False), *motions[1:])
            self._failing = True  # nor is there a look before this gap
        self._entered = (gap.look.frame_id, gap.look.pts)
        for frame, motion in zip(gap.frames, motions, strict=True):
            self._tracker.advance(frame.frame_id, motion)
            self._frames.append((frame.frame_id, frame.pts))

    def look(self, gap: Gap) -> Evidence:
        """Detect in the last frame, and in the gap's middle where that surprises.

        Raises whatever the detector raises, and InferenceError for an answer that makes no sense.
        """
        detector = self._detector  # the same one throughout: another thread may be given a new one
        evidence = [self._see(detector, gap.look)]
        first, last = -1, len(gap.frames) - 1
        for _ in range(self._refine):
            if last - first < _MIN_REFINED_GAP:
                break
            if not self._tracker.surprises(evidence[0].frame_id, evidence[0].seen):
                break
            last = (first + last) // 2
            evidence.insert(0, self._see(detector, gap.frames[last]))
        return evidence

    def absorb(self, gap: Gap, evidence: Evidence | None) -> Findings:
        """Follow what was seen; None leaves the gap unjudged."""
        start, look = gap.frames[0].pts, gap.look
        blind: tuple[tuple[float, float], ...] = ()
        if evidence is None:
            self._failing = True
            blind = ((start, look.pts),)
        else:
            if self._failing and len(gap.frames) > 1:
                # Nothing good was seen at this gap's other end.
                blind = ((start, gap.frames[-2].pts),)
            self._failing = False
            for sight in evidence:
                self.learn(sight, self._tracker.look(sight.frame_id, sight.seen))
        if self._hole is not None and self._hole[0] <= self._hole[1]:
            blind = (self._hole, *blind)
        return Findings(self._settle(look.frame_id, look.pts), blind, firm=look.pts)

    def pause(self) -> Findings:
        """The signal is lost: nothing more will be known of the frames so far."""
        self._tracker.finish()
        if not self._frames:
            return Findings(float("-inf"))
        frame_id, pts = self._frames[-1]
        self._frames.clear()
        self._tracker.settle(frame_id)
        return Findings(pts)

    def finish(self) -> Findings:
        """Nothing more will be known: all is final, and nothing is known of other frames."""
        self._tracker.finish()
        unknown = math.nextafter(self._entered[1], math.inf)
        return Findings(math.inf, ((unknown, math.inf),))

    def regions(self, frame_id: int, *, unsure: bool = False) -> tuple[FloatArray, list[int]]:
        """Boxes to hide, and the track that each is of."""
        return self._tracker.regions(frame_id, unsure=unsure)

    def spared(self, frame_id: int) -> tuple[FloatArray, list[int]]:
        """Nothing that is seen stays visible."""
        return np.zeros((0, 4), np.float32), []

    def forget(self, before: int) -> None:
        """Frames before this one have left."""
        # Carrying boxes back needs no motion of frames that are gone, but joining a track over
        # a missed look does need that since its last sighting.
        self._tracker.forget(before - 2 * MAX_LOOKAHEAD_FRAMES)

    @property
    def looks(self) -> int:
        """Pictures that the detector has seen so far."""
        return self._looks

    @property
    def found(self) -> int:
        """Things found so far: appearances, not persons."""
        return self._tracker.confirmed_tracks

    def examine(self, frame: Frame, seen: Detections) -> Any:
        """Look closer at what was seen in a frame. Slow, in `look`, without a lock.

        May throw, which leaves the gap unjudged. Must only read what `learn` writes.
        """
        return None

    def learn(self, sight: Sight, tracks: list[int]) -> None:
        """Keep what was examined; tracks: the track of each detection, or -1. Quick."""

    def _see(self, detector: Detector, frame: Frame) -> Sight:
        self._looks += 1
        frame_id, seen = detector.infer(frame.frame_id, frame.picture)
        if frame_id != frame.frame_id:
            raise InferenceError(f"asked about frame {frame.frame_id}, told about {frame_id}")
        check(seen)
        return Sight(frame_id, seen, self.examine(frame, seen))

    def _settle(self, look_id: int, look_pts: float) -> float:
        """Move the horizon: `lookahead_s` behind the look, but never more frames than bounded."""
        horizon = float("-inf")
        while self._frames:
            frame_id, pts = self._frames[0]
            near = pts > look_pts - self._lookahead_s and frame_id > look_id - MAX_LOOKAHEAD_FRAMES
            if near:
                break
            self._frames.popleft()
            self._tracker.settle(frame_id)
            horizon = pts
        return horizon


def check(seen: Detections) -> None:
    """Refuse an answer that would be misunderstood: a NaN score is below every threshold, so that
    the face that it belongs to would just be ignored.

    Raises InferenceError; TypeError or AttributeError for what is no Detections at all.
    """
    n = len(seen.boxes)
    if seen.boxes.shape != (n, 4) or seen.scores.shape != (n,):
        raise InferenceError(f"boxes {seen.boxes.shape} do not fit scores {seen.scores.shape}")
    if (seen.boxes.dtype.kind, seen.scores.dtype.kind) != ("f", "f"):
        raise InferenceError(f"boxes are {seen.boxes.dtype}, scores {seen.scores.dtype}")
    if not (np.isfinite(seen.boxes).all() and np.isfinite(seen.scores).all()):
        raise InferenceError("the detector gave NaN or infinity")
    if (seen.boxes[:, 2:] < seen.boxes[:, :2]).any():
        raise InferenceError("the detector gave a box that ends before it begins")
