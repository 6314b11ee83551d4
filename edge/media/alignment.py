"""Tells which pictures of a second decoder are the very pictures that the first one gave out. Pure.

Both are given the same packets, so both give out the same pictures in the same order; but a
damaged stream, or hardware that fails, may break that. A picture is therefore only taken for the
one that it equals in time, size and content; a place that nothing equals stays empty.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Stamp(NamedTuple):
    """What tells pictures of one stream apart."""

    ticks: int | None
    """The decoder's own timestamp, in the stream's time base."""
    width: int
    """As decoded."""
    height: int
    fingerprint: bytes
    """Of all samples, as they are looked at: see fingerprint.py."""


class Alignment:
    """Gives the second decoder's pictures the serial numbers of the first one's."""

    def __init__(self) -> None:
        self._expected: deque[Stamp] = deque()
        self._first = 0
        """Serial number of the oldest that is expected."""

    @property
    def idle(self) -> bool:
        """Whether nothing is expected."""
        return not self._expected

    def expect(self, stamp: Stamp) -> int:
        """The first decoder gave out its next picture; return its serial number, from 0."""
        self._expected.append(stamp)
        return self._first + len(self._expected) - 1

    def place(self, stamp: Stamp) -> int | None:
        """The second decoder gave out its next picture; return whose place it takes.

        The places before that one stay empty: both decoders give out in the same order. None where
        it takes no place: nobody has seen this picture, or its turn is over.
        """
        for index, expected in enumerate(self._expected):
            if expected == stamp:
                serial = self._first + index
                self.pass_over(serial)
                return serial
        return None

    def is_over(self, serial: int) -> bool:
        """Whether nothing can take this place any more."""
        return serial < self._first

    def pass_over(self, serial: int) -> None:
        """Whatever comes from now on belongs behind this place."""
        while self._expected and self._first <= serial:
            self._expected.popleft()
            self._first += 1
