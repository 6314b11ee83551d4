"""How a face is turned, told by its five landmarks alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.detection import FloatArray

MAX_YAW: Final = 0.40
"""Largest yaw (see Pose) of a face that is told apart from others with some certainty: about 36°
for a nose that stands out by 0.55 of the distance between the eyes."""
PITCH: Final = (0.25, 0.80)
"""Least and largest pitch (see Pose) of such a face; 0.5 looks straight ahead."""
_MAX_ROLL_DEG: Final = 60.0
"""Alignment undoes roll; beyond this, detectors place landmarks by guessing."""
_MIN_EYES: Final = 0.40
"""Distance of the eyes as a share of that between eyes and mouth (0.86 from the front)."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a face looks. All are ratios of distances in the picture, free of scale.

    yaw: nose beside the middle of the eyes, as a share of their distance; 0 from the front.
    pitch: nose below the eyes, as a share of the way down to the mouth; 0.5 from the front.
    eyes: their distance, as a share of that between eyes and mouth. roll_deg: of the line of eyes.
    """

    yaw: float
    pitch: float
    eyes: float
    roll_deg: float

    @classmethod
    def of(cls, landmarks: FloatArray) -> Pose | None:
        """Measure landmarks (5, 2), pixels; None where they are no face that is seen."""
        if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
            return None
        right, left, nose, mouth_right, mouth_left = landmarks.astype(np.float64)
        across = left - right
        distance = float(np.hypot(*across))
        if not distance > 0:
            return None
        along = across / distance
        down = np.array([-along[1], along[0]])
        eyes = (right + left) / 2
        depth = float(((mouth_right + mouth_left) / 2 - eyes) @ down)
        if not depth > 0:
            return None
        return cls(
            yaw=float((nose - eyes) @ along) / distance,
            pitch=float((nose - eyes) @ down) / depth,
            eyes=distance / depth,
            roll_deg=float(np.degrees(np.arctan2(along[1], along[0]))),
        )

    def tells(self, max_yaw: float = MAX_YAW) -> bool:
        """Whether enough of the face is seen to tell whose it is."""
        return (
            abs(self.yaw) <= max_yaw
            and PITCH[0] <= self.pitch <= PITCH[1]
            and self.eyes >= _MIN_EYES
            and abs(self.roll_deg) <= _MAX_ROLL_DEG
        )
