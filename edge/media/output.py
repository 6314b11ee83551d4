"""An output file that has its final name only when it is complete."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from edge.errors import SinkError
from edge.files import sync_folder
from edge.media.codecs import container_for, is_sound_file


def check_output(path: Path, source: Path | None, *, overwrite: bool) -> None:
    """Refuse an output that could not be written at the end. Raises SinkError."""
    if not is_sound_file(path):
        container_for(path)
    folder = path.parent
    if not folder.is_dir():
        raise SinkError(f"Output directory {folder} does not exist. Create it first.")
    if path.is_dir():
        raise SinkError(f"{path} is a directory. Give a file name.")
    if path.exists():
        if source is not None and path.samefile(source):
            raise SinkError(f"{path} is the input itself. Give the output another name.")
        if not overwrite:
            raise SinkError(f"{path} already exists. Pass --force to replace it.")
        if not path.is_file():
            raise SinkError(f"{path} is not a regular file. Give another name.")
    partial = partial_path(path)
    if source is not None and partial.exists() and partial.samefile(source):
        raise SinkError(f"Output would be prepared in {partial}, the input. Rename one of them.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SinkError(f"Output directory {folder} is read-only. Choose another directory.")


def partial_path(path: Path) -> Path:
    """Where the output grows: next to it, with the extension kept so that players open it."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


@contextlib.contextmanager
def sink_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about writing to `path` into a SinkError."""
    try:
        yield
    except OSError as error:
        raise SinkError(_explain(error, path)) from error


def _explain(error: OSError, path: Path) -> str:
    folder = path.parent
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"No space left in {folder}. Free some, or write to another disk."
    if error.errno == errno.EFBIG:
        return f"{path} grew over the file size limit. Raise it, or write to another disk."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{folder} cannot be written to: {error.strerror}. Choose another directory."
    return f"{path} cannot be written: {error.strerror}. Check the disk."


class OutputFile:
    """The file while it grows. Exactly one of commit, keep and discard ends it."""

    def __init__(self, path: Path, source: Path | None, *, overwrite: bool) -> None:
        """Check, create and lock the partial file. Raises SinkError."""
        check_output(path, source, overwrite=overwrite)
        self.path = path
        self.partial = partial_path(path)
        self._overwrite = overwrite
        with sink_errors(path):
            self._descriptor = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            # FFmpeg writes through a descriptor of its own; the lock tells other runs of ours.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Others come from a file system without locks, as some network shares are.
            if isinstance(error, BlockingIOError):
                os.close(self._descriptor)
                raise SinkError(
                    f"Another run is writing {path} right now. Wait for it, or choose another name."
                ) from error

    def commit(self) -> Path:
        """Give the complete file its final name, safe against a power cut. Raises SinkError."""
        try:
            with sink_errors(self.path):
                os.fsync(self._descriptor)
                if self.path.exists() and not self._overwrite:
                    raise SinkError(
                        f"{self.path} appeared while this run was working. "
                        f"The result is in {self.partial}; rename it."
                    )
                self.partial.replace(self.path)
                with contextlib.suppress(OSError):  # some file systems cannot
                    sync_folder(self.path.parent)
        finally:
            os.close(self._descriptor)
        return self.path

    def keep(self) -> Path:
        """Leave the file under its partial name. Raises SinkError."""
        try:
            with sink_errors(self.path):
                os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)
        return self.partial

    def discard(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            self.partial.unlink()
        os.close(self._descriptor)
