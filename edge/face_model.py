"""The face model: chosen, fetched, loaded and understood before a stream begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.config import Settings
from edge.fetch import Progress, ignore_progress
from edge.inference.choice import engine_maker
from edge.lanes.families import face_family
from edge.lanes.lane import Detector
from edge.model_store import store_of
from edge.track import TrackerSettings


@dataclass(frozen=True, slots=True)
class FaceModel:
    """A face model that was chosen, loaded and understood. `make` gives a detector of its own."""

    name: str
    family: str
    conf: float
    make: Callable[[], Detector]


def load_face_model(settings: Settings, progress: Progress = ignore_progress) -> FaceModel | None:
    """Choose, fetch and load the face model; None where faces are switched off.

    Raises ModelError.
    """
    face = settings.video.models.face
    if not face.enabled:
        return None
    resolved = store_of(settings).resolve(face.model, settings.models.fetch, progress)
    data = resolved.read_bytes()
    family = face_family(resolved.family, data, resolved.name)
    spec = resolved.entry.input if resolved.entry is not None else None
    takes_any_size = spec is not None and spec.dynamic
    prepared = data if takes_any_size else family.prepare(data, resolved.name)
    conf = family.conf if face.conf is None else face.conf
    weakest = TrackerSettings(conf=conf).weak

    make_engine = engine_maker(
        prepared,
        resolved.name,
        resolved.weights_sha256,
        device=settings.runtime.device,
        threads=settings.runtime.threads or 1,
    )

    def build() -> Detector:
        return family.build(make_engine(), input_size=face.input_size, weakest=weakest)

    # A model that cannot be loaded is told of before anything is written.
    spare = [build()]

    def make() -> Detector:
        return spare.pop() if spare else build()

    return FaceModel(resolved.name, family.name, conf, make)
