"""Which faces may stay visible. Pure: no pictures, no embeddings, no clock.

A face is hidden until proven. A track is shown from one look that knew an enrolled person in it to
another that did, never beyond: what comes after the last of them is unproven. Before the first it
is shown too, back to where the same, unbroken track was first seen (no more than `recheck_s`),
which the frames' delay makes possible.

Every track has votes of its own. Votes that people share, in whatever way, let a stranger who comes
in inherit those of the owner who goes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detection import FloatArray

Box = NDArray[np.floating]

MARGIN: Final = 0.10
"""Cosine by which the best must lead: a person before all others of one face, and a face before
all others that look like one person. The standard deviation of the cosine between strangers."""
CROSSING: Final = 0.10
"""Share of the smaller box that two boxes have in common from which on their faces may be taken for
each other, or one for both."""
STEADY_IOU: Final = 0.30
"""Overlap of a sighting with the one before, carried along the camera's motion, below which the
track may have gone over to somebody else."""
STRIDE: Final = 1.0
"""How far a face may have moved against the camera all the same, in its own sizes, where the looks
at both ends agree whose it is: a walker at 4 looks a second. Nobody changes places twice meanwhile.
"""
_GROWTH: Final = 1.6
"""Largest ratio of the sizes of two such sightings; as in track.py."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One face in one look.

    box: (4,) pixels. expected: where the track's box of the look before would be now if it had only
    moved with the camera, or None where there is none. likeness: (P,) cosine with each enrolled
    person, or None for a face that tells nothing (turned away, too small, not examined).
    """

    track_id: int
    box: Box
    expected: Box | None = None
    likeness: FloatArray | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Vote:
    """What one look said about one track. person: whom it is taken for, or None: nobody enrolled,
    or not for certain. likeness: cosine with the enrolled person who comes nearest."""

    track_id: int
    person: int | None
    nearest: int
    likeness: float


@dataclass(slots=True)
class _Span:
    """Frames first … last, both inclusive, in which a track is proven to be a person."""

    first: int
    last: int
    person: int


@dataclass(slots=True)
class _Record:
    """What is known of one track.

    seen: frame of the newest look that saw it. person, votes, start, voted, voted_pts: the run of
    votes that goes on; start is the first frame that it proves, voted that of its newest vote.
    waiting: frames and pts of looks without a vote since the last break. spans: what is proven, in
    order.
    """

    seen: int = -1
    person: int | None = None
    votes: int = 0
    start: int = 0
    voted: int = -1
    voted_pts: float = 0.0
    waiting: list[tuple[int, float]] = field(default_factory=list)
    spans: list[_Span] = field(default_factory=list)

    def interrupt(self) -> None:
        """Nothing from before joins what comes after."""
        self.person, self.votes = None, 0
        self.waiting.clear()

    def revoke(self, settled: int) -> None:
        """It was wrong, or can no longer be trusted: unproven in all frames that have not left."""
        self.interrupt()
        self.spans = [span for span in self.spans if span.first <= settled]
        for span in self.spans:
            span.last = min(span.last, settled)


class Whitelist:
    """Who is shown, in one stream. Looks come in order; verdicts on settled frames never change."""

    def __init__(
        self,
        thresholds: Sequence[float],
        *,
        votes: int,
        recheck_s: float,
        margin: float = MARGIN,
    ) -> None:
        """thresholds: for each enrolled person the cosine from which a face is taken for them.
        votes: looks that have to agree. recheck_s: seconds between two of them at most."""
        self._thresholds = np.array(thresholds, np.float32)
        self._votes = votes
        self._recheck_s = recheck_s
        self._margin = margin
        self._records: dict[int, _Record] = {}
        self._newest = -1
        self._settled = -1

    def settle(self, frame_id: int) -> None:
        """Declare verdicts up to frame_id (inclusive) final."""
        self._settled = max(self._settled, frame_id)

    def observe(
        self, frame_id: int, pts: float, faces: Sequence[Sighting], absent: Sequence[Box] = ()
    ) -> list[Vote]:
        """Take note of a look: all faces that it saw, and where those are expected that it missed.

        Return the votes that it gave. Raises ValueError for a look that is not after the last.
        """
        if frame_id <= self._newest:
            raise ValueError(f"look {frame_id} comes after look {self._newest}")
        votes = {vote.track_id: vote for vote in self._vote(faces)}
        crossed = _crossing([face.box for face in faces], absent)
        for face, crosses in zip(faces, crossed, strict=True):
            record = self._records.setdefault(face.track_id, _Record())
            vote = votes.get(face.track_id)
            if crosses or record.seen != self._newest or not self._steady(record, face, vote):
                record.interrupt()
            record.seen = frame_id
            if vote is not None and vote.person is None:
                record.revoke(self._settled)
            elif not crosses:
                self._count(record, frame_id, pts, None if vote is None else vote.person)
        self._newest = frame_id
        return list(votes.values())

    def interrupt(self) -> None:
        """A look failed: nothing from before joins what comes after."""
        for record in self._records.values():
            record.interrupt()

    def distrust(self) -> None:
        """The recogniser failed: nothing that has not left is proven any more."""
        for record in self._records.values():
            record.revoke(self._settled)

    def visible(self, track_id: int, frame_id: int) -> bool:
        """Whether this track's face may be seen in this frame.

        Not where another track is proven to be the same person in it.
        """
        person = self._proven(track_id, frame_id)
        if person is None:
            return False
        return not any(
            other != track_id and self._proven(other, frame_id) == person for other in self._records
        )

    def forget(self, before: int) -> None:
        """Frames before this one have left."""
        for record in self._records.values():
            record.spans = [span for span in record.spans if span.last >= before]
        # The newest look's tracks go on, whatever its age.
        old = [
            track_id
            for track_id, record in self._records.items()
            if not record.spans and record.seen < min(before, self._newest)
        ]
        for track_id in old:
            del self._records[track_id]

    def _vote(self, faces: Sequence[Sighting]) -> list[Vote]:
        """Say whom each face that tells something is taken for: each person once at most."""
        told = [face for face in faces if face.likeness is not None]
        if not told or not len(self._thresholds):
            return []
        table = np.stack([face.likeness for face in told if face.likeness is not None])
        if not np.isfinite(table).all():
            raise ValueError("a likeness is not finite")
        nearest = table.argmax(axis=1)
        best = table[np.arange(len(told)), nearest]
        others = table.copy()
        others[np.arange(len(told)), nearest] = -np.inf
        sure = (best >= self._thresholds[nearest]) & (
            best - others.max(axis=1, initial=-np.inf) >= self._margin
        )
        for person in set(nearest[sure].tolist()):
            rivals = np.flatnonzero(sure & (nearest == person))
            if len(rivals) < 2:
                continue
            first, second = rivals[np.argsort(-best[rivals], kind="stable")][:2]
            sure[rivals] = False
            sure[first] = best[first] - best[second] >= self._margin
        return [
            Vote(face.track_id, int(who) if certain else None, int(who), float(score))
            for face, who, certain, score in zip(told, nearest, sure, best, strict=True)
        ]

    def _steady(self, record: _Record, face: Sighting, vote: Vote | None) -> bool:
        """Whether a track that the look before saw, too, is still on the same face."""
        if face.expected is None:
            return False
        if _common(face.expected, face.box) >= STEADY_IOU:
            return True
        known = vote is not None and vote.person is not None and vote.person == record.person
        return known and record.voted == self._newest and _within_stride(face.expected, face.box)

    def _count(self, record: _Record, frame_id: int, pts: float, person: int | None) -> None:
        """Take a look at a steady track into account: a vote for a person, or none."""
        if person is None:
            if record.person is None:
                oldest = pts - self._recheck_s
                record.waiting = [look for look in record.waiting if look[1] >= oldest]
                record.waiting.append((frame_id, pts))
            return
        if record.person not in (None, person):
            record.revoke(self._settled)
        if record.person is None:
            record.start = next(
                (frame for frame, at in record.waiting if at >= pts - self._recheck_s), frame_id
            )
            record.votes = 0
        elif pts - record.voted_pts > self._recheck_s:
            record.start, record.votes = frame_id, 0
        record.waiting.clear()
        record.person, record.voted, record.voted_pts = person, frame_id, pts
        record.votes += 1
        if record.votes >= self._votes:
            self._prove(record, max(record.start, self._settled + 1), frame_id, person)

    def _prove(self, record: _Record, first: int, last: int, person: int) -> None:
        if first > last:
            return
        newest = record.spans[-1] if record.spans else None
        if newest is not None and newest.person == person and first <= newest.last + 1:
            newest.last = last
        else:
            record.spans.append(_Span(first, last, person))

    def _proven(self, track_id: int, frame_id: int) -> int | None:
        record = self._records.get(track_id)
        for span in record.spans if record is not None else ():
            if span.first <= frame_id <= span.last:
                return span.person
        return None


def overlap(boxes: Box, others: Box) -> NDArray[np.float64]:
    """Area that boxes (N, 4) share with others (M, 4), as a part of the smaller of the two: (N, M).

    0 for boxes without area.
    """
    a, b = boxes.astype(np.float64)[:, None], others.astype(np.float64)[None]
    common = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(common, 0).prod(axis=2)
    area_a = np.maximum(a[..., 2:] - a[..., :2], 0).prod(axis=2)
    area_b = np.maximum(b[..., 2:] - b[..., :2], 0).prod(axis=2)
    part: NDArray[np.float64] = shared / np.maximum(np.minimum(area_a, area_b), 1e-6)
    return part


def _crossing(boxes: Sequence[Box], absent: Sequence[Box]) -> list[bool]:
    """For each box, whether another one, seen or expected, is in its way."""
    if not boxes:
        return []
    every = np.stack([*boxes, *absent])
    part = overlap(every[: len(boxes)], every)
    part[np.arange(len(boxes)), np.arange(len(boxes))] = 0
    return [bool(row.max() >= CROSSING) for row in part]


def _common(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, (4,)."""
    common = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.maximum(common, 0).prod())
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared
    return shared / max(union, 1e-6)


def _within_stride(a: Box, b: Box) -> bool:
    """Whether two boxes, (4,), are alike in size and near each other."""
    size_a, size_b = float((a[2:] - a[:2]).max()), float((b[2:] - b[:2]).max())
    distance = float(np.hypot(*((a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2)))
    smaller, larger = min(size_a, size_b), max(size_a, size_b)
    return larger <= _GROWTH * smaller and distance <= STRIDE * larger
