"""Where a service keeps what has to outlive it, and how: whole, durable, for its user only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import platformdirs

from edge.errors import ConfigError
from edge.files import give_away, sync_folder, write_atomically

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
            give_away(missing)
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
    write_atomically(path, data, mode=mode, prefix=_PART)


def remove_durably(path: Path) -> None:
    """Delete a file; it stays away after a power cut. Raises OSError."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Delete what a power cut left half-written."""
    for part in folder.glob(f"{_PART}*"):
        with contextlib.suppress(OSError):
            part.unlink()
