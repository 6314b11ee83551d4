"""The service's log: one line of key=value an event, without secrets, and never a flood."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

MASK: Final = "***"
_REPEAT_S: Final = 60.0
"""The same warning is written once in this time; what tells of its end always."""
_REMEMBERED: Final = 256
_BURST: Final = 60
"""Lines that may come at once; a fault that has many causes is worth that many."""
_LINES_PER_S: Final = 1.0
_LINE_LIMIT: Final = 1000
# syslog(3)'s levels, which journald reads from the beginning of a line: <4> is a warning.
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.DEBUG, 7),
)
_PLAIN: Final = frozenset("-_./:,+%*@[]()?!#;~")


def event(log: logging.Logger, level: int, name: str, **fields: object) -> None:
    """Log that something happened, with what belongs to it. Fields that are None are left out."""
    told = {key: value for key, value in fields.items() if value is not None}
    if log.isEnabledFor(level):
        more = {"is_event": True, "event_name": name, "event_fields": told}
        log.log(level, "%s", _pairs({"event": name} | told), extra=more)


def place_of(error: BaseException) -> str:
    """Say what an unexpected error was and where, without its message, which may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


class Secrets:
    """Texts that must not be seen, and what hides them."""

    def __init__(self) -> None:
        self._texts: tuple[str, ...] = ()

    def know(self, texts: Collection[str]) -> None:
        """Hide these from now on, and those that were known before no longer."""
        # The longest first: one may be a part of another.
        self._texts = tuple(sorted({t for t in texts if t}, key=len, reverse=True))

    def hide(self, text: str) -> str:
        """Return the text with a mask in place of each secret."""
        for secret in self._texts:
            text = text.replace(secret, MASK)
        return text


class Formatter(logging.Formatter):
    """Writes a record as one line, with journald's priority or with the time."""

    def __init__(self, secrets: Secrets, *, for_journal: bool) -> None:
        super().__init__()
        self._secrets, self._for_journal = secrets, for_journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = record.getMessage()
        if not getattr(record, "is_event", False):
            text = _pairs({"event": "log", "from": record.name, "message": text})
        if record.exc_info and record.exc_info[1] is not None:
            text += " " + _pairs({"error": place_of(record.exc_info[1])})
        text = self._secrets.hide(text)[:_LINE_LIMIT]
        if self._for_journal:
            return f"<{_priority(record.levelno)}>{text}"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return f"{stamp} level={record.levelname.lower()} {text}"


class RateLimit(logging.Filter):
    """Lets a warning through once a minute, and one line a second of all together, but in bursts.

    How many lines were left out is told with the next one that comes through.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()  # a handler filters before it takes its own
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._tokens = float(_BURST)
        self._refilled = clock()
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide on one line."""
        with self._lock:
            return self._decide(record)

    def _decide(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        text = f"{record.levelno} {record.getMessage()}"
        last = self._seen.get(text)
        if last is not None and now - last < _REPEAT_S and record.levelno >= logging.WARNING:
            self._left_out += 1
            return False
        self._tokens = min(float(_BURST), self._tokens + (now - self._refilled) * _LINES_PER_S)
        self._refilled = now
        if self._tokens < 1:
            self._left_out += 1
            return False
        self._tokens -= 1
        self._seen[text] = now
        self._seen.move_to_end(text)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        if self._left_out and getattr(record, "is_event", False):
            record.msg = f"{record.getMessage()} left_out={self._left_out}"
            record.args = ()
            self._left_out = 0
        return True


def set_up(
    secrets: Secrets,
    *,
    debug: bool = False,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> logging.Handler:
    """Send this program's log to stderr in the service's form, instead of wherever it went."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Formatter(secrets, for_journal="JOURNAL_STREAM" in environ))
    handler.addFilter(RateLimit())
    ours = logging.getLogger("edge")
    ours.handlers[:] = [handler]
    ours.propagate = False
    ours.setLevel(logging.DEBUG if debug else logging.WARNING)
    logging.getLogger("edge.appliance").setLevel(logging.DEBUG if debug else logging.INFO)
    return handler


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), 7)


def _pairs(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_value(value)}" for key, value in fields.items())


def _value(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if text and all(c.isalnum() or c in _PLAIN for c in text):
        return text
    clean = "".join(c if c.isprintable() else " " for c in text)
    escaped = clean.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
