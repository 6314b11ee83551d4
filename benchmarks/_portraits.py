"""Known people: faces with names, and the same faces at other sizes and in other light."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._common import BenchmarkError, ByteArray
from benchmarks._faces import FaceEmbedder, FaceFinder

FloatArray = NDArray[np.float32]

_CONTEXT: Final = 1.0
"""Picture kept on each side of a face, in face sizes: all that redactor and alignment see."""
_MIN_FACE_PX: Final = 30
"""Smaller originals are no good gallery pictures."""
SAME_PERSON: Final = 0.45
"""Cosine from which MobileFaceNet calls two faces one person (different people: mean 0.02)."""
_PICTURES: Final = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, slots=True)
class Portrait:
    """One face in its surroundings.

    picture: (H, W, 3) BGR uint8, H and W even. box: (4,) x1 y1 x2 y2. landmarks: (5, 2). Pixels.
    """

    name: str
    photo: str
    picture: ByteArray
    box: FloatArray
    landmarks: FloatArray

    @property
    def size(self) -> float:
        """Longer side of the face in pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    def warped(self, matrix: NDArray[np.float64], width: int, height: int) -> Portrait:
        """Return the portrait under an affine map (2, 3), on a canvas of even sides.

        The box stays upright: it encloses the map of the old one's centre, scaled.
        """
        flipped = np.linalg.det(matrix[:, :2]) < 0
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        source, shrink = self.picture, matrix.astype(np.float64)
        if scale < 1:
            # warpAffine has no area filter: shrink first, or fine detail would alias.
            sides = [max(2, round(side * scale)) for side in self.picture.shape[1::-1]]
            source = np.asarray(cv2.resize(self.picture, sides, interpolation=method), np.uint8)
            ratio = [self.picture.shape[1] / sides[0], self.picture.shape[0] / sides[1]]
            shrink = matrix.astype(np.float64) @ np.diag([*ratio, 1.0])
        size = (width + width % 2, height + height % 2)
        picture = cv2.warpAffine(
            source, shrink, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        marks = self.landmarks @ matrix[:, :2].T + matrix[:, 2]
        if flipped:  # what was the right eye is now the left one
            marks = marks[[1, 0, 2, 4, 3]]
        centre = matrix[:, :2] @ ((self.box[:2] + self.box[2:]) / 2) + matrix[:, 2]
        half = (self.box[2:] - self.box[:2]) / 2 * scale
        box = np.concatenate([centre - half, centre + half])
        return Portrait(
            self.name,
            self.photo,
            np.asarray(picture, np.uint8),
            box.astype(np.float32),
            marks.astype(np.float32),
        )

    def at_size(self, face_px: float) -> Portrait:
        """Return the portrait scaled so that its face is face_px large."""
        scale = face_px / self.size
        height, width = self.picture.shape[:2]
        matrix = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
        return self.warped(matrix, round(width * scale), round(height * scale))

    def as_another_photo(self) -> Portrait:
        """Return a stand-in for another photograph of the same person.

        Mirrored, rolled by 6°, darker in the mid-tones and flatter: no pixel and no tile of it
        equals the original's, while a face embedding still knows the person.
        """
        height, width = self.picture.shape[:2]
        roll = cv2.getRotationMatrix2D((width / 2, height / 2), 6.0, 1.0)
        mirror = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        turned = self.warped(roll @ mirror, width, height)
        levels = 20 + 215 * (np.arange(256) / 255) ** 1.35
        picture = np.asarray(cv2.LUT(turned.picture, levels.astype(np.uint8)), np.uint8)
        return Portrait(
            self.name, f"{self.photo} (mirrored)", picture, turned.box, turned.landmarks
        )


def cut_out(
    name: str, photo: str, picture: ByteArray, box: FloatArray, marks: FloatArray
) -> Portrait:
    """Cut one face with its surroundings out of a larger picture."""
    margin = _CONTEXT * float(max(box[2] - box[0], box[3] - box[1]))
    height, width = picture.shape[:2]
    left, top = (max(0, int(v - margin)) for v in box[:2])
    right, bottom = min(width, int(box[2] + margin)), min(height, int(box[3] + margin))
    right -= (right - left) % 2
    bottom -= (bottom - top) % 2
    shift = np.array([left, top], np.float32)
    crop = np.ascontiguousarray(picture[top:bottom, left:right])
    return Portrait(name, photo, crop, box - np.tile(shift, 2), marks - shift)


def _read(folder: Path) -> Iterable[tuple[Path, ByteArray]]:
    if not folder.is_dir():
        raise BenchmarkError(f"folder {folder} is missing. Name one that has photographs.")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _PICTURES:
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is not None:
                yield path, np.asarray(picture, np.uint8)


def crowd(folder: Path, finder: FaceFinder) -> list[Portrait]:
    """Return every face in a folder's pictures; each is taken for a different person."""
    people: list[Portrait] = []
    for path, picture in _read(folder):
        faces = finder.find(picture)
        for i, (box, marks) in enumerate(zip(faces.boxes, faces.landmarks, strict=True)):
            portrait = cut_out(f"{path.stem}#{i}", path.name, picture, box, marks)
            if portrait.size >= _MIN_FACE_PX:
                people.append(portrait)
    return people


def named(folder: Path, finder: FaceFinder, embedder: FaceEmbedder) -> list[Portrait]:
    """Return the faces of people who are named by their files: ann.jpg, ann2.jpg, ann-720p.jpg.

    A name is the file's up to the first digit, or up to a hyphen before one. A picture with several
    faces names nobody: its faces get the name of whom they resemble most, or are left out.
    """
    sure: list[Portrait] = []
    unsure: list[Portrait] = []
    for path, picture in _read(folder):
        faces = finder.find(picture)
        name = re.split(r"[-_ ]?\d", path.stem, maxsplit=1)[0] or path.stem
        for box, marks in zip(faces.boxes, faces.landmarks, strict=True):
            portrait = cut_out(name, path.name, picture, box, marks)
            (sure if len(faces) == 1 else unsure).append(portrait)
    if not sure:
        return []
    known = np.stack([embedder.embed(p.picture, p.landmarks) for p in sure])
    for portrait in unsure:
        likeness = known @ embedder.embed(portrait.picture, portrait.landmarks)
        best = int(likeness.argmax())
        if likeness[best] >= SAME_PERSON:
            marks = portrait.landmarks
            sure.append(
                Portrait(sure[best].name, portrait.photo, portrait.picture, portrait.box, marks)
            )
    return sure
