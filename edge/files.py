"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(
    path: Path, data: bytes, *, mode: int | None = None, prefix: str | None = None
) -> None:
    """Write a file beside its place, then put it there: a crash leaves the old one or the new one.

    mode: its rights; what root writes then belongs to whom the folder belongs to. None gives it
    those of any new file (0666 less the umask). prefix: how the name begins of what a power cut may
    leave beside it. Raises OSError and leaves nothing.
    """
    descriptor, name = tempfile.mkstemp(prefix=prefix or f".{path.name}.", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), 0o666 & ~_umask() if mode is None else mode)
            if mode is not None:
                give_away(part, stream.fileno())
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def give_away(made: Path, descriptor: int | None = None) -> None:
    """Let what root made belong to whom the folder belongs to: the service's user.

    descriptor: the open file, which nobody can exchange for a link meanwhile. Raises OSError.
    """
    if os.geteuid() == 0:
        owner = made.parent.stat()
        if descriptor is None:
            os.lchown(made, owner.st_uid, owner.st_gid)
        else:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
