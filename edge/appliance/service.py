"""The service: boots all streams, watches over them, follows its configuration, ends in time."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from edge.appliance.changes import Candidate
from edge.appliance.journal import Secrets, event, place_of
from edge.appliance.office import Office
from edge.appliance.service_config import ServiceConfig, StreamSpec, load_service_config
from edge.appliance.state import state_folder
from edge.appliance.stream import Plan, Stream
from edge.appliance.watchdog import Notifier, Watchdog
from edge.config import Settings
from edge.errors import ExitCode, PrivaedgeError
from edge.lane_models import LaneModels, load_lane_models
from edge.people_store import PeopleStore

_log = logging.getLogger(__name__)

_TICK_S: Final = 0.1
_POLL_S: Final = 1.0
"""How often files are looked at for changes."""
_STATUS_S: Final = 2.0
_DRAIN_S: Final = 4.6
"""Of the 5 s that ending may take; outputs get 4 s of them."""
_BOOT_EXTENSION_S: Final = 30.0
"""What systemd is asked for while a model is being fetched, again and again."""

_Fingerprint = frozenset[tuple[Path, int, int, int]]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A configuration that was read and whose models are loaded: nothing in it can fail now."""

    config: ServiceConfig
    plans: dict[str, Plan]
    candidate: Candidate | None = None
    """The operators' change that it came from."""


class _Preparation:
    """Reads a configuration and loads its models in a thread, while streams go on.

    A model may have to be fetched, which takes minutes.
    """

    def __init__(
        self,
        read: Callable[[], ServiceConfig],
        running: Mapping[str, Plan],
        on_fetch: Callable[[], None],
        *,
        candidate: Candidate | None = None,
        commit: Callable[[Candidate], None] = lambda _: None,
    ) -> None:
        """commit: keeps the candidate once it is certain that it can run."""
        self.candidate, self._commit = candidate, commit
        self.result: _Prepared | None = None
        self.error: Exception | None = None
        self.done = False
        self._read, self._running, self._on_fetch = read, dict(running), on_fetch
        threading.Thread(target=self._prepare, name="preparation", daemon=True).start()

    def _prepare(self) -> None:
        try:
            config = self._read()
            plans = {name: self._plan(spec) for name, spec in config.streams.items()}
            if self.candidate is not None:
                self._commit(self.candidate)
            self.result = _Prepared(config, plans, self.candidate)
        except Exception as error:  # noqa: BLE001 - told by the service's thread
            self.error = error
        finally:
            self.done = True

    def _plan(self, spec: StreamSpec) -> Plan:
        running = self._running.get(spec.name)
        same_people = running is not None and running.people == people_stamp(spec.settings)
        # Who is deaf may find a model by now.
        if running is not None and same_people and not running.models.deaf:
            if running.spec == spec:
                return running
            if _same_model(running.spec, spec):
                return Plan(spec, running.models, running.people)
        # The stamp before the people: what changes in between is found changed the next time.
        stamp = people_stamp(spec.settings)
        return Plan(spec, self._load(spec), stamp)

    def _load(self, spec: StreamSpec) -> LaneModels:
        return load_lane_models(spec.settings, lambda *_: self._on_fetch(), may_be_deaf=True)


