"""Licence plates found by reading: where no plate detector is at hand, the text lane stands in."""

from __future__ import annotations

import re

import numpy as np

from edge.detection import Detections, FloatArray
from edge.errors import InferenceError
from edge.frame import Picture
from edge.lanes.lane import Detector
from edge.lanes.reader import Reader, Reading
from edge.lanes.rectify import sides
from edge.pii.plates import plate_score

PLATE_SCORE = 0.5
"""Score of `plate_score` from which a line is hidden as a plate."""
_ASIDE = 0.3
"""How far a plate reaches beyond its characters on either side, in heights of the line."""
_FLATTEST = 0.55
"""Height by width of a North American plate, 6 by 12 inches, and a little: the tallest common
shape, of which the characters of the number fill less than half."""
_BESIDE = 1.5
"""Height of any plate, in heights of its line."""


_BARE_NUMBER = re.compile(r"(?=(?:[ -]?\d){6,7}$)\d+(?:[ -]\d+)?")
"""Six or seven digits in one or two groups: plates of Delaware, Rhode Island, diplomats, Israel.
The text alone says little, but such a line on a picture is seldom anything that must be seen."""
_BARE_NUMBER_ASPECT = 7.0
"""Width by height up to which digits make a plate: longer ones are fine print."""


def plate_likeness(reading: Reading, quad: FloatArray) -> float:
    """How much a line reads like a licence plate, 0..1. quad: (4, 2)."""
    if not reading.text:
        return 0.0
    width, height = sides(quad)
    aspect = max(width, height) / max(min(width, height), 1e-3)
    score = plate_score(reading.text, aspect)
    if aspect <= _BARE_NUMBER_ASPECT and _BARE_NUMBER.fullmatch(reading.text.strip()):
        score = max(score, PLATE_SCORE)
    return score


def plate_boxes(boxes: FloatArray) -> FloatArray:
    """Boxes of the plates that lines are written on. boxes: (N, 4) around the lines."""
    grown = []
    for x1, y1, x2, y2 in boxes.tolist():  # a few in every frame: too little for arrays
        width, height, x, y = x2 - x1, y2 - y1, (x1 + x2) / 2, (y1 + y2) / 2
        wide = width + 2 * _ASIDE * min(width, height)
        tall = max(_BESIDE * height, _FLATTEST * wide)
        grown.append((x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2))
    return np.array(grown, np.float32).reshape(-1, 4)


class TextPlates:
    """Finds plates by finding and reading all text. Implements edge.lanes.lane.Detector."""

    def __init__(
        self, detector: Detector, reader: Reader, *, threshold: float = PLATE_SCORE
    ) -> None:
        """threshold: score from which a line is a plate."""
        self._detector, self._reader = detector, reader
        self._threshold = threshold

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        """Return the plates in a picture. Raises what detector and reader raise."""
        told, seen = self._detector.infer(frame_id, image)
        readings = self._reader.read(image, seen.quads) if len(seen) else []
        if told != frame_id or len(readings) != len(seen) or len(seen.quads) != len(seen):
            raise InferenceError("what was read does not fit what was seen")
        pairs = zip(readings, seen.quads, strict=True)
        scores = np.array([plate_likeness(*pair) for pair in pairs], np.float32)
        plates = scores >= self._threshold
        boxes = plate_boxes(seen.boxes[plates])
        return frame_id, Detections(boxes, scores[plates], label="plate", quads=seen.quads[plates])
