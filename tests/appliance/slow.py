"""Clients that take their time over what they say."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

from tests.appliance.box import Box

N = 24


class Slow:
    """Two dozen of them, and a page that only listens; all at the same time."""

    def __init__(self, box: Box) -> None:
        self.answers: list[bytes] = []
        self.page_was_told = False
        self.took = 0.0
        self._box = box
        self._began = time.monotonic()
        self._threads = [
            threading.Thread(target=self._trickle, args=(n,), daemon=True) for n in range(N)
        ]
        self._threads.append(threading.Thread(target=self._listen, daemon=True))
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until each was answered or has given up."""
        for thread in self._threads:
            thread.join()

    def _trickle(self, n: int) -> None:
        if n % 2:
            head = (
                f"POST /api/v1/login HTTP/1.1\r\nHost: {self._box.netloc}\r\n"
                "Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
            )
            pieces = b"{" * 1000
        else:
            head = f"GET /api/v1/status HTTP/1.1\r\nHost: {self._box.netloc}\r\n"
            pieces = b"X-A: b\r\n" * 100
        said = b""
        with socket.create_connection((self._box.host, self._box.port), timeout=30) as connection:
            connection.settimeout(0.4)
            connection.sendall(head.encode())
            try:
                for at in range(60):
                    connection.sendall(pieces[at : at + 1])
                    try:
                        said = connection.recv(4096)
                        break
                    except TimeoutError:
                        continue
                else:
                    said = b"it waited"
            except ConnectionError:
                said = b""
        self.answers.append(said)
        self.took = max(self.took, time.monotonic() - self._began)

    def _listen(self) -> None:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        address = f"ws://{self._box.netloc}/api/v1/events"
        with (
            contextlib.suppress(WebSocketException, OSError),  # then it was told nothing
            connect(address, additional_headers=self._box.bearer) as page,
        ):
            time.sleep(11.0)
            give_up = time.monotonic() + 20
            while not self.page_was_told and time.monotonic() < give_up:
                message = json.loads(page.recv(10))
                fresh = message["type"] == "status" and message["status"]["at"] > time.time() - 3
                self.page_was_told = fresh
