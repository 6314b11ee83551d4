"""One record of the audit: its form, its signature, and how it hangs on the one before. Pure.

A record is one line of JSON in a single possible form (sorted keys, no blanks, ASCII):

    {"at":"2026-05-01T10:00:00.000Z","data":{…},"event":"panic","prev":"…","seq":7,"sig":"…","v":1}

`prev` is the SHA-256 of the line before, so that none can be changed, left out or put in. `sig` is
an Ed25519 signature of the record without it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

VERSION: Final = 1
NOTHING: Final = "0" * 64
"""What the first record hangs on."""
MOST_BYTES: Final = 16_384
"""Of one line."""
_KEYS: Final = frozenset({"v", "seq", "at", "event", "data", "prev", "sig"})


class BadRecord(Exception):  # noqa: N818 - what was found, not a mistake of ours
    """A line that is no record, or not the one that belongs here. str() says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chain has got to: the number of its last record, and that line's SHA-256."""

    seq: int = 0
    hash: str = NOTHING


@dataclass(frozen=True, slots=True)
class Record:
    """One record. at: UTC, ISO 8601. data: plain JSON."""

    seq: int
    at: str
    event: str
    data: Mapping[str, Any] = field(repr=False)
    prev: str
    sig: str
    hash: str

    @property
    def place(self) -> Place:
        """Where the chain is after it."""
        return Place(self.seq, self.hash)


def write_record(
    key: Ed25519PrivateKey, after: Place, at: str, event: str, data: Mapping[str, Any]
) -> tuple[bytes, Place]:
    """Return the line of the record that follows, with its end, and where the chain is then.

    Raises ValueError for data that is no plain JSON, or too much.
    """
    body: dict[str, Any] = {
        "v": VERSION,
        "seq": after.seq + 1,
        "at": at,
        "event": event,
        "data": dict(data),
        "prev": after.hash,
    }
    body["sig"] = base64.b64encode(key.sign(_canonical(body))).decode()
    line = _canonical(body)
    if len(line) >= MOST_BYTES:
        raise ValueError(f"a record has {MOST_BYTES} bytes at most")
    return line + b"\n", Place(after.seq + 1, _hash(line))


def read_record(key: Ed25519PublicKey, line: bytes, after: Place | None) -> Record:
    """Check a line, without its end, and return its record.

    after: where the chain was before; None where that is not known. Raises BadRecord.
    """
    body = _parse(line)
    sig = body.pop("sig")
    try:
        key.verify(base64.b64decode(sig, validate=True), _canonical(body))
    except (InvalidSignature, binascii.Error):
        raise BadRecord("its signature is wrong") from None
    if after is not None:
        if body["seq"] != after.seq + 1:
            raise BadRecord(f"it is number {body['seq']} where {after.seq + 1} belongs")
        if body["prev"] != after.hash:
            raise BadRecord("it does not hang on the record before")
    return Record(
        body["seq"], body["at"], body["event"], body["data"], body["prev"], sig, _hash(line)
    )


def _parse(line: bytes) -> dict[str, Any]:
    if len(line) >= MOST_BYTES:
        raise BadRecord("it is too long")
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        raise BadRecord("it is not JSON") from None
    if not isinstance(body, dict) or set(body) != _KEYS or body["v"] != VERSION:
        raise BadRecord("it has other parts than a record")
    texts = all(isinstance(body[key], str) for key in ("at", "event", "prev", "sig"))
    number = isinstance(body["seq"], int) and not isinstance(body["seq"], bool) and body["seq"] > 0
    if not (texts and number and isinstance(body["data"], dict)):
        raise BadRecord("a part of it is of the wrong kind")
    if _canonical(body) != line:
        raise BadRecord("it is not in its only form")
    return body


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
