"""What systemd is to a service: the socket that it reports to."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self


class Manager:
    """Receives sd_notify datagrams and remembers when each came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._messages: list[tuple[float, str]] = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def environment(self, watchdog_s: float = 2.0) -> dict[str, str]:
        """What the manager tells the service."""
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}

    def times(self, line: str) -> list[float]:
        """When this line came, in monotonic seconds."""
        with self._news:
            return [at for at, text in self._messages if line in text.splitlines()]

    def wait(self, line: str, timeout_s: float, *, after: float = float("-inf")) -> float:
        """Wait for a line; return when it came."""
        give_up = time.monotonic() + timeout_s
        while True:
            came = [at for at in self.times(line) if at > after]
            if came:
                return came[0]
            with self._news:
                left = give_up - time.monotonic()
                assert left > 0, f"no {line} among {self._messages[-10:]}"
                self._news.wait(min(left, 0.2))

    @property
    def status(self) -> str:
        """The last STATUS."""
        with self._news:
            lines = [line for _, text in self._messages for line in text.splitlines()]
        return next((one[7:] for one in reversed(lines) if one.startswith("STATUS=")), "")

    def _receive(self) -> None:
        while data := self._socket.recv(65536):
            if data == b"-":
                return
            with self._news:
                self._messages.append((time.monotonic(), data.decode()))
                self._news.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"-", str(self.path))
        self._thread.join(5)
        self._socket.close()
