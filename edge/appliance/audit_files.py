"""The audit's folder: its key, its files, and the head that vouches for what is in them.

    log-00000001.jsonl   records, one a line; named by the number of the first
    head.json            number and hash of the last record that was certainly on the disk, signed
    key, key.pub         the private key (32 bytes, hexadecimal) and the public one

The head is written after each record has reached the disk, so that a power cut can only leave
records beyond it, of which the last may be cut off. Where the head vouches for more than there is,
or for something else, no power cut did that.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from edge.appliance.audit_record import BadRecord, Place, Record, read_record
from edge.appliance.state import write_whole
from edge.errors import AuditError

CREDENTIAL: Final = "privaedge-audit-key"
"""systemd credential with the private key, in the place of the file."""
_KEY: Final = "key"
_PUBLIC: Final = "key.pub"
_HEAD: Final = "head.json"
_PREFIX: Final = "log-"
_SUFFIX: Final = ".jsonl"


def segments(folder: Path) -> list[Path]:
    """Return the files of records in order."""
    found = []
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        number = path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        if number.isdecimal():
            found.append((int(number), path))
    return [path for _, path in sorted(found)]


def segment_at(folder: Path, seq: int) -> Path:
    """Return the path of the file that begins with a record."""
    return folder / f"{_PREFIX}{seq:08d}{_SUFFIX}"


def first_of(segment: Path) -> int:
    """Return the number of a file's first record, by its name."""
    return int(segment.name.removeprefix(_PREFIX).removesuffix(_SUFFIX))


@dataclass(slots=True)
class Segment:
    """What one file holds: good records, and what is behind the last of them."""

    path: Path
    place: Place | None
    """Where the chain is after the last good record; None where there is none, and nobody knew."""
    good_bytes: int = 0
    records: int = 0
    rest: bytes = field(default=b"", repr=False)
    problem: str | None = None
    """Why the first bad line is bad; None where all are good."""
    resumes: bool = False
    """Whether a good record lies behind the bad line: then no power cut made it."""

    @property
    def torn(self) -> bool:
        """Whether what is bad could be what a power cut left of the last write."""
        return bool(self.rest) and not self.resumes


def read_segment(
    path: Path, key: Ed25519PublicKey, after: Place | None
) -> tuple[Segment, list[Record]]:
    """Read a file's good records. Raises AuditError where it cannot be read.

    after: where the chain was before it; None where that is not known.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AuditError(
            f"{path} cannot be read: {error.strerror}. Let this user read it."
        ) from None
    found = Segment(path, after)
    records = []
    for line, end in _lines(raw):
        try:
            record = read_record(key, line, found.place)
        except BadRecord as bad:
            found.problem = str(bad)
            break
        records.append(record)
        found.place, found.good_bytes = record.place, end
    found.records = len(records)
    found.rest = raw[found.good_bytes :]
    if found.rest and found.problem is None:
        found.problem = "it is cut off"
    found.resumes = any(_is_good(line, key) for line, _ in _lines(found.rest))
    return found, records


def _lines(raw: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the complete lines, and where each ends."""
    start = 0
    while (end := raw.find(b"\n", start)) >= 0:
        yield raw[start:end], end + 1
        start = end + 1


def _is_good(line: bytes, key: Ed25519PublicKey) -> bool:
    try:
        read_record(key, line, None)
    except BadRecord:
        return False
    return True


# -- the head ---------------------------------------------------------------------------------


def write_head(folder: Path, key: Ed25519PrivateKey, place: Place) -> None:
    """Vouch for all records up to here. Raises OSError."""
    sig = base64.b64encode(key.sign(_head_bytes(place))).decode()
    head = {"seq": place.seq, "hash": place.hash, "sig": sig}
    write_whole(folder / _HEAD, json.dumps(head).encode())


def read_head(folder: Path, key: Ed25519PublicKey) -> Place | None:
    """Return what the head vouches for; None where there is none. Raises AuditError."""
    path = folder / _HEAD
    try:
        head: Any = json.loads(path.read_bytes())
        place = Place(int(head["seq"]), str(head["hash"]))
        key.verify(base64.b64decode(head["sig"], validate=True), _head_bytes(place))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AuditError(
            f"{path} cannot be read: {error.strerror}. Let this user read it."
        ) from None
    except (ValueError, KeyError, TypeError, binascii.Error, InvalidSignature):
        raise AuditError(f"{path} was changed: it is not what was signed.") from None
    return place


def _head_bytes(place: Place) -> bytes:
    return f"privaedge audit head {place.seq} {place.hash}".encode()


# -- the key ----------------------------------------------------------------------------------


def load_key(folder: Path, credentials: str | None) -> Ed25519PrivateKey:
    """Return the private key; make it where nothing was recorded yet. Raises AuditError, OSError.

    credentials: systemd's $CREDENTIALS_DIRECTORY.
    """
    given = Path(credentials) / CREDENTIAL if credentials else None
    path = given if given is not None and given.exists() else folder / _KEY
    if path.exists():
        try:
            key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip()))
        except ValueError:
            raise AuditError(
                f"the audit's key {path} is not 64 hexadecimal digits. Put the right one back."
            ) from None
    elif segments(folder):
        raise AuditError(
            f"the audit's key {path} is gone. Put it back, or move {folder} away to begin anew."
        )
    else:
        key = Ed25519PrivateKey.generate()
        raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        write_whole(path, f"{raw.hex()}\n".encode())
    public = f"{public_text(key.public_key())}\n".encode()
    known = folder / _PUBLIC
    if not known.exists() or known.read_bytes() != public:
        write_whole(known, public, 0o644)
    return key


def load_public(folder: Path) -> Ed25519PublicKey:
    """Return the folder's own public key. Raises AuditError."""
    path = folder / _PUBLIC
    try:
        return parse_public(path.read_text())
    except OSError as error:
        raise AuditError(
            f"the audit's public key {path} cannot be read: {error.strerror}. "
            "Name the folder of an audit, or give its key."
        ) from None


def parse_public(text: str) -> Ed25519PublicKey:
    """Read a public key from 64 hexadecimal digits. Raises AuditError."""
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text.strip()))
    except ValueError:
        raise AuditError("a public key is not 64 hexadecimal digits. Give the right one.") from None


def public_text(key: Ed25519PublicKey) -> str:
    """Write a public key as 64 hexadecimal digits."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def cut_to(path: Path, size: int) -> None:
    """Shorten a file, on the disk when this returns. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
