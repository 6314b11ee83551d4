"""Work that must not disturb the streams: in a process of its own that yields to everybody."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

NICENESS: Final = 15
"""Above that of the service's own threads, which a unit may run at -5."""
_OOM_SCORE: Final = 700
"""The kernel takes this process before the service where memory ends."""
_IDLE_CLASS: Final = 3 << 13
"""ioprio_set(2): reads and writes when nobody else does."""
_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30}
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_MOST_PIXELS: Final = 60_000_000
"""Of an uploaded photograph, before it is scaled down."""


def start_aside(module: str, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
    """Start a module of this package as a program."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=environment(os.environ),
        **more,
    )


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what such a program is given: nothing that makes it take part in the service."""
    left_out = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM")
    kept = {key: value for key, value in environ.items() if key not in left_out}
    limits = dict.fromkeys(_THREADS, "1")
    return kept | limits | {"OPENCV_IO_MAX_IMAGE_PIXELS": str(_MOST_PIXELS)}


def step_aside() -> None:
    """Yield processor, disk and memory to everybody. Called by the program itself, first."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
    _ioprio()


def _ioprio() -> None:
    import ctypes

    number = _IOPRIO_SET.get(os.uname().machine)
    if number is not None:
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).syscall(number, 1, 0, _IDLE_CLASS)


def end(process: subprocess.Popen[bytes], within_s: float = 2.0) -> None:
    """End a program, kindly at first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
