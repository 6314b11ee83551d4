"""Runs the speech lane in a thread of its own, and answers for it when it throws, stalls or dies.

Beside edge.lanes.worker.LaneWorker, which does the same for lanes that look at gaps of frames: a
block of sound may be several tasks for the lane, or none that takes any time, and even the end of
the sound is one that may stall.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from edge.inference.news import heard_by
from edge.lanes.lane import Findings
from edge.lanes.speech import Evidence, SpeechLane, Task
from edge.lanes.worker import MAX_FAILURES, LaneEvent, be_nice
from edge.sound import SoundBlock, SoundSpan
from edge.stats import ENGINE

_log = logging.getLogger(__name__)

QUEUE_S = 10.0
"""Seconds of sound that may wait to be listened to; what more would wait for is late anyway."""
_WAIT_S = 0.05


class SoundWorker:
    """The speech lane, its thread and its queue. Methods may be called from any thread.

    on_findings(lane name, findings) and on_event(event) are called with no lock of this class
    held. A task that throws leaves its sound unjudged. One that is not done within stall_timeout_s
    is left behind in its thread, its sound stays unjudged, and the lane goes on in a new thread
    with fresh engines from `revive`. After MAX_FAILURES of those in a row, or when anything but
    the engines fails, the lane is dead: it is blind from there on.
    """

    def __init__(
        self,
        lane: SpeechLane,
        *,
        on_findings: Callable[[str, Findings], None],
        on_event: Callable[[LaneEvent], None],
        stall_timeout_s: float,
        revive: Callable[[SpeechLane], None] | None = None,
        queue_s: float = QUEUE_S,
        niceness: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """queue_s: seconds of sound that may wait; at least one block may. niceness: of its
        thread."""
        self._niceness = niceness
        self.name = lane.name
        self._lane = lane
        self._on_findings, self._on_event = on_findings, on_event
        self._stall_timeout_s = stall_timeout_s
        self._revive = revive
        self._queue_s = queue_s
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: deque[SoundBlock | None] = deque()
        """None: the signal is lost."""
        self._queued_s = 0.0
        self._lost = False
        """Whether sound was left out since the last block that was queued."""
        self._busy: Task | None = None
        self._busy_since = 0.0
        self._last: Callable[[], Findings] | None = None
        """What to ask the lane when its tasks are done: that was all, or all for now."""
        self._generation = 0
        self._thread: threading.Thread | None = None
        self._failures = 0
        """Stalls in a row: a voice detector that answers does not make up for a recogniser."""
        self._stalled: type[Task] | None = None
        self._ending = False
        self._dead = False
        self._judged_to = -math.inf
        self.tasks = 0
        self.busy_s = 0.0
        self.cpu_s = 0.0

    def start(self) -> None:
        """Start listening."""
        self._spawn()

    def submit(self, block: SoundBlock, give_up: Callable[[], bool]) -> None:
        """Queue sound of a file; waits while the queue is full, unless `give_up` says to stop."""
        with self._changed:
            while self._full and not self._dead:
                if give_up():
                    return
                self._changed.wait(_WAIT_S)
            self._take(block)

    def put(self, block: SoundBlock) -> bool:
        """Queue live sound without waiting. False where it was left out, since the queue is full:
        it stays unjudged."""
        with self._changed:
            if not self._full or self._dead:
                self._take(block)
                return True
            news, self._lost = not self._lost, True
        if news:
            reason = "speech is recognised too slowly"
            self._on_event(LaneEvent(self.name, block.pts, block.end, reason))
        return False

    def pause(self) -> None:
        """The signal is lost: once the queue is done, what is known of its sound is all."""
        with self._changed:
            if not self._dead:
                self._queue.append(None)
                self._changed.notify_all()

    def end(self) -> None:
        """No more sound will come: finish the queue, then publish the last findings."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Drop what is queued and let the thread go. Nothing more is published."""
        with self._changed:
            self._generation += 1
            self._busy = None
            self._clear()

    def join(self, timeout_s: float) -> None:
        """Wait for the task in progress to end, after `stop`; a stuck one is left behind.

        A thread that comes back from native code while the interpreter shuts down ends the whole
        process with SIGABRT.
        """
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def check(self) -> None:
        """Notice a stall. To be called now and then by whoever waits for the lane."""
        with self._changed:
            task = self._busy
            if task is None or self._clock() - self._busy_since < self._stall_timeout_s:
                return
            self._generation += 1  # whatever the old thread says from now on is not heard
            self._busy = self._thread = None
            self._failures += 1
            self._stalled = type(task)
            reason = f"speech recognition did not answer for {self._stall_timeout_s:g} s"
            given_up = self._failures >= MAX_FAILURES or not self._renew()
        if given_up:
            self._die(f"{reason}, {self._failures} times; it was given up")
            return
        try:
            with self._changed:
                findings = self._lane.absorb(task, None)
            self._publish(findings, reason)
        except Exception as error:  # noqa: BLE001 - the lane is blind from here on
            self._fail(error)
            return
        self._spawn()

    def spans(self, start: float, end: float, *, unsure: bool = False) -> list[SoundSpan]:
        """Private stretches that touch start..end (pts); unsure: or may become so."""
        with self._changed:
            return self._lane.spans(start, end, unsure=unsure)

    def forget(self, before: float) -> None:
        """Sound and pictures before this pts have left."""
        with self._changed:
            self._lane.forget(before)

    @property
    def looks(self) -> int:
        """Chunks that were recognised so far."""
        with self._changed:
            return self._lane.looks

    @property
    def found(self) -> int:
        """Private stretches found so far."""
        with self._changed:
            return self._lane.found

    @property
    def backlog_s(self) -> float:
        """Seconds of sound that wait to be listened to."""
        with self._changed:
            return self._queued_s

    @property
    def _full(self) -> bool:
        return self._queued_s > 0 and self._queued_s >= self._queue_s

    def _take(self, block: SoundBlock) -> None:
        if self._dead:
            return
        if self._lost:
            block, self._lost = replace(block, lost=True), False
        self._queue.append(block)
        self._queued_s += block.end - block.pts
        self._changed.notify_all()

    def _clear(self) -> None:
        self._queue.clear()
        self._queued_s = 0.0
        self._changed.notify_all()

    def _renew(self) -> bool:
        """Give the lane fresh engines: the old ones are still busy in the stuck thread."""
        if self._revive is None:
            return False
        try:
            self._revive(self._lane)
        except Exception as error:  # noqa: BLE001 - then the lane is given up: the gate stays shut
            _log.warning("the %s lane could not be rebuilt: %s", self.name, type(error).__name__)
            return False
        return True

    def _spawn(self) -> None:
        # A daemon: a stuck engine must not keep the process from ending.
        self._thread = threading.Thread(
            target=self._run, args=(self._generation,), name=f"lane-{self.name}", daemon=True
        )
        self._thread.start()

    def _run(self, generation: int) -> None:
        be_nice(self._niceness)
        try:
            while self._step(generation):
                pass
        except BaseException as error:  # noqa: BLE001 - the lane is blind from here on
            with self._changed:
                current = generation == self._generation
            if current:
                self._fail(error)

    def _step(self, generation: int) -> bool:
        """Do one task, or find out what comes next. Return False when nothing ever will."""
        findings: Findings | None = None
        with self._changed:
            if generation != self._generation or self._dead:
                return False
            task = self._lane.task()
            last = self._last
            if task is not None:
                self._busy, self._busy_since = task, self._clock()
            elif last is not None:
                self._last = None
                findings = last()
            elif self._queue:
                self._next(self._queue.popleft())
                return True
            elif not self._ending:
                self._changed.wait()
                return True
            else:
                self._lane.close()
                self._last = self._lane.finish
                return True
        if findings is not None:
            # No event: that nothing is known of sound that never came is no news.
            self._publish(findings, None)
            return findings.horizon != math.inf  # which only the end of the sound gives
        assert task is not None
        return self._work(task, generation)

    def _next(self, item: SoundBlock | None) -> None:
        if item is None:
            self._lane.close()
            self._last = self._lane.pause
            return
        self._queued_s = max(0.0, self._queued_s - (item.end - item.pts)) if self._queue else 0.0
        self._changed.notify_all()
        self._lane.enter(item)

    def _work(self, task: Task, generation: int) -> bool:
        begun, cpu = time.perf_counter(), time.thread_time()
        evidence: Evidence | None = None
        reason = ""
        told: list[str] = []
        try:
            with heard_by(told.append):
                evidence = self._lane.look(task)
        except BaseException as error:  # noqa: BLE001
            # Whatever it was (SystemExit would end the thread in silence), this is unjudged. Not
            # even the log is told the message: it may hold what was said.
            reason = f"speech recognition failed: {type(error).__name__}"
            _log.debug("the %s lane could not listen: %s", self.name, type(error).__name__)
        with self._changed:
            if generation != self._generation:
                return False
            self._busy = None
            if type(task) is self._stalled:
                self._failures = 0
            self.tasks += 1
            self.busy_s += time.perf_counter() - begun
            self.cpu_s += time.thread_time() - cpu
            findings = self._lane.absorb(task, evidence)
        self._publish(findings, reason)
        for line in told:
            self._on_event(LaneEvent(ENGINE, findings.horizon, findings.horizon, line))
        return True

    def _publish(self, findings: Findings, reason: str | None) -> None:
        self._judged_to = max(self._judged_to, findings.horizon)
        self._on_findings(self.name, findings)
        if reason is None:
            return
        for start, end in findings.blind:
            why = reason or "sound is missing, or goes on from what could not be judged"
            self._on_event(LaneEvent(self.name, start, end, why))

    def _fail(self, error: BaseException) -> None:
        """Something beside the engines went wrong: what the lane says cannot be trusted."""
        _log.debug("the %s lane died: %s", self.name, type(error).__name__)
        self._die(f"the lane failed: {type(error).__name__}")

    def _die(self, reason: str) -> None:
        """Blind for ever from the horizon on."""
        start = math.nextafter(self._judged_to, math.inf)
        with self._changed:
            self._dead = True
            self._busy = None
            self._generation += 1
            self._clear()
        self._on_findings(self.name, Findings(math.inf, ((start, math.inf),)))
        self._on_event(LaneEvent(self.name, start, math.inf, reason))
