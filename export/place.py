"""Putting an exported file where the runtime looks, in an order that a crash cannot harm."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.files import write_atomically
from edge.inference.manifest import (
    Exported,
    KernelFile,
    Manifest,
    load_manifest,
    save_manifest,
)


def place(folder: Path, exported: Exported | KernelFile, data: bytes) -> None:
    """Write a file, let the manifest vouch for it, then remove what it took the place of.

    Raises OSError: the manifest is then as it was, and so is what it vouches for. Raises
    ModelError where the manifest is damaged.
    """
    path = folder / exported.file
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        manifest = load_manifest(folder)
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)
        if isinstance(exported, KernelFile):
            after = manifest.with_kernels(exported)
        else:
            after = manifest.with_file(exported)
        save_manifest(folder, after)
        still = _files(after)
        for old in _files(manifest) - still:
            (folder / old).unlink(missing_ok=True)


def _files(manifest: Manifest) -> set[str]:
    """Return what a manifest vouches for."""
    return {file.file for file in manifest.files} | {kernel.file for kernel in manifest.kernels}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer of a manifest at a time: the boot unit and a user may both export."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
