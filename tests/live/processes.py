"""Servers as child processes that end with the test, however the test ends."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

READY_TIMEOUT_S = 15.0
"""A server that starts on two busy cores: GStreamer scans its plugins the first time."""
STOP_TIMEOUT_S = 5.0
_POLL_S = 0.02
ROOT = Path(__file__).resolve().parents[2]
"""The checkout: where `python -m tests...` finds its module."""

_REAPER = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class ServerError(RuntimeError):
    """A server of the tests did not do as it was told; says what its log ends with."""


class _Reaper:
    """Kills process groups when this process is gone, killed or not.

    PR_SET_PDEATHSIG would do less: it fires when the *thread* that started the child ends (a
    test's timer that restarts a server, say), and does not reach grandchildren. The reaper sees
    its standard input close instead, which happens exactly when this process ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def watch(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _REAPER],
                    stdin=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
            assert self._process.stdin is not None
            self._process.stdin.write(line)
            self._process.stdin.flush()


_reaper = _Reaper()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A loopback port on which nobody listens, outside the range that the kernel hands out.

    A server that is down must stay down: within that range a client that tries to reconnect can
    be given the very port that it calls, and so connect to itself.
    """
    first, last = 20_000, 32_000
    for _ in range(200):
        port = random.randint(first, last)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError(f"no free port between {first} and {last}")


def accepts(port: int) -> bool:
    """Whether something accepts TCP connections on this loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


class ServerProcess(ABC):
    """A server in a process group of its own. A context: started on entry, gone after exit."""

    def __init__(self, log: Path, *, folder: Path | None = None) -> None:
        self.log = log
        self._working_folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What to run. The process must stay in the foreground and in its group."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the server serves. Must answer within about a second."""

    @property
    def running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The server's process, which is also its group."""
        if self._process is None:
            raise ServerError("the server was not started")
        return self._process.pid

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start it and wait until it serves. Raises ServerError with the end of its log."""
        if self.running:
            raise ServerError("the server runs already")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self._working_folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if "proxy" not in k.lower()},
            )
        _reaper.watch(self.pid)
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                state = "does not answer" if code is None else f"ended with {code}"
                self.kill()
                raise ServerError(f"{type(self).__name__} {state}: {self.log_end()}")
            time.sleep(_POLL_S)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """SIGTERM, and wait; SIGKILL when that does not help."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """SIGKILL: the kernel closes its connections, nothing is said to clients."""
        self._end(signal.SIGKILL, STOP_TIMEOUT_S)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and the kernel still accepts more; nobody answers."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.killpg(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Kill it if it runs, and start it again on the same port."""
        self.kill()
        self.start()

    def log_end(self) -> str:
        """The last lines of what the server said."""
        if not self.log.exists():
            return "(no log)"
        return self.log.read_text(errors="replace")[-2000:].strip() or "(empty log)"

    def _end(self, how: signal.Signals, timeout_s: float) -> None:
        process = self._process
        if process is None:
            return
        for number in dict.fromkeys((how, signal.SIGKILL)):
            _signal_group(process.pid, number)
            if number is not signal.SIGKILL:
                # A frozen process does not see SIGTERM until it goes on.
                _signal_group(process.pid, signal.SIGCONT)
            try:
                process.wait(timeout_s)
                break
            except subprocess.TimeoutExpired:
                continue
        # Children of the server outlive it otherwise.
        _signal_group(process.pid, signal.SIGKILL)
        _reaper.forget(process.pid)
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
