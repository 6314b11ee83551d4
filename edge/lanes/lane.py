"""The interface of a lane and of a detector. To add either, this page is all there is to read.

A detector answers `infer(frame_id, image) -> (frame_id, detections)`: it is given a picture, and
returns what it saw in full-frame pixels. It may throw, and it may take long: both only ever close
the gate. A lane decides which pictures the detector sees, and what its answers mean over time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from edge.detection import Detections, FloatArray
from edge.frame import Frame, Picture
from edge.motion import Motion


class Detector(Protocol):
    """Finds things of one kind in one picture."""

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        """Return the frame_id it was given and what it saw there.

        Raises InferenceError (or anything else) when it cannot say what is in the picture.
        """


@dataclass(frozen=True, slots=True)
class Gap:
    """Consecutive frames since the look before, each with its motion; the last is looked at."""

    frames: tuple[Frame, ...]
    motions: tuple[Motion, ...]
    skipped: bool = False
    """True where nothing will be looked at: detectors are too slow. Its pictures may be gone."""

    @property
    def look(self) -> Frame:
        """The frame that the detectors see."""
        return self.frames[-1]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A part of a lane that failed without blinding it: more is hidden than had to be.

    part: its name, for messages and metrics. reason: a clause without private content.
    """

    part: str
    reason: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a lane publishes after a gap.

    horizon: pts in seconds up to which its knowledge is now complete. blind: stretches
    (start, end) of pts, both inclusive, that it could not judge. firm: pts up to which it has
    looked, though later looks may still add to it. trouble: what failed all the same.
    """

    horizon: float
    blind: tuple[tuple[float, float], ...] = ()
    firm: float = -math.inf
    trouble: Trouble | None = None


E = TypeVar("E")
"""Evidence: what a lane's `look` hands to its `absorb`."""


class Lane(Protocol, Generic[E]):
    """One kind of looking. `look` runs without any lock, the other methods under the worker's."""

    @property
    def name(self) -> str:
        """Short name for messages and metrics: faces, plates, text."""

    def enter(self, gap: Gap) -> None:
        """Take note of new frames, before they are looked at. Quick."""

    def look(self, gap: Gap) -> E:
        """Run the detectors. The only slow part: it may throw or never return."""

    def absorb(self, gap: Gap, evidence: E | None) -> Findings:
        """Draw conclusions; None means that looking failed. Quick."""

    def pause(self) -> Findings:
        """The signal is lost: nothing more will be known of the frames so far."""

    def finish(self) -> Findings:
        """The stream has ended: nothing more will be known."""

    def regions(self, frame_id: int, *, unsure: bool = False) -> tuple[FloatArray, list[int]]:
        """Boxes to hide in a frame, (N, 4) float32 in pixels, and the track that each is of.

        unsure: those too that a later look would have to confirm.
        """

    def spared(self, frame_id: int) -> tuple[FloatArray, list[int]]:
        """Boxes of what is seen in a frame and stays visible, as `regions` gives the others."""

    def forget(self, before: int) -> None:
        """Frames before this frame_id have left."""

    @property
    def looks(self) -> int:
        """Pictures that detectors have seen so far."""

    @property
    def found(self) -> int:
        """Things found so far, each counted once."""
