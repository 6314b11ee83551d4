"""The service's configuration: streams by name, with secrets kept out of the file.

    streams:
      front:
        source: rtsp://${credential:front-camera}@192.0.2.7/stream1
        outputs:
          - rtmps://ingest.example/app/${credential:stream-key}
          - /srv/recordings/front.mp4
        profile: streaming
        settings: {blur: {type: solid}}
    api: {enabled: true}
    audit: {keep: 100}

What is wrong in it becomes one ConfigError as with config_io. Values are never repeated in its
messages: any of them may be an address with a password in it.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import Field, ValidationError

from edge.appliance.journal import MASK
from edge.appliance.packages import check_packages
from edge.appliance.secrets import SecretReader
from edge.config import Settings
from edge.config_api import Api, Audit
from edge.config_io import ConfigProblemsError, requirement, settings_within
from edge.config_types import Section
from edge.config_yaml import Mapping as Tree
from edge.config_yaml import parse, printable, read_text
from edge.errors import ConfigError, PrivaedgeError
from edge.live_runner import check_outputs
from edge.media.address import Address, AddressError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_Group = TypeVar("_Group", Api, Audit)


class StreamEntry(Section):
    """One stream as the file states it, but for `settings`, which are config.Settings."""

    source: str = Field(
        min_length=1,
        description="Where it comes from: an address, a capture device, or a file, which is played "
        "over and over.",
    )
    outputs: tuple[str, ...] = Field(
        min_length=1, description="Where it goes to: addresses, folders for HLS, files."
    )
    profile: str | None = Field(default=None, description="Profile that its settings build on.")
    rtsp_udp: bool = Field(default=False, description="Take RTSP media over UDP instead of TCP.")
    audio: str | None = Field(
        default=None,
        min_length=1,
        description="ALSA device of a capture device, such as hw:1, or none; found by itself.",
    )


_KEYS: Final = (*StreamEntry.model_fields, "settings")


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream, complete: two that are equal need no restart. repr() holds no secrets."""

    name: str
    source: Address
    outputs: tuple[Address, ...]
    settings: Settings
    rtsp_udp: bool = False
    audio: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """All streams by name, the secrets in them, and the files that they were read from."""

    streams: dict[str, StreamSpec]
    secrets: frozenset[str] = field(repr=False)
    files: frozenset[Path]
    api: Api = field(default_factory=Api)
    audit: Audit = field(default_factory=Audit)


Overlay = Mapping[str, Mapping[str, Any]]
"""What operators changed: by stream, plain values by the dotted path of a setting."""
_OPERATORS: Final = "the changes made by the API"


def load_service_config(
    path: Path, environ: Mapping[str, str] = os.environ, overlay: Overlay | None = None
) -> ServiceConfig:
    """Read, fill in and check a configuration. Raises ConfigError (ConfigProblemsError).

    overlay: counts more than what the file says; streams that are not in the file are left out.
    """
    origin = printable(str(path), 200)
    tree = parse(read_text(path), origin)
    if not isinstance(tree, Tree):
        raise ConfigError(f"{origin} is not a mapping. Begin it with 'streams:'.")
    reader = _Reader(origin, SecretReader(environ), overlay or {})
    streams = reader.read(tree)
    api, audit = reader.group(tree, "api", Api), reader.group(tree, "audit", Audit)
    if reader.problems:
        raise ConfigProblemsError(reader.problems)
    secrets = reader.secrets.values | {
        address.url
        for stream in streams.values()
        for address in (stream.source, *stream.outputs)
        if address.safe != address.url
    }
    files = frozenset({path, *reader.secrets.files})
    if api.enabled:
        check_packages()
    return ServiceConfig(streams, frozenset(secrets), files, api, audit)


