"""What one stream has done so far: counters, stage times, masked stretches. No private content."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

MAX_STRETCHES = 1000
"""Stretches that are listed; later ones are only counted, as a stream may run for months."""


_KEPT = 1000
"""Stretches and reasons that are kept, the newest: a live stream runs for months."""


@dataclass(slots=True)
class StageTime:
    """Time one stage has taken: calls, wall seconds, CPU seconds of its own thread."""

    calls: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0


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
    cuts: int = 0
    looks: int = 0
    found: dict[str, int] = field(default_factory=dict)
    pts_out: float = 0.0
    stretches: list[Stretch] = field(default_factory=list)
    """The newest ones."""
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
    started: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        begun, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            spent = self.stages.setdefault(stage, StageTime())
            spent.calls += 1
            spent.seconds += time.perf_counter() - begun
            spent.cpu_s += time.thread_time() - cpu

    def count_masked(self, pts: float, lanes: tuple[str, ...]) -> None:
        """Note a frame that left masked whole; neighbours become one stretch.

        Stretches beyond MAX_STRETCHES are not listed.
        """
        self.frames_masked += 1
        last = self.stretches[-1] if self.stretches else None
        if last and last.lanes == lanes and last.end == self.pts_out:
            last.end = pts
            last.frames += 1
        elif len(self.stretches) < MAX_STRETCHES:
            self.stretches.append(Stretch(pts, pts, 1, lanes))
            del self.stretches[:-_KEPT]

    def count_sound(self, sound: Sound) -> None:
        """Note sound that left."""
        self.spoken_s += sound.spoken_s
        self.muted_s += sound.muted_s

    def note(self, reason: str) -> None:
        """Remember why a gate closed."""
        if reason not in self.reasons:
            self.reasons.append(reason)
            del self.reasons[:-_KEPT]

    @property
    def fps(self) -> float:
        """Frames out per second of wall time so far."""
        elapsed = self.seconds or time.perf_counter() - self.started
        return self.frames_out / elapsed if elapsed > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return all counters as plain data, for JSON."""
        data = asdict(self)
        del data["started"]
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
