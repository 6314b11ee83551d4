"""Can a face recogniser still tell who it is after redaction?

The attacker is strong. He knows where eyes, nose and mouth are (from the picture BEFORE redaction),
aligns the redacted face with them, embeds it with MobileFaceNet and names the nearest face in a
gallery of everybody. Redaction works where his top-1 rate is what guessing gives: 1 / people.

  naive     his gallery shows faces as they are
  parrot    he redacts his gallery in the very same way before he compares
  same      his picture of each person is the very photograph that was redacted
  mirrored  his picture is a stand-in for another photograph: mirrored, rolled, darker
  other     his picture is really another photograph (only people of --named have several)

"same" is more than an attacker on a livestream can have, and "parrot same" would find any picture
again that keeps more than one colour, so it is not run. Beside the effects stand two yardsticks:
"none" shows that the attack works, "blur" (a Gaussian kernel of 31 px, a common way to blur faces)
what a fixed kernel does to large faces. A rate is "at chance" where an exact binomial test does not
tell it from guessing at the 5 % level. "other" has few probes of very few people: an indication.

examples:
  python -m benchmarks.reid                               every effect as the project ships it
  python -m benchmarks.reid --cells 3 4 5 6 8 --sizes 48 96    how many mosaic cells are too many?
  python -m benchmarks.reid --from-video clip.mp4 redacted.mp4 clip.json

Photographs and models are looked for in $PRIVAEDGE_SHARED, or in ../shared beside the checkout.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks._attack import Attack, identify
from benchmarks._common import ByteArray, emit, main, parser
from benchmarks._faces import FaceEmbedder, FaceFinder
from benchmarks._portraits import Portrait, crowd, named
from benchmarks._reid_video import attack_video
from edge.frame import Planes
from edge.redact.cpu import CpuRedactor
from edge.redact.effects import MAX_CELLS, Effect, RedactionStyle

FloatArray = NDArray[np.float32]
Hide = Callable[[Portrait], ByteArray]

SIZES_PX: Final = (24.0, 48.0, 96.0, 192.0)
"""Face sizes at which the redactor is attacked."""
BLUR_KERNEL_PX: Final = 31
ATTACKS: Final = (
    "naive same",
    "naive mirrored",
    "naive other",
    "parrot mirrored",
    "parrot other",
)


def shared() -> Path:
    """Return the folder with photographs and models, whether or not it exists."""
    beside = Path(__file__).resolve().parent.parent.parent / "shared"
    return Path(os.environ.get("PRIVAEDGE_SHARED", beside))


def redact_picture(picture: ByteArray, boxes: FloatArray, style: RedactionStyle) -> ByteArray:
    """Send a BGR picture (H, W, 3; even sides) through the project's redactor: 4:2:0 and back."""
    height, width = picture.shape[:2]
    stacked = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
    luma, quarter = height * width, height * width // 4
    flat = stacked.reshape(-1)
    chroma = [
        flat[start : start + quarter].reshape(height // 2, width // 2)
        for start in (luma, luma + quarter)
    ]
    planes = Planes("yuv420p", flat[:luma].reshape(height, width), (chroma[0], chroma[1]))
    CpuRedactor(style).redact(planes, boxes)
    return np.asarray(cv2.cvtColor(stacked, cv2.COLOR_YUV2BGR_I420), np.uint8)


def redactor(style: RedactionStyle) -> Hide:
    """Hide a portrait's face the way the project does."""
    return lambda portrait: redact_picture(portrait.picture, portrait.box[None], style)


def leave(portrait: Portrait) -> ByteArray:
    """Hide nothing: what the attack finds at most."""
    return portrait.picture


def light_blur(portrait: Portrait) -> ByteArray:
    """Blur the face's box, grown by 15 %, with a kernel that does not grow with the face."""
    x1, y1, x2, y2 = portrait.box
    pad = 0.15 * portrait.size
    left, top = max(0, int(x1 - pad)), max(0, int(y1 - pad))
    right, bottom = int(x2 + pad) + 1, int(y2 + pad) + 1
    blurred = cv2.GaussianBlur(portrait.picture, (BLUR_KERNEL_PX, BLUR_KERNEL_PX), 0)
    picture = portrait.picture.copy()
    picture[top:bottom, left:right] = blurred[top:bottom, left:right]
    return picture


@dataclass(frozen=True, slots=True)
class Row:
    """All attacks on one effect at one face size."""

    effect: str
    cells: int | None
    face_px: float
    attacks: dict[str, Attack]

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON-ready values."""
        attacks = {name: attack.to_json() for name, attack in self.attacks.items()}
        return {
            "effect": self.effect,
            "cells": self.cells,
            "face_px": self.face_px,
            "attacks": attacks,
        }


class Bench:
    """A set of known people and a recogniser."""

    def __init__(self, people: Sequence[Portrait], embedder: FaceEmbedder) -> None:
        self._people = list(people)
        self._mirrored = [portrait.as_another_photo() for portrait in people]
        self._embedder = embedder
        self._names = [portrait.name for portrait in people]
        self._plain = self._embed(people, leave)
        photos = Counter(self._names)
        self._at_size: dict[float, tuple[list[Portrait], list[Portrait]]] = {}
        self._several = [i for i, name in enumerate(self._names) if photos[name] > 1]

    @property
    def identities(self) -> int:
        """Number of people."""
        return len(set(self._names))

    def attack(self, hide: Hide, face_px: float) -> dict[str, Attack]:
        """Hide every face at the given size (pixels, longer side) and try to name it."""
        if face_px not in self._at_size:
            self._at_size[face_px] = (
                [portrait.at_size(face_px) for portrait in self._people],
                [portrait.at_size(face_px) for portrait in self._mirrored],
            )
        small, turned = self._at_size[face_px]
        hidden = self._embed(small, hide)
        hidden_mirrored = self._embed(turned, hide)
        names = self._names
        return {
            "naive same": identify(self._plain, names, hidden, names),
            "naive mirrored": identify(self._plain, names, hidden_mirrored, names),
            "naive other": self._other(self._plain, hidden),
            "parrot mirrored": identify(hidden, names, hidden_mirrored, names),
            "parrot other": self._other(hidden, hidden),
        }

    def _other(self, gallery: FloatArray, probes: FloatArray) -> Attack:
        """Name each person of whom there are several photographs without the one probed."""
        total = Attack(0, (), self.identities)
        for i in self._several:
            rest = [k for k in range(len(self._names)) if k != i]
            names = [self._names[k] for k in rest]
            total += identify(gallery[rest], names, probes[i : i + 1], [self._names[i]])
        return total

    def _embed(self, portraits: Sequence[Portrait], hide: Hide) -> FloatArray:
        vectors = [self._embedder.embed(hide(p), p.landmarks) for p in portraits]
        return np.stack(vectors) if vectors else np.zeros((0, 128), np.float32)


def _styles(cells: Sequence[int]) -> list[tuple[str, int | None, Hide]]:
    tried: list[tuple[str, int | None, Hide]] = [("none", None, leave), ("blur", None, light_blur)]
    for effect in (Effect.MOSAIC, Effect.GAUSSIAN):
        for number in cells:
            style = RedactionStyle(effect=effect, cells=number)
            tried.append((effect.value, number, redactor(style)))
    tried.append((Effect.SOLID.value, None, redactor(RedactionStyle(effect=Effect.SOLID))))
    return tried


def cell_text(attack: Attack) -> str:
    """Return the rate, marked where they are more than chance gives."""
    if not attack.probes:
        return "–"
    text = f"{100 * attack.rate:.0f} %"
    return text if attack.at_chance else f"[bold red]{text}![/]"


def _table(rows: Sequence[Row], people: int, photos: int) -> Table:
    table = Table(
        title=f"top-1 re-identification · {people} people, {photos} photographs of faces",
        title_justify="left",
    )
    table.add_column("effect")
    for column in ("cells", "px", *(name.replace(" ", "\n") for name in ATTACKS)):
        table.add_column(column, justify="right")
    before = ""
    for row in rows:
        label = f"{row.effect} {row.cells or ''}"
        if before and label != before:
            table.add_section()
        shown = [cell_text(row.attacks[name]) for name in ATTACKS]
        table.add_row(row.effect, str(row.cells or ""), f"{row.face_px:.0f}", *shown)
        before = label
    same, other = rows[0].attacks["naive same"], rows[0].attacks["naive other"]
    table.caption = "\n".join(
        f"{which}: {attack.probes} probes, chance {100 * attack.chance:.1f} %, "
        f"guessing gets at most {attack.chance_limit} (95 %)"
        for which, attack in (("same, mirrored", same), ("other", other))
    )
    table.caption_justify = "left"
    table.caption += "\n! = above chance"
    return table


def run(argv: list[str]) -> int:
    """Run the command; exit code 0 whatever the figures say."""
    words = parser("reid", __doc__)
    data = shared()
    words.add_argument("--cells", type=int, nargs="+", default=[MAX_CELLS], metavar="N")
    words.add_argument(
        "--sizes", type=float, nargs="+", default=list(SIZES_PX), metavar="PX", help="face sizes"
    )
    words.add_argument(
        "--crowd",
        type=Path,
        default=data / "media/faces",
        metavar="DIR",
        help="photographs in which every face is another person",
    )
    words.add_argument(
        "--named",
        type=Path,
        default=data / "media/people",
        metavar="DIR",
        help="photographs named for their person: ann.jpg, ann2.jpg, bob-1.jpg",
    )
    words.add_argument(
        "--models",
        type=Path,
        default=data / "models",
        metavar="DIR",
        help="folder with face_yunet_n.onnx and face_embed_mobilefacenet.onnx",
    )
    words.add_argument(
        "--from-video",
        type=Path,
        nargs=3,
        metavar=("ORIGINAL", "REDACTED", "TRUTH"),
        help="attack a clip that was redacted by anything",
    )
    words.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = words.parse_args(argv)
    if not all(1 <= number <= MAX_CELLS for number in args.cells):
        words.error(f"--cells {args.cells}: each must be 1 to {MAX_CELLS}")
    if not all(8 <= size <= 1000 for size in args.sizes):
        words.error(f"--sizes {args.sizes}: each must be 8 to 1000 pixels")
    finder = FaceFinder(args.models / "face_yunet_n.onnx")
    embedder = FaceEmbedder(args.models / "face_embed_mobilefacenet.onnx")
    if args.from_video:
        result = attack_video(*args.from_video, finder=finder, embedder=embedder)
        emit(result.to_json(), [result.table()], as_json=args.json)
        return 0
    people = named(args.named, finder, embedder) + crowd(args.crowd, finder)
    if not people:
        words.error("no faces in --crowd and --named")
    bench = Bench(people, embedder)
    rows = [
        Row(effect, cells, size, bench.attack(hide, size))
        for effect, cells, hide in _styles(args.cells)
        for size in args.sizes
    ]
    result_json = {
        "people": bench.identities,
        "photographs": len(people),
        "rows": [row.to_json() for row in rows],
    }
    emit(result_json, [_table(rows, bench.identities, len(people))], as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
