"""What enrolling a person takes beside their shots: two models, and the store of people."""

from __future__ import annotations

from edge.build import prepare_process
from edge.config import Settings
from edge.enrolment import ShotJudge
from edge.errors import ConfigError
from edge.face_model import load_face_model
from edge.fetch import Progress, ignore_progress
from edge.people import People, Person
from edge.people_store import PeopleStore
from edge.recognition import EmbeddingModel, load_embedding_model


def load_judge(
    settings: Settings, progress: Progress = ignore_progress
) -> tuple[ShotJudge, EmbeddingModel]:
    """Load what judges shots, and the model whose numbers are kept. Raises ModelError."""
    prepare_process()
    finder = load_face_model(with_faces(settings), progress)
    model = load_embedding_model(settings, progress)
    assert finder is not None
    return ShotJudge(finder.make(), model.make()), model


def with_faces(settings: Settings) -> Settings:
    """The same settings, looking for faces and for enrolled ones whatever they say."""
    face = settings.video.models.face.model_copy(update={"enabled": True})
    models = settings.video.models.model_copy(update={"face": face})
    rules = settings.video.whitelist.model_copy(update={"enabled": True})
    video = settings.video.model_copy(update={"models": models, "whitelist": rules})
    return settings.model_copy(update={"video": video})


def refuse_double(people: People | None, name: str, *, replace: bool) -> None:
    """Raise ConfigError where somebody has that name and is not to be replaced."""
    if people is not None and name in people.names and not replace:
        raise ConfigError(
            f"{name} is enrolled. Give another name, or --replace to enrol {name} anew."
        )


def add_person(
    store: PeopleStore, model: EmbeddingModel, person: Person, *, replace: bool
) -> People:
    """Keep a person, and return all. Raises ConfigError."""

    def change(people: People | None) -> People:
        people = people or People(model.name, model.sha256)
        people.check_model(model.name, model.sha256)
        refuse_double(people, person.name, replace=replace)
        return People(model.name, model.sha256, people.members).with_person(person)

    return store.update(change)
