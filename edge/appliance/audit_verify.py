"""Checks an audit from end to end, and says whether power was lost or somebody changed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.appliance import audit_files as files
from edge.appliance.audit_record import Place, Record
from edge.errors import AuditError

State = Literal["whole", "cut", "tampered"]


@dataclass(slots=True)
class Report:
    """What was found. problem: the first thing that no power cut explains, or None.

    recovered: numbers of records that tell of a power cut. torn_bytes: what the last write left
    behind the last record.
    """

    folder: Path
    files: int = 0
    records: int = 0
    first: int = 0
    last: Place = field(default_factory=Place)
    begun: str | None = None
    ended: str | None = None
    recovered: list[int] = field(default_factory=list)
    torn_bytes: int = 0
    problem: str | None = None

    @property
    def state(self) -> State:
        """The verdict."""
        if self.problem is not None:
            return "tampered"
        return "cut" if self.torn_bytes else "whole"


def verify(
    folder: Path,
    key: Ed25519PublicKey | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> Report:
    """Check every record. key: the one that was noted elsewhere; the folder's own where None.

    Whoever can write to the folder and has its private key can make up a whole other audit: note
    the public key, and now and then the last record's hash, elsewhere. on_record: given each good
    record in order. Raises AuditError where there is no audit, or it cannot be read.
    """
    own = files.load_public(folder)
    key = key or own
    report = Report(folder)
    # Before the records: a service that writes meanwhile only adds to them.
    try:
        head = files.read_head(folder, key)
    except AuditError as error:
        head, report.problem = None, str(error)
    pruned: dict[int, str] = {}
    place: Place | None = None
    present = files.segments(folder)
    start: Record | None = None
    for path in present:
        if place is None and files.first_of(path) == 1:
            place = Place()
        found, records = files.read_segment(path, key, place)
        report.files += 1
        for record in records:
            start = start or record
            _note(report, record, pruned)
            if head is not None and record.seq == head.seq and record.hash != head.hash:
                report.problem = report.problem or f"record {record.seq} is not the one vouched for"
            if on_record is not None:
                on_record(record)
        place = found.place if records else place
        if found.rest:
            _judge_rest(report, found, head, is_last=path == present[-1])
            break
    _judge_start(report, start, pruned)
    _judge_end(report, head)
    return report


def _note(report: Report, record: Record, pruned: dict[int, str]) -> None:
    report.records += 1
    report.last, report.ended = record.place, record.at
    if report.records == 1:
        report.first, report.begun = record.seq, record.at
    if record.event == "recovered":
        report.recovered.append(record.seq)
    elif record.event == "broken":
        missing = record.data.get("missing", 0)
        report.problem = report.problem or (
            f"record {record.seq} tells that {missing} records before it were gone or changed"
        )
    elif record.event == "pruned":
        pruned[int(record.data.get("up_to", 0))] = str(record.data.get("hash", ""))


def _judge_rest(report: Report, found: files.Segment, head: Place | None, *, is_last: bool) -> None:
    at = found.place.seq + 1 if found.place is not None else files.first_of(found.path)
    if is_last and found.torn:
        report.torn_bytes = len(found.rest)
    else:
        report.problem = report.problem or (
            f"record {at} in {found.path.name} was changed: {found.problem}"
        )


def _judge_start(report: Report, start: Record | None, pruned: dict[int, str]) -> None:
    if start is None or start.seq == 1:
        return
    if pruned.get(start.seq - 1) != start.prev:
        report.problem = report.problem or (
            f"records before {start.seq} are missing, and none says that they were deleted"
        )


def _judge_end(report: Report, head: Place | None) -> None:
    if report.problem is not None:
        return
    if head is None:
        if report.records > 1:
            report.problem = "the head is missing, so records may have been cut off"
    elif head.seq > report.last.seq:
        report.problem = (
            f"{head.seq - report.last.seq} records at the end are missing or changed: the head "
            f"vouches for number {head.seq}"
        )
