"""The service's side of enrolling people: starts the process that does it, and lets it rest."""

from __future__ import annotations

import json
import select
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from edge.appliance.aside import end, start_aside
from edge.config import Settings

_IDLE_S: Final = 180.0
"""Without a request for this long the process ends, and what it knows of shots with it."""
_START_S: Final = 120.0
"""A model may have to be fetched."""
_ANSWER_S: Final = 30.0
_MODULE: Final = "edge.appliance.enrol_process"


class EnrolError(Exception):
    """The process says why it cannot do something: `cause. Remedy.`"""


class Enrolling:
    """One process at most. Methods wait for it, and may be called from any thread."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        """settings: those to choose models by."""
        self._settings = settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._used = 0.0

    def ask(self, request: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        """Let the process do something; return its answer. Raises EnrolError."""
        with self._lock:
            self._used = time.monotonic()
            process = self._process
            if process is None or process.poll() is not None:
                process = self._start()
            line = json.dumps({**request, "size": len(data)}).encode() + b"\n"
            answer = self._exchange(process, line + data, _ANSWER_S)
            self._used = time.monotonic()
            return answer

    def rest(self) -> None:
        """End the process where it has had nothing to do for long."""
        if self._process is None or not self._lock.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._used > _IDLE_S:
                self._end()
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        self._end()
        process = self._process = start_aside(
            _MODULE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        settings = self._settings().model_dump_json().encode() + b"\n"
        self._exchange(process, settings, _START_S)
        return process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process)

    def _exchange(
        self, process: subprocess.Popen[bytes], data: bytes, within_s: float
    ) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(data)
            process.stdin.flush()
            if not select.select([process.stdout], [], [], within_s)[0]:
                raise OSError
            answer = json.loads(process.stdout.readline())
        except (OSError, ValueError):
            self._end()
            raise EnrolError("this picture could not be judged. Try another one.") from None
        if "error" in answer:
            raise EnrolError(str(answer["error"]))
        return dict(answer)
