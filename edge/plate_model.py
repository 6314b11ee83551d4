"""The plate model of a stream: chosen, fetched, loaded and understood, or missing with a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.config import Settings
from edge.errors import ModelError
from edge.fetch import Progress, ignore_progress
from edge.inference.choice import engine_maker
from edge.lanes.lane import Detector
from edge.lanes.plate_families import plate_family
from edge.model_store import ModelStore, is_path, store_of
from edge.track import TrackerSettings


@dataclass(frozen=True, slots=True)
class PlateModel:
    """A plate model that was chosen, loaded and understood. `make` gives a detector of its own."""

    name: str
    family: str
    conf: float
    make: Callable[[], Detector]


@dataclass(frozen=True, slots=True)
class PlateChoice:
    """What came of choosing a plate model.

    model: what to look for plates with; None where plates are switched off or `missing` is set.
    missing: why there is no model although one was asked for, as a sentence for a warning: then
    the text lane, which reads lines that look like plates, stands in.
    """

    model: PlateModel | None = None
    missing: str | None = None


def load_plate_model(settings: Settings, progress: Progress = ignore_progress) -> PlateChoice:
    """Choose, fetch and load the plate model.

    Only a catalogued model that is nowhere to be had lets the text lane stand in, and only where
    that is on. A file that is named and is not there, has the wrong SHA-256, or is no plate
    detector is an error in any case: the user believes it to be at work. Raises ModelError.
    """
    plate = settings.video.models.plate
    if not plate.enabled:
        return PlateChoice()
    store = store_of(settings)
    try:
        resolved = store.resolve(plate.model, settings.models.fetch, progress)
    except ModelError as error:
        if settings.video.models.text.enabled and _nowhere(store, plate.model):
            return PlateChoice(missing=str(error))
        raise
    data = resolved.read_bytes()
    family = plate_family(resolved.family, data, resolved.name)
    prepared = family.prepare(data, resolved.name)
    conf = family.conf if plate.conf is None else plate.conf
    weakest = TrackerSettings(conf=conf).weak

    make_engine = engine_maker(
        prepared,
        resolved.name,
        resolved.weights_sha256,
        device=settings.runtime.device,
        threads=settings.runtime.threads or 1,
    )

    def build() -> Detector:
        return family.build(make_engine(), input_size=plate.input_size, weakest=weakest)

    # A model that cannot be loaded is told of before anything is written.
    spare = [build()]

    def make() -> Detector:
        return spare.pop() if spare else build()

    return PlateChoice(PlateModel(resolved.name, family.name, conf, make))


def _nowhere(store: ModelStore, preference: Sequence[str]) -> bool:
    """Whether all that is preferred is catalogued and none of it is on this machine.

    Raises ModelError for an unknown name and for a file with the wrong SHA-256.
    """
    return not any(is_path(item) for item in preference) and all(
        store.find(name) is None for name in preference
    )
