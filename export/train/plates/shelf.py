"""Scenes on disk: drawn once, looked at often. A folder of arrays that are mapped into memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from export.train.plates.scene import MAX_PLATES, SIDE, Scene

NONE: Final = 0
PLATE: Final = 1
DOUBTFUL: Final = 2


class Shelf:
    """Scenes of one seed, numbered from 0; those that were drawn so far can be read."""

    def __init__(self, folder: Path, seed: int, count: int, *, write: bool) -> None:
        """Open a folder, or make it where write is set. Raises ModelError where it is another's."""
        note = {"seed": seed, "count": count, "side": SIDE}
        known = folder / "shelf.json"
        if known.is_file() and json.loads(known.read_text()) != note:
            raise ModelError(
                f"{folder} holds other scenes: {known.read_text()}. Name another folder."
            )
        new = not known.is_file()
        if new and not write:
            raise ModelError(
                f"{folder} holds no scenes. Run `python -m export.train.plates.render`."
            )
        folder.mkdir(parents=True, exist_ok=True)
        mode = "w+" if new else "r+" if write else "r"
        self.pictures = self._array(folder / "pictures.npy", mode, np.uint8, (count, SIDE, SIDE, 3))
        self.quads = self._array(folder / "quads.npy", mode, np.float32, (count, MAX_PLATES, 4, 2))
        self.kinds = self._array(folder / "kinds.npy", mode, np.uint8, (count, MAX_PLATES))
        self._drawn = self._array(folder / "drawn.npy", mode, np.uint8, (count,))
        if new:
            known.write_text(json.dumps(note))

    @staticmethod
    def _array(
        path: Path, mode: str, kind: type[np.generic], shape: tuple[int, ...]
    ) -> NDArray[np.generic]:
        return np.lib.format.open_memmap(path, mode=mode, dtype=kind, shape=shape)

    @staticmethod
    def open(folder: Path) -> Shelf:
        """Open a folder to read. Raises ModelError where there are no scenes."""
        try:
            note = json.loads((folder / "shelf.json").read_text())
        except OSError:
            raise ModelError(
                f"{folder} holds no scenes. Run `python -m export.train.plates.render`."
            ) from None
        return Shelf(folder, note["seed"], note["count"], write=False)

    def drawn(self) -> NDArray[np.intp]:
        """Numbers of the scenes that were drawn so far."""
        return np.flatnonzero(self._drawn)

    def missing(self) -> NDArray[np.intp]:
        """Numbers of the scenes that are still to be drawn."""
        return np.flatnonzero(self._drawn == 0)

    def put(self, number: int, scene: Scene) -> None:
        """Keep a scene."""
        count = len(scene.quads)
        self.pictures[number] = scene.picture
        self.quads[number] = 0
        self.quads[number, :count] = scene.quads
        self.kinds[number] = NONE
        self.kinds[number, :count] = np.where(scene.doubtful, DOUBTFUL, PLATE)
        self._drawn[number] = 1
