"""Tells systemd how the service is doing, and keeps its watchdog quiet only while streams flow.

sd_notify(3) is one datagram to the socket that $NOTIFY_SOCKET names, hence no library. Outside of
systemd nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

PINGS_PER_PERIOD: Final = 4
"""systemd asks for two; more leaves room for a hiccup that ends in time."""
_STATUS_LIMIT: Final = 1000


class Notifier:
    """Sends state to the service manager. Never waits and never fails: nobody may be there."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        """address: the socket's path, @name for an abstract one, None for nobody.

        watchdog_s: seconds without a ping after which the manager kills, None where it does not.
        """
        self.watchdog_s = watchdog_s
        self._address = address
        self._socket: socket.socket | None = None
        self._status = ""
        if address is not None and address[:1] in ("/", "@"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Make what this process's environment asks for."""
        micros = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wanted = micros.isascii() and micros.isdigit() and int(micros) > 0 and mine
        return cls(environ.get("NOTIFY_SOCKET"), int(micros) / 1e6 if wanted else None)

    def ready(self) -> None:
        """Starting, or a reload, is complete."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it, whether the new configuration was taken or not."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1")

    def ping(self) -> None:
        """All is well, for another period."""
        self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Starting takes this much longer: a model is being fetched."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def status(self, text: str) -> None:
        """Say in one line how things are. The same line is sent once."""
        line = " ".join(text.split())[:_STATUS_LIMIT]
        if line != self._status and self._send(f"STATUS={line}"):
            self._status = line

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> bool:
        if self._socket is None or self._address is None:
            return False
        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]
        with contextlib.suppress(OSError):
            return self._socket.sendto(text.encode(), address) > 0
        return False


class Pulse:
    """The last sign of progress of one stream, and how long the next one may take.

    Written by the stream's threads, read by the watchdog's.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due: float | None = None
        self._within_s = 0.0

    def expect(self, within_s: float) -> None:
        """Something was done; from now on something is done every `within_s` seconds."""
        with self._lock:
            self._within_s = within_s
            self._due = self._clock() + within_s

    def beat(self) -> None:
        """Something was done."""
        with self._lock:
            if self._due is not None:
                self._due = self._clock() + self._within_s

    def rest(self) -> None:
        """Nothing is to be done any more."""
        with self._lock:
            self._due = None

    @property
    def silent(self) -> bool:
        """Whether what was to be done has not been."""
        with self._lock:
            return self._due is not None and self._clock() > self._due


class Watchdog:
    """Pings while every stream makes progress; a single one that stands still silences it.

    It has no thread of its own: `tick` is called by the loop that supervises, so that a stuck
    supervisor silences it too.
    """

    def __init__(
        self,
        notifier: Notifier,
        pulses: Callable[[], Mapping[str, Pulse]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """pulses: asked at each tick, as streams come and go."""
        self._notifier, self._pulses, self._clock = notifier, pulses, clock
        self._next = float("-inf")

    def tick(self) -> Sequence[str]:
        """Ping if it is time and deserved. Return the names of streams that stand still."""
        pulses = self._pulses()
        silent = [name for name, pulse in pulses.items() if pulse.silent]
        period_s = self._notifier.watchdog_s
        now = self._clock()
        if period_s is not None and pulses and not silent and now >= self._next:
            self._notifier.ping()
            self._next = now + period_s / PINGS_PER_PERIOD
        return silent
