"""The record of what was done: append-only, chained, signed, and able to lose its power.

It says what operators and the service did and how much was hidden, never what was seen. A record
that `append` returned from is on the disk.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edge.appliance import audit_files as files
from edge.appliance.audit_record import Place, write_record
from edge.appliance.state import make_folder, sweep, write_whole
from edge.errors import AuditError
from edge.files import sync_folder

_LOCK: Final = "lock"
_TORN: Final = "torn-"
_MB: Final = 1_000_000


class AuditLog:
    """Writes one audit. Methods may be called from any thread; they wait for the disk."""

    def __init__(
        self, folder: Path, *, segment_bytes: int = 4 * _MB, keep: int = 64,
        credentials: str | None = None,
    ) -> None:  # fmt: skip
        """Go on where the last one ended; what a power cut left is repaired, and recorded.

        keep: files that are kept. credentials: systemd's $CREDENTIALS_DIRECTORY. Raises AuditError,
        also where another process writes to it.
        """
        self.folder = make_folder(folder)
        self._segment_bytes, self._keep = segment_bytes, keep
        self._guard = threading.Lock()
        self._place = Place()
        self._path: Path | None = None
        self._size = 0
        self._closed = self._pruning = False
        self._lock = self._take_lock()
        try:
            sweep(folder)
            self._key = files.load_key(folder, credentials)
            self._recover()
        except OSError as error:
            os.close(self._lock)
            raise _trouble(folder, error) from None
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def records(self) -> int:
        """Number of the last record."""
        return self._place.seq

    @property
    def public_key(self) -> str:
        """What its signatures are checked with: 64 hexadecimal digits."""
        return files.public_text(self._key.public_key())

    def append(self, event: str, data: Mapping[str, Any] | None = None) -> int:
        """Record something; return its number. Raises AuditError: then it is not recorded."""
        with self._guard:
            if self._closed:
                raise AuditError("the audit is closed.")
            try:
                return self._append(event, data or {})
            except OSError as error:
                raise _trouble(self.folder, error) from None

    def close(self) -> None:
        """Let another process write. What was recorded is on the disk already."""
        with self._guard:
            if not self._closed:
                self._closed = True
                os.close(self._lock)

    # -- writing -----------------------------------------------------------------------------

    def _append(self, event: str, data: Mapping[str, Any]) -> int:
        if self._path is not None and self._size >= self._segment_bytes:
            self._path = None
        line, place = write_record(self._key, self._place, _now(), event, data)
        fresh = self._path is None
        path = self._path or files.segment_at(self.folder, place.seq)
        size = 0 if fresh else self._size
        self._write(path, line, size)
        if fresh:
            sync_folder(self.folder)
        self._path, self._size, self._place = path, size + len(line), place
        # The record is there; a head that lags behind is what a power cut leaves, too.
        files.write_head(self.folder, self._key, place)
        if fresh and not self._pruning:
            self._pruning = True
            try:
                self._prune()
            finally:
                self._pruning = False
        return place.seq

    def _write(self, path: Path, line: bytes, at: int) -> None:
        """Put a line behind what is there, or leave the file as it was. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            written = 0
            try:
                while written < len(line):
                    written += os.pwrite(descriptor, line[written:], at + written)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, at)
                raise
        finally:
            os.close(descriptor)

    def _prune(self) -> None:
        """Delete the oldest files beyond those that are kept, having said so."""
        present = files.segments(self.folder)
        surplus = present[: -self._keep]
        if not surplus:
            return
        first_kept = present[-self._keep]
        known = files.read_segment(first_kept, self._key.public_key(), None)[1]
        if not known:
            return
        self._append("pruned", {"up_to": known[0].seq - 1, "hash": known[0].prev})
        for path in surplus:
            path.unlink(missing_ok=True)
        sync_folder(self.folder)

    # -- going on ----------------------------------------------------------------------------

    def _recover(self) -> None:
        """Find where the last writer ended; cut off what a power cut left, and say so."""
        key = self._key.public_key()
        present = files.segments(self.folder)
        head = files.read_head(self.folder, key)
        if not present and head is None:
            self._append("created", {"key": self.public_key})
            return
        torn: list[tuple[Path, int, bytes]] = []
        while present and self._path is None:
            last = present.pop()
            before = self._place_before(last, present)
            found, _ = files.read_segment(last, key, before)
            if found.rest or not found.records:
                torn.append((last, found.good_bytes, found.rest))
            if found.records and found.place is not None:
                self._path, self._size, self._place = last, found.good_bytes, found.place
        vouched = head or Place()
        missing = vouched.seq - self._place.seq
        broken = missing > 0 or (missing == 0 and vouched.hash != self._place.hash)
        for path, size, rest in torn:
            self._cut_off(path, size, rest, keep=broken)
        lost = sum(len(rest) for _, _, rest in torn)
        if broken:
            self._append("broken", {"missing": max(0, missing), "bytes": lost})
        elif torn:
            self._append("recovered", {"bytes": lost})

    def _place_before(self, path: Path, earlier: list[Path]) -> Place | None:
        """Return where the chain was before a file; None where that cannot be told."""
        if files.first_of(path) == 1:
            return Place()
        if not earlier:
            return None
        found, records = files.read_segment(earlier[-1], self._key.public_key(), None)
        return found.place if records and not found.rest else None

    def _cut_off(self, path: Path, size: int, rest: bytes, *, keep: bool) -> None:
        """Cut off what is no record. keep: as no power cut explains it, put it aside first."""
        if keep and rest:
            write_whole(self.folder / f"{_TORN}{path.stem}-{size}.bin", rest)
        if size:
            files.cut_to(path, size)
        else:
            path.unlink(missing_ok=True)
            sync_folder(self.folder)

    def _take_lock(self) -> int:
        try:
            descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _trouble(self.folder, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise AuditError(
                f"another process writes to the audit in {self.folder}. End that one."
            ) from None
        return descriptor


def _now() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"


def _trouble(folder: Path, error: OSError) -> AuditError:
    return AuditError(
        f"the audit in {folder} cannot be written: {error.strerror}. "
        "Free some space, or make it writable."
    )
