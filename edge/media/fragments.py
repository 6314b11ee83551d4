"""Repairs a fragmented MP4 whose writing broke off."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_HEADER = struct.Struct(">I4s")
_LARGE_SIZE = struct.Struct(">Q")


def cut_damaged_end(path: Path) -> int:
    """Remove what follows the last complete fragment of a file; return how many bytes it was.

    Players refuse the whole file where it ends within the index of a fragment (moof). A file that
    holds no complete fragment, or is no fragmented MP4, is left as it is. Nobody may be writing
    to it. Raises OSError.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = _end_of_fragments(file, size)
        if end is None or end == size:
            return 0
        file.truncate(end)
        return size - end


def _end_of_fragments(file: BinaryIO, size: int) -> int | None:
    """Walk the boxes of the top level (ISO/IEC 14496-12, 4.2)."""
    at, end, kind_before = 0, None, b""
    while at < size:
        file.seek(at)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            break
        length, kind = _HEADER.unpack(header)
        if length == 1:
            large = file.read(_LARGE_SIZE.size)
            if len(large) < _LARGE_SIZE.size:
                break
            [length] = _LARGE_SIZE.unpack(large)
        if length < _HEADER.size or at + length > size:
            break
        at += length
        # An index at the end (mfra) is complete as well.
        if (kind_before, kind) == (b"moof", b"mdat") or (end is not None and kind == b"mfra"):
            end = at
        kind_before = kind
    return end
