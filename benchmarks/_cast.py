"""Who is filmed for the whitelist's benchmark, in what, and who is enrolled meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks._common import BenchmarkError
from benchmarks._faces import FaceEmbedder, FaceFinder
from benchmarks._portraits import Portrait, crowd, named
from benchmarks._stage import (
    HEIGHT,
    WIDTH,
    Actor,
    Scene,
    approach,
    beside,
    dim,
    glaring,
    grainy,
    soft,
    stand,
    walk,
)
from edge.enrolment import Shot, enrol
from edge.lanes.pose import Pose
from edge.people import Person

SIZES_PX: Final = (86.0, 110.0, 160.0)
"""Longer sides of faces, which are 0.6 to 0.75 times as wide."""
FRONTAL_YAW: Final = 0.25
"""See edge.lanes.pose; about 25°."""
_SAME_SHOT: Final = 0.90
"""Cosine from which two photographs are taken for one in two sizes."""
_FOR_ANYBODY: Final = ("still 160", "walk 110", "soft")
"""Scenes that somebody who is not enrolled is shown in."""


@dataclass(frozen=True, slots=True)
class Play:
    """A scene, and who is enrolled while it is shown. kind: which row of the table it is in."""

    kind: str
    scene: Scene
    people: tuple[Person, ...]


def alone(kind: str, portrait: Portrait, people: tuple[Person, ...]) -> Iterator[Play]:
    """One person, in every size and light."""
    x, y = WIDTH / 2, HEIGHT / 2

    def play(title: str, path: Any, light: Any = None) -> Play:
        return Play(kind, Scene(title, (Actor(portrait, path),), 3.0, light), people)

    for size in SIZES_PX:
        yield play(f"still {size:.0f}", stand(x, y, size))
        yield play(f"walk {size:.0f}", walk((200, y), (760, y - 40), 3.0, size))
    yield play("near", approach(x, y, 80, 220, 3.0))
    for name, light in (("dim", dim), ("glaring", glaring), ("soft", soft), ("grain", grainy)):
        yield play(name, stand(x, y, 120), light)


def encounters(
    owner: Portrait, strangers: Sequence[Portrait], people: tuple[Person, ...]
) -> Iterator[Play]:
    """The owner among strangers: what a shared vote gets wrong."""
    a, b = strangers[:2]
    y = HEIGHT / 2
    left, right = (180.0, y), (780.0, y)
    middle = WIDTH / 2

    def play(title: str, *actors: Actor) -> Play:
        return Play("with strangers", Scene(title, actors, 4.0), people)

    yield play("stranger enters as the owner leaves",
               Actor(owner, walk((middle, y), (-400, y), 2.0, 120)),
               Actor(a, walk((1360, y), (middle, y), 2.0, 120)))  # fmt: skip
    yield play("stranger takes the owner's place",
               Actor(owner, lambda t: (middle if t < 2 else -900, y, 120)),
               Actor(a, lambda t: (middle if t >= 2 else -900, y, 120)))  # fmt: skip
    yield play("owner between two strangers",
               *beside([a, owner, b], 110))  # fmt: skip
    yield play("stranger passes in front", Actor(owner, stand(middle, y, 120)),
               Actor(a, walk(left, right, 3.0, 120)))  # fmt: skip
    yield play("owner passes in front", Actor(a, stand(middle, y, 120)),
               Actor(owner, walk(left, right, 3.0, 120)))  # fmt: skip
    yield play("they cross", Actor(owner, walk(left, right, 3.0, 110)),
               Actor(b, walk(right, left, 3.0, 110)))  # fmt: skip


def crowds(strangers: Sequence[Portrait], people: tuple[Person, ...]) -> Iterator[Play]:
    """Everybody who is not enrolled, four at a time, large and small."""
    for start in range(0, len(strangers), 4):
        group = strangers[start : start + 4]
        for size, light in ((70.0, None), (130.0, None), (100.0, soft), (100.0, dim)):
            yield Play("strangers", Scene("crowd", beside(group, size), 2.0, light), people)


class Cast:
    """Who there is, and who is enrolled from what."""

    def __init__(self, shot: Callable[[Portrait], Shot], data: Path) -> None:
        """shot: judges a portrait as enrolment does. data: folder with media and models."""
        finder = FaceFinder(data / "models/face_yunet_n.onnx")
        embedder = FaceEmbedder(data / "models/face_embed_mobilefacenet.onnx")
        self.known = named(data / "media/people", finder, embedder)
        self.strangers = crowd(data / "media/faces", finder)
        if not self.known or len(self.strangers) < 2:
            raise BenchmarkError(f"{data}/media has no people. Name a folder that has.")
        self._shots = {id(portrait): shot(portrait) for portrait in self.known}
        self.names = sorted({portrait.name for portrait in self.known})

    def person(self, name: str, without: Portrait | None = None) -> Person | None:
        """Enrol somebody from all photographs but one, and whatever is the same shot as that."""
        left_out = self._shots[id(without)].embedding if without is not None else None
        shots = []
        for portrait in self.known:
            shot = self._shots[id(portrait)]
            if portrait.name != name or shot.embedding is None:
                continue
            if left_out is None or float(shot.embedding @ left_out) < _SAME_SHOT:
                shots.append(Shot(shot.origin, None, shot.face_px, shot.embedding))
        return enrol(name, shots)

    def others(self, name: str) -> tuple[Person, ...]:
        """Everybody but one, enrolled from all that there is of them."""
        people = (self.person(other) for other in self.names if other != name)
        return tuple(person for person in people if person is not None)


def plays(cast: Cast) -> Iterator[Play]:
    """Everything that is shown."""
    for portrait in cast.known:
        pose = Pose.of(portrait.landmarks)
        if pose is None or abs(pose.yaw) > FRONTAL_YAW:
            continue
        others = cast.others(portrait.name)
        person = cast.person(portrait.name, portrait)
        if person is not None:
            yield from alone("another photo", portrait, (*others, person))
            yield from encounters(portrait, cast.strangers[-2:], (*others, person))
        elif (single := cast.person(portrait.name)) is not None:
            yield from alone("stand-in", portrait.as_another_photo(), (*others, single))
        yield from (
            Play("not enrolled", play.scene, others)
            for play in alone("", portrait, others)
            if play.scene.title in _FOR_ANYBODY
        )
    everybody = cast.others("")
    yield from crowds(cast.strangers, everybody)
