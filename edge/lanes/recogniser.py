"""Looks at the faces of a picture and says how much each resembles the enrolled people.

Slow work only: it keeps nothing of what it sees. What follows from it is whitelist.py's to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detection import Detections, FloatArray
from edge.errors import InferenceError
from edge.frame import ByteArray, Picture
from edge.lanes.embedding import FaceEmbedder, align, reach
from edge.lanes.pose import Pose
from edge.people import People

MAX_FACES: Final = 8
"""Faces examined in one picture: at 4 looks a second, 32 faces are seen once a second, and a look
takes 8 times an embedding at most."""
_WIDE: Final = 16


class Recogniser:
    """An embedder, the people it knows, and which faces are worth its while."""

    def __init__(
        self,
        make: Callable[[], FaceEmbedder],
        people: People,
        *,
        min_face_px: int,
        conf: float,
    ) -> None:
        """make: gives an embedder, again after one got stuck. min_face_px: width of a face that is
        examined. conf: score of its detection. Raises ModelError for another model's people."""
        self._make = make
        self._embedder = make()
        self.people = people
        self._min_face_px = min_face_px
        self._conf = conf
        if any(len(person.direction) != self._embedder.dimensions for person in people.members):
            raise InferenceError("the enrolled people's directions do not fit the model's")

    def renew(self) -> None:
        """Go on with another embedder: the old one may be stuck. Raises what `make` raises."""
        self._embedder = self._make()

    def worthwhile(self, seen: Detections, width: int, height: int) -> NDArray[np.intp]:
        """Return the indices of faces that tell whose they are: large, whole, not turned away."""
        if not len(seen.landmarks):
            return np.zeros(0, np.intp)
        wide = seen.boxes[:, 2] - seen.boxes[:, 0] >= self._min_face_px
        inside = ((seen.landmarks >= 0) & (seen.landmarks < (width, height))).all(axis=(1, 2))
        chosen = np.flatnonzero(wide & inside & (seen.scores >= self._conf))
        told = [
            index
            for index in chosen.tolist()
            if (pose := Pose.of(seen.landmarks[index])) is not None and pose.tells()
        ]
        return np.array(told, np.intp)

    def examine(
        self, picture: Picture, seen: Detections, which: Sequence[int]
    ) -> dict[int, FloatArray]:
        """Return the likeness, (P,) float32, of each of the faces named by index.

        Raises InferenceError, or whatever else goes wrong.
        """
        embedder, people = self._embedder, self.people
        if not which or not len(people):
            return {}
        found = {}
        for index in which:
            face = _aligned(picture, seen.landmarks[index])
            likeness = people.likeness(embedder.embed(face)[None])[0]
            if not np.isfinite(likeness).all():
                raise InferenceError("a likeness is not finite")
            found[index] = likeness
        return found


def _aligned(picture: Picture, landmarks: FloatArray) -> ByteArray:
    """Cut one face out of a picture: only what is around it is converted.

    It is a multiple of _WIDE pixels wide where the picture reaches so far: swscale's fast path.
    """
    low, high = reach(landmarks)
    left, top = (max(0, int(v)) & ~1 for v in low)
    right, bottom = (int(v) + 2 & ~1 for v in high)
    right = min(picture.width, left + -(-(right - left) // _WIDE) * _WIDE)
    bottom = min(picture.height, bottom)
    if left >= right or top >= bottom:
        raise ValueError("the face lies outside the picture")
    part = picture.crop(left, top, right - left, bottom - top)
    return align(part, landmarks - np.array([left, top], np.float32))
