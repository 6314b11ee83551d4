"""Compiled kernels: which sources they come from, and the ones that may be loaded here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from edge.errors import ModelError
from edge.inference.manifest import engines_dir, load_manifest, read_vouched
from edge.resources import package_file

SOURCE: Final = "kernels.cu"
HEADERS: Final = ("planes.cuh", "looking.cuh")
_FOLDER: Final = "redact"


def source_file() -> Path:
    """Return where kernels.cu lies; its headers are beside it."""
    return package_file(_FOLDER) / SOURCE


def sources(folder: Path | None = None) -> dict[str, str]:
    """Return the text of kernels.cu and its headers by name. Raises ModelError."""
    where = source_file().parent if folder is None else folder
    try:
        return {name: (where / name).read_text("utf-8") for name in (SOURCE, *HEADERS)}
    except OSError as error:
        raise ModelError(
            f"{where} lacks the sources of the kernels. Reinstall privaedge."
        ) from error


def source_sha256() -> str:
    """Return the hash of all sources. Raises ModelError."""
    whole = hashlib.sha256()
    for name, text in sources().items():
        whole.update(f"{name}\0{text}\0".encode())
    return whole.hexdigest()


def load_kernels(target: str, folder: Path | None = None) -> bytes:
    """Return the kernels for a GPU, of the sources of this very version, that the manifest vouches
    for. Raises ModelError where there are none."""
    where = engines_dir() if folder is None else folder
    remedy = f"Run `privaedge export kernels --target {target}`, or set runtime.device to auto."
    found = [kernel for kernel in load_manifest(where).kernels if target in kernel.targets]
    if not found:
        raise ModelError(f"the kernels have not been compiled for this GPU ({target}). {remedy}")
    if found[0].source_sha256 != source_sha256():
        raise ModelError(f"the kernels were compiled from another version's sources. {remedy}")
    return read_vouched(where, found[0])
