"""When a recogniser goes in circles: its text repeats itself and has no end of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_CIRCLE_TIMES: Final = 4
_CIRCLE_TOKENS: Final = 8
_LONGEST_CIRCLE: Final = 12
"""The same run of up to 12 tokens, 4 times at the end of a text and 8 tokens in all, is a circle.
`No, no, no, no` is one as well: cut in two, it is none."""


def goes_in_circles(tokens: Sequence[int]) -> bool:
    """Whether the end of a text is the same over and over."""
    for length in range(1, _LONGEST_CIRCLE + 1):
        times = max(_CIRCLE_TIMES, -(-_CIRCLE_TOKENS // length))
        tail = tokens[-times * length :]
        if len(tail) == times * length and all(
            tail[index] == tail[index - length] for index in range(length, len(tail))
        ):
            return True
    return False
