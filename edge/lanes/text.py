"""The text lane: a lane of boxes whose things are lines of text, of which private ones are hidden.

A line is read once a track, and again when it has become larger, longer or sharper, or looks
different. Until it is read it is hidden; once judged private it stays hidden as long as its track
lasts. What was read is kept in memory, as long as the track and no longer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from edge.detection import Detections, FloatArray, iou_matrix
from edge.errors import InferenceError
from edge.frame import ByteArray, Frame
from edge.lanes.boxes import BoxLane, Sight
from edge.lanes.imprint import imprint
from edge.lanes.lane import Detector, Findings
from edge.lanes.plate_text import PLATE_SCORE, plate_boxes, plate_likeness
from edge.lanes.reader import Reader, Reading
from edge.lanes.rectify import sides
from edge.lanes.text_memory import Line, Look, Note
from edge.pii.lines import LineVerdict, ReadLine
from edge.pii.spans import Kind
from edge.track import TrackerSettings

READ_LENGTH = 100.0
"""Length of all lines that are read at one look, in their heights: some 15 lines. The cost of
reading goes with it. Not counted in seconds: the same file gives the same result on any machine.
"""
_WORTH = 0.3
"""Confidence from which a text is judged: below it is noise. Between this and LEGIBLE it may make
a line private, but it is not proof that a line is not."""
_PART_OF_PRIVATE = 0.6
"""Share of a line's box within that of a private one from which it is a piece of that."""


class Judge(Protocol):
    """Tells which lines are private, from all that are in the picture together."""

    def judge(self, lines: Sequence[ReadLine]) -> Sequence[LineVerdict]:
        """One verdict for each line; a kind of None is not private."""


class TextLane(BoxLane):
    """Looks for text, follows and reads it, and hides what is private or not yet read."""

    def __init__(  # noqa: PLR0917 - the parts in the order in which a line meets them
        self,
        detector: Detector,
        reader: Reader,
        judge: Judge,
        settings: TrackerSettings,
        width: int,
        height: int,
        *,
        lookahead_s: float,
        refine: int = 0,
        plates: bool,
        hide_unread: bool,
    ) -> None:
        """plates: hide lines that read like a licence plate, too. hide_unread: hide lines that
        were looked at and could not be read. The rest as for BoxLane."""
        super().__init__(
            "text", detector, settings, width, height, lookahead_s=lookahead_s, refine=refine
        )
        self._reader, self._judge = reader, judge
        self._settings = settings
        self._plates = plates
        self._hide_unread = hide_unread
        self._lines: dict[int, Line] = {}
        """What is known of each track whose boxes may still be asked for."""
        self._judged: frozenset[int] = frozenset()
        """Tracks that were judged together, and have said the same since."""
        self._private = 0

    def renew(
        self, detector: Detector, reader: Reader | None = None, judge: Judge | None = None
    ) -> None:
        """Go on with others: the old ones are stuck in a thread of their own."""
        super().renew(detector)
        self._reader = reader or self._reader
        self._judge = judge or self._judge

    @property
    def found(self) -> int:
        """Private lines found so far."""
        return self._private

    # -- looking: slow, without a lock ---------------------------------------------------------

    def examine(self, frame: Frame, seen: Detections) -> Look:
        """Read what is new, and judge it with all that is known around it.

        Raises what reader and judge raise, and InferenceError for answers that make no sense.
        """
        reader, judge = self._reader, self._judge
        if not len(seen):
            return Look()
        if seen.quads.shape != (len(seen), 4, 2) or not np.isfinite(seen.quads).all():
            raise InferenceError("the text detector gave no corners")
        expected = self._tracker.foresee(frame.frame_id)
        tracks, boxes = [t for t, _ in expected], np.array([b for _, b in expected], np.float32)
        luma = frame.picture.luma
        notes = [
            self._note(luma, quad, track, float(score))
            for quad, track, score in zip(
                seen.quads,
                _taken_for(tracks, boxes.reshape(-1, 4), seen, self._settings),
                seen.scores,
                strict=True,
            )
        ]
        chosen = _affordable(notes)
        if chosen:
            readings = reader.read(frame.picture, seen.quads[chosen])
            if len(readings) != len(chosen):
                raise InferenceError(f"asked for {len(chosen)} lines, told {len(readings)}")
            for i, reading in zip(chosen, readings, strict=True):
                if not 0 <= reading.confidence <= 1:  # also refuses NaN
                    raise InferenceError("the text reader gave a confidence beyond 0..1")
                notes[i].reading = reading
        return Look(notes, dict(expected), self._judge_together(judge, notes, seen))

    def _note(self, luma: ByteArray, quad: FloatArray, track: int, score: float) -> Note:
        """Compare a line with what is known of the track that it is taken for."""
        width, height = sides(quad)
        note = Note(track, imprint(luma, quad), min(width, height), sharpness(luma, quad))
        line = self._lines.get(track)
        if line is not None:
            note.compare(line, self._looks)
        elif score < self._settings.conf:
            note.urgency = 0  # nothing is painted for it, until it is seen better
        return note

    def _judge_together(
        self, judge: Judge, notes: list[Note], seen: Detections
    ) -> list[int] | None:
        """Have all lines judged that have been read; None where nothing has changed.

        Returns which of the notes were judged.
        """
        said: dict[int, Reading] = {}
        for i, note in enumerate(notes):
            line = self._lines.get(note.track)
            known = line.reading if line is not None and not note.stale else None
            reading = note.reading or known
            if reading is not None and reading.text.strip() and reading.confidence >= _WORTH:
                said[i] = reading
        news = any(note.reading is not None for note in notes)
        if not news and self._judged.issuperset(notes[i].track for i in said):
            return None
        lines = []
        for i, reading in said.items():
            x1, y1, x2, y2 = seen.boxes[i].tolist()
            lines.append(ReadLine(reading.text, reading.confidence, (x1, y1, x2, y2)))
        verdicts = judge.judge(lines) if lines else []
        if len(verdicts) != len(lines):
            raise InferenceError(f"asked for {len(lines)} verdicts, told {len(verdicts)}")
        for (i, reading), verdict in zip(said.items(), verdicts, strict=True):
            if not math.isfinite(verdict.score):
                raise InferenceError("the judge of lines gave NaN or infinity")
            notes[i].kind = verdict.kind
            if self._plates and plate_likeness(reading, seen.quads[i]) >= PLATE_SCORE:
                notes[i].kind = Kind.PLATE
        return list(said)

    # -- knowing: quick, under the worker's lock -----------------------------------------------

    def learn(self, sight: Sight, tracks: list[int]) -> None:
        """Keep what was read and judged for each track."""
        look: Look = sight.notes
        for note, box, track in zip(look.notes, sight.seen.boxes, tracks, strict=True):
            if track < 0:
                continue
            line = self._lines.get(track)
            if line is None:
                line = self._lines[track] = Line()
                line.private |= self._is_piece(box, look)
            was_private = line.private
            # It may be another line than the one that it was compared with.
            note.stale |= note.track != track
            if note.reading is not None:
                line.take(note, self._looks)
            elif note.stale:
                line.unread()
            if note.kind is not None:
                line.private = True
                line.plate |= note.kind is Kind.PLATE
            self._private += line.private and not was_private
        if look.judged is not None:
            self._judged = frozenset(tracks[i] for i in look.judged)
        self._drop_gone(sight.frame_id)

    def pause(self) -> Findings:
        """As for BoxLane. Nothing that was read is kept."""
        findings = super().pause()
        self._drop_gone(self._entered[0])
        return findings

    def finish(self) -> Findings:
        """As for BoxLane. Nothing that was read is kept."""
        findings = super().finish()
        self._drop_gone(self._entered[0])
        return findings

    def forget(self, before: int) -> None:
        """Frames before this one have left."""
        super().forget(before)
        self._drop_gone(self._entered[0])
        for track in [t for t, line in self._lines.items() if line.gone_at < before]:
            del self._lines[track]

    def regions(self, frame_id: int, *, unsure: bool = False) -> tuple[FloatArray, list[int]]:
        """Boxes of lines that are private or not yet read, and the track that each is of."""
        boxes, tracks = super().regions(frame_id, unsure=unsure)
        hidden = [i for i, track in enumerate(tracks) if self._hides(track)]
        if len(hidden) < len(tracks):
            boxes, tracks = boxes[hidden], [tracks[i] for i in hidden]
        plates = [i for i, t in enumerate(tracks) if t in self._lines and self._lines[t].plate]
        if plates:
            boxes[plates] = plate_boxes(boxes[plates])
        return boxes, tracks

    def _hides(self, track: int) -> bool:
        line = self._lines.get(track)
        if line is None or line.private or not line.read:
            return True
        return self._hide_unread and not line.legible

    def _is_piece(self, box: FloatArray, look: Look) -> bool:
        """Whether a new line lies within a private one: what was one box is two now."""
        for track, (x1, y1, x2, y2) in look.expected.items():
            line = self._lines.get(track)
            if line is None or not line.private:
                continue
            width = min(x2, box[2]) - max(x1, box[0])
            height = min(y2, box[3]) - max(y1, box[1])
            area = max((box[2] - box[0]) * (box[3] - box[1]), 1e-6)
            if max(width, 0) * max(height, 0) >= _PART_OF_PRIVATE * area:
                return True
        return False

    def _drop_gone(self, frame_id: int) -> None:
        """Forget what was read on tracks that have ended; the verdict stays for their frames."""
        alive = self._tracker.alive(frame_id)
        for track, line in self._lines.items():
            if track not in alive:
                line.end(frame_id)


