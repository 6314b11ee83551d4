"""Where the mouths of visible faces are, so that private words cannot be read from lips. Pure.

Hiding them is the ordinary redactor's work: a mouth is one more box. When, is known by
edge.sound_gate.SoundLine.mouths, from the picture's pts.
"""

from __future__ import annotations

import numpy as np

from edge.detection import FloatArray

_RIGHT_CORNER, _LEFT_CORNER = 3, 4
"""Of the five landmarks, as in edge.detection.Detections."""
_WIDTH = 1.6
"""Width of the ellipse in distances between the corners of a closed mouth: cheeks move, too."""
_HEIGHT = 1.4
"""Its height in the same: a mouth opens as far as it is wide."""
_LEAST = 0.35
"""Least distance between the corners, as a share of the face's width: in profile they coincide."""
_LOWER = 1 / 3
"""Part of a face's box that the mouth is in, where nothing else is known: the lower third."""


def mouth_boxes(face_boxes: FloatArray, landmarks: FloatArray | None = None) -> FloatArray:
    """Return the box of each face's mouth, (N, 4) float32, x1 y1 x2 y2 in pixels.

    face_boxes: (N, 4) pixels. landmarks: (N, 5, 2) pixels, or None or (0, 5, 2) where there are
    none. A face whose landmarks are not numbers, or whose mouth they put outside of its box, gets
    the lower third of the box. Raises ValueError for other shapes.
    """
    boxes = np.asarray(face_boxes, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes of shape {boxes.shape} are not (N, 4)")
    lower = boxes.copy()
    lower[:, 1] = boxes[:, 3] - (boxes[:, 3] - boxes[:, 1]) * np.float32(_LOWER)
    if landmarks is None or not len(landmarks):
        return lower
    if landmarks.shape != (len(boxes), 5, 2):
        raise ValueError(f"landmarks of shape {landmarks.shape} are not ({len(boxes)}, 5, 2)")
    right = landmarks[:, _RIGHT_CORNER].astype(np.float64)
    left = landmarks[:, _LEFT_CORNER].astype(np.float64)
    with np.errstate(invalid="ignore"):
        centre, along = (right + left) / 2, left - right
        distance = np.hypot(along[:, 0], along[:, 1])
        usable = np.isfinite(distance) & (centre >= boxes[:, :2]).all(axis=1)
        usable &= (centre <= boxes[:, 2:]).all(axis=1)
    distance, along = np.where(usable, distance, 0), np.where(usable[:, None], along, 0)
    # A box around the ellipse, which leans as the mouth does.
    lean = np.arctan2(along[:, 1], along[:, 0])
    across = np.maximum(distance, _LEAST * (boxes[:, 2] - boxes[:, 0]))
    a, b = across * _WIDTH / 2, across * _HEIGHT / 2
    half = np.stack(
        [
            np.hypot(a * np.cos(lean), b * np.sin(lean)),
            np.hypot(a * np.sin(lean), b * np.cos(lean)),
        ],
        axis=1,
    )
    mouths = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    result: FloatArray = np.where(usable[:, None], mouths, lower)
    return result
