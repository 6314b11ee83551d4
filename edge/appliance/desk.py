"""All that operators can do to a service, without a word of HTTP.

The service's thread puts a fresh status here twice a second; whoever serves operators reads it
and calls the methods below from threads of their own. Nothing here waits for a stream.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from edge.appliance.changes import Changes
from edge.appliance.clerk import Clerk
from edge.appliance.enrolling import Enrolling
from edge.appliance.jobs import Jobs
from edge.appliance.journal import event
from edge.appliance.news import News
from edge.appliance.outgoing import Outgoing
from edge.appliance.panic import PanicButton
from edge.appliance.views import PanicView, StatusView

_log = logging.getLogger(__name__)


class Desk:
    """What the service and the API share."""

    def __init__(
        self,
        *,
        panic: PanicButton,
        news: News,
        changes: Changes,
        clerk: Clerk,
        jobs: Jobs,
        enrolling: Enrolling,
    ) -> None:
        self.panic, self.news, self.changes, self.clerk = panic, news, changes, clerk
        self.jobs, self.enrolling = jobs, enrolling
        self.status: StatusView | None = None
        """The newest; None before the service's first turn."""
        self.status_json = b"null"
        """The same as JSON, rendered once for all who ask."""
        self.outgoing: Mapping[str, Outgoing] = {}
        """The picture of each stream as it leaves."""
        self.ticked = time.monotonic()
        """When the service's thread came by last, monotonic seconds."""
        self._durable = panic.on
        self._slow = threading.Lock()

    def show(self, status: StatusView) -> None:
        """Take a fresh status, from the service's thread."""
        self.status_json = status.model_dump_json().encode()
        self.status = status

    # -- the dump button ---------------------------------------------------------------------

    @property
    def panic_view(self) -> PanicView:
        """How the dump button is now."""
        return PanicView(on=self.panic.on, since=self.panic.since, durable=self._durable)

    def press_panic(self, who: str) -> None:
        """Mask and mute all that leaves from now on. Takes no time."""
        if not self.panic.on:
            self.panic.press()
            event(_log, logging.WARNING, "panic", by=who)
            self.clerk.note("panic", by=who)

    def keep_panic(self) -> None:
        """Let a pressed button outlive a power cut. Slow; may be called again until it works."""
        with self._slow:
            if self.panic.on and not self._durable:
                self._durable = self.panic.keep()
                if not self._durable:
                    event(_log, logging.ERROR, "panic-not-kept", remedy="free some disk space")

    def resume(self, who: str, reason: str | None) -> None:
        """Let frames go as they are judged again. Slow.

        Raises AuditError or OSError: then the button stays pressed.
        """
        with self._slow:
            if self.panic.on:
                self.clerk.record("resume", by=who, reason=reason)
                self.panic.release()
                self._durable = False
                event(_log, logging.WARNING, "resumed", by=who)
