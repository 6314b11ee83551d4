"""Enrolled people: what a face has to resemble to be shown. Keeping them is people_store.py's job.

Embeddings are biometric data. They appear in no message, and in no repr.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from edge.config_yaml import printable
from edge.detection import FloatArray
from edge.errors import ConfigError

LEAST_THRESHOLD: Final = 0.50
"""Cosine below which nobody is shown. Measured with MobileFaceNet: of 903 pairs of strangers (43
faces of 35 to 128 px) the nearest reach 0.47 and 0.40; pairs of one person's photographs 0.72."""
MOST_THRESHOLD: Final = 0.62
"""What a person's own threshold is at most: shots of one day resemble each other more than the
next day will."""
_DEVIATIONS: Final = 3.0
"""How far below the mean likeness of a person's shots the threshold lies, in their deviations."""
_LEAST_DEVIATION: Final = 0.05
"""What the deviation of a few shots is taken for at least: few shots show little of it."""
MAX_PEOPLE: Final = 1000
_NAME: Final = re.compile(r"\S(?:.{0,62}\S)?")


@dataclass(frozen=True, slots=True)
class Person:
    """One enrolled person.

    direction: (D,) float32, the unit mean of the shots' embeddings. threshold: cosine from which a
    face is taken for this person. shots: how many it was made of. likeness: the mean cosine of a
    shot with the mean of the others (1 for a single shot); spread: its standard deviation.
    """

    name: str
    direction: FloatArray = field(repr=False)
    threshold: float
    shots: int
    likeness: float = 1.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.direction.ndim != 1 or self.direction.dtype != np.float32:
            raise ValueError("a direction must be a float32 vector")
        if not abs(float(np.linalg.norm(self.direction)) - 1) < 1e-3:  # also refuses NaN
            raise ValueError("a direction must have length 1")
        if not (-1 < self.threshold < 1 and self.shots >= 1):
            raise ValueError("a threshold lies between -1 and 1, and a person has shots")


def check_name(name: str) -> str:
    """Return a name that can be printed and typed. Raises ConfigError."""
    if not (name.isprintable() and _NAME.fullmatch(name)) or name.startswith("-"):
        raise ConfigError(
            f"'{printable(name)}' is not a usable name. Use 1 to 64 printable characters, "
            "without blanks or - in front."
        )
    return name


def others_likeness(shots: FloatArray) -> FloatArray:
    """Return the cosine of each shot, (N, D) unit vectors, with the mean of all others: (N,).

    1 for a single shot.
    """
    if len(shots) == 1:
        return np.ones(1, np.float32)
    rest = shots.sum(axis=0) - shots
    lengths = np.maximum(np.linalg.norm(rest, axis=1), 1e-9)
    likeness: FloatArray = ((rest * shots).sum(axis=1) / lengths).astype(np.float32)
    return likeness


def person_of(name: str, shots: FloatArray) -> Person:
    """Make a person from the embeddings of their shots, (N, D) float32 unit vectors, N ≥ 1.

    Raises ConfigError for a name that cannot be used, ValueError for shots without a mean.
    """
    mean = shots.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if not length > 1e-6:
        raise ValueError("the shots have no mean")
    likeness = others_likeness(shots)
    typical, spread = float(likeness.mean()), float(likeness.std())
    if len(shots) == 1:
        threshold = LEAST_THRESHOLD
    else:
        low = typical - _DEVIATIONS * max(spread, _LEAST_DEVIATION)
        threshold = min(max(low, LEAST_THRESHOLD), MOST_THRESHOLD)
    direction: FloatArray = (mean / length).astype(np.float32)
    return Person(name, direction, threshold, len(shots), typical, spread)


@dataclass(frozen=True, slots=True)
class People:
    """All enrolled people, and the model that their directions belong to."""

    model: str
    """Name of the embedding model, for messages."""
    model_sha256: str
    """What decides: another model's directions mean other things."""
    members: tuple[Person, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if len({person.name for person in self.members}) != len(self.members):
            raise ValueError("two people have the same name")
        if len({person.direction.shape for person in self.members}) > 1:
            raise ValueError("directions differ in length")

    def __len__(self) -> int:
        return len(self.members)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of enrolment: what indices of people count."""
        return tuple(person.name for person in self.members)

    def thresholds(self, stated: float | None = None) -> list[float]:
        """Return each person's threshold; stated: one that holds for all instead."""
        return [person.threshold if stated is None else stated for person in self.members]

    def likeness(self, faces: FloatArray) -> FloatArray:
        """Return the cosine of faces, (N, D) unit vectors, with every person: (N, P) float32."""
        if not self.members:
            return np.zeros((len(faces), 0), np.float32)
        known = np.stack([person.direction for person in self.members])
        result: FloatArray = (faces @ known.T).astype(np.float32)
        return result

    def nearest_other(self, person: Person) -> tuple[str, float] | None:
        """Return who of the others resembles a person most, and the cosine; None where none is."""
        others = [other for other in self.members if other.name != person.name]
        if not others:
            return None
        best = max(others, key=lambda other: float(other.direction @ person.direction))
        return best.name, float(best.direction @ person.direction)

    def with_person(self, person: Person) -> People:
        """Add a person, in the place of one of the same name. Raises ConfigError for too many."""
        kept = [other for other in self.members if other.name != person.name]
        if len(kept) >= MAX_PEOPLE:
            raise ConfigError(f"{MAX_PEOPLE} people are enrolled. Remove some first.")
        return People(self.model, self.model_sha256, (*kept, person))

    def without(self, name: str) -> People:
        """Leave a person out. Raises ConfigError where nobody has that name."""
        if name not in self.names:
            known = ", ".join(self.names) or "nobody"
            raise ConfigError(
                f"'{printable(name)}' is not enrolled. Enrolled: {printable(known, 200)}."
            )
        kept = tuple(person for person in self.members if person.name != name)
        return People(self.model, self.model_sha256, kept)

    def check_model(self, name: str, sha256: str) -> None:
        """Raises ConfigError where these people were enrolled with another model."""
        if self.members and self.model_sha256 != sha256:
            raise ConfigError(
                f"the enrolled people belong to model {self.model} "
                f"({self.model_sha256[:12]}…), and {name} ({sha256[:12]}…) is in use. Enrol them "
                "anew with it, or set video.whitelist.model back."
            )


def most_alike(shots: Sequence[FloatArray], least: float) -> list[bool]:
    """Say which of some unit vectors (D,) show the same person as most of them do.

    The shot that most others resemble is the centre; others stay where their cosine with it is at
    least `least`.
    """
    if not shots:
        return []
    table = np.stack(shots) @ np.stack(shots).T
    votes = (table >= least).sum(axis=1) + table.mean(axis=1) / 10
    centre = int(votes.argmax())
    alike: list[bool] = (table[centre] >= least).tolist()
    alike[centre] = True
    return alike
