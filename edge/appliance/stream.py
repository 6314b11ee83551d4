"""One stream of the service: started, watched, started again, for as long as the service lives."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from edge.appliance.journal import event, place_of
from edge.appliance.outgoing import Outgoing
from edge.appliance.service_config import StreamSpec
from edge.appliance.totals import Totals
from edge.appliance.watchdog import Pulse
from edge.clockwork import Backoff
from edge.dump import PANIC, DumpSwitch
from edge.errors import PrivaedgeError
from edge.lane_models import LaneModels
from edge.live_runner import LiveOptions, LiveRun, changes_in_place
from edge.stats import RECOGNISER, Stats

_log = logging.getLogger(__name__)

CONNECT_S: Final = 45.0
"""One attempt to connect takes 25 s at worst: two steps of 5 s, 12 s for a keyframe, the pause."""
_BEGIN_S: Final = 15.0
"""The first picture leaves this long after the delay at the latest."""
SEND_S: Final = 5.0
"""Pictures or slates leave all the time; but when a run fails, its outputs get 4 s to end in."""
_PAUSE_S: Final = 30.0
"""Ending one run (its outputs get 4 s) and pausing before the next."""
_HEALTHY_S: Final = 30.0
"""A run that lasted this long was no failed attempt."""
_SLATES: Final = 5
"""Slates in a row from which the signal counts as lost: single ones fill in for late frames."""
_REPORT_S: Final = 60.0
_RECOVERED_S: Final = 10.0
"""Without a failure for this long the recogniser works again: several looks."""
_PREDECESSOR_S: Final = 8.0
"""Streams before this one end within 5 s; one that is stuck must not be waited for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: a stream's configuration, and the models that it needs, loaded."""

    spec: StreamSpec
    models: LaneModels
    people: tuple[int, ...] | None = None
    """State of the file of enrolled people when they were loaded; None: nobody may be visible."""

    def follows(self, before: Plan) -> bool:
        """Whether a run of the plan before can go on with this one."""
        same = replace(self.spec, settings=before.spec.settings) == before.spec
        same = same and self.models.deaf == before.models.deaf
        return same and changes_in_place(before.spec.settings, self.spec.settings)


