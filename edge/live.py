"""A live stream: constant delay, deadlines, a slate where there is no signal.

Beside pipeline.py, which a file goes through, three things differ. The source never waits: looks
are left out when detectors are slow. Every frame leaves `delay` after it came; one that has not
been judged by then leaves masked. And the outgoing stream never stops: when nothing comes, a slate
goes.

    intake   source → motion → scheduler ─► delay line      reconnects for ever (intake.py)
    lanes    look → track → findings → gate
    writer   (the caller's thread) at its due time: gate → release → sink, else slate
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from edge.allocator import settle_memory
from edge.crew import Crew, WorkerFactory, live_feed
from edge.delay import DelayLine, Judgement
from edge.dump import DUMPED, DumpSwitch
from edge.frame import Frame, Picture
from edge.intake import SOUND_RATE, Connection, Intake, Samples, StopFlag
from edge.lanes.worker import LaneEvent
from edge.listening import ListeningFactory
from edge.recall import fetch, put_away
from edge.redact.audio import mute
from edge.release import Releaser
from edge.schedule import Cadence
from edge.sound import SoundBlock
from edge.stats import REDACTION, Stats

_LINE_SLACK = 1.5
"""Frames that the delay line holds beyond its length at the announced rate: sources burst."""
_LINE_MIN_FRAMES = 32
_GRACE_FRAMES = 3
"""Frames that may be missing before a slate goes out: decoders reorder, networks jitter."""
_TOO_LATE_S = 0.5
"""A frame this long after its due time is dropped, since the encoder cannot keep up: the delay
must not grow."""
_SOUND_BLOCKS = 4096
_WAIT_S = 0.02
_PROMPT_S = 0.05
"""When all has to be hidden at once and the next picture is further off, the slate goes first."""
_GAUGE_S = 0.25
"""How often the horizons are looked at for those who watch over the stream."""


class Sink(Protocol):
    """Takes cleared pictures and sound in stream time."""

    def write_frame(self, picture: Any, pts: float) -> None:
        """Take a picture. Must not wait for a network."""

    def write_sound(self, samples: Samples, pts: float) -> None:
        """Take (2, n) float32 samples at 48 kHz."""

    def dump(self) -> None:
        """Forget what was taken and has not been sent; begin anew with the next picture, mute."""

    def resume(self) -> None:
        """Sound comes again, after `dump`."""


class LivePipeline:
    """Runs one live stream until it is stopped."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        sink: Sink,
        workers: Sequence[WorkerFactory],
        releaser: Releaser,
        *,
        slate: Picture,
        size: tuple[int, int],
        fps: float,
        cadence: Cadence,
        delay_s: float,
        listen: ListeningFactory | None = None,
        mouths: bool = False,
        once: bool = False,
        on_frame: Callable[[Stats], None] | None = None,
        dump: DumpSwitch | None = None,
        outgoing: Callable[[Picture, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        epoch: float | None = None,
    ) -> None:
        """connect: opens the source, raises SourceError. slate: sent while there is no signal.
        listen: None passes sound on unheard. mouths: whether faces may be visible, so that their
        mouths have to be hidden while private words are said.

        once: end with the source instead of connecting again (a file paced in real time).
        dump: while it is on, everything leaves masked and mute. outgoing: shown every picture that
        has left, and its pts; must be quick and must not edit it. epoch: when stream time is 0, by
        the clock; None: now. Where that is past, slates go out before the delay has passed.
        """
        self._sink, self._releaser = sink, releaser
        frames = max(_LINE_MIN_FRAMES, round(delay_s * fps * _LINE_SLACK))
        self._line: DelayLine[Frame] = DelayLine(delay_s, frames)
        self._sound: deque[tuple[float, Samples]] = deque(maxlen=_SOUND_BLOCKS)
        self._slate, self._fps = slate, fps
        self._delay_s, self._once = delay_s, once
        self._on_frame = on_frame
        self._switch = dump or DumpSwitch()
        self._dumping = False
        self._outgoing = outgoing
        self._gauged = float("-inf")
        self._clock = clock
        self._epoch = clock() if epoch is None else epoch
        self._changed = threading.Condition()
        self._crew = Crew(workers, self._changed, feed=live_feed, on_event=self._take_event)
        self._listening = listen(self._changed, self._take_event) if listen else None
        self._mouths = mouths
        self._stopping = StopFlag()
        self._last_out = float("-inf")
        self._slated = False
        self.stats = Stats()
        self._intake = Intake(
            connect, self._crew, self.stats, self._stopping, size=size, cadence=cadence,
            now=self._now, once=once, on_frame=self._enqueue, on_sound=self._take_sound,
            on_loss=self._pause,
        )  # fmt: skip

    def run(self) -> Stats:
        """Run until stopped. Raises what the sink raises."""
        settle_memory()
        self._crew.start()
        if self._listening is not None:
            self._listening.start()
        self._intake.start()
        try:
            while not self._stopping.is_set() and self._write_due():
                pass
        finally:
            self.stop()
            self._crew.stop()
            if self._listening is not None:
                self._listening.worker.stop()
            self.stats.seconds = time.perf_counter() - self.stats.started
            self.stats.looks = self._crew.looks
            with self._changed:
                self._line.clear()  # this object may be kept for longer: it goes with a collection
        if self._intake.failure is not None:
            raise self._intake.failure
        return self.stats

    def change(self, workers: Sequence[WorkerFactory], cadence: Cadence) -> None:
        """Look for other things, or otherwise, from the next frame on. Nothing is masked for it,
        and the lanes of now judge until the new ones do. From any thread."""
        self._intake.change(workers, cadence)

    def change_releaser(self, releaser: Releaser) -> None:
        """Hide things another way from the next frame that leaves on. From any thread."""
        self._releaser = releaser

    def stop(self) -> None:
        """End soon. What has not left by now never will. May be called from a signal handler."""
        self._stopping.set()

    def _now(self) -> float:
        return self._clock() - self._epoch

    # -- intake ------------------------------------------------------------------------------

    def _take_sound(self, blocks: Sequence[tuple[float, Samples]]) -> None:
        if self._listening is not None:
            for pts, samples in blocks:
                self._listening.take_live(SoundBlock(pts, samples, SOUND_RATE))
            return
        with self._changed:
            self._sound.extend(blocks)

    def _enqueue(self, frame: Frame) -> None:
        dropped = None
        with self._changed:
            if len(self._line) >= self._line.max_items:
                dropped = self._line.pop().kept
                self.stats.frames_dropped += 1
            self._line.append(put_away(frame))
            self._changed.notify_all()
        if dropped is not None:
            dropped.drop()
        self._crew.poke()

    def _pause(self) -> None:
        """A connection has ended: what it would have shown next is not waited for."""
        self._crew.pause()
        if self._listening is not None:
            self._listening.pause()

    # -- lanes -------------------------------------------------------------------------------

    def _take_event(self, event: LaneEvent) -> None:
        self.stats.count_failure(event.lane)
        self.stats.note(f"{event.lane}: {event.reason}")

    # -- writer ------------------------------------------------------------------------------

    def _write_due(self) -> bool:
        """Send what is due, or wait a little. Return False when all has been sent."""
        now = self._now()
        on_air = now - self._delay_s  # the stream time that is sent now
        pressed = self._follow_switch()
        with self._changed:
            self._gauge(now)
            frame = self._line.oldest()
            due = frame is not None and frame.pts <= on_air
            if due:
                frame = self._line.pop()
                judgement = self._crew.judge(frame.pts, overdue=True)
                mouths = self._mouths and self._lips_are_private(frame.pts)
        if due and frame is not None:
            self._send_sound(on_air)
            self._send(frame, judgement, mouths, on_air)
        elif frame is None and self._intake.ended and self._once:
            return False
        elif pressed and on_air > 0 and (frame is None or frame.pts - on_air > _PROMPT_S):
            self._send_slate(on_air)
        elif on_air > 0 and on_air - self._last_out >= self._patience_s:
            self._send_sound(on_air)
            self._send_slate(on_air)
        elif frame is None or frame.kept is None or not frame.kept.prepare():
            next_due = frame.pts - on_air if frame is not None else _WAIT_S
            self._stopping.wait(max(0.001, min(_WAIT_S, next_due)))
        self._crew.check()
        if self._listening is not None:
            self._listening.worker.check()
        return True

    def _send(self, frame: Frame, judgement: Judgement, mouths: bool, on_air: float) -> None:
        stats = self.stats
        if on_air - frame.pts > _TOO_LATE_S:
            stats.frames_dropped += 1
            if frame.kept is not None:
                frame.kept.drop()
            self._crew.leave(frame.pts, frame.frame_id)
            if self._listening is not None:
                self._listening.leave(frame.pts)
            # Where every frame is too late, the stream has to be kept alive by something.
            if on_air - self._last_out >= self._patience_s:
                self._send_slate(on_air)
            return
        if frame.kept is not None:
            with stats.timed("decode again"):
                frame, judgement = fetch(frame, judgement, stats.note)
        if self._switch.on:
            judgement = DUMPED
        boxes, tracks = self._crew.regions(frame.frame_id, unsure=judgement.hurried)
        if mouths:
            boxes, tracks = self._crew.with_mouths(frame.frame_id, boxes, tracks)
        with stats.timed("redact"):
            cleared = self._releaser.clear(frame, judgement, boxes, tracks)
        for trouble in cleared.troubles:
            self._take_event(LaneEvent(REDACTION, frame.pts, frame.pts, trouble))
        with stats.timed("encode"):
            self._sink.write_frame(cleared.picture, frame.pts)
        if self._outgoing is not None:
            self._outgoing(cleared.picture, frame.pts)
        if cleared.masked:
            stats.count_masked(frame.pts, judgement.lanes or (REDACTION,))
        stats.frames_out += 1
        stats.regions += cleared.regions
        stats.frames_with_regions += bool(cleared.regions)
        self._sent(frame.pts)
        self._crew.leave(frame.pts, frame.frame_id)
        if self._listening is not None:
            self._listening.leave(frame.pts)

    def _send_slate(self, on_air: float) -> None:
        """Fill the time since the last picture with the slate, up to now."""
        self._sink.write_frame(self._slate, on_air)
        if self._outgoing is not None:
            self._outgoing(self._slate, on_air)
        self.stats.slates += 1
        self._sent(on_air)
        if self._listening is not None:
            self._listening.leave(on_air)
        self._slated = True

    @property
    def _patience_s(self) -> float:
        """How long nothing may go out: some frames at first, one while the slate is shown."""
        return (1 if self._slated else _GRACE_FRAMES) / self._fps

    def _sent(self, pts: float) -> None:
        self._slated = False
        self._last_out = self.stats.pts_out = pts
        self.stats.found = self._crew.found
        if self._listening is not None:
            self.stats.found[self._listening.worker.name] = self._listening.worker.found
        if self._on_frame is not None:
            self._on_frame(self.stats)

    def _lips_are_private(self, pts: float) -> bool:
        return self._listening is not None and self._listening.mouths(pts, overdue=True) is True

    def _send_sound(self, on_air: float) -> None:
        if self._listening is not None:
            with self._changed:
                cleared = self._listening.due(on_air)
            for one in cleared:
                self._write_sound(one.samples, one.pts)
                self.stats.count_sound(one)
            return
        while True:
            with self._changed:
                if not self._sound or self._sound[0][0] > on_air:
                    return
                pts, samples = self._sound.popleft()
            self._write_sound(samples, pts)

    def _write_sound(self, samples: Samples, pts: float) -> None:
        self._sink.write_sound(mute(samples) if self._switch.on else samples, pts)

    # -- what others see and press -----------------------------------------------------------

    def _follow_switch(self) -> bool:
        """Take note of the dump switch; return whether it was pressed since the last look."""
        before, self._dumping = self._dumping, self._switch.on
        pressed = self._dumping and not before
        if pressed:
            self._sink.dump()
        elif before and not self._dumping:
            self._sink.resume()
        return pressed

    def _gauge(self, now: float) -> None:
        """Note how far the lanes are behind; the caller holds `changed`."""
        if now - self._gauged >= _GAUGE_S:
            self._gauged = now
            horizons = self._crew.horizons()
            # One that has judged nothing yet is behind by all that there was.
            self.stats.lags = {name: now - max(at, 0.0) for name, at in horizons.items()}
            self.stats.waiting = len(self._line)
