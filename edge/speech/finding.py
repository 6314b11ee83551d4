"""Where Whisper models lie: folders of this machine, and the Hugging Face hub's cache."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from edge.errors import ModelError
from edge.speech.whisper import NEEDED, import_faster_whisper

ANY: Final = "faster-whisper"
"""In a preference: any Whisper model that is on this machine."""
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SIZE_PREFIX: Final = ANY + "-"
_FAST_ENOUGH: Final = 600 << 20
"""Bytes of model.bin up to which a model may keep up with speech on a CPU: Whisper small (480 MB)
is below, medium (1.5 GB) is not."""


class NotHereError(ModelError):
    """This model is not on this machine; the next of the preference may be."""


def find_whisper(item: str, search_dirs: Sequence[Path], *, language: str, may_fetch: bool) -> Path:
    """Return the folder of a Whisper model.

    item: `faster-whisper` (any that is here; the largest that a CPU keeps up with, first from
    search_dirs), `faster-whisper-SIZE`, a folder, or a hub name: Systran/faster-whisper-tiny.
    may_fetch: whether sizes and hub names may be fetched; else they come from the hub's cache.

    Raises NotHereError where there is none, ModelError for a folder that does not exist.
    """
    if item == ANY:
        found = _best(_all_here(search_dirs), language)
        if found is None:
            raise NotHereError("there is no model of that kind on this machine")
        return found
    folder = Path(item).expanduser()
    if folder.is_dir():
        return folder
    name = item.removeprefix(_SIZE_PREFIX)
    if name == item and not _HUB_NAME.fullmatch(item):
        raise ModelError(
            f"speech model {item} is no folder. Name a folder, a hub name such as "
            "Systran/faster-whisper-small, or faster-whisper."
        )
    return _from_hub(name, may_fetch=may_fetch)


def _all_here(search_dirs: Iterable[Path]) -> Iterator[list[Path]]:
    """Yield the models of each place that is looked into, in order."""
    for folder in search_dirs:
        yield [path for path in _folders(folder) if is_model(path)]
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return
    hub = Path(HF_HUB_CACHE)
    yield [
        snapshot
        for repository in _folders(hub)
        if repository.name.startswith("models--") and "whisper" in repository.name
        for snapshot in _folders(repository / "snapshots")
        if is_model(snapshot)
    ]


def is_model(folder: Path) -> bool:
    """Whether a folder has the files of a Whisper model."""
    return all((folder / name).is_file() for name in NEEDED)


def _best(places: Iterable[list[Path]], language: str) -> Path | None:
    for models in places:
        usable = [
            (size, path)
            for path in models
            # By its name as published: small.en; a snapshot lies two folders below that.
            if language == "en" or not any(".en" in part for part in path.parts[-3:])
            if (size := (path / "model.bin").stat().st_size)
        ]
        if usable:
            fast = [pair for pair in usable if pair[0] <= _FAST_ENOUGH]
            return max(fast)[1] if fast else min(usable)[1]
    return None


def _from_hub(name: str, *, may_fetch: bool) -> Path:
    faster_whisper: Any = import_faster_whisper()
    try:
        folder = Path(faster_whisper.download_model(name, local_files_only=not may_fetch))
    except ValueError as error:
        # The hub's own errors are ValueErrors, too; a size that does not exist is told by name.
        if "/" not in name and name not in faster_whisper.available_models():
            sizes = ", ".join(faster_whisper.available_models())
            raise ModelError(
                f"{_SIZE_PREFIX}{name} is no Whisper model. Known sizes are {sizes}."
            ) from None
        raise _unavailable(name, error, may_fetch) from None
    except Exception as error:  # noqa: BLE001 - the network's and the hub's, of many kinds
        raise _unavailable(name, error, may_fetch) from None
    if not is_model(folder):
        raise ModelError(
            f"{name} is no complete faster-whisper model. It needs {', '.join(NEEDED)}."
        )
    return folder


def _unavailable(name: str, error: Exception, may_fetch: bool) -> NotHereError:
    if may_fetch:
        return NotHereError(f"the hub did not give {name} ({type(error).__name__})")
    return NotHereError(f"{name} is not in the hub's cache")


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:  # not there, or not ours to read
        return []
