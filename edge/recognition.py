"""The face recogniser of a stream, made from its settings: a model, the enrolled people, the rules.

Chosen, loaded and understood before anything is read, as build.py does with the other models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.config import Settings
from edge.errors import ModelError
from edge.fetch import Progress, ignore_progress
from edge.inference.choice import engine_maker
from edge.lanes.embedding import FaceEmbedder
from edge.lanes.recogniser import Recogniser
from edge.lanes.whitelist import Whitelist
from edge.model_store import store_of
from edge.people import People
from edge.people_store import PeopleStore

_TASK = "face-embedding"


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A face embedding model that was loaded. `make` gives an embedder of its own."""

    name: str
    sha256: str
    make: Callable[[], FaceEmbedder]


@dataclass(frozen=True, slots=True)
class RecognitionModel:
    """Whom the face lane may show, and what knows them. One for a stream, or for several."""

    model: EmbeddingModel
    people: People

    def recogniser(self, settings: Settings, conf: float) -> Recogniser:
        """Make a lane's recogniser. conf: score from which the detector's faces count."""
        least = settings.video.whitelist.min_face_px
        return Recogniser(self.model.make, self.people, min_face_px=least, conf=conf)

    def whitelist(self, settings: Settings) -> Whitelist:
        """Make a lane's whitelist."""
        rules = settings.video.whitelist
        return Whitelist(
            self.people.thresholds(rules.threshold), votes=rules.votes, recheck_s=rules.recheck_s
        )


def load_embedding_model(
    settings: Settings, progress: Progress = ignore_progress
) -> EmbeddingModel:
    """Choose, fetch and load the model that tells faces apart. Raises ModelError."""
    resolved = store_of(settings).resolve(
        settings.video.whitelist.model, settings.models.fetch, progress
    )
    if resolved.entry is not None and resolved.entry.task != _TASK:
        raise ModelError(
            f"model {resolved.name} does not tell faces apart (it is for {resolved.entry.task}). "
            f"Name one for {_TASK} in video.whitelist.model."
        )
    data = resolved.read_bytes()
    spec = resolved.entry.input if resolved.entry is not None else None
    make_engine = engine_maker(
        data,
        resolved.name,
        resolved.weights_sha256,
        device=settings.runtime.device,
        threads=settings.runtime.threads or 1,
    )

    def build() -> FaceEmbedder:
        return FaceEmbedder(make_engine(), spec)

    spare = [build()]

    def make() -> FaceEmbedder:
        return spare.pop() if spare else build()

    return EmbeddingModel(resolved.name, resolved.sha256, make)


def load_recognition(
    settings: Settings,
    progress: Progress = ignore_progress,
    *,
    store: PeopleStore | None = None,
) -> RecognitionModel | None:
    """Load what the whitelist needs; None where it is off or nobody is enrolled.

    Raises ModelError, and ConfigError where the enrolled people cannot be read or belong to another
    model.
    """
    if not (settings.video.whitelist.enabled and settings.video.models.face.enabled):
        return None
    people = (store or PeopleStore()).load()
    if people is None or not len(people):
        return None
    model = load_embedding_model(settings, progress)
    people.check_model(model.name, model.sha256)
    return RecognitionModel(model, people)
