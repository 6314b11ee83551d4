"""What of a frame's work is the host's, whatever runs the networks?

Runs a clip through all lanes that are switched on, and parts the CPU time of all of the process's
Python threads: what a GPU takes over (networks, detectors' inputs, redaction, codecs) from what
stays (decoders of networks' answers, tracks, timelines, the pipeline itself). While the GPU works,
Python waits without the interpreter's lock: how many streams one process carries is told by what
stays, in milliseconds a frame.

Codecs' own threads are no Python threads, and are not counted at all.

examples:
  python -m benchmarks.host_time clip.mp4
  python -m benchmarks.host_time clip.mp4 --set audio.enabled=false --json
"""

from __future__ import annotations

import functools
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final
from unittest import mock

from rich.table import Table

from benchmarks._common import emit, main, parser
from edge.config import Settings
from edge.config_io import load_config
from edge.inference.onnx import OnnxEngine
from edge.lane_models import load_lane_models
from edge.lanes.geometry import InputBuffer
from edge.lanes.letterbox import LetterboxBuffer
from edge.media.picture import HostPicture
from edge.redact.cpu import CpuRedactor
from edge.runner import Run, listened_to
from edge.stats import Stats

NETWORKS, INPUTS, REDACTION, CODECS = "networks", "detectors' inputs", "redaction", "codecs"
MOTION: Final = "motion"
REST: Final = "all else"
STAYS: Final = (MOTION, REST)
_WRAPPED: Final[tuple[tuple[type, str, str], ...]] = (
    (OnnxEngine, "run", NETWORKS),
    (InputBuffer, "load", INPUTS),
    (LetterboxBuffer, "load", INPUTS),
    (HostPicture, "shrink", INPUTS),
    (CpuRedactor, "redact", REDACTION),
    (CpuRedactor, "mask_whole", REDACTION),
)


class Clock:
    """CPU seconds of Python threads, by what they were spent on. Thread-safe.

    What is measured within something else does not count there again.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self._inside = threading.local()

    def spent_on(self, what: str) -> _Block:
        """Add this thread's time in a block, without that of the blocks within it."""
        return _Block(self, what, self._inside.__dict__.setdefault("stack", []))

    def add(self, what: str, seconds: float) -> None:
        """Add time that was measured."""
        with self._lock:
            self.seconds[what] = self.seconds.get(what, 0.0) + seconds


class _Block:
    """A block that is measured. A class, since a generator would add to what it measures."""

    __slots__ = ("_begun", "_clock", "_stack", "_what")

    def __init__(self, clock: Clock, what: str, stack: list[float]) -> None:
        """stack: seconds of blocks within each block that this thread is in."""
        self._clock, self._what, self._stack = clock, what, stack

    def __enter__(self) -> None:
        self._stack.append(0.0)
        self._begun = time.thread_time()

    def __exit__(self, *_: object) -> None:
        spent, within = time.thread_time() - self._begun, self._stack.pop()
        if self._stack:
            self._stack[-1] += spent
        self._clock.add(self._what, spent - within)


def measure(settings: Settings, clip: Path) -> dict[str, Any]:
    """Run a clip; return frames, and milliseconds a frame by what they were spent on."""
    models = load_lane_models(listened_to(settings, clip))
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="privaedge-host-") as folder, ExitStack() as patched:
        run = Run(settings, clip, Path(folder) / "out.mp4", models)
        for owner, name, what in _WRAPPED:
            wrapped = _wrap(clock, getattr(owner, name), what)
            patched.enter_context(mock.patch.object(owner, name, wrapped))
        patched.enter_context(mock.patch.object(Stats, "timed", _stages(clock, Stats.timed)))
        thread_run = _wrap(clock, threading.Thread.run, REST)
        patched.enter_context(mock.patch.object(threading.Thread, "run", thread_run))
        with clock.spent_on(REST):
            summary = run.execute()
    frames = summary.stats.frames_out
    each = {what: 1000 * spent / max(1, frames) for what, spent in clock.seconds.items()}
    return {
        "frames": frames,
        "models": summary.models,
        "ms_per_frame": each,
        "host_ms_per_frame": sum(each.get(what, 0.0) for what in STAYS),
    }


def _wrap(clock: Clock, function: Callable[..., Any], what: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def measured(*args: Any, **kwargs: Any) -> Any:
        with clock.spent_on(what):
            return function(*args, **kwargs)

    return measured


def _stages(clock: Clock, timed: Callable[..., Any]) -> Callable[..., Any]:
    """Measure those stages of the pipeline that are a codec's, or the motion estimator's."""

    def measured(stats: Stats, stage: str) -> AbstractContextManager[None]:
        if stage.startswith(("decode", "encode")):
            return clock.spent_on(CODECS)
        return clock.spent_on(MOTION) if stage == MOTION else timed(stats, stage)

    return measured


def table(result: dict[str, Any]) -> Table:
    """Lay the result out: first what a GPU takes over, then what stays."""
    lanes = ", ".join(f"{lane}: {model}" for lane, model in result["models"].items())
    title = f"{result['frames']} frames · {lanes}"
    laid = Table(title=title, title_justify="left")
    laid.add_column("CPU time of Python threads")
    laid.add_column("ms a frame", justify="right")
    each = result["ms_per_frame"]
    for what in (NETWORKS, INPUTS, REDACTION, CODECS):
        laid.add_row(f"{what} (a GPU's)", f"{each.get(what, 0.0):.2f}")
    for what in STAYS:
        laid.add_row(what, f"{each.get(what, 0.0):.2f}")
    laid.add_row("stays with the host", f"{result['host_ms_per_frame']:.2f}")
    return laid


def run(argv: list[str]) -> int:
    options = parser("host_time", __doc__)
    options.add_argument("clip", type=Path)
    options.add_argument("--profile", default="balanced")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = options.parse_args(argv)
    result = measure(load_config(args.profile, None, args.set), args.clip)
    emit(result, [table(result)], as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
