"""The incoming side of a live stream: connects for ever, puts time right, hands on what came."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.allocator import free_cycles, return_free_memory
from edge.analysis import Analyst
from edge.clockwork import Backoff, Timeline
from edge.crew import Crew, WorkerFactory
from edge.errors import SourceError
from edge.frame import Frame
from edge.schedule import Cadence
from edge.sound_sync import SoundSync
from edge.stats import Stats

_log = logging.getLogger(__name__)

Samples = NDArray[np.float32]

SOUND_RATE = 48_000
"""Hz, of all sound of a live stream."""
_TRIM_S = 60.0
"""How often free memory is given back."""
_NAP_S = 0.05


class Connection(Protocol):
    """One connection to a live source."""

    @property
    def fps(self) -> float:
        """Announced frame rate."""

    def read(self) -> Iterator[Frame | tuple[float, Samples]]:
        """Yield frames of the output's size, and sound as (pts, (2, n) float32 at 48 kHz).

        Both with pts from this connection's start. Ends, or raises SourceError, on loss.
        """

    def close(self) -> None:
        """End it, also from another thread."""


class StopFlag:
    """Asked for in a signal handler, where an Event may not be set: its lock may be held there."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Ask for the end."""
        self._set = True

    def is_set(self) -> bool:
        """Whether the end was asked for."""
        return self._set

    def wait(self, seconds: float) -> None:
        """Sleep, in naps, until then or until the end is asked for."""
        until = time.monotonic() + seconds
        while not self._set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _NAP_S))


class Intake:
    """Reads a source that may come and go, in a thread of its own."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        crew: Crew,
        stats: Stats,
        stopping: StopFlag,
        *,
        size: tuple[int, int],
        cadence: Cadence,
        now: Callable[[], float],
        once: bool,
        on_frame: Callable[[Frame], None],
        on_sound: Callable[[Sequence[tuple[float, Samples]]], None],
        on_loss: Callable[[], None],
    ) -> None:
        """connect: opens the source, raises SourceError. stopping: ends it, and is set when it
        fails. now: stream time in seconds. once: end with the source instead of connecting again.

        on_frame and on_sound are called in stream time and in order, on_loss whenever a connection
        has ended.
        """
        self._connect, self._crew, self._stats, self._stopping = connect, crew, stats, stopping
        self._size, self._cadence, self._now, self._once = size, cadence, now, once
        self._on_frame, self._on_sound, self._on_loss = on_frame, on_sound, on_loss
        self._timeline = Timeline()
        self._sync = SoundSync(SOUND_RATE)
        self._change: tuple[Sequence[WorkerFactory], Cadence] | None = None
        self._next_id = 0
        self._trimmed = 0.0
        self.ended = False
        """Whether nothing more will come."""
        self.failure: BaseException | None = None
        """What ended it, other than the source's end."""

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="intake", daemon=True).start()

    def change(self, workers: Sequence[WorkerFactory], cadence: Cadence) -> None:
        """Let other lanes begin with the next frame. From any thread."""
        self._change = (workers, cadence)

    def _run(self) -> None:
        backoff = Backoff()
        try:
            while not self._stopping.is_set():
                try:
                    self._follow(backoff)
                    reason = "the stream ended"
                except SourceError as error:
                    reason = str(error)
                if self._once or self._stopping.is_set():
                    break
                self._stats.note(f"source: {reason}")
                _log.warning("no signal: %s", reason)
                self._stopping.wait(backoff.wait_s(random.random()))  # noqa: S311 - no secret
        except BaseException as error:  # noqa: BLE001 - handed to the writer's thread
            self.failure = error
            self._stopping.set()
        finally:
            self.ended = True

    def _follow(self, backoff: Backoff) -> None:
        """Connect, and take frames until the connection is lost."""
        connection = self._connect()
        self._stats.connections += 1
        self._timeline.restart()
        analyst = Analyst(
            self._cadence, self._size, self._stats, enqueue=self._on_frame, submit=self._crew.take
        )
        try:
            for item in connection.read():
                if self._stopping.is_set():
                    return
                if isinstance(item, Frame):
                    backoff.reset()
                    self._take_frame(item, analyst, connection.fps)
                elif (placed := self._timeline.sound(item[0])) is not None:
                    self._on_sound(self._sync.take(placed, item[1]))
                    self._stats.sound_shift_s = self._sync.shift_s
                    self._stats.sound_jumps = self._sync.jumps
        finally:
            connection.close()
            free_cycles()
            self._on_sound(self._sync.restart())
            analyst.flush(last=True)
            self._on_loss()

    def _take_frame(self, frame: Frame, analyst: Analyst, fps: float) -> None:
        pts = self._timeline.place(frame.pts, self._now(), 1 / fps)
        self._stats.drift_ppm = self._timeline.drift * 1e6
        change, self._change = self._change, None
        if change is not None:
            workers, self._cadence = change
            analyst.change(self._cadence)
            self._crew.replace(workers, pts)
        analyst.take(replace(frame, frame_id=self._next_id, pts=pts))
        self._next_id += 1
        if pts - self._trimmed >= _TRIM_S:
            self._trimmed = pts
            return_free_memory()
