"""What operators changed of the settings: kept beside the service's file, with history and undo.

A change is checked as a whole configuration, recorded, prepared (models are loaded), written to
the disk and then taken; the service goes through it as it does when its file changes. One that
fails on the way leaves everything as it was.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.appliance.board import lanes_of
from edge.appliance.service_config import Overlay, ServiceConfig, load_service_config
from edge.appliance.state import make_folder, write_whole
from edge.config import Settings
from edge.config_schema import keys
from edge.errors import ConfigError
from edge.live_runner import changes_in_place

_FILE: Final = "changes.json"
_HISTORY: Final = 50
_WAIT_S: Final = 20.0
"""How long a change is waited for; one that has to fetch a model takes longer."""
_FIXED: Final = frozenset({"profile", "models.search_paths"})
"""Keys that only the service's file may state."""
LANE_KEYS: Final = {
    "faces": "video.models.face.enabled",
    "plates": "video.models.plate.enabled",
    "text": "video.models.text.enabled",
    "speech": "audio.enabled",
}
OWN_KEY: Final = "video.models.own"


class Change(BaseModel):
    """One setting of one stream that changed."""

    model_config = ConfigDict(frozen=True)

    stream: str
    key: str = Field(description="Dotted path of the setting.")
    before: Any
    after: Any


class Revision(BaseModel):
    """One change that was made."""

    model_config = ConfigDict(frozen=True)

    revision: int
    at: float = Field(description="Seconds since 1970.")
    by: str
    reason: str | None
    changes: tuple[Change, ...]
    undoes: int | None = Field(default=None, description="The revision that it took back.")


class _Kept(BaseModel):
    """What is written to the disk."""

    revision: int = 0
    overlay: dict[str, dict[str, Any]] = {}
    history: list[Revision] = []
    before: dict[int, dict[str, dict[str, Any]]] = {}
    """By revision, what the overlay was before it."""


class BusyError(Exception):
    """Another change is on its way."""


class RefusedError(Exception):
    """A change cannot be made. str() says why and what to do."""


