"""Re-identification on a clip that was redacted by anything: gallery and probes from its frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks._attack import Attack, identify
from benchmarks._common import BenchmarkError, decode
from benchmarks._exposure import TrueBox, Truth
from benchmarks._faces import FaceEmbedder, FaceFinder
from benchmarks._portraits import SAME_PERSON
from edge.detection import Detections, iou_matrix

FloatArray = NDArray[np.float32]

_EVERY: Final = 5
"""Frames between two looks: neighbours say the same."""
_SCENE_S: Final = 4.0
"""Ids of the labelled clips are unique within one scene, and their scenes last 4 s."""
_SMALL_PX: Final = 48.0
_MIN_OVERLAP: Final = 0.4
"""Intersection over union from which a found face is the labelled one."""


@dataclass(frozen=True, slots=True)
class VideoAttack:
    """What could be identified in a redacted clip.

    naive: redacted faces looked up among the original ones. parrot: among the redacted ones of
    other frames: can sightings be linked? upper: original faces among the original ones.
    small, large: naive, on faces below and from _SMALL_PX.
    """

    naive: Attack
    parrot: Attack
    upper: Attack
    small: Attack
    large: Attack

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON-ready values."""
        return {name: getattr(self, name).to_json() for name in self.__slots__}

    def table(self) -> Table:
        """Lay the figures out."""
        table = Table(title="top-1 re-identification in the clip", title_justify="left")
        for column in ("attack", "probes", "people", "top-1", "chance", "limit", "verdict"):
            table.add_column(column, justify="left" if column == "attack" else "right")
        for name, attack in (
            ("not redacted", self.upper),
            ("naive", self.naive),
            ("naive, small", self.small),
            ("naive, large", self.large),
            ("parrot", self.parrot),
        ):
            table.add_row(
                name,
                str(attack.probes),
                str(attack.identities),
                f"{100 * attack.rate:.1f} %",
                f"{100 * attack.chance:.1f} %",
                f"<= {attack.chance_limit}",
                "at chance" if attack.at_chance else "[bold red]above chance",
            )
        table.caption = (
            f"small: below {_SMALL_PX:.0f} px. limit: most hits that guessing gets (95 %)"
        )
        return table


@dataclass(frozen=True, slots=True)
class _Sighting:
    thing: tuple[int, int]
    size: float
    plain: FloatArray
    hidden: FloatArray


def attack_video(
    original: Path, redacted: Path, truth: Path, *, finder: FaceFinder, embedder: FaceEmbedder
) -> VideoAttack:
    """Align every labelled face in both clips by the original's landmarks, and identify it.

    The gallery has one picture a person: the largest. Things of different scenes whose originals
    look alike are one person, who is probed once, with a picture from another frame.
    """
    labels = Truth.load(truth)
    scene_frames = max(1, round(_SCENE_S * labels.fps))
    sightings: list[_Sighting] = []
    pairs = zip(decode(original, "bgr24"), decode(redacted, "bgr24"), labels.frames, strict=False)
    for n, (before, after, boxes) in enumerate(pairs):
        if before.shape != after.shape:
            raise BenchmarkError("picture sizes differ. Compare clips that belong together.")
        faces = [box for box in boxes if box.kind == "face"]
        if n % _EVERY or not faces:
            continue
        found = finder.find(before)
        for box in faces:
            marks = _landmarks(box, found)
            if marks is not None:
                thing = n // scene_frames, box.ident
                plain, hidden = embedder.embed(before, marks), embedder.embed(after, marks)
                size = max(box.width, box.height)
                sightings.append(_Sighting(thing, size, plain, hidden))
    if len({sighting.thing for sighting in sightings}) < 2:
        raise BenchmarkError("fewer than two people were found. Take a clip with more faces.")
    return _identify(sightings)


def _landmarks(box: TrueBox, found: Detections) -> FloatArray | None:
    label = np.array([[box.x1, box.y1, box.x2, box.y2]], np.float32)
    overlap = iou_matrix(label, found.boxes)
    if not overlap.size or overlap.max() < _MIN_OVERLAP:
        return None
    marks: FloatArray = found.landmarks[int(overlap.argmax())]
    return marks


def _identify(sightings: list[_Sighting]) -> VideoAttack:
    best: dict[tuple[int, int], _Sighting] = {}
    for sighting in sightings:
        if sighting.thing not in best or sighting.size > best[sighting.thing].size:
            best[sighting.thing] = sighting
    person = _people(best)
    gallery: dict[str, _Sighting] = {}
    for thing, sighting in best.items():
        name = person[thing]
        if name not in gallery or sighting.size > gallery[name].size:
            gallery[name] = sighting
    names = list(gallery)
    plain = np.stack([sighting.plain for sighting in gallery.values()])
    hidden = np.stack([sighting.hidden for sighting in gallery.values()])

    def attack(over: FloatArray, low: float, high: float, *, seen: bool = False) -> Attack:
        probes = _probes(sightings, person, gallery, low, high)
        if not probes:
            return Attack(0, (), len(names))
        vectors = np.stack([probe.plain if seen else probe.hidden for probe in probes.values()])
        return identify(over, names, vectors, list(probes))

    return VideoAttack(
        naive=attack(plain, 0, np.inf),
        parrot=attack(hidden, 0, np.inf),
        upper=attack(plain, 0, np.inf, seen=True),
        small=attack(plain, 0, _SMALL_PX),
        large=attack(plain, _SMALL_PX, np.inf),
    )


def _people(best: dict[tuple[int, int], _Sighting]) -> dict[tuple[int, int], str]:
    """Join things of different scenes whose originals look alike under one name."""
    person: dict[tuple[int, int], str] = {}
    for thing, sighting in best.items():
        likeness = {
            other: float(best[other].plain @ sighting.plain)
            for other in person
            if other[0] != thing[0]
        }
        alike = max(likeness, key=likeness.__getitem__, default=None)
        if alike is not None and likeness[alike] >= SAME_PERSON:
            person[thing] = person[alike]
        else:
            person[thing] = f"person {len(set(person.values())) + 1}"
    return person


def _probes(
    sightings: list[_Sighting],
    person: dict[tuple[int, int], str],
    gallery: dict[str, _Sighting],
    low: float,
    high: float,
) -> dict[str, _Sighting]:
    """One sighting a person, low <= size < high: the middle one, never the gallery's own.

    More of them would not be independent: a recogniser that sees nothing says the same name always,
    and would be right as often as that person is asked for.
    """
    of: dict[str, list[_Sighting]] = {}
    for sighting in sightings:
        name = person[sighting.thing]
        if low <= sighting.size < high and gallery[name] is not sighting:
            of.setdefault(name, []).append(sighting)
    return {name: seen[len(seen) // 2] for name, seen in of.items()}