class _Reader:
    """Goes through the tree, collecting problems."""

    def __init__(self, origin: str, secrets: SecretReader, overlay: Overlay) -> None:
        self._origin, self._overlay = origin, overlay
        self.secrets = secrets
        self.problems: list[str] = []

    def read(self, tree: Tree) -> dict[str, StreamSpec]:
        for path, line in tree.doubled:
            self._refuse(".".join(path), line, "stated for the second time. Remove one of the two")
        self._check_keys(tree, "", ("streams", "api", "audit"))
        value, line = tree.entries.get("streams", (None, 1))
        if not isinstance(value, Tree) or not value.entries:
            self._refuse("streams", line, "empty. Name at least one stream with source and outputs")
            return {}
        found: dict[str, StreamSpec] = {}
        for name, (entry, at) in value.entries.items():
            spec = self._stream(name, entry, at)
            if spec is not None:
                found[name] = spec
        self._check_places(found)
        return found

    def group(self, tree: Tree, name: str, model: type[_Group]) -> _Group:
        """Read one of the groups that hold for the whole service."""
        value, line = tree.entries.get(name, (None, 0))
        if value is None:
            return model()
        if not isinstance(value, Tree):
            self._refuse(name, line, "no mapping. Put settings under it")
            return model()
        self._check_keys(value, name, tuple(model.model_fields))
        stated = {key: one for key, (one, _) in value.entries.items() if key in model.model_fields}
        try:
            return model.model_validate(stated)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                if not detail["loc"]:  # settings that contradict each other: it names them
                    self.problems.append(str(detail.get("ctx", {}).get("error", detail["msg"])))
                    continue
                key = str(detail["loc"][0])
                at = value.entries[key][1] if key in value.entries else line
                where = f"{name}.{key} in {self._origin} line {at}"
                self.problems.append(f"{where} is wrong; {requirement(detail)}")
            return model()

    def _stream(self, name: str, entry: Any, line: int) -> StreamSpec | None:
        path = f"streams.{name}"
        if _NAME.fullmatch(name) is None:
            rule = "no valid name. Use up to 32 letters, digits, - and _"
            self._refuse(path, line, rule)
            return None
        if not isinstance(entry, Tree):
            self._refuse(path, line, "no mapping. Put source: and outputs: under it")
            return None
        self._check_keys(entry, path, _KEYS)
        stated = self._entry(path, entry, line)
        settings = self._settings(path, entry, stated.profile if stated else None)
        if stated is None or settings is None:
            return None
        source = self._address(f"{path}.source", entry.entries["source"][1], stated.source)
        at = entry.entries["outputs"][1]
        outputs = [
            address
            for output in stated.outputs
            if (address := self._address(f"{path}.outputs", at, output)) is not None
        ]
        if source is None or len(outputs) < len(stated.outputs):
            return None
        try:
            check_outputs(outputs)
        except PrivaedgeError as error:
            self.problems.append(f"{path}.outputs in {self._origin} line {at}: {error}")
            return None
        return StreamSpec(name, source, tuple(outputs), settings, stated.rtsp_udp, stated.audio)

    def _entry(self, path: str, entry: Tree, line: int) -> StreamEntry | None:
        values = {
            key: value
            for key, (value, _) in entry.entries.items()
            if key in StreamEntry.model_fields and value is not None
        }
        if isinstance(values.get("outputs"), list):
            values["outputs"] = tuple(values["outputs"])
        elif isinstance(values.get("outputs"), str):
            values["outputs"] = (values["outputs"],)
        try:
            return StreamEntry.model_validate(values)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=True):
                key = str(detail["loc"][0])
                at = entry.entries[key][1] if key in entry.entries else line
                where = f"{path}.{key} in {self._origin} line {at}"
                if detail["type"] == "missing":
                    self.problems.append(f"{where} is missing. State it.")
                else:
                    self.problems.append(f"{where} is wrong; {requirement(detail)}")
            return None

    def _settings(self, path: str, entry: Tree, profile: str | None) -> Settings | None:
        tree, line = entry.entries.get("settings", (None, 0))
        if tree is not None and not isinstance(tree, Tree):
            self._refuse(f"{path}.settings", line, "no mapping. Put settings under it")
            return None
        try:
            return settings_within(
                tree or Tree(),
                self._origin,
                profile,
                over=dict(self._overlay.get(path.removeprefix("streams."), {})),
                over_origin=_OPERATORS,
            )
        except ConfigProblemsError as error:
            self.problems += [f"{path}.settings: {problem}" for problem in error.problems]
        except ConfigError as error:
            self.problems.append(f"{path}: {error}")
        return None

    def _address(self, path: str, line: int, text: str) -> Address | None:
        try:
            address = Address.parse(self.secrets.fill(text))
        except (AddressError, ConfigError) as error:
            self.problems.append(f"{path} in {self._origin} line {line}: {error}")
            return None
        safe = address.safe
        for secret in sorted(self.secrets.values, key=len, reverse=True):
            safe = safe.replace(secret, MASK)
        return replace(address, safe=safe)

    def _check_places(self, streams: Mapping[str, StreamSpec]) -> None:
        """Refuse two that write to one place."""
        takers: dict[tuple[str, str], str] = {}
        for name, place in _places(streams.values()):
            if (other := takers.setdefault(place, name)) != name:
                self.problems.append(
                    f"streams {other} and {name} in {self._origin} have the same output. "
                    f"Give each its own."
                )

    def _check_keys(self, tree: Tree, path: str, known: Sequence[str]) -> None:
        for key, (_, line) in tree.entries.items():
            if key in known:
                continue
            full = printable(f"{path}.{key}" if path else key) or "(empty)"
            near = difflib.get_close_matches(key[:100], known, 1, 0.6)
            remedy = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
            self.problems.append(f"unknown key {full} in {self._origin} line {line}. {remedy}")

    def _refuse(self, path: str, line: int, what: str) -> None:
        shown = printable(path) or "(empty)"
        self.problems.append(f"{shown} in {self._origin} line {line} is {what}.")


def _places(streams: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    for spec in streams:
        for output in spec.outputs:
            yield spec.name, (output.kind, output.url)
