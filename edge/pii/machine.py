"""What machines are known by or read: network addresses, wallets, keys, travel documents."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from edge.pii import checksums
from edge.pii.reading import Reading
from edge.pii.spans import Kind, PiiSpan

_IP4 = re.compile(r"(?<![\w.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\w.]\d|\d)")
_HEX: Final = "[0-9a-foilsgqz|]"
"""Hexadecimal digits, and letters that look like digits: the colons say enough."""
_IP6 = re.compile(
    rf"(?<![\w:.])(?:{_HEX}{{1,4}}(?: ?: ?{_HEX}{{1,4}}){{7}}"
    r"|[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6}::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?)(?![\w:])"
)
_MAC = re.compile(
    rf"(?<![\w:-]){_HEX}{{2}}(?: ?([:-]) ?{_HEX}{{2}})(?: ?\1 ?{_HEX}{{2}}){{4}}(?![\w:-])"
)
_UUID = re.compile(
    r"(?<![\w-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w-])"
)
_ETHER = re.compile(r"(?<!\w)0x[0-9a-f]{40}(?!\w)")
_BECH32 = re.compile(r"(?<!\w)(?:bc1|tb1|ltc1)[02-9ac-hj-np-z]{25,60}(?!\w)")
_BASE58 = re.compile(r"(?<!\w)[13LM][1-9A-HJ-NP-Za-km-z]{25,34}(?!\w)")
_ALPHABET58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_API_KEY = re.compile(
    r"(?<!\w)(?:sk-[a-z0-9_-]{16,200}|akia[0-9a-z]{16}|gh[pousr]_[a-z0-9]{20,100}"
    r"|xox[abprs]-[a-z0-9-]{10,100}|aiza[a-z0-9_-]{30,40}"
    r"|eyj[a-z0-9_-]{10,200}\.[a-z0-9_.-]{10,400})"
)
_PEM = re.compile(r"-{3,5} ?begin [a-z ]{0,20}private key ?-{3,5}")


def network(reading: Reading) -> Iterator[PiiSpan]:
    """IP and MAC addresses, UUIDs, wallets, keys of services."""
    low = reading.low
    for match in _IP4.finditer(low):
        parts = [int(part) for part in match.groups()]
        if max(parts) <= 255 and parts[0] > 0 and max(parts) >= 10:  # else a version
            yield PiiSpan(match.start(), match.end(), Kind.ID, 0.85)
    for match in _IP6.finditer(low):
        if match[0].count(":") > 1 and any(c.isdigit() for c in match[0]) and len(match[0]) > 4:
            yield PiiSpan(match.start(), match.end(), Kind.ID, 0.9)
    for pattern in (_MAC, _UUID, _ETHER):
        for match in pattern.finditer(low):
            yield PiiSpan(match.start(), match.end(), Kind.ID, 0.9)
    for match in _BECH32.finditer(low):
        if any(c.isdigit() for c in match[0][4:]):
            yield PiiSpan(match.start(), match.end(), Kind.ID, 0.9)
    for match in _BASE58.finditer(reading.raw):
        if _is_base58check(match[0]):
            yield PiiSpan(match.start(), match.end(), Kind.ID, 1.0)
        elif _is_mixed(match[0]):
            yield PiiSpan(match.start(), match.end(), Kind.ID, 0.6)
    for pattern in (_API_KEY, _PEM):
        for match in pattern.finditer(low):
            yield PiiSpan(match.start(), match.end(), Kind.SECRET, 0.9)


def _is_mixed(text: str) -> bool:
    n_digits = sum(c.isdigit() for c in text)
    return n_digits >= 3 and any(c.islower() for c in text) and any(c.isupper() for c in text)


def _is_base58check(text: str) -> bool:
    number = 0
    for character in text:
        number = number * 58 + _ALPHABET58.index(character)
    if number >= 1 << 200:
        return False
    data = number.to_bytes(25, "big")
    digest = hashlib.sha256(hashlib.sha256(data[:21]).digest()).digest()
    return digest[:4] == data[21:]


_FILLER: Final = "<«‹〈≤"
_MRZ_LINE = re.compile(rf"[A-Z0-9{_FILLER} ]{{28,60}}")
_MRZ_CHECKS: Final = (((0, 9), (13, 19), (21, 27)), ((5, 14),), ((0, 6), (8, 14)))
"""Where fields with a check digit behind them stand: the second line of a passport, the first and
second of an identity card (ICAO 9303-4 and 9303-5)."""


def travel_documents(reading: Reading) -> Iterator[PiiSpan]:
    """Machine-readable lines of passports, visas and identity cards."""
    offset = 0
    for line in reading.raw.split("\n"):
        text = line.upper()
        if len(text) == len(line) and _MRZ_LINE.fullmatch(text):
            bare = re.sub(rf"[{_FILLER}]", "<", text.replace(" ", "")).lower()
            score = _mrz_score(bare)
            if score:
                yield PiiSpan(offset, offset + len(line), Kind.ID, score)
        offset += len(line) + 1


def _mrz_score(bare: str) -> float:
    if not 28 <= len(bare) <= 46:
        return 0.0
    for fields in _MRZ_CHECKS:
        if (
            all(bare[b].isdigit() and checksums.mrz(bare[a:b], bare[b]) for a, b in fields)
            and not bare.isalpha()
            and (len(fields) > 1 or (bare[0] in "iac" and "<" in bare))
        ):
            return 1.0
    if bare.count("<") >= 3:
        return 0.95
    return 0.0
