"""What happens in a service, as its operators see it: the events of its log, the newest kept."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from pydantic import Field

from edge.appliance.views import View

_KEPT: Final = 200
_TEXT_LIMIT: Final = 300
_HIDDEN: Final = frozenset({"figures"})
"""Events that only repeat what the status shows anyway."""
_LEVELS: Final = {"DEBUG": "info", "INFO": "info", "WARNING": "warning"}


class NewsItem(View):
    """Something that happened."""

    number: int = Field(description="Counts from 1 since the service started.")
    at: float = Field(description="Seconds since 1970.")
    level: str = Field(description="info, warning or error.")
    event: str
    stream: str | None = None
    details: dict[str, str] = Field(description="Without secrets and without anything seen.")


class News(logging.Handler):
    """Takes events from the log. Keeps the newest; never waits for a reader."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        """hide: masks secrets in a text."""
        super().__init__(logging.INFO)
        self._hide = hide
        self._numbers = itertools.count(1)
        self._items: deque[NewsItem] = deque(maxlen=_KEPT)
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of the log; what is no event is left out."""
        name = getattr(record, "event_name", None)
        if name is None or name in _HIDDEN:
            return
        fields: dict[str, object] = getattr(record, "event_fields", {})
        told = {key: self._hide(str(value))[:_TEXT_LIMIT] for key, value in fields.items()}
        stream = told.pop("stream", None)
        with self._guard:
            self._items.append(
                NewsItem(
                    number=next(self._numbers),
                    at=round(record.created, 3),
                    level=_LEVELS.get(record.levelname, "error"),
                    event=str(name),
                    stream=stream,
                    details=told,
                )
            )

    def since(self, number: int) -> list[NewsItem]:
        """Return what came after the item of this number, in order."""
        with self._guard:
            return [item for item in self._items if item.number > number]
