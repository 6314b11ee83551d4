"""Where a service keeps what has to outlive it, and how: whole, durable, for its user only."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import platformdirs

from edge.errors import ConfigError

ENVIRONMENT: Final = "PRIVAEDGE_STATE"
"""Environment variable with the folder to keep a service's state in."""
_BOX: Final = Path("/var/lib/privaedge")
_PART: Final = ".part-"


def state_folder(config: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of one service: services are told apart by their configuration's name.

    In $PRIVAEDGE_STATE, else systemd's $STATE_DIRECTORY, else the box's where it is writable,
    else the user's.
    """
    if stated := environ.get(ENVIRONMENT):
        base = Path(stated)
    elif managed := environ.get("STATE_DIRECTORY"):
        base = Path(managed.split(":")[0])
    elif os.access(_BOX, os.W_OK):
        base = _BOX
    elif home := environ.get("XDG_STATE_HOME"):
        base = Path(home) / "privaedge"
    else:
        base = platformdirs.user_state_path("privaedge")
    return base / "service" / (config.stem or "service")


def make_folder(path: Path) -> Path:
    """Create a folder for this user only. Raises ConfigError."""
    try:
        for missing in [one for one in (*reversed(path.parents), path) if not one.exists()]:
            missing.mkdir(mode=0o700, exist_ok=True)
            _give_away(missing)
    except OSError as error:
        raise ConfigError(
            f"the state folder {path} cannot be made: {error.strerror}. "
            f"Make it writable, or set {ENVIRONMENT}."
        ) from None
    return path


def write_whole(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file by another, whole or not at all, on the disk when this returns.

    Raises OSError; then what was there is as it was.
    """
    part = path.with_name(f"{_PART}{secrets.token_hex(8)}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
            os.fchmod(descriptor, mode)
            _give_away(part)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _give_away(path: Path) -> None:
    """Let what root makes belong to whom the folder belongs to: the service's user."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def remove_durably(path: Path) -> None:
    """Delete a file; it stays away after a power cut. Raises OSError."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Delete what a power cut left half-written."""
    for part in folder.glob(f"{_PART}*"):
        with contextlib.suppress(OSError):
            part.unlink()


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk. Raises OSError."""
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
