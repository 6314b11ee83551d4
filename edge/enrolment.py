"""Judging the shots that a person is enrolled with: which are fit, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.detection import FloatArray
from edge.errors import SourceError
from edge.frame import ByteArray, Frame, Picture
from edge.lanes.embedding import FaceEmbedder, align
from edge.lanes.lane import Detector
from edge.lanes.pose import Pose
from edge.media.address import Address
from edge.media.live import LiveConnection
from edge.media.source import FileSource
from edge.media.still import SUFFIXES, read_still
from edge.people import Person, most_alike, person_of

GOOD_SHOTS: Final = 5
"""Shots that are asked for: fewer show little of how a face changes."""
MIN_FACE_PX: Final = 64
"""Width of a face in a shot: about what the network sees, pixel by pixel."""
MAX_YAW: Final = 0.32
"""See lanes.pose: about 30°. A person's mean should look at the camera."""
MIN_SHARPNESS: Final = 0.013
"""Variance of the second derivative of an aligned face's luma, along the axis where it is smaller
(camera shake blurs one axis only), over that of the luma. Measured on 17 faces of 60 px and more:
0.021 to 0.40; the same blurred by a Gaussian of 2 px at most 0.008, moved by 9 px at most 0.013."""
LUMA: Final = (40.0, 215.0)
"""Mean luma, 0..255, of a face that is neither in the dark nor burnt out."""
MIN_CONTRAST: Final = 15.0
"""Standard deviation of a face's luma; the flattest of the test photographs have 20."""
ALIKE: Final = 0.45
"""Cosine from which two shots may show one person; see people.LEAST_THRESHOLD."""
SAME_SHOT: Final = 0.97
"""Cosine from which two shots say the same: one photograph twice, or two neighbouring frames. Two
crops and sizes of one photograph have 0.98."""
VIDEO_LOOKS_PER_S: Final = 2.0
MAX_VIDEO_S: Final = 60.0
"""How much of a video or camera is looked at."""
MAX_SHOTS: Final = 200
ENOUGH_FROM_VIDEO: Final = 20
_SURE_FACE: Final = 0.5
"""Score from which a second face in a shot is one."""
_FACE_PART: Final = np.s_[20:105, 15:97]
"""Rows and columns of an aligned face without the background at its sides."""
_BENDS: Final = (np.array([[1, -2, 1]], np.float32), np.array([[1], [-2], [1]], np.float32))
"""Second derivative along rows, and along columns."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of a person. origin: where it comes from. problem: why it is refused, or None.

    embedding: (D,) float32 unit vector, where there is exactly one face.
    """

    origin: str
    problem: str | None
    face_px: int = 0
    embedding: FloatArray | None = field(default=None, repr=False)

    def refused(self, problem: str) -> Shot:
        """Return the shot with a reason against it."""
        return replace(self, problem=problem)


class ShotJudge:
    """Judges shots one by one."""

    def __init__(self, detector: Detector, embedder: FaceEmbedder) -> None:
        self._detector, self._embedder = detector, embedder

    def judge(self, picture: Picture, origin: str) -> Shot:
        """Judge a picture by itself. Raises InferenceError."""
        _, seen = self._detector.infer(0, picture)
        faces = np.flatnonzero(seen.scores >= _SURE_FACE)
        if not len(faces):
            return Shot(origin, "no face")
        if len(faces) > 1:
            return Shot(origin, f"{len(faces)} faces; show one person alone")
        if not len(seen.landmarks):
            return Shot(origin, "the face detector gives no landmarks")
        index = int(faces[0])
        marks = seen.landmarks[index]
        width = round(float(seen.boxes[index, 2] - seen.boxes[index, 0]))
        shot = Shot(origin, None, width)
        pose = Pose.of(marks)
        if pose is None or not pose.tells(MAX_YAW):
            return shot.refused("turned away; look towards the camera")
        if not ((marks >= 0) & (marks < (picture.width, picture.height))).all():
            return shot.refused("the face is cut off")
        face = align(picture.shrink(picture.width, picture.height), marks)
        shot = replace(shot, embedding=self._embedder.embed(face))
        if width < MIN_FACE_PX:
            return shot.refused(f"too small: {width} px wide, at least {MIN_FACE_PX} are needed")
        problem = flaw(face)
        return shot if problem is None else shot.refused(problem)


