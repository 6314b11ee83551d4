"""One stream from source to sink. READ FIRST.

Three threads, with everything between them bounded:

    reader   source → motion → scheduler ──────────► delay line
                                   │ gaps                │
    lanes    look (detect) → track → findings → gate     │
                                                 │       ▼
    writer   (the caller's thread)               └─► release → sink

Sound goes the same way beside it, where something listens: decoded by the reader, held and judged
by listening.py, written as soon as that lets it go. Where nothing listens it passes as it is.

The reader waits while the delay line is full: a file never drops a frame. The writer takes the
oldest frame when the gate lets it go, and never before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge.analysis import Analyst
from edge.crew import Crew, WorkerFactory, file_feed
from edge.delay import DelayLine, Judgement, Verdict
from edge.detection import FloatArray
from edge.feed import MAX_JOINED_FRAMES
from edge.frame import Frame
from edge.lanes.boxes import MAX_LOOKAHEAD_FRAMES
from edge.lanes.sound_worker import SoundWorker
from edge.lanes.worker import LaneEvent, LaneWorker
from edge.listening import ListeningFactory
from edge.recall import fetch, put_away
from edge.release import Cleared, Releaser
from edge.schedule import Cadence
from edge.sound import Samples, SoundBlock
from edge.sound_gate import ClearedSound
from edge.stats import REDACTION, StageTime, Stats

_log = logging.getLogger(__name__)

MAX_LINE_FRAMES = 2 * MAX_LOOKAHEAD_FRAMES + MAX_JOINED_FRAMES
"""Frames in the delay line at most. A verdict needs the look-ahead and a joined gap, some 60 less,
so it cannot lock up; at 1080p they take 470 MB."""
_WAIT_S = 0.1
"""How often waiting threads look whether something has stalled or ended."""
_LEAVE_S = 2.0
"""How long the end of a run waits for a look in progress: many times what one takes."""
_REFILL_INTERVALS = 0.9
"""Part of a sampling interval that a full line is emptied by before the reader goes on. Waking it
for every frame took 8 % of all CPU time."""
_FORGET_EVERY = 32


class Sound(Protocol):
    """A piece of sound with its place in time."""

    @property
    def pts(self) -> float:
        """Seconds from the source's start."""


class Source(Protocol):
    """Gives out frames and sound in order."""

    def read(self) -> Iterator[Any]:
        """Yield Frame and Sound items; ends with the stream."""


class Sink(Protocol):
    """Takes cleared pictures, and sound."""

    def write_frame(self, picture: Any, ticks: int) -> None:
        """Take the next picture."""

    def write_sound(self, sound: Any) -> None:
        """Take the next piece of sound, as the source gave it."""

    def write_samples(self, samples: Samples, pts: float) -> None:
        """Take the next judged samples, (channels, n) float32, heard from pts on."""


@dataclass(frozen=True, slots=True)
class SoundCheck:
    """How sound is judged. decode: the source's pieces to blocks, None flushes. make: what holds
    and judges them. mouths: whether faces may be visible, so that their mouths have to be hidden
    while private words are said."""

    decode: Callable[[Any | None], list[SoundBlock]]
    make: ListeningFactory
    mouths: bool


@dataclass(frozen=True, slots=True)
class _Released:
    """What may leave: judged sound, and perhaps a frame with the unjudged sound before it."""

    heard: list[ClearedSound]
    frame: Frame | None = None
    judgement: Judgement | None = None
    mouths: bool = False
    sound: list[Sound] = field(default_factory=list)


