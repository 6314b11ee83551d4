"""Tracks: detections of a few looked-at frames joined into boxes for every frame between them.

Pure. The tracker is told of every frame's motion, and of what was seen in those frames that were
looked at. It paints boxes onto frames, and only ever adds: between two sightings the hull of what
both ends say, carried along the camera's motion; before the first and after the last sighting the
carried box, further while it is entering or leaving over the picture's border. So much is promised:
what a look saw is hidden from the look before it to the look after it, within the shot.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge.association import associate, is_unexplained
from edge.carry import STAY, Box, Move, Step, Ways, hull, overlap
from edge.detection import Detections, FloatArray
from edge.motion import Motion

__all__ = ["Box", "Track", "Tracker", "TrackerSettings"]

_SURE = 0.65
"""Score of a single sighting that needs no second one. Measured on street and corridor clips:
no false alarm of YuNet or CenterFace that lasted for one look only scored higher."""
_WEAK_OF_CONF = 0.5
"""Detections down to this share of `conf` may prolong a track, but never make one."""
_BORDER_FRAMES = 60
"""How long a box is carried while it is cut by the border: two seconds at 30 fps, the time in
which a slow pan brings a face from cut (where detectors miss it) to whole."""
_MAX_MISSES = 1
"""Looks in a row that a track may be missed in and still be continued by the next sighting."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """How detections become masks.

    conf: score from which a detection is a sighting. k_confirm: sightings that make a mask.
    k_hold: frames that a mask stays after the last sighting. iou_thresh: overlap of a carried box
    with a detection that makes them one thing.
    """

    conf: float
    k_confirm: int = 2
    k_hold: int = 8
    iou_thresh: float = 0.3

    @property
    def weak(self) -> float:
        """Score below which a detection is ignored."""
        return self.conf * _WEAK_OF_CONF

    @property
    def sure(self) -> float:
        """Score that confirms at once."""
        return max(self.conf, _SURE)


@dataclass(slots=True)
class _Sighting:
    frame_id: int
    box: Box
    score: float


@dataclass(slots=True)
class Track:
    """One thing over time, within one shot. It takes no more memory the longer it lasts."""

    track_id: int
    last: _Sighting
    carried: Box
    """The last sighting's box, carried along the camera's motion to frame `carried_to`."""
    carried_to: int
    misses: int = 0
    sightings: int = 0
    """How many were good enough to count."""
    best: float = 0.0
    """Highest score of a sighting."""
    confirmed: bool = False
    waiting: list[tuple[int, Box]] = field(default_factory=list)
    """(frame_id, box) that will be painted if it is ever confirmed."""

    def see(self, sighting: _Sighting, conf: float) -> None:
        """Continue from a new sighting."""
        self.last = sighting
        self.carried, self.carried_to, self.misses = sighting.box, sighting.frame_id, 0
        self.sightings += sighting.score >= conf
        self.best = max(self.best, sighting.score)


class Tracker:
    """Tracks of one lane in one stream.

    Call `advance` for every frame in order and `look` for the looked-at ones, also in order, each
    after its own `advance`. Frames at or before `settled` are never painted again.
    """

    def __init__(self, settings: TrackerSettings, width: int, height: int) -> None:
        self._settings = settings
        self._width, self._height = width, height
        self._moves: dict[int, Move | None] = {}
        """How the picture moved into each frame; None: there was a cut."""
        self._tracks: list[Track] = []
        self._painted: dict[int, list[tuple[int, Box]]] = {}
        self._last_look = -1
        self._newest = -1
        self._forgotten = 0
        """Nothing is known of frames before this one."""
        self._next_id = 1
        self.settled = -1
        """frame_id up to which (inclusive) all paint is final."""
        self.confirmed_tracks = 0

    def advance(self, frame_id: int, motion: Motion) -> None:
        """Tell of the next frame and how the picture moved into it."""
        if self._newest < 0:
            self._forgotten = frame_id
        self._moves[frame_id] = None if motion.cut else Move.of(motion.matrix)
        self._newest = frame_id

    def look(self, frame_id: int, seen: Detections) -> list[int]:
        """Tell what was seen in a frame: matches, paints, and ends tracks.

        Return the track that each detection belongs to now; -1 for those too weak to count.
        """
        if self._cut_between(self._last_look, frame_id):
            self._end_shot(frame_id)
        heard = np.flatnonzero(seen.scores >= self._settings.weak)
        here = seen.keep(heard)
        boxes = _rows(here)
        ways = Ways(self._moves, frame_id)
        matched = self._match(ways, here)
        owner = {j: track_id for track_id, j in matched.items()}
        for track in list(self._tracks):
            j = matched.get(track.track_id)
            if j is None:
                track.misses += 1
                alive = self._coast(track, frame_id)
                if track.misses > _MAX_MISSES and not alive:
                    self._tracks.remove(track)
                continue
            sighting = _Sighting(frame_id, boxes[j], float(here.scores[j]))
            self._join(track, sighting, ways)
            track.see(sighting, self._settings.conf)
            self._confirm(track)
        for j in range(len(here)):
            if j not in owner:
                owner[j] = self._begin(_Sighting(frame_id, boxes[j], float(here.scores[j])))
        self._last_look = frame_id
        tracks = [-1] * len(seen)
        for j, index in enumerate(heard.tolist()):
            tracks[index] = owner[j]
        return tracks

    def foresee(self, frame_id: int) -> list[tuple[int, Box]]:
        """Where this shot's tracks are expected in a coming frame: (track_id, box).

        Changes nothing. Empty where a cut lies before that frame.
        """
        if not self._tracks or self._is_over(frame_id):
            return []
        ways = Ways(self._moves, frame_id)
        return [(t.track_id, ways.since(t.carried_to).carry(t.carried)) for t in self._tracks]

    def alive(self, frame_id: int) -> set[int]:
        """Which of this shot's tracks may go on in a coming frame: those that `foresee` names."""
        if self._is_over(frame_id):
            return set()
        return {track.track_id for track in self._tracks}

    def settle(self, frame_id: int) -> None:
        """Declare paint up to frame_id (inclusive) final."""
        self.settled = max(self.settled, frame_id)

    def finish(self) -> None:
        """The stream has ended: paint what is still held."""
        self._end_shot(self._newest + 1)

    def regions(self, frame_id: int, *, unsure: bool = False) -> tuple[FloatArray, list[int]]:
        """Return the boxes to hide in a frame, (N, 4) float32, and the tracks they belong to.

        unsure: also those of tracks that wait to be confirmed.
        """
        rows = self._painted.get(frame_id, [])
        if unsure:
            rows = rows + [
                (track.track_id, box)
                for track in self._tracks
                for waiting_for, box in track.waiting
                if waiting_for == frame_id
            ]
        if not rows:
            return np.zeros((0, 4), np.float32), []
        return np.array([box for _, box in rows], np.float32), [track for track, _ in rows]

    def forget(self, before: int) -> None:
        """Drop what is known of frames before frame_id `before`: they have left."""
        if self._last_look + 1 < before:
            # No look for so long that nothing can be carried from it to the next one.
            self._end_shot(self._newest + 1)
        for track in self._tracks:
            if track.waiting:
                track.waiting = [item for item in track.waiting if item[0] >= before]
        for frame_id in range(self._forgotten, before):
            self._moves.pop(frame_id, None)
            self._painted.pop(frame_id, None)
        self._forgotten = max(self._forgotten, before)

    def surprises(self, frame_id: int, seen: Detections) -> bool:
        """Whether what was seen differs so much from what was expected that a look between pays.

        True when something clearly there appeared or vanished inside the picture, or moved against
        the camera by more than half its size. Changes nothing.
        """
        if self._is_over(frame_id):
            return False
        here = seen.keep(seen.scores >= self._settings.conf)
        ways = Ways(self._moves, frame_id)
        expected = [t.last for t in self._tracks if t.misses == 0 and t.confirmed]
        carried = [ways.since(last.frame_id).carry(last.box) for last in expected]
        visible = [box for box in carried if not self._outside(box)]
        inside = [box for box in visible if not self._cut_by_border(box)]
        boxes = _rows(here)
        clear = [box for box in boxes if not self._cut_by_border(box)]
        return is_unexplained(inside, boxes) or is_unexplained(clear, visible)

    # -- tracks ------------------------------------------------------------------------------

    def _match(self, ways: Ways, here: Detections) -> dict[int, int]:
        """Return track_id → index of its detection."""
        if not self._tracks or not len(here):
            return {}
        moved = [ways.since(t.carried_to).carry(t.carried) for t in self._tracks]
        pairs = associate(np.array(moved), here.boxes, self._settings.iou_thresh)
        return {self._tracks[i].track_id: j for i, j in pairs.items()}

    def _begin(self, first: _Sighting) -> int:
        track = Track(self._next_id, first, first.box, first.frame_id)
        self._next_id += 1
        self._tracks.append(track)
        self._paint_back(track, first)
        track.see(first, self._settings.conf)
        self._confirm(track)
        return track.track_id

    def _join(self, track: Track, sighting: _Sighting, ways: Ways) -> None:
        """Paint what lies between a track's last sighting and a new one."""
        if track.last.frame_id + 1 in self._moves:
            self._paint_between(track, track.last, sighting, ways.steps(track.last.frame_id))
        else:
            # Long missed, and held or coming in over the border all that time: painted by that.
            self._paint_back(track, sighting)

    def _confirm(self, track: Track) -> None:
        if track.confirmed:
            return
        if track.sightings >= self._settings.k_confirm or track.best >= self._settings.sure:
            track.confirmed = True
            self.confirmed_tracks += 1
            waiting, track.waiting = track.waiting, []
            for frame_id, box in waiting:
                self._paint(track, frame_id, box)

    def _end_shot(self, next_shot: int) -> None:
        """Carry what is there to the shot's last frame, and forget it."""
        for track in self._tracks:
            self._coast(track, next_shot - 1)
        self._tracks.clear()
        self._last_look = -1

    # -- paint -------------------------------------------------------------------------------

    def _paint(self, track: Track, frame_id: int, box: Box) -> None:
        if frame_id <= self.settled or frame_id < self._forgotten or self._outside(box):
            return
        if not track.confirmed:
            track.waiting.append((frame_id, box))
            return
        rows = self._painted.setdefault(frame_id, [])
        for i, (track_id, there) in enumerate(rows):
            if track_id == track.track_id and overlap(there, box) >= self._settings.iou_thresh:
                rows[i] = (track_id, hull(there, box))  # tiles on tiles would hide less
                return
        rows.append((track.track_id, box))

    def _paint_between(self, track: Track, a: _Sighting, b: _Sighting, steps: list[Step]) -> None:
        """Paint [a, b]: what both ends say, joined."""
        near = overlap(steps[-1].on.carry(a.box), b.box) >= self._settings.iou_thresh
        span = b.frame_id - a.frame_id
        for k, step in enumerate(steps):
            frame_id = a.frame_id + k
            from_a, from_b = step.on.carry(a.box), step.back.carry(b.box)
            if near:
                self._paint(track, frame_id, hull(from_a, from_b))
                continue
            # It moved on its own: a straight path, made wider where it is least certain. Or it is
            # two things, of which each look missed one.
            self._paint(track, frame_id, from_a)
            self._paint(track, frame_id, from_b)
            if 0 < k < span:
                self._paint(track, frame_id, _midway(from_a, from_b, k / span))

    def _paint_back(self, track: Track, first: _Sighting) -> None:
        """Paint a first sighting, and carry it into the past: to the look before, or to the cut
        where that comes first, and on while it is entering."""
        limit = first.frame_id - max(self._last_look, -1)
        self._paint(track, first.frame_id, first.box)
        back = STAY
        for k in range(1, max(limit, _BORDER_FRAMES) + 1):
            move = self._moves.get(first.frame_id - k + 1)
            if move is None:
                return
            back = back.then(move.back())
            box = back.carry(first.box)
            if not self._may_carry(box, k, limit):
                return
            self._paint(track, first.frame_id - k, box)

    def _coast(self, track: Track, until: int) -> bool:
        """Carry the last sighting into the future up to a frame. Return whether it goes on."""
        hold = self._settings.k_hold
        if track.misses == 1:
            hold = max(hold, until - track.last.frame_id)  # nobody has said yet that it is gone
        while track.carried_to < until:
            move = self._moves.get(track.carried_to + 1)
            if move is None:
                return False
            track.carried = move.carry(track.carried)
            track.carried_to += 1
            if not self._may_carry(track.carried, track.carried_to - track.last.frame_id, hold):
                return False
            self._paint(track, track.carried_to, track.carried)
        return True

    def _may_carry(self, box: Box, frames: int, limit: int) -> bool:
        """Whether a box may be carried this many frames: longer while the border cuts it.

        Within the limit also while it is outside: the camera may swing back.
        """
        if frames <= limit:
            return True
        return frames <= _BORDER_FRAMES and self._cut_by_border(box) and not self._outside(box)

    # -- geometry ----------------------------------------------------------------------------

    def _cut_between(self, start: int, end: int) -> bool:
        """Whether nothing can be carried over: because of a cut, or of motions long forgotten."""
        return any(self._moves.get(frame_id) is None for frame_id in range(start + 1, end + 1))

    def _is_over(self, frame_id: int) -> bool:
        """Whether a coming frame is not of the shot that was last looked at, or there was none."""
        return self._last_look < 0 or self._cut_between(self._last_look, frame_id)

    def _outside(self, box: Box) -> bool:
        return box[2] <= 0 or box[3] <= 0 or box[0] >= self._width or box[1] >= self._height

    def _cut_by_border(self, box: Box) -> bool:
        return box[0] < 0 or box[1] < 0 or box[2] > self._width or box[3] > self._height


def _rows(seen: Detections) -> list[Box]:
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in seen.boxes.tolist()]


def _midway(a: Box, b: Box, share: float) -> Box:
    """A box this share of a straight path from a to b, wider the further it is from both ends."""
    drift = max(abs(there - here) for here, there in zip(a, b, strict=True))
    slack = 0.5 * drift * share * (1 - share)
    x1, y1, x2, y2 = ((1 - share) * here + share * there for here, there in zip(a, b, strict=True))
    return x1 - slack, y1 - slack, x2 + slack, y2 + slack
