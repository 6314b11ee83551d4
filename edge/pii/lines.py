"""Is a line of text in a picture private? Judged by itself and together with its neighbours."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge.pii.classifier import CLASSES, TextClassifier
from edge.pii.countries import ends_address
from edge.pii.plates import plate_score
from edge.pii.recognisers import recognise
from edge.pii.spans import Kind

Box = tuple[float, float, float, float]

MAX_LINES: Final = 400
"""Lines of one picture whose neighbours are looked at; the rest are judged alone. A page of small
print has fewer, and pairs are what costs."""
_ROW_OVERLAP: Final = 0.5
"""Share of the lower box's height by which boxes of one row overlap."""
_ROW_GAP: Final = 2.5
"""Heights of a line that may lie between neighbours of one row: a wide space, not a column."""
_STACK_GAP: Final = 1.2
"""Heights of a line between neighbours above each other."""
_STACK_OVERLAP: Final = 0.3
"""Share of the narrower box's width by which they overlap."""
_SIZE_RATIO: Final = 2.0
"""Lines of one text have about one height of letters."""
_ROUNDS: Final = 2
_SURE_NEIGHBOUR: Final = 0.6
"""Score from which a private line says something about its neighbours."""
_BY_ADDRESS: Final = (0.04, 0.5)
_BY_NAME: Final = (0.12, 0.2)
"""A town below a street, a second name below a first: beside an address, or a name, a line that the
network takes for private with at least this probability gets this much more. Notices get next to
none."""
_PART_OF_ADDRESS: Final = re.compile(r"[#\s]*\w{0,3}[-/ ]?\d{1,6}[a-zA-Z]?(?:[-/]\d{1,4})?[\s,.]*")
"""A house number, a unit or a postal code: means nothing alone, and is part of an address beside
a street."""
_MIN_LETTERS: Final = 2


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line that was read. Its text is private: repr leaves it out.

    box: x1, y1, x2, y2 in pixels of the frame. confidence: of the reader, 0..1.
    """

    text: str = field(repr=False)
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class LineVerdict:
    """What a line is, and how sure that is, 0..1. kind is None where it may stay visible."""

    kind: Kind | None
    score: float


class LineJudge:
    """Decides which lines are private. Keeps nothing between calls."""

    def __init__(
        self, classifier: TextClassifier | None, *, hide: Collection[Kind], threshold: float
    ) -> None:
        """classifier: None leaves names and addresses to the recognisers alone.

        hide: the kinds that are private. threshold: score from which a line is; balanced takes
        0.5, high_privacy 0.2.
        """
        self._classifier = classifier
        self._hide = frozenset(hide)
        self._threshold = threshold

    def judge(self, lines: Sequence[ReadLine]) -> list[LineVerdict]:
        """Return a verdict for each line, in order. Raises InferenceError."""
        best = [_Best() for _ in lines]
        for n, line in enumerate(lines):
            for span in recognise(line.text):
                self._note(best[n], span.kind, span.score)
            self._note(best[n], Kind.PLATE, plate_score(line.text, _aspect(line.box)))
        self._classify(lines, best)
        self._judge_together(lines, best)
        return [self._verdict(one) for one in best]

    def _note(self, best: _Best, kind: Kind, score: float) -> None:
        if kind in self._hide and score > best.score:
            best.kind, best.score = kind, score

    def _verdict(self, best: _Best) -> LineVerdict:
        if best.kind is None or best.score < self._threshold:
            return LineVerdict(None, best.score)
        return LineVerdict(best.kind, best.score)

    def _classify(self, lines: Sequence[ReadLine], best: list[_Best]) -> None:
        """Names and addresses by the network. A line that may be either is private as well."""
        if self._classifier is None or not self._hide & {Kind.NAME, Kind.ADDRESS}:
            return
        probabilities = self._classifier.classify([line.text for line in lines])
        for one, line, row in zip(best, lines, probabilities, strict=True):
            if sum(character.isalpha() for character in line.text) < _MIN_LETTERS:
                continue
            name = float(row[CLASSES.index("name")]) if Kind.NAME in self._hide else 0.0
            address = float(row[CLASSES.index("address")]) if Kind.ADDRESS in self._hide else 0.0
            one.leaning = name + address
            one.leaning_kind = Kind.NAME if name >= address else Kind.ADDRESS
            self._note(one, one.leaning_kind, one.leaning)

    def _judge_together(self, lines: Sequence[ReadLine], best: list[_Best]) -> None:
        pairs = list(_neighbours(lines))
        for a, b in pairs:
            if not (_may_continue(lines[a].text) or _may_continue(lines[b].text)):
                continue
            joined = f"{lines[a].text} {lines[b].text}"
            border = len(lines[a].text)
            for span in recognise(joined):
                # It may reach into both, or stand in the second because of the first ("PIN:").
                if span.start < border:
                    self._note(best[a], span.kind, span.score)
                if span.end > border + 1:
                    self._note(best[b], span.kind, span.score)
        # Twice: from the street to the town, and from the town to the postal code below it.
        for _ in range(_ROUNDS):
            before = [(one.kind, one.score) for one in best]
            for a, b in pairs:
                self._lend(lines[a], best[a], *before[b])
                self._lend(lines[b], best[b], *before[a])

    def _lend(self, line: ReadLine, best: _Best, kind: Kind | None, score: float) -> None:
        """What a neighbour of this kind and score says about a line."""
        if kind is None or score < max(_SURE_NEIGHBOUR, self._threshold) or best.score >= score:
            return
        if kind is Kind.ADDRESS and (
            _PART_OF_ADDRESS.fullmatch(line.text) or ends_address(line.text)
        ):
            self._note(best, Kind.ADDRESS, score)
        elif kind in {Kind.NAME, Kind.ADDRESS}:
            least, lent = _BY_ADDRESS if kind is Kind.ADDRESS else _BY_NAME
            if best.leaning >= least:
                self._note(best, best.leaning_kind or kind, min(score, best.leaning + lent))


@dataclass(slots=True)
class _Best:
    """The surest reading of a line so far."""

    kind: Kind | None = None
    score: float = 0.0
    leaning: float = 0.0
    """What the network gives for a name or an address."""
    leaning_kind: Kind | None = None


def _may_continue(text: str) -> bool:
    """Whether a line may be half of something with a form: all but names have digits or signs."""
    return any(character.isdigit() or character in "@<:" for character in text)


def _aspect(box: Box) -> float | None:
    width, height = box[2] - box[0], box[3] - box[1]
    return width / height if width > 0 and height > 0 else None


def _neighbours(lines: Sequence[ReadLine]) -> Iterator[tuple[int, int]]:
    """Yield pairs of lines that one would read as one text, in reading order."""
    order = sorted(range(len(lines)), key=lambda n: (lines[n].box[1], lines[n].box[0]))[:MAX_LINES]
    for position, a in enumerate(order):
        top = lines[a].box
        height = top[3] - top[1]
        for b in order[position + 1 :]:
            box = lines[b].box
            if box[1] > top[3] + _STACK_GAP * height:
                break
            if _in_one_row(top, box):
                yield (a, b) if top[0] <= box[0] else (b, a)
            elif _stacked(top, box):
                yield a, b


def _alike(a: float, b: float) -> bool:
    return 0 < max(a, b) <= _SIZE_RATIO * min(a, b)


def _in_one_row(a: Box, b: Box) -> bool:
    heights = a[3] - a[1], b[3] - b[1]
    if not _alike(*heights):
        return False
    overlap = min(a[3], b[3]) - max(a[1], b[1])
    gap = max(a[0], b[0]) - min(a[2], b[2])
    return overlap >= _ROW_OVERLAP * min(heights) and gap <= _ROW_GAP * max(heights)


def _stacked(a: Box, b: Box) -> bool:
    heights = a[3] - a[1], b[3] - b[1]
    widths = a[2] - a[0], b[2] - b[0]
    if not _alike(*heights):
        return False
    overlap = min(a[2], b[2]) - max(a[0], b[0])
    gap = b[1] - a[3]
    return overlap >= _STACK_OVERLAP * min(widths) and gap <= _STACK_GAP * max(heights)