def sharpness(luma: ByteArray, quad: FloatArray) -> float:
    """How sharp a line is: energy of its second derivative by that of its contrast."""
    size = (luma.shape[1], luma.shape[0])
    left, top = np.clip(quad.min(axis=0).astype(int), 0, np.subtract(size, 1))
    right, bottom = np.clip(quad.max(axis=0).astype(int) + 1, (left + 1, top + 1), size)
    part = luma[top:bottom, left:right]
    energy = float(cv2.Laplacian(part, cv2.CV_32F).var())
    return energy / (float(part.var()) + 1.0)


def _taken_for(
    tracks: list[int], boxes: FloatArray, seen: Detections, settings: TrackerSettings
) -> list[int]:
    """Which track each detection will continue as far as overlap tells, else -1.

    The tracker has the last word, and `learn` minds it: a line that it takes for another one than
    was thought here counts as unread.
    """
    result = [-1] * len(seen)
    overlap = iou_matrix(boxes, seen.boxes)
    rows, columns = np.nonzero(overlap >= settings.iou_thresh)
    order = np.argsort(-overlap[rows, columns], kind="stable")
    taken: set[int] = set()
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if i not in taken and result[j] < 0:
            result[j] = tracks[i]
            taken.add(i)
    return result


def _affordable(notes: list[Note]) -> list[int]:
    """Which lines to read now: the most urgent first, of those the largest, as far as it goes."""
    wanted = [i for i, note in enumerate(notes) if note.urgency > 0]
    wanted.sort(key=lambda i: (-notes[i].urgency, -notes[i].height))
    chosen: list[int] = []
    length = 0.0
    for i in wanted:
        length += notes[i].aspect
        if chosen and length > READ_LENGTH:
            break
        chosen.append(i)
    return chosen