class Stream:
    """Runs a plan in a thread of its own until stopped, and a new one when it changes.

    Whatever ends a run, another one follows, after a pause that grows. Each run has lanes of its
    own that have judged nothing yet, so none begins with an open gate.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        after: Sequence[Stream] = (),
        dump: DumpSwitch | None = None,
    ) -> None:
        """after: streams that are on their way out and may hold the same camera or outputs.
        dump: while it is on, everything leaves masked and mute."""
        self.name = plan.spec.name
        self.pulse = Pulse()
        self.state = "starting"
        """For people, in a few words, without secrets."""
        self.began = False
        """Whether it has been on air, or waits for its source: booting is over either way."""
        self.runs = 0
        self.recogniser_fails = False
        """Whether enrolled people are hidden now, since nobody can tell who they are."""
        self.totals = Totals()
        """What the runs that have ended did, all together."""
        self.outgoing = Outgoing()
        """What has left, for those who watch."""
        self._dump = dump
        self._plan = plan
        self._after = tuple(after)
        self._lock = threading.Lock()
        self._run: LiveRun | None = None
        self._executing = False
        self._stopping = self._ending = False
        self._wake = threading.Event()
        self._thread = threading.Thread(
            target=self._supervise, name=f"stream-{self.name}", daemon=True
        )

    @property
    def plan(self) -> Plan:
        """What it runs, or will run next."""
        return self._plan

    @property
    def run(self) -> LiveRun | None:
        """What runs now. To be looked at only."""
        return self._run

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    @property
    def draining(self) -> bool:
        """Whether something that was encoded is still to be sent."""
        run = self._run
        return self.alive and (self._executing or (run is not None and run.sink is not None))

    def start(self) -> None:
        """Begin."""
        self.pulse.expect(_PAUSE_S)
        self._thread.start()

    def change(self, plan: Plan) -> bool:
        """Go on with this plan; return whether that went without ending the run."""
        with self._lock:
            before, self._plan = self._plan, plan
            if self._run is not None and plan.follows(before):
                self._run.change(plan.spec.settings, plan.models)
                return True
            self._end_run()
            return False

    def stop(self) -> None:
        """End soon, for good."""
        with self._lock:
            self._stopping = True
            self._end_run()

    def join(self, timeout_s: float) -> None:
        """Wait for the end, after `stop`."""
        self._thread.join(timeout_s)

    def _end_run(self) -> None:
        self.pulse.expect(_PAUSE_S)
        self._ending = True
        if self._run is not None:
            self._run.stop()
        self._wake.set()

    # -- in its own thread -------------------------------------------------------------------

    def _supervise(self) -> None:
        patience = time.monotonic() + _PREDECESSOR_S
        for other in self._after:
            other.join(max(0.0, patience - time.monotonic()))
        self._after = ()
        backoff = Backoff()
        while not self._stopping:
            began = time.monotonic()
            plan, trouble = self._plan, "the stream ended"
            try:
                if self._perform(plan):
                    continue
            except PrivaedgeError as error:
                trouble = str(error)
            except Exception as error:  # noqa: BLE001 - no fault of one run may end the stream
                trouble = place_of(error)
            self.pulse.expect(_PAUSE_S)
            if time.monotonic() - began > _HEALTHY_S:
                backoff.reset()
            # Others must not wait for a stream whose trouble no restart of the process would mend.
            self.began = True
            self.state = f"restarting: {trouble}"
            event(_log, logging.ERROR, "restarting", stream=self.name, because=trouble)
            self._wake.wait(backoff.wait_s(random.random()))  # noqa: S311 - no secret
        self.pulse.rest()
        self.state = "stopped"

    def _perform(self, plan: Plan) -> bool:
        """Run a plan. Return whether its end was asked for."""
        spec = plan.spec
        reporter = _Reporter(spec, self)
        run = LiveRun(
            spec.settings,
            spec.source,
            spec.outputs,
            plan.models,
            options=LiveOptions(loop=True, rtsp_udp=spec.rtsp_udp, audio=spec.audio),
            on_frame=reporter.sent,
            dump=self._dump,
            outgoing=self.outgoing.take,
        )
        with self._lock:
            self._wake.clear()
            if self._stopping or self._plan is not plan:
                return True
            self._run, self._ending = run, False
        self.runs += 1
        try:
            self.pulse.expect(CONNECT_S)
            self.state = "connecting"
            info = run.connect(self._waiting)
            if info is not None and not self._over:
                event(
                    _log,
                    logging.INFO,
                    "connected",
                    stream=spec.name,
                    source=spec.source,
                    size=f"{info.width}x{info.height}",
                    fps=float(info.fps),
                    codec=info.codec,
                    lanes=plan.models,
                    outputs=",".join(map(str, spec.outputs)),
                )
                for note in plan.models.notes:
                    event(_log, logging.WARNING, "note", stream=spec.name, says=note)
                self.pulse.expect(spec.settings.delay_s + _BEGIN_S)
                self._executing = True
                stats = run.execute()
                reporter.report(stats)
            return self._over
        finally:
            self._executing = False
            self.pulse.expect(_PAUSE_S)
            done = run.stats
            with self._lock:
                self._run = None
                if done is not None:
                    self.totals = self.totals.plus(done)
            run.close()

    @property
    def _over(self) -> bool:
        """Whether the end of this run was asked for."""
        return self._stopping or self._ending

    def _waiting(self, why: str) -> None:
        """Note a failed attempt to connect; the next one follows."""
        self.pulse.beat()
        self.began = True
        self.state = f"waiting: {why}"
        event(_log, logging.WARNING, "no-source", stream=self.name, because=why)


class _Reporter:
    """Turns what a run counts into progress and into events, in the thread that sends."""

    def __init__(self, spec: StreamSpec, stream: Stream) -> None:
        self._spec, self._stream = spec, stream
        self._state = ""
        self._slates = self._masked = self._in_a_row = self._unrecognised = 0
        self._reported = time.monotonic()
        self._failed_at = -math.inf
        stream.recogniser_fails = False

    def sent(self, stats: Stats) -> None:
        """Take note of a frame or slate that left."""
        self._stream.pulse.expect(SEND_S)
        self._stream.began = True
        self._in_a_row = self._in_a_row + 1 if stats.slates > self._slates else 0
        state = "on air"
        if self._in_a_row:
            state = "no signal" if self._in_a_row >= _SLATES else self._state
        elif stats.frames_masked > self._masked:
            state = "masked"
        self._slates, self._masked = stats.slates, stats.frames_masked
        self._mind_recogniser(stats.failures.get(RECOGNISER, 0))
        if state != self._state:
            self._turn(state, stats)
        if time.monotonic() - self._reported >= _REPORT_S:
            self.report(stats)

    def _mind_recogniser(self, failures: int) -> None:
        """Tell that enrolled people are hidden, and when that is over."""
        stream, now = self._stream, time.monotonic()
        if failures > self._unrecognised:
            self._unrecognised = failures
            self._failed_at = now
            if not stream.recogniser_fails:
                stream.recogniser_fails = True
                event(_log, logging.WARNING, "recogniser-fails", stream=self._spec.name)
        elif stream.recogniser_fails and now - self._failed_at > _RECOVERED_S:
            stream.recogniser_fails = False
            event(_log, logging.INFO, "recogniser-works", stream=self._spec.name)

    def report(self, stats: Stats) -> None:
        """Write the counters."""
        self._reported = time.monotonic()
        event(
            _log,
            logging.INFO,
            "figures",
            stream=self._spec.name,
            seconds=round(stats.pts_out),
            frames=stats.frames_out,
            masked=stats.frames_masked,
            dropped=stats.frames_dropped,
            slates=stats.slates,
            connections=stats.connections,
            hidden=sum(stats.found.values()),
            recogniser_failures=stats.failures.get(RECOGNISER),
            drift_ppm=round(stats.drift_ppm),
            sound_jumps=stats.sound_jumps,
        )

    def _turn(self, state: str, stats: Stats) -> None:
        self._state = self._stream.state = state
        good = state == "on air"
        lost = state == "no signal"
        reasons = [one for one in stats.reasons[-50:] if one.startswith("source: ") == lost]
        because = None if good or not reasons else reasons[-1]
        if state == "masked" and stats.recent and PANIC in stats.recent[-1].lanes:
            because = PANIC
        event(
            _log,
            logging.INFO if good else logging.WARNING,
            state.replace(" ", "-"),
            stream=self._spec.name,
            because=because,
        )