def flaw(face: ByteArray) -> str | None:
    """Say what is wrong with an aligned (112, 112, 3) uint8 RGB face as a picture, or None."""
    luma = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[_FACE_PART].astype(np.float32)
    mean, deviation = float(luma.mean()), float(luma.std())
    if mean < LUMA[0]:
        return "too dark"
    if mean > LUMA[1]:
        return "too bright"
    if deviation < MIN_CONTRAST:
        return "too little contrast"
    if min(float(cv2.filter2D(luma, -1, k).var()) for k in _BENDS) < MIN_SHARPNESS * deviation**2:
        return "blurred"
    return None


def compare(shots: Sequence[Shot]) -> list[Shot]:
    """Judge shots by each other: refuse doubles, and those that show somebody else."""
    judged = list(shots)
    for index, shot in enumerate(judged):
        twin = next((o for o in judged[:index] if o.problem is None and _same(o, shot)), None)
        if shot.problem is None and twin is not None:
            judged[index] = shot.refused(f"says nothing that {twin.origin} does not")
    good = [i for i, shot in enumerate(judged) if shot.problem is None]
    vectors = [vector for i in good if (vector := judged[i].embedding) is not None]
    for index, alike in zip(good, most_alike(vectors, ALIKE), strict=True):
        if not alike:
            judged[index] = judged[index].refused("shows somebody else than most shots do")
    return judged


def enrol(name: str, shots: Sequence[Shot]) -> Person | None:
    """Make a person of the good ones of some shots; None where there is none. ConfigError."""
    vectors = [s.embedding for s in shots if s.problem is None and s.embedding is not None]
    return person_of(name, np.stack(vectors)) if vectors else None


def shots_of(sources: Iterable[str], judge: ShotJudge) -> Iterator[Shot]:
    """Judge the shots that photographs, folders of photographs, videos and cameras hold.

    Raises SourceError for a source that cannot be read; InferenceError.
    """
    for source in sources:
        path = Path(source)
        if path.is_dir():
            stills = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not stills:
                raise SourceError(f"{path} holds no photographs. Put JPEG or PNG files into it.")
            for still in stills[:MAX_SHOTS]:
                yield judge.judge(read_still(still), still.name)
        elif path.suffix.lower() in SUFFIXES:
            yield judge.judge(read_still(path), path.name)
        else:
            yield from _distinct(_video_shots(source, judge))


def frames_of(source: str, most_s: float = MAX_VIDEO_S) -> Iterator[Frame]:
    """Yield the frames of a video file or live source, `most_s` seconds of them at most.

    Raises SourceError, AddressError.
    """
    address = Address.parse(source)
    with LiveConnection(address, audio="none") if address.is_live else FileSource(source) as opened:
        for item in opened.read():
            if isinstance(item, Frame):
                if item.pts > most_s:
                    return
                yield item


def _video_shots(source: str, judge: ShotJudge) -> Iterator[Shot]:
    due = 0.0
    for frame in frames_of(source):
        if frame.pts >= due:
            due = frame.pts + 1 / VIDEO_LOOKS_PER_S
            yield judge.judge(frame.picture, f"at {frame.pts:.1f} s")


def _distinct(shots: Iterator[Shot]) -> Iterator[Shot]:
    """Leave out frames that say what an earlier one said, and stop when there are enough."""
    kept: list[Shot] = []
    for shot in shots:
        if shot.problem is None:
            if any(_same(shot, other) for other in kept):
                continue
            kept.append(shot)
        yield shot
        if len(kept) >= ENOUGH_FROM_VIDEO:
            return


def _same(a: Shot, b: Shot) -> bool:
    if a.embedding is None or b.embedding is None:
        return False
    return float(a.embedding @ b.embedding) >= SAME_SHOT