class Service:
    """All streams of one process. `run` returns when a signal ended it."""

    def __init__(
        self,
        config: Path,
        *,
        notifier: Notifier | None = None,
        secrets: Secrets | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """config: the file. secrets: told which texts the log must not show."""
        self._path = config
        self._environ = environ
        self._notifier = notifier or Notifier.from_environment(environ)
        self._secrets = secrets or Secrets()
        self.office = Office(
            state_folder(config, environ),
            config,
            self._secrets,
            lambda: self.streams,
            environ,
            reload=self.reload,
        )
        """What operators see and do. Raises ConfigError where what they changed is damaged."""
        self._watchdog = Watchdog(
            self._notifier, lambda: {name: one.pulse for name, one in self.streams.items()}
        )
        self.streams: dict[str, Stream] = {}
        """By name; owned by the thread that runs."""
        self._retired: list[Stream] = []
        self._config: ServiceConfig | None = None
        self._preparation: _Preparation | None = None
        self._fingerprint: _Fingerprint = frozenset()
        self._polled = self._told = float("-inf")
        self._ready = False
        self._refused = ""
        self._frozen: frozenset[str] = frozenset()
        # Plain flags, since a handler that takes a lock can meet its own thread holding it.
        self._stop_asked = False
        self._reload_asked = False

    def run(self) -> ExitCode:
        """Run until stopped. Raises PrivaedgeError where what there is at boot cannot work."""
        try:
            self._prepare()
            while not self._stop_asked:
                self._tick()
                time.sleep(_TICK_S)
            self._notifier.stopping()
            event(_log, logging.INFO, "stopping", streams=len(self.streams))
        finally:
            drained = self._drain()
            self.office.close()
            self._notifier.close()
        event(_log, logging.INFO, "stopped", drained=drained)
        return ExitCode.OK

    def stop(self) -> None:
        """End soon. May be called from a signal handler or another thread."""
        self._stop_asked = True

    def reload(self) -> None:
        """Read the configuration again. May be called from a signal handler or another thread."""
        self._reload_asked = True

    def handle_signals(self) -> None:
        """Let SIGTERM and SIGINT end it, and SIGHUP reload. Main thread only."""

        def handle(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGHUP:
                self.reload()
            else:
                self.stop()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, handle)

    # -- one turn ----------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._preparation is not None and self._preparation.done:
            self._conclude(self._preparation)
        now = time.monotonic()
        if now - self._polled >= _POLL_S:
            self._polled = now
            if self._preparation is None and self._fingerprint != self._look():
                self._reload_asked = True
        if self._reload_asked and self._preparation is None:
            self._reload_asked = False
            event(_log, logging.INFO, "reloading", config=self._path)
            if self._ready:
                self._notifier.reloading()
            self._prepare()
        self._retired = [stream for stream in self._retired if stream.alive]
        self._tell(now)
        self.office.tick(frozen=self._frozen, ready=self._ready, refused=self._refused or None)

    def _prepare(self) -> None:
        self._fingerprint = self._look()
        changes = self.office.changes
        candidate = changes.candidate
        overlay = changes.overlay_for(candidate)
        self._preparation = _Preparation(
            lambda: load_service_config(self._path, self._environ, overlay),
            {name: stream.plan for name, stream in self.streams.items()},
            lambda: self._notifier.extend(_BOOT_EXTENSION_S),
            candidate=candidate,
            commit=changes.commit,
        )

    def _look(self) -> _Fingerprint:
        """What the files are like that the configuration was read from."""
        files = {self._path} if self._config is None else {self._path, *self._config.files}
        if any(stream.plan.people is not None for stream in self.streams.values()):
            files.add(PeopleStore().path)  # whoever is removed must not stay visible
        found = set()
        for path in files:
            try:
                stat = path.stat()
                found.add((path, stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                found.add((path, 0, 0, 0))
        return frozenset(found)

    def _conclude(self, preparation: _Preparation) -> None:
        self._preparation = None
        if preparation.result is not None:
            self._apply(preparation.result)
            self._refused = ""
            if preparation.candidate is not None:
                self.office.changes.settle(preparation.candidate, None)
        else:
            error = preparation.error
            assert error is not None
            if self._config is None:
                raise error
            refused = str(error) if isinstance(error, PrivaedgeError) else place_of(error)
            event(_log, logging.WARNING, "config-refused", because=refused, running="unchanged")
            if preparation.candidate is None:
                self._refused = refused
            else:
                self.office.changes.settle(preparation.candidate, refused)
        if self._ready:
            self._notifier.ready()  # ends RELOADING=1

    def _apply(self, prepared: _Prepared) -> None:
        """Let what changed restart, or go over to it while it runs, and nothing else."""
        before, after = self.streams, prepared.plans
        known = prepared.config.secrets | (self._config.secrets if self._config else frozenset())
        self._secrets.know(known)  # old ones may still be in a message on its way
        self._config = prepared.config
        self.office.follow(prepared.config)
        self._fingerprint = self._fingerprint_after(prepared.config)
        removed = [before[name] for name in before.keys() - after.keys()]
        changed = [n for n in before.keys() & after.keys() if before[n].plan != after[n]]
        for stream in removed:
            stream.stop()
        self._retired += removed
        in_place = [name for name in changed if before[name].change(after[name])]
        streams = {}
        for name, plan in after.items():
            streams[name] = before.get(name) or Stream(
                plan, after=self._retired, dump=self.office.desk.panic.switch
            )
        added = [name for name in streams if name not in before]
        self.streams = streams
        for name in added:
            streams[name].start()
        event(
            _log,
            logging.INFO,
            "config-taken",
            streams=len(streams),
            added=",".join(added) or None,
            changed=",".join(sorted(set(changed) - set(in_place))) or None,
            adjusted=",".join(sorted(in_place)) or None,
            removed=",".join(stream.name for stream in removed) or None,
        )

    def _fingerprint_after(self, config: ServiceConfig) -> _Fingerprint:
        """Take in files of secrets that were not watched before; keep the others as first seen."""
        seen = {entry[0]: entry for entry in self._fingerprint}
        return frozenset(seen.get(entry[0], entry) for entry in self._look())

    # -- what others are told ----------------------------------------------------------------

    def _tell(self, now: float) -> None:
        if not self._ready and self.streams and all(one.began for one in self.streams.values()):
            self._ready = True
            self._notifier.ready()
            event(_log, logging.INFO, "ready", streams=len(self.streams))
        frozen = frozenset(self._watchdog.tick())
        for name in frozen - self._frozen:
            event(_log, logging.ERROR, "frozen", stream=name, state=self.streams[name].state)
        self._frozen = frozen
        if now - self._told >= _STATUS_S:
            self._told = now
            self._notifier.status(self._secrets.hide(self.status))

    @property
    def status(self) -> str:
        """How all streams are, in one line."""
        parts = [
            f"{name}: {'frozen' if name in self._frozen else stream.state}"
            f"{', the face recogniser fails' if stream.recogniser_fails else ''}"
            for name, stream in self.streams.items()
        ]
        if not parts:
            parts.append("reading the configuration, loading models")
        if self._refused:
            parts.insert(0, f"new configuration refused: {self._refused}")
        return "; ".join(parts)

    # -- the end -----------------------------------------------------------------------------

    def _drain(self) -> bool:
        """Stop all streams and wait while they send what they have. Never takes 5 s."""
        deadline = time.monotonic() + _DRAIN_S
        leaving = [*self.streams.values(), *self._retired]
        for stream in leaving:
            stream.stop()
        while any(stream.draining for stream in leaving) and time.monotonic() < deadline:
            time.sleep(0.02)
        return not any(stream.draining for stream in leaving)


def _same_model(a: StreamSpec, b: StreamSpec) -> bool:
    """Whether a model loaded for one is what would be loaded for the other."""
    return _of_models(a.settings) == _of_models(b.settings)


def _of_models(settings: Settings) -> tuple[object, ...]:
    """The settings that decide which models are loaded, and what they are told."""
    video = settings.video
    return video.models, video.whitelist, settings.audio, settings.models, settings.runtime


def people_stamp(settings: Settings) -> tuple[int, ...] | None:
    """What the file of enrolled people is like; None where nobody may stay visible."""
    if not settings.video.whitelist.enabled:
        return None
    try:
        stat = PeopleStore().path.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