@dataclass(slots=True)
class Candidate:
    """A change on its way."""

    kept: _Kept
    revision: Revision
    interrupts: tuple[str, ...]
    settled: threading.Event = field(default_factory=threading.Event)
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a change went. applied: False while models are still being loaded for it."""

    revision: int
    changes: tuple[Change, ...]
    interrupts: tuple[str, ...]
    applied: bool


class Changes:
    """The changes of one service. Methods that reach the disk say so."""

    def __init__(
        self,
        folder: Path,
        config: Path,
        environ: Mapping[str, str] = os.environ,
        *,
        record: Callable[[str, dict[str, Any]], None] = lambda _name, _data: None,
    ) -> None:
        """Read what was changed before. Raises ConfigError: a change may have been to hide more.

        record: told of each change before it happens; what it raises keeps it from happening.
        """
        self._path, self._config, self._environ = folder / _FILE, config, environ
        self._record = record
        self._kept = self._read()
        self._candidate: Candidate | None = None
        self._turn = threading.Lock()
        self.on_candidate: Callable[[], None] = lambda: None
        """Called when a change waits to be prepared."""

    # -- the service's side ------------------------------------------------------------------

    @property
    def candidate(self) -> Candidate | None:
        """What is to be prepared next, if anything."""
        return self._candidate

    def overlay_for(self, candidate: Candidate | None) -> Overlay:
        """Return what counts over the file's settings."""
        return (candidate.kept if candidate is not None else self._kept).overlay

    def commit(self, candidate: Candidate) -> None:
        """Keep a change that was prepared. Slow. Raises ConfigError: then it is not made."""
        try:
            make_folder(self._path.parent)
            write_whole(self._path, candidate.kept.model_dump_json().encode())
        except OSError as error:
            raise ConfigError(
                f"the change cannot be written to {self._path}: {error.strerror}. Free some space."
            ) from None
        self._kept = candidate.kept

    def settle(self, candidate: Candidate, refused: str | None) -> None:
        """A change was taken, or could not be."""
        if self._candidate is candidate:
            self._candidate = None
        candidate.refused = refused
        candidate.settled.set()

    # -- the operators' side -----------------------------------------------------------------

    @property
    def revision(self) -> int:
        """Number of the last change."""
        return self._kept.revision

    @property
    def overlay(self) -> Overlay:
        """What was changed and not taken back."""
        return self._kept.overlay

    @property
    def history(self) -> Sequence[Revision]:
        """The last changes, the newest first."""
        return tuple(reversed(self._kept.history))

    @property
    def can_undo(self) -> int | None:
        """The revision that `undo` would take back."""
        undone = {one.undoes for one in self._kept.history}
        for one in reversed(self._kept.history):
            known = one.revision in self._kept.before
            if one.undoes is None and one.revision not in undone and known:
                return one.revision
        return None

    def settings(self) -> dict[str, Settings]:
        """Return the settings of every stream. Reads the disk. Raises ConfigError."""
        config = self._load(self._kept.overlay)
        return {name: spec.settings for name, spec in config.streams.items()}

    def change(
        self,
        values: Mapping[str, Mapping[str, Any]],
        reset: Mapping[str, Sequence[str]],
        by: str,
        reason: str | None,
    ) -> Outcome:
        """Change settings: by stream, values by dotted path; reset: what the file says counts.

        Slow. Raises BusyError, RefusedError, ConfigError, AuditError.
        """
        with self._my_turn():
            overlay = {name: dict(own) for name, own in self._kept.overlay.items()}
            known = set(self._load(self._kept.overlay).streams)
            for name in (*values, *reset):
                if name not in known:
                    raise RefusedError(f"there is no stream {name[:40]!r}. There are "
                                       f"{', '.join(sorted(known))}.")  # fmt: skip
            for name, stated in values.items():
                for key, value in stated.items():
                    _check(key, value)
                    overlay.setdefault(name, {})[key] = value
            for name, gone in reset.items():
                for key in gone:
                    overlay.get(name, {}).pop(key, None)
            return self._propose(overlay, by, reason)

    def switch(
        self, lane: str, on: bool, stream: str | None, by: str, reason: str | None
    ) -> Outcome:
        """Switch a lane of one stream, or of all that have it, on or off.

        Slow. Raises as `change` does.
        """
        with self._my_turn():
            overlay = {name: dict(own) for name, own in self._kept.overlay.items()}
            now = self._load(overlay)
            if stream is not None and stream not in now.streams:
                raise RefusedError(f"there is no stream {stream[:40]!r}.")
            found = False
            for name in now.streams if stream is None else (stream,):
                change = self._switched(lane, on, name, overlay)
                if change is not None:
                    overlay.setdefault(name, {})[change[0]] = change[1]
                    found = True
            if not found:
                raise RefusedError(f"there is no lane {lane[:40]!r} here.")
            return self._propose(overlay, by, reason)

    def undo(self, by: str, reason: str | None) -> Outcome:
        """Take back the last change that was not taken back. Slow. Raises as `change` does."""
        with self._my_turn():
            revision = self.can_undo
            if revision is None:
                raise RefusedError("there is nothing to undo.")
            return self._propose(self._kept.before[revision], by, reason, undoes=revision)

    # -- within --------------------------------------------------------------------------------

    def _switched(self, lane: str, on: bool, name: str, overlay: Overlay) -> tuple[str, Any] | None:
        """Return the key and value that switch a lane; None where the stream has no such lane."""
        if lane in LANE_KEYS:
            return LANE_KEYS[lane], on
        without = {n: {k: v for k, v in own.items() if k != OWN_KEY} for n, own in overlay.items()}
        stated = self._load(without).streams[name].settings.video.models.own
        if lane not in (one.name for one in stated):
            return None
        now = {one.name for one in self._load(overlay).streams[name].settings.video.models.own}
        wanted = now | {lane} if on else now - {lane}
        return OWN_KEY, [one.model_dump(mode="json") for one in stated if one.name in wanted]

    def _propose(
        self,
        overlay: Mapping[str, Mapping[str, Any]],
        by: str,
        reason: str | None,
        undoes: int | None = None,
    ) -> Outcome:
        wanted = {name: dict(own) for name, own in overlay.items() if own}
        before, after = self._load(self._kept.overlay), self._load(wanted)
        changes = tuple(_differences(before, after))
        if not changes and wanted == self._kept.overlay:
            return Outcome(self.revision, (), (), applied=True)
        off = _switched_off(before, after)
        if off and not (reason and reason.strip()):
            raise RefusedError(
                f"this switches {', '.join(off)} off, which needs a reason. Give one."
            )
        interrupts = tuple(
            name
            for name, spec in after.streams.items()
            if name in before.streams
            and not changes_in_place(before.streams[name].settings, spec.settings)
        )
        number = self._kept.revision + 1
        revision = Revision(
            revision=number, at=round(time.time(), 3), by=by,
            reason=reason.strip() if reason else None, changes=changes, undoes=undoes,
        )  # fmt: skip
        # Before it happens: what cannot be recorded is not done.
        self._record("config", {**revision.model_dump(mode="json", exclude={"at"}), "off": off})
        candidate = Candidate(self._kept_with(wanted, revision), revision, interrupts)
        self._candidate = candidate
        self.on_candidate()
        applied = candidate.settled.wait(_WAIT_S)
        if candidate.refused is not None:
            self._record("config-refused", {"revision": number})
            raise RefusedError(candidate.refused)
        return Outcome(number, changes, interrupts, applied)

    def _kept_with(self, overlay: dict[str, dict[str, Any]], revision: Revision) -> _Kept:
        history = [*self._kept.history, revision][-_HISTORY:]
        known = {one.revision for one in history}
        before = {**self._kept.before, revision.revision: dict(self._kept.overlay)}
        return _Kept(
            revision=revision.revision,
            overlay=overlay,
            history=history,
            before={number: was for number, was in before.items() if number in known},
        )

    def _my_turn(self) -> _Turn:
        if self._candidate is not None:
            raise BusyError
        return _Turn(self._turn)

    def _load(self, overlay: Overlay) -> ServiceConfig:
        return load_service_config(self._config, self._environ, overlay)

    def _read(self) -> _Kept:
        try:
            return _Kept.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Kept()
        except (OSError, ValidationError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is damaged"
            raise ConfigError(
                f"what operators changed cannot be read from {self._path}: {said}. Delete it to go "
                "back to what the service's file says, which may hide less."
            ) from None


class _Turn:
    """One change at a time; who comes second is told so instead of waiting."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise BusyError

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _check(key: str, value: Any) -> None:
    """Refuse what only the service's file may state: it decides which files are opened."""
    if key in _FIXED:
        raise RefusedError(f"{key} can only be stated in the service's file.")
    if any("/" in text or "\\" in text or text.endswith(".onnx") for text in _texts(value)):
        raise RefusedError("paths of files can only be stated in the service's file.")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for one in value.values() for text in _texts(one)]
    return [text for one in value for text in _texts(one)] if isinstance(value, list) else []


def flat(settings: Settings) -> dict[str, Any]:
    """Return all settings as plain values by dotted path."""
    tree = settings.model_dump(mode="json")
    found = {}
    for path in keys():
        value: Any = tree
        for part in path.split("."):
            value = value[part]
        found[path] = value
    return found


def _differences(before: ServiceConfig, after: ServiceConfig) -> list[Change]:
    found = []
    for name, spec in after.streams.items():
        old, new = flat(before.streams[name].settings), flat(spec.settings)
        found += [
            Change(stream=name, key=key, before=old[key], after=new[key])
            for key in new
            if new[key] != old[key]
        ]
    return found


def _switched_off(before: ServiceConfig, after: ServiceConfig) -> list[str]:
    found: dict[str, None] = {}
    for name, spec in after.streams.items():
        now = lanes_of(spec.settings)
        was = lanes_of(before.streams[name].settings)
        found |= {lane: None for lane, on in was.items() if on and not now.get(lane, False)}
    return list(found)
