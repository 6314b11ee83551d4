"""What the text lane knows of a line: between looks (Line), and from one look (Note, Look)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edge.frame import ByteArray
from edge.lanes.imprint import ROWS, likeness
from edge.lanes.reader import Reading
from edge.pii.spans import Kind
from edge.track import Box

LEGIBLE = 0.5
"""Confidence from which a line counts as read. PP-OCR drops what is below."""
_CERTAIN = 0.9
"""Confidence from which a sharper picture of a line is no reason to read it again."""
_LARGER = 1.3
"""Growth in height from which a line is read again."""
_LONGER = 1.15
"""Growth in width by height from which more of it may be seen: at the border, or from behind."""
_SHARPER = 1.5
"""Growth in sharpness from which a line that was hard to read is read again."""
_SAME = 0.65
"""Likeness from which a line is taken to say the same. On rendered signs that were moved, scaled
by ±7 %, blurred and made noisy between two looks, 98 % of the same lines reached it, and 0.2 % of
pairs of different ones."""
_MAX_WAIT = 4
"""Looks that a line which cannot be read is left alone for, while it only looks different: what is
no text (leaves, fences) does so at every look."""

# Urgency of reading a line.
_AGAIN, _NEW = 1, 2


@dataclass(slots=True)
class Line:
    """One track's line. Nothing of the text is in its repr."""

    reading: Reading | None = None
    """What was last read; None before that, and once the track has ended."""
    read: bool = False
    """Whether what is there now has been read, or it was tried."""
    legible: bool = False
    """Whether that gave anything."""
    private: bool = False
    """Never taken back: what was private stays hidden as long as its track lasts."""
    plate: bool = False
    imprint: ByteArray | None = field(default=None, repr=False)
    height: float = 0.0
    """Pixels, when it was last read."""
    sharpness: float = 0.0
    failures: int = 0
    """Times in a row that it could not be read."""
    due: int = 0
    """Number of the look from which it is tried again."""
    gone_at: float = math.inf
    """frame_id of the first look without the track: no later frame has a box of it."""

    def take(self, note: Note, look: int) -> None:
        """Keep what was read in a look, given its number; the surer text of the same line stays."""
        assert note.reading is not None
        known = self.reading.confidence if self.reading is not None else -1.0
        if note.stale or note.reading.confidence >= known:
            self.reading = note.reading
            self.legible = note.reading.confidence >= LEGIBLE and bool(note.reading.text.strip())
        self.read = True
        self.failures = 0 if self.legible else self.failures + 1
        self.due = look + min(self.failures, _MAX_WAIT)
        self.imprint, self.height, self.sharpness = note.imprint, note.height, note.sharpness

    def unread(self) -> None:
        """What is there now may be something else than what was read."""
        self.reading = self.imprint = None
        self.read = self.legible = False

    def end(self, frame_id: int) -> None:
        """The track has ended by this frame: the verdict is all that is still needed."""
        self.gone_at = min(self.gone_at, frame_id)
        self.reading = self.imprint = None


@dataclass(slots=True)
class Note:
    """What a look makes of one detection.

    track: which one it is taken for; -1 for a new one. imprint, height in pixels, sharpness: of
    what is seen now.
    """

    track: int
    imprint: ByteArray = field(repr=False)
    height: float
    sharpness: float
    urgency: int = _NEW
    """How much it matters to read it now; 0 for not at all."""
    stale: bool = True
    """Whether nothing that was read before can be relied on."""
    reading: Reading | None = None
    """What was read in this look."""
    kind: Kind | None = None
    """As what it is private; None if it is not, or was not judged."""

    @property
    def aspect(self) -> float:
        """Width by height."""
        return float(self.imprint.shape[1] / ROWS)

    def compare(self, line: Line, look: int) -> None:
        """Decide whether to read again what a line of this track said before."""
        if line.private:
            self.urgency, self.stale = 0, False
            return
        before, reading = line.imprint, line.reading  # another thread may end the track meanwhile
        if before is None:  # not read yet
            return
        self.stale = False
        larger = self.height >= _LARGER * line.height
        sharper = self.sharpness >= _SHARPER * line.sharpness
        longer = self.imprint.shape[1] >= _LONGER * before.shape[1]
        other = longer or likeness(before, self.imprint) < _SAME
        if not line.legible:
            self.urgency = _AGAIN if larger or sharper or (other and look >= line.due) else 0
        elif other:
            self.urgency, self.stale = _NEW, True
        else:
            unsure = reading is None or reading.confidence < _CERTAIN
            self.urgency = _AGAIN if larger or (unsure and sharper) else 0


@dataclass(frozen=True, slots=True)
class Look:
    """What a look makes of all it sees: `notes` of edge.lanes.boxes.Sight."""

    notes: list[Note] = field(default_factory=list)
    """One for each detection."""
    expected: dict[int, Box] = field(default_factory=dict)
    """Where each track was expected."""
    judged: list[int] | None = None
    """Which of the notes were judged together; None where nothing had to be judged anew."""
