"""What one stream has done so far: counters, stage times, masked stretches. No private content."""

from __future__ import annotations

import time
from collections import deque
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

REDACTION = "redaction"
"""Under this name failures of the GPU that hides are counted, and frames masked for them."""
ENGINE = "engine"
"""Under this name failures of models on the GPU are counted; the lane that ran them counts one as
well."""
RECOGNISER = "recogniser"
"""Under this name its failures are counted: nothing is blind for them, but nobody is shown."""
MAX_STRETCHES = 1000
"""Stretches that are listed; later ones are only counted, as a stream may run for months."""


_KEPT = 1000
"""Reasons that are kept, the newest: a live stream runs for months."""
_RECENT = 64


@dataclass(slots=True)
class StageTime:
    """Time one stage has taken: calls, wall seconds, CPU seconds of its own thread."""

    calls: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0


class _Timed:
    """A block whose time is added to a stage. No generator: there are several in every frame."""

    __slots__ = ("_begun", "_cpu", "_spent")

    def __init__(self, spent: StageTime) -> None:
        self._spent = spent

    def __enter__(self) -> None:
        self._begun, self._cpu = time.perf_counter(), time.thread_time()

    def __exit__(self, *_: object) -> None:
        self._spent.calls += 1
        self._spent.seconds += time.perf_counter() - self._begun
        self._spent.cpu_s += time.thread_time() - self._cpu


@dataclass(slots=True)
class Stretch:
    """Frames that left masked whole: pts of the first and the last, and why."""

    start: float
    end: float
    frames: int
    lanes: tuple[str, ...]


class Sound(Protocol):
    """Sound that left, and how much of it was hidden or silenced."""

    @property
    def spoken_s(self) -> float:
        """Seconds in which private words were hidden."""

    @property
    def muted_s(self) -> float:
        """Seconds that were silenced unjudged."""


@dataclass(slots=True)
class Stats:
    """Counters of one stream. Each field is written by one thread only."""

    frames_in: int = 0
    frames_out: int = 0
    frames_with_regions: int = 0
    regions: int = 0
    frames_masked: int = 0
    masked_by: dict[str, int] = field(default_factory=dict)
    """Frames that left masked whole, by each lane that this was owed to."""
    failures: dict[str, int] = field(default_factory=dict)
    """Times that each lane failed: threw, stalled, or answered nonsense. Under RECOGNISER: looks
    in which enrolled people were hidden, since nobody could tell who they are."""
    cuts: int = 0
    looks: int = 0
    found: dict[str, int] = field(default_factory=dict)
    pts_out: float = 0.0
    stretches: list[Stretch] = field(default_factory=list)
    """The first ones."""
    reasons: list[str] = field(default_factory=list)
    """Why gates closed, one line each, repetitions left out."""
    stages: dict[str, StageTime] = field(default_factory=dict)
    spoken_s: float = 0.0
    """Seconds of sound in which private words were made inaudible."""
    muted_s: float = 0.0
    """Seconds of sound that left silent since nobody could judge them."""
    frames_dropped: int = 0
    """Live: frames that were read and never left, for want of time."""
    slates: int = 0
    """Live: frames sent in place of a lost signal."""
    connections: int = 0
    """Live: times that the source was connected to."""
    drift_ppm: float = 0.0
    """Live: by how much the source's clock is slower than ours, as last estimated."""
    sound_shift_s: float = 0.0
    """Live: seconds by which sound was stretched, negative: squeezed, so that it stays in sync."""
    sound_jumps: int = 0
    """Live: times that sound had a hole or overlapped, for which nothing could be stretched."""
    lags: dict[str, float] = field(default_factory=dict)
    """Live: seconds by which each lane's horizon is behind the present, as last looked at."""
    waiting: int = 0
    """Live: frames in the delay line, as last looked at."""
    recent: deque[Stretch] = field(default_factory=lambda: deque(maxlen=_RECENT), repr=False)
    """The newest stretches, for those who look now and then; `stretches` has the first."""
    stretch_count: int = 0
    started: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0

    def timed(self, stage: str) -> AbstractContextManager[None]:
        """Add the time of a block to a stage."""
        spent = self.stages.get(stage)
        if spent is None:
            spent = self.stages.setdefault(stage, StageTime())
        return _Timed(spent)

    def count_masked(self, pts: float, lanes: tuple[str, ...]) -> None:
        """Note a frame that left masked whole; neighbours become one stretch.

        Stretches beyond MAX_STRETCHES are not listed.
        """
        self.frames_masked += 1
        for lane in lanes:
            self.masked_by[lane] = self.masked_by.get(lane, 0) + 1
        last = self.recent[-1] if self.recent else None
        if last and last.lanes == lanes and last.end == self.pts_out:
            last.end = pts
            last.frames += 1
            return
        fresh = Stretch(pts, pts, 1, lanes)
        self.stretch_count += 1
        self.recent.append(fresh)
        if len(self.stretches) < MAX_STRETCHES:
            self.stretches.append(fresh)

    def count_sound(self, sound: Sound) -> None:
        """Note sound that left."""
        self.spoken_s += sound.spoken_s
        self.muted_s += sound.muted_s

    def note(self, reason: str) -> None:
        """Remember why a gate closed."""
        if reason not in self.reasons:
            self.reasons.append(reason)
            del self.reasons[:-_KEPT]

    def count_failure(self, lane: str) -> None:
        """Note that a lane could not judge for a reason of its own."""
        self.failures[lane] = self.failures.get(lane, 0) + 1

    @property
    def fps(self) -> float:
        """Frames out per second of wall time so far."""
        elapsed = self.seconds or time.perf_counter() - self.started
        return self.frames_out / elapsed if elapsed > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return all counters as plain data, for JSON."""
        data = asdict(self)
        del data["started"], data["recent"]
        data["fps"] = self.fps
        data["peak_memory_bytes"] = peak_memory_bytes()
        return data


def peak_memory_bytes() -> int:
    """Largest resident set of this process so far; 0 where the kernel does not tell.

    From /proc: what getrusage gives includes the parent's pages from before exec.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
