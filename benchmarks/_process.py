"""Run a program to its end and measure what it cost: wall time, CPU time, memory.

CPU seconds come from wait4's rusage: user + system time of the child and of all of its descendants
that were waited for (deface's ffmpeg is one). rusage's memory figure is not used: ru_maxrss counts
the measuring process's own pages, which a child shares until its exec, and never sums over
processes. Memory is read from /proc instead, over the session that the child leads.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks._common import BenchmarkError

_SAMPLE_S: Final = 0.05
"""Between two looks at memory. A look costs the measuring process, not the child, about 1 ms."""
_STAT_SESSION: Final = 3
"""Index of the session id in /proc/PID/stat after the parenthesised name (see proc_pid_stat(5))."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run of a program cost.

    seconds: wall time from start to end, process start and imports included.
    cpu_s: user + system seconds, descendants included.
    peak_rss_mib: largest resident memory in MiB. For one process the kernel's own high-water mark;
    for several the largest sum that was seen (shared pages count once a process).
    """

    seconds: float
    cpu_s: float
    peak_rss_mib: float
    exit_code: int
    output: str
    """stdout and stderr together, for error messages; the last 4,000 characters."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures (not the output) as JSON-ready values."""
        figures = asdict(self)
        del figures["output"]
        return figures


class _MemoryWatch(threading.Thread):
    """Look at the resident memory of a session until told to stop."""

    def __init__(self, session: int) -> None:
        super().__init__(name="memory-watch", daemon=True)
        self.peak_kib = 0
        self._session = session
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(_SAMPLE_S):
            resident = high_water = 0
            for pid in _session_members(self._session):
                now, peak = _memory_kib(pid)
                resident += now
                high_water = max(high_water, peak)
            self.peak_kib = max(self.peak_kib, resident, high_water)

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


def _session_members(session: int) -> list[int]:
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        # A process may end at any time between two reads.
        with contextlib.suppress(OSError, ValueError, IndexError):
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(after_name[_STAT_SESSION]) == session:
                members.append(int(entry.name))
    return members


def _memory_kib(pid: int) -> tuple[int, int]:
    """Return resident memory now and its high-water mark, KiB; zeros for a process that is gone."""
    now = peak = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                now = int(line.split()[1])
            elif line.startswith("VmHWM:"):
                peak = int(line.split()[1])
    return now, peak


def measure(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 3600.0,
) -> Usage:
    """Run argv to its end and return what it cost; its exit code is the caller's to judge.

    BenchmarkError where it cannot be started or runs past timeout_s (its whole session is killed).
    """
    with tempfile.TemporaryFile() as output:  # a pipe would have to be drained while it runs
        start = time.perf_counter()
        try:
            child = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise BenchmarkError(
                f"{argv[0]} cannot be started: {error.strerror}. Install it or correct its path."
            ) from error
        watch = _MemoryWatch(child.pid)
        watch.start()
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            _kill_session(child.pid)

        timer = threading.Timer(timeout_s, expire)
        timer.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - start
        except BaseException:
            _kill_session(child.pid)
            child.wait()
            raise
        finally:
            timer.cancel()
            watch.stop()
        child.returncode = os.waitstatus_to_exitcode(status)  # or Popen would wait for it again
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - 4000))
        text = output.read().decode(errors="replace")
    if expired.is_set():
        raise BenchmarkError(
            f"{Path(argv[0]).name} ran past {timeout_s:g} s and was ended. Take a shorter clip."
        )
    return Usage(
        seconds=seconds,
        cpu_s=usage.ru_utime + usage.ru_stime,
        # A process that ended before the first look has only rusage's figure.
        peak_rss_mib=(watch.peak_kib or usage.ru_maxrss) / 1024,
        exit_code=child.returncode,
        output=text,
    )


def _kill_session(leader: int) -> None:
    # The leader of a session leads its process group, too.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
