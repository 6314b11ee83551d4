"""From sources to files that the runtime trusts; each new file replaces the old at its end.

fetch → ONNX → verify → precision → gate → engine → verify → manifest
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.errors import ModelError
from edge.inference.manifest import load_manifest
from export.cache import Cache
from export.family import Family, Part, Source
from export.registry import family_of, missing_modules
from export.rows import Report, Tell, Wish
from export.steps import Steps


class Exporter:
    """Exports into one folder. tell: what is being done now. report: what came of a step."""

    def __init__(self, folder: Path, *, tell: Tell, report: Report) -> None:
        self._folder = folder
        self._cache = Cache(folder / ".cache")
        self._tell, self._report = tell, report

    def export(self, source: Source, wish: Wish) -> None:
        """Make what is wished of one source. Raises ModelError; old files stay then."""
        with _room(source.name):
            load_manifest(self._folder)  # damaged: better known before the work than after it
            for family, part in self._open(source):
                self._steps(source, family, part, wish).export()

    def verify(self, source: Source, wish: Wish) -> None:
        """Check what was exported before, without building anything. Raises ModelError."""
        with _room(source.name):
            for family, part in self._open(source):
                self._steps(source, family, part, wish).verify()

    def _steps(self, source: Source, family: Family, part: Part, wish: Wish) -> Steps:
        return Steps(
            self._folder,
            self._cache,
            source,
            family,
            part,
            wish=wish,
            tell=self._tell,
            report=self._report,
        )

    def _open(self, source: Source) -> Iterator[tuple[Family, Part]]:
        family = family_of(source)
        if missing := missing_modules(family):
            raise ModelError(
                f"{source.name}: family {family.name} needs {', '.join(missing)}. Install: "
                "pip install 'privaedge[export]'."
            )
        self._tell(f"{source.name}: opening")
        for part in family.open(source):
            yield family, part


@contextmanager
def _room(name: str) -> Iterator[None]:
    """Turn a full disk and the like into an error with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ModelError(
                f"{name}: there is no space left for what is exported. Free some; what was there "
                "before still is."
            ) from error
        cause = error.strerror or type(error).__name__
        raise ModelError(f"{name}: {cause}. Check the engines folder's rights.") from error
