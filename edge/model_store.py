"""Find catalogued models on this machine, verify them, and choose one by preference."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import platformdirs

from edge.catalogue import Catalogue, EmbeddedSource, ModelEntry, PathSource, load_catalogue
from edge.config import Settings
from edge.errors import ModelError
from edge.fetch import FetchError, Progress, fetch, ignore_progress, sha256_file
from edge.inference.manifest import engines_dir, find_model
from edge.resources import config_dir, package_file

ENVIRONMENT: Final = "PRIVAEDGE_MODELS"
"""Environment variable with folders to search first, separated like PATH."""
SYSTEM_DIR: Final = Path("/var/lib/privaedge/models")
"""Where models lie on a box: the service's state directory."""

State = Literal["ok", "missing", "wrong hash"]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What there is of one model on this machine."""

    name: str
    state: State
    path: Path | None
    """The file that was judged; None where the model is missing."""
    size: int | None
    """Bytes of that file."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model file that was verified, and how to read what it puts out."""

    name: str
    """Name in the catalogue, or the file's name for a model that is not in it."""
    family: str | None
    """Which decoder reads the outputs; None where the catalogue does not know the file."""
    path: Path
    sha256: str
    entry: ModelEntry | None
    exported_from: str | None = None
    """SHA-256 of the weights that `privaedge export` made the file of; None for others."""

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights as they were published: what engines are looked up by."""
        return self.exported_from or self.sha256

    def read_bytes(self) -> bytes:
        """Return the model's bytes, verified: what is loaded from them is what was resolved.

        Raises ModelError where the file has changed since, or cannot be read.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise _unreadable(self.path, error) from None
        actual = hashlib.sha256(data).hexdigest()
        if actual != self.sha256:
            raise ModelError(
                f"model file {self.path} changed while it was in use (SHA-256 {actual[:12]}…, "
                f"was {self.sha256[:12]}…). Start again once nothing writes to it."
            )
        return data


class ModelStore:
    """The models of a catalogue, as they lie in some folders of this machine."""

    def __init__(
        self,
        catalogue: Catalogue,
        search_dirs: Sequence[Path] | None = None,
        cache_dir: Path | None = None,
        *,
        extra_dirs: Sequence[Path] = (),
    ) -> None:
        """Use these folders.

        search_dirs: looked into in order (default: default_search_dirs); those that do not exist
        are passed over. cache_dir: where fetched models go (default: default_cache_dir), always
        looked into. extra_dirs: looked into before all others.
        """
        self.catalogue = catalogue
        self.cache_dir = default_cache_dir() if cache_dir is None else cache_dir
        if search_dirs is None:
            search_dirs = default_search_dirs(self.cache_dir)
        wanted = [*extra_dirs, *search_dirs, self.cache_dir]
        self._dirs = tuple(dict.fromkeys(folder.expanduser() for folder in wanted))

    @property
    def search_dirs(self) -> tuple[Path, ...]:
        """The folders that are looked into, in order: those that exist now."""
        return tuple(folder for folder in self._dirs if _is_dir(folder))

    def status(self, name: str) -> ModelStatus:
        """Judge a model. A good file counts wherever it lies, even beside a bad one.

        Raises ModelError for a name that the catalogue lacks and a file that cannot be read.
        """
        status, _ = self._judge(self.catalogue[name])
        return status

    def find(self, name: str) -> Path | None:
        """Return the path of a model's verified file, or None where there is no file.

        Raises ModelError where every file that is there has a wrong SHA-256 or cannot be read,
        and for a name that the catalogue lacks.
        """
        entry = self.catalogue[name]
        status, actual = self._judge(entry)
        if status.state == "wrong hash":
            remedy = "Delete it, or put the right file there."
            if entry.fetchable:
                remedy = f"Run `privaedge models fetch {name} --force`, or delete the file."
            elif status.path in _carried(entry):
                remedy = "Install privaedge again."
            raise ModelError(
                f"model file {status.path} has the wrong SHA-256 {actual[:12]}…, expected "
                f"{entry.sha256[:12]}…. {remedy}"
            )
        return status.path

    def fetch(
        self,
        name: str,
        progress: Progress = ignore_progress,
        *,
        force: bool = False,
        offline: bool = False,
    ) -> Path:
        """Return the path of a model, fetched into the cache where it is not on this machine.

        With force the cache gets the model whatever lies elsewhere, and a file with a wrong
        SHA-256 in the cache is replaced; one that is right already is kept. Raises ModelError.
        """
        entry = self.catalogue[name]
        found = None if force else self.find(name)
        if found is not None:
            return found
        companions = self.catalogue.in_the_same_wheel(entry)
        return fetch(entry, self.cache_dir, progress, offline=offline, companions=companions)

    def resolve(
        self,
        preference: Sequence[str],
        fetch: bool = True,
        progress: Progress = ignore_progress,
    ) -> ResolvedModel:
        """Choose a model: the first of the preference that is on this machine.

        An item is a name in the catalogue, the name of a model of one's own that was exported, or
        the path of a model file: it has a slash or ends with .onnx. Where none is on this machine
        and fetch is set, they are fetched in order until one works.

        Raises ModelError for an unknown name, a path without a file, a file with a wrong
        SHA-256, and where no model can be had, with the reason for each.
        """
        if not preference:
            raise ModelError("no model is named. Name one of those in `privaedge models list`.")
        entries = [
            None if is_path(item) or self._exported(item) else self.catalogue[item]
            for item in preference
        ]
        for item, entry in zip(preference, entries, strict=True):
            if entry is None:
                return self._exported(item) or self._from_path(Path(item).expanduser())
            if (path := self.find(entry.name)) is not None:
                return _resolved(entry, path)
        named = [entry for entry in entries if entry is not None]
        if not fetch:
            raise self._none_found(named)
        reasons: list[str] = []
        for entry in named:
            try:
                return _resolved(entry, self.fetch(entry.name, progress))
            except FetchError as error:
                reasons.append(f"{entry.name}: {error.reason}")
        raise ModelError(
            f"no model of {', '.join(preference)} can be had ({' | '.join(reasons)}). Check the "
            f"network, or put one of {', '.join(e.file for e in named)} into {self.cache_dir}."
        )

    def _exported(self, item: str) -> ResolvedModel | None:
        """Return a model of the user's own that was exported under a name. Raises ModelError."""
        if is_path(item) or item in self.catalogue:
            return None
        folder = engines_dir()
        if (file := find_model(folder, item)) is None:
            return None
        path = folder / file.file
        return ResolvedModel(item, file.family, path, file.sha256, None, file.origin.sha256)

    def _from_path(self, path: Path) -> ResolvedModel:
        try:
            if path.exists() and not path.is_file():
                raise ModelError(f"{path} is not a file. Name an .onnx file.")
            digest = sha256_file(path)
        except FileNotFoundError:
            raise ModelError(f"model file {path} does not exist. Check the path.") from None
        except OSError as error:
            raise _unreadable(path, error) from None
        entry = self.catalogue.by_sha256(digest)
        if entry is not None:
            return _resolved(entry, path)
        return ResolvedModel(path.name, None, path, digest, None)

    def _judge(self, entry: ModelEntry) -> tuple[ModelStatus, str]:
        """Return the status of a model, and the SHA-256 of the file that it is about."""
        wrong: tuple[ModelStatus, str] | None = None
        for path in self._candidates(entry):
            if not _is_file(path):
                continue
            try:
                size, actual = path.stat().st_size, sha256_file(path)
            except OSError as error:
                raise _unreadable(path, error) from None
            if actual == entry.sha256:
                return ModelStatus(entry.name, "ok", path, size), actual
            wrong = wrong or (ModelStatus(entry.name, "wrong hash", path, size), actual)
        return wrong or (ModelStatus(entry.name, "missing", None, None), "")

    def _candidates(self, entry: ModelEntry) -> list[Path]:
        """Where a model's file may lie, in order; an absolute path stands for itself."""
        stated = [Path(s.path).expanduser() for s in entry.sources if isinstance(s, PathSource)]
        names = [*stated, Path(entry.file)]
        found = [folder / name for folder in self._dirs for name in names]
        return list(dict.fromkeys([*found, *_carried(entry)]))

    def _none_found(self, entries: Sequence[ModelEntry]) -> ModelError:
        names = ", ".join(entry.name for entry in entries)
        fetchable = [entry.name for entry in entries if entry.fetchable]
        folder = f"put {entries[0].file} into {self.cache_dir}"
        remedy = (
            f"Run `privaedge models fetch {fetchable[0]}`, or {folder}" if fetchable else folder
        )
        return ModelError(
            f"no model of {names} is on this machine. {remedy[:1].upper() + remedy[1:]}."
        )


