"""What has a form: numbers with checksums, addresses, phrases that announce something private.

`recognise` runs every recogniser over one text: a line in a picture, neighbouring lines joined by a
line break, or the transcript of a stretch of speech. It knows no model. All patterns are bounded,
so that the time grows with the length of the text and no faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from edge.pii import context, internet, machine, national_ids, numbers, phone, postal
from edge.pii.reading import Reading
from edge.pii.spans import Kind, PiiSpan

_SURE: Final = 0.8
"""Score from which a span leaves no room for weaker readings of the same characters."""

Recogniser = Callable[[Reading], Iterable[PiiSpan]]

RECOGNISERS: Final[tuple[Recogniser, ...]] = (
    numbers.cards,
    numbers.ibans,
    numbers.codes,
    national_ids.national_ids,
    machine.network,
    machine.travel_documents,
    phone.phones,
    internet.emails,
    internet.urls,
    internet.handles,
    postal.addresses,
    context.announced,
    context.births,
    context.secrets,
    context.titled_names,
)


def recognise(text: str) -> list[PiiSpan]:
    """Return what is private in a text by its form, in order of position.

    Spans lie within the text's first reading.MAX_LENGTH characters. They may overlap where kinds
    disagree (ten digits may be a phone or an account); of spans of one kind within each other, the
    longer stays, with the higher score; within a sure span weaker ones of other kinds are dropped.
    Never raises.
    """
    reading = Reading.of(text)
    return _settled(span for one in RECOGNISERS for span in one(reading))


def _settled(spans: Iterable[PiiSpan]) -> list[PiiSpan]:
    """Of one kind, the longest; of several kinds, none inside a surer one."""
    kept: list[PiiSpan] = []
    furthest: dict[Kind, int] = {}  # index of the span of this kind that reaches furthest
    surest: PiiSpan | None = None
    for span in sorted(spans, key=lambda span: (span.start, -span.end, -span.score)):
        n = furthest.get(span.kind)
        if n is not None and span.end <= kept[n].end and (span.score < 1 or kept[n].score == 1):
            kept[n] = replace(kept[n], score=max(kept[n].score, span.score))
            continue
        if surest is not None and span.end <= surest.end and _weaker(span, surest):
            continue
        if span.score >= _SURE and (surest is None or span.end > surest.end):
            surest = span
        furthest[span.kind] = len(kept)
        kept.append(span)
    return kept


def _weaker(span: PiiSpan, other: PiiSpan) -> bool:
    """Whether a span inside another is not worth keeping beside it."""
    shorter = span.end - span.start < other.end - other.start
    return span.score < other.score or (shorter and span.score == other.score)
