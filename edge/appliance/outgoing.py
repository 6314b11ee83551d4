"""The picture as it leaves, small, for whoever watches on the operator's page.

There is no way here to a picture that has not been judged: this is shown what the sink was given.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from edge.frame import ByteArray, Picture

WIDTH: Final = 640
"""Pixels, at most."""
FPS: Final = 15.0
"""Pictures kept per second, at most."""
_EVEN: Final = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture that has left. number: counts them. pts: its time in the stream, seconds.

    rgb: (3, height, width) uint8, planar.
    """

    number: int
    pts: float
    rgb: ByteArray = field(repr=False)


class Outgoing:
    """Keeps the newest picture of one stream, while somebody watches. Nobody waits for anybody."""

    def __init__(self) -> None:
        self.newest: Seen | None = None
        """None while nobody watches."""
        self._watchers = 0
        self._lock = threading.Lock()
        self._taken = float("-inf")
        self._number = 0

    def take(self, picture: Picture, pts: float) -> None:
        """Look at a picture that has left. In the thread that sends: costs it about a millisecond
        while somebody watches, and nothing otherwise."""
        now = time.monotonic()
        if not self._watchers or now - self._taken < 1 / FPS:
            return
        self._taken = now
        with contextlib.suppress(Exception):  # whatever is wrong with a preview, the stream goes on
            width = min(WIDTH, picture.width)
            height = round(picture.height * width / picture.width / _EVEN) * _EVEN
            self._number += 1
            self.newest = Seen(self._number, pts, picture.shrink(width, max(_EVEN, height)))

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Let pictures be kept during the block."""
        with self._lock:
            self._watchers += 1
        try:
            yield
        finally:
            with self._lock:
                self._watchers -= 1
                if not self._watchers:
                    self.newest = None
