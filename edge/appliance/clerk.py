"""Writes the audit of a service: what operators do at once, what streams do once a minute.

Whoever wants something recorded before it happens waits for the disk (`record`); the threads that
keep streams going never do (`note`).
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge.appliance.audit import AuditLog
from edge.appliance.journal import event
from edge.appliance.stream import Stream
from edge.appliance.totals import Totals, less
from edge.appliance.views import AuditView
from edge.config_api import Audit
from edge.errors import AuditError
from edge.stats import Stats, Stretch

_log = logging.getLogger(__name__)

MINUTE_S: Final = 60.0
_RETRY_S: Final = 30.0
_MOST_WAITING: Final = 256
_MOST_STRETCHES: Final = 20
"""Masked stretches of one minute that are listed; more are counted."""
_MB: Final = 1_000_000

Note = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class _Minute:
    """Where one stream was when its last minute was written."""

    totals: Totals = field(default_factory=Totals)
    stats: Stats | None = None
    stretches: int = 0
    """How many of its run had begun."""


class Clerk:
    """The one who writes. A thread of its own; `start` it."""

    def __init__(
        self,
        folder: Path,
        streams: Callable[[], Mapping[str, Stream]],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """folder: of the audit. streams: those of now."""
        self._folder, self._streams = folder, streams
        self._credentials = environ.get("CREDENTIALS_DIRECTORY")
        self._settings = Audit()
        self._log: AuditLog | None = None
        self._opening = threading.Lock()
        self._notes: queue.Queue[Note] = queue.Queue(_MOST_WAITING)
        self._lost = 0
        self._told = ""
        self._minutes: dict[str, _Minute] = {}
        self._wrote = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    @property
    def view(self) -> AuditView:
        """How it is going."""
        log = self._log
        return AuditView(
            enabled=self._settings.enabled,
            working=log is not None and not self._told,
            records=log.records if log is not None else 0,
        )

    @property
    def problem(self) -> str | None:
        """Why nothing can be recorded; None where all is well."""
        return self._told or None if self._settings.enabled else None

    def start(self, settings: Audit) -> None:
        """Begin."""
        self._settings = settings
        self._thread.start()

    def follow(self, settings: Audit) -> None:
        """Go on with other settings."""
        with self._opening:
            if settings != self._settings and self._log is not None:
                self._log.close()
                self._log = None
            self._settings = settings

    def record(self, name: str, **data: Any) -> None:
        """Record something; it is on the disk when this returns.

        Raises AuditError: then it must not be done. Nothing is recorded, and nothing raised, where
        the audit is switched off.
        """
        if not self._settings.enabled:
            return
        try:
            self._opened().append(name, data)
        except AuditError as error:
            self._tell(str(error))
            raise
        self._tell("")

    def note(self, name: str, **data: Any) -> None:
        """Record something soon, without waiting."""
        try:
            self._notes.put_nowait((name, data))
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what waits, and end. Takes as long as the disk, 1.5 s at most."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(1.5)
        with self._opening:
            if self._log is not None:
                self._log.close()
                self._log = None

    # -- its thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over.wait(0 if self._notes.qsize() else 1.0):
            self._empty()
            self._write_minutes(due_only=True)
        self._write_minutes(due_only=False)
        self._empty()

    def _empty(self) -> None:
        """Write what was noted; what cannot be written now waits."""
        while True:
            try:
                name, data = self._notes.get_nowait()
            except queue.Empty:
                break
            try:
                self.record(name, **data)
            except AuditError:
                self.note(name, **data)
                self._over.wait(_RETRY_S)
                break
        if self._lost and not self._told:
            lost, self._lost = self._lost, 0
            self.note("notes-lost", count=lost)

    def _write_minutes(self, *, due_only: bool) -> None:
        now = time.monotonic()
        if due_only and now - self._wrote < MINUTE_S:
            return
        self._wrote = now
        for name, stream in dict(self._streams()).items():
            data = self._minute(self._minutes.setdefault(name, _Minute()), stream)
            if data is not None:
                self.note("minute", stream=name, **data)

    def _minute(self, past: _Minute, stream: Stream) -> dict[str, Any] | None:
        """Return what a stream has done since the last look; None where that was nothing."""
        run = stream.run
        stats = run.stats if run is not None else None
        totals = stream.totals if stats is None else stream.totals.plus(stats)
        before, past.totals = past.totals, totals
        if stats is not past.stats:
            past.stats, past.stretches = stats, 0
        begun = stats.stretch_count if stats is not None else 0
        count, past.stretches = begun - past.stretches, begun
        sent = totals.frames_out + totals.slates - before.frames_out - before.slates
        if sent <= 0:
            return None
        data: dict[str, Any] = {
            "frames": totals.frames_out - before.frames_out,
            "slates": totals.slates - before.slates,
            "masked": less(totals.masked_by, before.masked_by),
            "hidden": less(totals.found, before.found),
            "muted_s": round(totals.muted_s - before.muted_s, 2),
            "failures": less(totals.failures, before.failures),
        }
        if totals.frames_masked > before.frames_masked:
            # The newest may go on, and the oldest have begun before this minute.
            newest = list(stats.recent)[-max(1, count) :] if stats is not None else []
            data["stretches"] = [_told(one) for one in newest[-_MOST_STRETCHES:]]
            data["more_stretches"] = max(0, count - len(data["stretches"]))
        return data

    def _opened(self) -> AuditLog:
        with self._opening:
            if self._log is None:
                settings = self._settings
                self._log = AuditLog(
                    self._folder,
                    segment_bytes=round(settings.segment_mb * _MB),
                    keep=settings.keep,
                    credentials=self._credentials,
                )
            return self._log

    def _tell(self, problem: str) -> None:
        if problem != self._told:
            self._told = problem
            if problem:
                event(_log, logging.ERROR, "audit-failed", because=problem)
            else:
                event(_log, logging.INFO, "audit-works")


def _told(stretch: Stretch) -> dict[str, Any]:
    return {
        "from_s": round(stretch.start, 3),
        "to_s": round(stretch.end, 3),
        "frames": stretch.frames,
        "because": list(stretch.lanes),
    }
