"""The face lane: a lane of boxes whose things are faces, some of which may stay visible."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detection import Detections, FloatArray, iou_matrix
from edge.frame import Frame
from edge.lanes.boxes import BoxLane, Evidence, Sight
from edge.lanes.lane import Detector, Findings, Gap, Trouble
from edge.lanes.recogniser import MAX_FACES, Recogniser
from edge.lanes.whitelist import CROSSING, STEADY_IOU, Box, Sighting, Vote, Whitelist, overlap
from edge.motion import IDENTITY, Matrix, compose, move_boxes
from edge.stats import RECOGNISER
from edge.track import TrackerSettings

_log = logging.getLogger(__name__)

_MOTIONS: Final = 128
"""Frames whose motion is kept: several times what lies between two looks."""


@dataclass(frozen=True, slots=True)
class _Examined:
    """What `examine` makes of one look. likeness: by index of the detection. failed: nothing is
    known, and nothing that was known can be relied on."""

    likeness: dict[int, FloatArray] = field(default_factory=dict, repr=False)
    failed: bool = False


class FaceLane(BoxLane):
    """Looks for faces, follows them, and hides them all but those that are proven to be enrolled.

    A recogniser that fails hides everybody; the lane sees on.
    """

    def __init__(
        self,
        detector: Detector,
        settings: TrackerSettings,
        width: int,
        height: int,
        *,
        lookahead_s: float,
        refine: int,
        recogniser: Recogniser | None = None,
        whitelist: Whitelist | None = None,
        on_votes: Callable[[int, Sequence[Vote]], None] | None = None,
    ) -> None:
        """Arguments as for BoxLane, and both or none of these two.

        whitelist: knows the recogniser's people, in their order. on_votes(frame_id, votes): told
        of every look's votes, under the worker's lock; for `privaedge faces test`.
        """
        super().__init__(
            "faces", detector, settings, width, height, lookahead_s=lookahead_s, refine=refine
        )
        if (recogniser is None) != (whitelist is None):
            raise ValueError("a recogniser and a whitelist go together")
        self._size = (width, height)
        self._recogniser, self._whitelist = recogniser, whitelist
        self._on_votes = on_votes
        self._motions: deque[tuple[int, float, Matrix]] = deque(maxlen=_MOTIONS)
        """frame_id, pts and motion of the newest frames."""
        self._last: tuple[int, dict[int, Box]] = (-1, {})
        """The last look: its frame_id, and the box of each track that it saw."""
        self._examined: dict[int, int] = {}
        """Frame in which each track was last examined."""
        self.recogniser_failures = 0
        """Looks in which the recogniser failed, so that everybody was hidden."""
        self._trouble: Trouble | None = None

    def renew(self, detector: Detector) -> None:
        """Go on with another detector, and another embedder: whichever got stuck."""
        super().renew(detector)
        if self._recogniser is None:
            return
        try:
            self._recogniser.renew()
        except Exception as error:  # noqa: BLE001 - faces are still found, and all are hidden
            _log.warning("the face recogniser was given up (%s): all are hidden",
                         type(error).__name__)  # fmt: skip
            self._recogniser = None
            self._distrust()
            self._trouble = Trouble(RECOGNISER, "it could not be renewed: all faces are hidden")

    def enter(self, gap: Gap) -> None:
        """Take note of new frames."""
        super().enter(gap)
        for frame, motion in zip(gap.frames, gap.motions, strict=True):
            self._motions.append((frame.frame_id, frame.pts, motion.matrix))

    def absorb(self, gap: Gap, evidence: Evidence | None) -> Findings:
        """Follow what was seen; None leaves the gap unjudged."""
        if evidence is None and self._whitelist is not None:
            self._whitelist.settle(self._tracker.settled)
            self._whitelist.interrupt()
        findings = super().absorb(gap, evidence)
        trouble, self._trouble = self._trouble, None
        return findings if trouble is None else replace(findings, trouble=trouble)

    def examine(self, frame: Frame, seen: Detections) -> _Examined | None:
        """Embed the faces that tell whose they are, a bounded number of them."""
        recogniser = self._recogniser
        if recogniser is None or not len(recogniser.people):
            return None
        try:
            which = recogniser.worthwhile(seen, *self._size)
            chosen = self._most_urgent(frame.frame_id, seen, which.tolist())
            return _Examined(recogniser.examine(frame.picture, seen, chosen))
        except Exception as error:  # noqa: BLE001 - nobody is shown, which is the safe answer
            # The message may come from a third party, so only its kind is told.
            _log.log(
                logging.DEBUG if self.recogniser_failures else logging.WARNING,
                "faces could not be recognised (%s): all are hidden",
                type(error).__name__,
            )
            return _Examined(failed=True)

    def learn(self, sight: Sight, tracks: list[int]) -> None:
        """Let a look vote."""
        whitelist, examined = self._whitelist, sight.notes
        if whitelist is None or not isinstance(examined, _Examined):
            return
        whitelist.settle(self._tracker.settled)
        moved = self._moved(self._last[0], sight.frame_id)
        before, now = self._last[1], {}
        faces = []
        for index, track in enumerate(tracks):
            if track < 0:
                continue
            box = now[track] = sight.seen.boxes[index].astype(np.float64)
            expected = None
            if moved is not None and track in before:
                expected = move_boxes(before[track][None], moved)[0]
            if index in examined.likeness:
                self._examined[track] = sight.frame_id
            faces.append(Sighting(track, box, expected, examined.likeness.get(index)))
        self._last = (sight.frame_id, now)
        absent = [
            np.array(box)
            for track, box in self._tracker.foresee(sight.frame_id)
            if track not in now
        ]
        pts = next(pts for frame_id, pts, _ in self._motions if frame_id == sight.frame_id)
        votes = whitelist.observe(sight.frame_id, pts, faces, absent)
        if examined.failed:
            self.recogniser_failures += 1
            self._trouble = Trouble(RECOGNISER, "it failed: all faces were hidden")
            self._distrust()
        if self._on_votes is not None:
            self._on_votes(sight.frame_id, votes)

    def regions(self, frame_id: int, *, unsure: bool = False) -> tuple[FloatArray, list[int]]:
        """Boxes to hide, and the track that each is of: without those that may stay visible."""
        boxes, tracks = self.faces(frame_id, unsure=unsure)
        if self._whitelist is None:
            return boxes, tracks
        return _those(boxes, tracks, ~self._shown(self._whitelist, frame_id, boxes, tracks))

    def spared(self, frame_id: int) -> tuple[FloatArray, list[int]]:
        """Boxes of those who stay visible, and the track that each is of."""
        if self._whitelist is None:
            return super().spared(frame_id)
        boxes, tracks = self.faces(frame_id)
        return _those(boxes, tracks, self._shown(self._whitelist, frame_id, boxes, tracks))

    def faces(self, frame_id: int, *, unsure: bool = False) -> tuple[FloatArray, list[int]]:
        """Boxes of all faces, whether or not they are hidden: (N, 4) float32, and their tracks."""
        return super().regions(frame_id, unsure=unsure)

    def forget(self, before: int) -> None:
        """Frames before this one have left."""
        super().forget(before)
        if self._whitelist is not None:
            self._whitelist.forget(before)
            alive = self._last[1]
            self._examined = {t: f for t, f in self._examined.items() if f >= before or t in alive}

    @staticmethod
    def _shown(
        whitelist: Whitelist, frame_id: int, boxes: FloatArray, tracks: list[int]
    ) -> NDArray[np.bool_]:
        """Say which of the boxes in a frame, (N, 4), may stay visible: (N,)."""
        shown = np.array([whitelist.visible(track, frame_id) for track in tracks], bool)
        if shown.any() and not shown.all():
            # Of two boxes in one place it is not certain whose face is whose.
            shown &= ~(overlap(boxes, boxes[~shown]) >= CROSSING).any(axis=1)
        return shown

    def _distrust(self) -> None:
        if self._whitelist is not None:
            self._whitelist.settle(self._tracker.settled)
            self._whitelist.distrust()

    def _most_urgent(self, frame_id: int, seen: Detections, which: list[int]) -> list[int]:
        """Choose MAX_FACES of the faces named by index: those examined longest ago."""
        expected = self._tracker.foresee(frame_id) if len(which) > MAX_FACES else []
        if not expected:
            return which[:MAX_FACES]
        places = np.array([box for _, box in expected], np.float32)
        near = iou_matrix(seen.boxes[which], places)
        ages = []
        for row, index in zip(near, which, strict=True):
            best = int(row.argmax())
            known = row[best] >= STEADY_IOU
            ages.append((self._examined.get(expected[best][0], -1) if known else -1, index))
        return [index for _, index in sorted(ages)[:MAX_FACES]]

    def _moved(self, start: int, end: int) -> Matrix | None:
        """How the picture moved from one frame to a later one; None where that is not known."""
        matrix, known = IDENTITY, start
        for frame_id, _, step in self._motions:
            if start < frame_id <= end:
                if frame_id != known + 1:
                    return None
                matrix, known = compose(matrix, step), frame_id
        return matrix if known == end else None


def _those(
    boxes: FloatArray, tracks: list[int], which: NDArray[np.bool_]
) -> tuple[FloatArray, list[int]]:
    kept = np.flatnonzero(which)
    return boxes[kept], [tracks[index] for index in kept.tolist()]
