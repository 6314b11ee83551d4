"""Runs a lane in a thread of its own, and answers for it when it throws, stalls or dies."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.detection import FloatArray
from edge.inference.news import heard_by
from edge.lanes.lane import Findings, Gap, Lane
from edge.stats import ENGINE

_log = logging.getLogger(__name__)

QUEUE_GAPS = 4
"""Gaps that may wait to be looked at. A file's reader waits when they are reached."""
_RECENT = 0.3
"""Weight of the newest look in what a look takes of late."""
MAX_FAILURES = 3
"""Stalls in a row after which a lane is given up: every one leaves a thread behind that cannot be
ended."""


@dataclass(frozen=True, slots=True)
class LaneEvent:
    """Something that closed the gate, or hid more than had to be hidden.

    lane: its name, or that of the part of it that failed. `reason` has no private content.
    """

    lane: str
    start: float
    end: float
    reason: str


class LaneWorker:
    """One lane, its thread and its queue. Methods may be called from any thread.

    on_findings(lane name, findings) and on_event(event) are called with no lock of this class
    held. A lane that throws leaves that gap unjudged and goes on. One that does not answer within
    stall_timeout_s is left behind in its thread, the gap stays unjudged, and a lane with fresh
    detectors from `revive` goes on in a new thread. After MAX_FAILURES of those in a row, or when
    anything but the detectors fails, the lane is dead: it is blind from there on.
    """

    def __init__(
        self,
        lane: Lane[Any],
        *,
        on_findings: Callable[[str, Findings], None],
        on_event: Callable[[LaneEvent], None],
        stall_timeout_s: float,
        revive: Callable[[Lane[Any]], None] | None = None,
        looks_per_s: float = math.inf,
        looks_between: bool = True,
        niceness: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """looks_per_s: at most; the scheduler's looks are joined to that. looks_between: whether
        it may look at any frame of a gap, or only at the last one. niceness: of its thread, so that
        looking waits for the frames that leave, and not the other way round."""
        self.name = lane.name
        self.looks_per_s = looks_per_s
        self.looks_between = looks_between
        self._niceness = niceness
        self._lane = lane
        self._on_findings, self._on_event = on_findings, on_event
        self._stall_timeout_s = stall_timeout_s
        self._revive = revive
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: deque[Gap | None] = deque()
        """None: the signal is lost."""
        self._busy: Gap | None = None
        self._busy_since = 0.0
        self._look_s = 0.0
        self._generation = 0
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._ending = False
        self._dead = False
        self._judged_to = float("-inf")
        self.busy_s = 0.0
        self.cpu_s = 0.0
        self.gaps = 0

    def start(self) -> None:
        """Start looking."""
        self._spawn()

    def submit(self, gap: Gap, give_up: Callable[[], bool]) -> None:
        """Queue a gap; waits while the queue is full, unless `give_up` says to stop."""
        with self._changed:
            while len(self._queue) >= QUEUE_GAPS and not self._dead:
                if give_up():
                    return
                self._changed.wait(0.05)
            if not self._dead:
                self._queue.append(gap)
                self._changed.notify_all()

    @property
    def backlog(self) -> int:
        """Gaps that wait or are looked at."""
        with self._changed:
            return len(self._queue) + (self._busy is not None)

    @property
    def look_s(self) -> float:
        """Seconds that a look takes, of late; counts one that takes longer already."""
        with self._changed:
            current = self._clock() - self._busy_since if self._busy is not None else 0.0
            return max(self._look_s, current)

    def put(self, gap: Gap) -> None:
        """Queue a gap without waiting. The caller minds the backlog, except for skipped gaps."""
        with self._changed:
            if not self._dead:
                self._queue.append(gap)
                self._changed.notify_all()

    def pause(self) -> None:
        """The signal is lost: once the queue is done, what is known of its frames is all."""
        with self._changed:
            if not self._dead:
                self._queue.append(None)
                self._changed.notify_all()

    def end(self) -> None:
        """No more gaps will come: finish the queue, then publish the last findings."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Drop what is queued, and what comes, and let the thread go. Nothing more is published."""
        with self._changed:
            self._generation += 1
            self._dead = True
            self._busy = None
            self._queue.clear()
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the look in progress to end, after `stop`; a stuck one is left behind.

        A thread that comes back from native code while the interpreter shuts down ends the whole
        process with SIGABRT.
        """
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def check(self) -> None:
        """Notice a stall. To be called now and then by whoever waits for the lane."""
        with self._changed:
            gap = self._busy
            if gap is None or self._clock() - self._busy_since < self._stall_timeout_s:
                return
            self._generation += 1  # whatever the old thread says from now on is not heard
            self._busy = self._thread = None
            self._failures += 1
            reason = f"the detector did not answer for {self._stall_timeout_s:g} s"
            given_up = self._failures >= MAX_FAILURES or not self._renew()
        if given_up:
            self._die(f"{reason}, {self._failures} times; it was given up")
            return
        try:
            with self._changed:
                findings = self._lane.absorb(gap, None)
            self._publish(findings, reason)
        except Exception as error:  # noqa: BLE001 - the lane is blind from here on
            self._fail(error)
            return
        self._spawn()

    def regions(self, frame_id: int, *, unsure: bool = False) -> tuple[FloatArray, list[int]]:
        """What the lane wants hidden in a frame; unsure: or may want, once it knows more."""
        with self._changed:
            return self._lane.regions(frame_id, unsure=unsure)

    def spared(self, frame_id: int) -> tuple[FloatArray, list[int]]:
        """Things that the lane sees in a frame and leaves visible; only faces may be."""
        with self._changed:
            return self._lane.spared(frame_id)

    def forget(self, before: int) -> None:
        """Frames before this frame_id have left."""
        with self._changed:
            self._lane.forget(before)

    @property
    def looks(self) -> int:
        """Pictures that detectors have seen so far."""
        with self._changed:
            return self._lane.looks

    @property
    def found(self) -> int:
        """Things found so far."""
        with self._changed:
            return self._lane.found

    def _renew(self) -> bool:
        """Give the lane fresh detectors: the old ones are still busy in the stuck thread."""
        if self._revive is None:
            return False
        try:
            self._revive(self._lane)
        except Exception as error:  # noqa: BLE001 - then the lane is given up: the gate stays shut
            _log.warning("the %s lane could not be rebuilt: %s", self.name, error)
            return False
        return True

    def _spawn(self) -> None:
        # A daemon: a stuck detector must not keep the process from ending.
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
        """Look at one gap. Return False when there is nothing left to do."""
        with self._changed:
            while not self._queue and not self._ending and generation == self._generation:
                self._changed.wait()
            if generation != self._generation or self._dead:
                return False
            ended = not self._queue
            gap = None if ended else self._queue.popleft()
            if gap is None:
                findings = self._lane.finish() if ended else self._lane.pause()
            else:
                self._busy, self._busy_since = gap, self._clock()
                self._lane.enter(gap)
            self._changed.notify_all()
        if gap is None:
            # No event: that nothing is known of frames that never came is no news.
            self._judged_to = max(self._judged_to, findings.horizon)
            self._on_findings(self.name, findings)
            return not ended
        begun, cpu = time.perf_counter(), time.thread_time()
        evidence, reason = None, ""
        told: list[str] = []
        try:
            if gap.skipped:
                reason = "the detector is too slow"
            else:
                with heard_by(told.append):
                    evidence = self._lane.look(gap)
        except BaseException as error:  # noqa: BLE001
            # Whatever it was (SystemExit would end the thread in silence), this gap is unjudged.
            # The message may come from a third party, so only its kind is told to the user.
            reason = f"the detector failed: {type(error).__name__}"
            _log.debug("the %s lane could not look", self.name, exc_info=True)
        with self._changed:
            if generation != self._generation:
                return False
            self._busy = None
            self._failures = 0
            self.gaps += 1
            spent = time.perf_counter() - begun
            self.busy_s += spent
            self._look_s += _RECENT * (spent - self._look_s)
            self.cpu_s += time.thread_time() - cpu
            findings = self._lane.absorb(gap, evidence)
        self._publish(findings, reason)
        for line in told:
            self._on_event(LaneEvent(ENGINE, gap.look.pts, gap.look.pts, line))
        return True

    def _publish(self, findings: Findings, reason: str) -> None:
        self._judged_to = max(self._judged_to, findings.horizon)
        self._on_findings(self.name, findings)
        for start, end in findings.blind:
            self._on_event(LaneEvent(self.name, start, end, reason or "no look at both ends"))
        trouble = findings.trouble
        if trouble is not None:
            self._on_event(LaneEvent(trouble.part, findings.firm, findings.firm, trouble.reason))

    def _fail(self, error: BaseException) -> None:
        """Something beside the detectors went wrong: what the lane says cannot be trusted."""
        _log.debug("the %s lane died", self.name, exc_info=error)
        self._die(f"the lane failed: {type(error).__name__}")

    def _die(self, reason: str) -> None:
        """Blind for ever from the horizon on: no later look confirms what was last seen."""
        start = math.nextafter(self._judged_to, math.inf)
        with self._changed:
            self._dead = True
            self._busy = None
            self._generation += 1
            self._queue.clear()
            self._changed.notify_all()
        self._on_findings(self.name, Findings(math.inf, ((start, math.inf),)))
        self._on_event(LaneEvent(self.name, start, math.inf, reason))


def be_nice(niceness: int) -> None:
    """Lower this thread's priority, where the system has one for each thread (Linux does)."""
    if niceness and sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