class Pipeline:
    """Runs one stream once: `run` returns when all that was read has left, cleared."""

    def __init__(
        self,
        source: Source,
        sink: Sink,
        workers: Sequence[WorkerFactory],
        releaser: Releaser,
        *,
        size: tuple[int, int],
        cadence: Cadence,
        delay_s: float,
        max_frames: int = MAX_LINE_FRAMES,
        sound: SoundCheck | None = None,
        on_frame: Callable[[Stats], None] | None = None,
        on_look: Callable[[Frame, FloatArray, Sequence[int]], None] | None = None,
    ) -> None:
        """max_frames: in the delay line at most. sound: None passes sound on unheard. on_frame:
        called after every frame that left. on_look: called with every frame before it is
        redacted, and its boxes; for debugging."""
        self._source, self._sink, self._releaser = source, sink, releaser
        self._abandoned = False
        # The settings leave a sampling interval between what a verdict needs and the delay.
        refill_s = min(delay_s / 8, _REFILL_INTERVALS / cadence.target_fps)
        self._line: DelayLine[Frame] = DelayLine(delay_s, max_frames, refill_s)
        self._sound: deque[Sound] = deque()
        self._on_frame = on_frame
        self._on_look = on_look
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._crew = Crew(
            workers,
            self._changed,
            feed=file_feed(lambda: self._abandoned),
            on_event=self._take_event,
        )
        self._room = threading.Condition(lock)
        self._check = sound
        self._listening = sound.make(self._changed, self._take_event) if sound else None
        self._reading = True
        self._stopping = False
        self._failure: BaseException | None = None
        self.stats = Stats()
        self._analyst = Analyst(
            cadence, size, self.stats, enqueue=self._enqueue, submit=self._crew.take
        )

    def run(self) -> Stats:
        """Run to the end of the source, or until stopped. Raises what the source or sink raise."""
        reader = threading.Thread(target=self._read, name="reader", daemon=True)
        self._crew.start()
        if self._listening is not None:
            self._listening.start()
        reader.start()
        try:
            while (released := self._next()) is not None:
                self._write_samples(released.heard)
                if released.frame is not None:
                    self._write(released)
            if not self._stopping and self._failure is None:
                for item in self._sound:
                    self._sink.write_sound(item)
        finally:
            self.abandon()  # after an error the reader may wait for room in the delay line
            workers: list[LaneWorker | SoundWorker] = [*self._crew.workers]
            if self._listening is not None:
                workers.append(self._listening.worker)
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.join(_LEAVE_S)
            reader.join()
            self._close_books()
        if self._failure is not None:
            raise self._failure
        return self.stats

    def stop(self) -> None:
        """Read no further; what was read still leaves. May be called from a signal handler."""
        self._stopping = True

    def abandon(self) -> None:
        """Stop, and let nothing more leave: what waits for a verdict is dropped."""
        self._stopping = self._abandoned = True

    # -- reader ------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            self._read_all()
        except BaseException as error:  # noqa: BLE001 - handed to the writer's thread
            self._failure = error
        finally:
            self._crew.end()
            if self._listening is not None:
                self._listening.end(lambda: self._abandoned)
            with self._changed:
                self._reading = False
                self._changed.notify_all()

    def _read_all(self) -> None:
        items = iter(self._source.read())
        while True:
            with self.stats.timed("decode"):
                item = next(items, None)
            if item is None or self._stopping:
                break
            if isinstance(item, Frame):
                self._analyst.take(item)
            elif self._check is not None:
                self._listen(item)
            else:
                with self._changed:
                    self._sound.append(item)
        self._analyst.flush(last=True)
        self._listen(None)

    def _listen(self, item: Any | None) -> None:
        """Decode a piece of sound and hand it on; None: that was all."""
        if self._check is None or self._listening is None:
            return
        with self.stats.timed("decode sound"):
            blocks = self._check.decode(item)
        for block in blocks:
            self._listening.take(block, lambda: self._abandoned)

    def _enqueue(self, frame: Frame) -> None:
        with self._changed:
            if self._line.full:
                # Until there is room for several: waking for each costs more than the frame.
                while not (self._line.roomy or self._abandoned):
                    self._room.wait(_WAIT_S)
            if not self._abandoned:
                self._line.append(put_away(frame))
                self._changed.notify()

    # -- lanes -------------------------------------------------------------------------------

    def _take_event(self, event: LaneEvent) -> None:
        self.stats.count_failure(event.lane)
        self.stats.note(f"{event.lane}: {event.reason}")
        _log.debug("%s: blind from %.2f to %.2f s: %s", event.lane, event.start, event.end,
                   event.reason)  # fmt: skip

    # -- writer ------------------------------------------------------------------------------

    def _next(self) -> _Released | None:
        """Wait for what may leave: the oldest frame with the sound before it, or judged sound."""
        listening = self._listening
        while True:
            with self._changed:
                if self._abandoned:
                    return None
                heard = listening.release() if listening is not None else []
                frame = self._line.oldest()
                if frame is not None and (verdict := self._verdict(frame)) is not None:
                    judgement, mouths = verdict
                    self._line.pop()
                    sound = self._sound_until(frame.pts)
                    if self._line.roomy:
                        self._room.notify()
                    return _Released(heard, frame, judgement, mouths, sound)
                if heard:
                    return _Released(heard)
                waiting = listening is not None and listening.waiting
                if frame is None and not self._reading and not waiting:
                    return None
                self._changed.wait(_WAIT_S)
            self._crew.check()
            if listening is not None:
                listening.worker.check()

    def _verdict(self, frame: Frame) -> tuple[Judgement, bool] | None:
        """Return how a frame leaves and whether mouths are hidden in it, or None: it waits."""
        judgement = self._crew.judge(frame.pts)
        if judgement.verdict is Verdict.WAIT:
            return None
        if self._listening is None or self._check is None or not self._check.mouths:
            return judgement, False
        # With the line full no more sound is read: what is said is not going to be known.
        mouths = self._listening.mouths(frame.pts, overdue=self._line.full)
        return None if mouths is None else (judgement, mouths)

    def _sound_until(self, pts: float) -> list[Sound]:
        due = []
        while self._sound and self._sound[0].pts <= pts:
            due.append(self._sound.popleft())
        return due

    def _write_samples(self, heard: Sequence[ClearedSound]) -> None:
        for one in heard:
            with self.stats.timed("encode sound"):
                self._sink.write_samples(one.samples, one.pts)
            self.stats.count_sound(one)

    def _write(self, released: _Released) -> None:
        frame, judgement, stats = released.frame, released.judgement, self.stats
        assert frame is not None
        assert judgement is not None
        if frame.kept is not None:
            with stats.timed("decode again"):
                frame, judgement = fetch(frame, judgement, stats.note)
        boxes, tracks = self._crew.regions(frame.frame_id)
        if released.mouths:
            boxes, tracks = self._crew.with_mouths(frame.frame_id, boxes, tracks)
        if self._on_look is not None:
            self._on_look(frame, boxes, tracks)
        with stats.timed("redact"):
            cleared = self._releaser.clear(frame, judgement, boxes, tracks)
        for trouble in cleared.troubles:
            self._take_event(LaneEvent(REDACTION, frame.pts, frame.pts, trouble))
        with stats.timed("encode"):
            for item in released.sound:
                self._sink.write_sound(item)
            self._sink.write_frame(cleared.picture, cleared.ticks)
        self._count(frame, judgement, cleared)
        if frame.frame_id % _FORGET_EVERY == 0:
            self._crew.leave(frame.pts, frame.frame_id)
            if self._listening is not None:
                self._listening.leave(frame.pts)
        if self._on_frame is not None:
            self._on_frame(stats)

    def _count(self, frame: Frame, judgement: Judgement, cleared: Cleared) -> None:
        stats = self.stats
        if cleared.masked:
            if cleared.broken:
                stats.note("redaction: it failed in a frame")
            stats.count_masked(frame.pts, judgement.lanes or (REDACTION,))
        stats.frames_out += 1
        stats.regions += cleared.regions
        stats.frames_with_regions += bool(cleared.regions)
        stats.pts_out = frame.pts
        stats.found = self._found

    @property
    def _found(self) -> dict[str, int]:
        found = self._crew.found
        if self._listening is not None:
            found[self._listening.worker.name] = self._listening.worker.found
        return found

    def _close_books(self) -> None:
        stats = self.stats
        stats.seconds = time.perf_counter() - stats.started
        for worker in self._crew.workers:
            stats.stages[f"look: {worker.name}"] = StageTime(
                worker.gaps, worker.busy_s, worker.cpu_s
            )
        stats.looks = self._crew.looks
        if self._listening is not None:
            ear = self._listening.worker
            stats.stages[f"listen: {ear.name}"] = StageTime(ear.tasks, ear.busy_s, ear.cpu_s)
        stats.found = self._found