def _carried(entry: ModelEntry) -> list[Path]:
    """Where an entry's file lies in the package itself, if it comes with it."""
    return [package_file(s.embedded) for s in entry.sources if isinstance(s, EmbeddedSource)]


def store_of(settings: Settings) -> ModelStore:
    """Return the model store that a run with these settings uses. Raises ConfigError."""
    extra = [Path(path).expanduser() for path in settings.models.search_paths]
    return ModelStore(load_catalogue(), extra_dirs=extra)


def is_path(item: str) -> bool:
    """Whether an item of a preference is a path and not a name of the catalogue."""
    return "/" in item or item.endswith(".onnx")


def default_cache_dir() -> Path:
    """Return where fetched models go: the box's own folder, else the user's cache (XDG)."""
    if _is_dir(SYSTEM_DIR) and os.access(SYSTEM_DIR, os.W_OK):
        return SYSTEM_DIR
    return platformdirs.user_cache_path("privaedge") / "models"


def default_search_dirs(cache_dir: Path) -> tuple[Path, ...]:
    """Return $PRIVAEDGE_MODELS, the cache, the box's folder, and engines/ of a checkout."""
    stated = os.environ.get(ENVIRONMENT, "").split(os.pathsep)
    checkout = config_dir().parent
    return (
        *(Path(folder).expanduser() for folder in stated if folder),
        cache_dir,
        SYSTEM_DIR,
        # In an installed package config_dir() is inside the package, which has no engines/.
        *([checkout / "engines"] if (checkout / "pyproject.toml").is_file() else []),
    )


def _is_dir(path: Path) -> bool:
    """Whether there is a folder that this user may know of: another user's service has its own."""
    try:
        return path.is_dir()
    except PermissionError:
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        return False


def _resolved(entry: ModelEntry, path: Path) -> ResolvedModel:
    return ResolvedModel(entry.name, entry.family, path, entry.sha256, entry)


def _unreadable(path: Path, error: OSError) -> ModelError:
    cause = error.strerror or type(error).__name__
    return ModelError(f"model file {path} cannot be read: {cause}. Give this user read permission.")
