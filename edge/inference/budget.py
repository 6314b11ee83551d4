"""How often a device may fail before it is given up."""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_FAILURES: Final = 3
WINDOW: Final = 300
"""Runs. Three of them are one in a hundred: a detector that looks four times a second costs half a
second of masked pictures each time that it fails, so 1.5 s in 75; a redactor one picture in a
hundred. A device that fails as often is no better than none, whether in a row or now and then."""


class FailureBudget:
    """Counts failures among the last WINDOW runs.

    Runs are counted, not seconds: the same film gives the same result on any machine.
    """

    def __init__(self, most: int = MAX_FAILURES, window: int = WINDOW) -> None:
        """most: failures in a window at which it is spent."""
        self._most, self._window = most, window
        self._runs = 0
        self._failed: deque[int] = deque(maxlen=most)
        """The number of each failed run, the newest ones."""
        self.failures = 0
        """In all."""

    def worked(self) -> None:
        """Count a run that went well."""
        self._runs += 1

    def failed(self) -> None:
        """Count a run that failed, or an attempt to set the device up again."""
        self._runs += 1
        self.failures += 1
        self._failed.append(self._runs)

    @property
    def recent(self) -> int:
        """Failures in the window that ends with the last run."""
        return sum(number > self._runs - self._window for number in self._failed)

    @property
    def spent(self) -> bool:
        """Whether the device is to be given up."""
        return self.recent >= self._most
