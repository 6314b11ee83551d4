"""What all plate detectors share once a plate has a box: corners in order, doubles, bounds."""

from __future__ import annotations

import numpy as np

from edge.detection import Detections, FloatArray, nms
from edge.errors import InferenceError
from edge.lanes.geometry import MAX_DETECTIONS

LABEL = "plate"
_FARTHEST_PX = 1e7
"""No plate lies or reaches further out than that, whatever the network overflows to."""


def clockwise(quads: FloatArray) -> FloatArray:
    """Put the corners of quads, (N, 4, 2), into the order of Detections.quads.

    Clockwise from the top left one, which is the corner with the smallest x + y. Right for plates
    that are tilted by less than 45°; one that stands upright begins where a lying one would.
    """
    if not len(quads):
        return quads
    from_centre = quads - quads.mean(axis=1, keepdims=True)
    angle = np.arctan2(from_centre[..., 1], from_centre[..., 0])  # y points down: clockwise
    order = np.argsort(angle, axis=1, kind="stable")
    turned = np.take_along_axis(quads, order[..., None], axis=1)
    first = np.argmin(turned.sum(axis=2), axis=1)
    steps = (first[:, None] + np.arange(4)) % 4
    result: FloatArray = np.take_along_axis(turned, steps[..., None], axis=1)
    return result


def grown(boxes: FloatArray, share: float) -> FloatArray:
    """Grow boxes (N, 4) on every side by a share of their width and height."""
    margin = (boxes[:, 2:] - boxes[:, :2]) * np.float32(share)
    result: FloatArray = np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)
    return result


def holding(boxes: FloatArray, quads: FloatArray) -> FloatArray:
    """Return boxes, (N, 4), that hold both the boxes and their quads, (N, 4, 2)."""
    low = np.minimum(boxes[:, :2], quads.min(axis=1))
    high = np.maximum(boxes[:, 2:], quads.max(axis=1))
    result: FloatArray = np.concatenate([low, high], axis=1)
    return result


def distinct_plates(
    boxes: FloatArray, scores: FloatArray, quads: FloatArray, iou: float
) -> Detections:
    """Drop doubles of one plate, the best score first.

    boxes (N, 4), scores (N,), quads (N, 4, 2) or (0, 4, 2), in picture pixels; iou: overlap above
    which two are one plate. Raises InferenceError for boxes that are inside out, that lie where no
    picture can be, or that are too many: such an answer says nothing about the picture.
    """
    if not (np.abs(boxes) <= _FARTHEST_PX).all() or not (np.abs(quads) <= _FARTHEST_PX).all():
        raise InferenceError("the detector put a plate where no picture can be")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise InferenceError("the detector gave a plate that ends before it begins")
    kept = nms(boxes, scores, iou, MAX_DETECTIONS + 1)
    if len(kept) > MAX_DETECTIONS:
        raise InferenceError(f"the detector saw more than {MAX_DETECTIONS} plates in one picture")
    return Detections(boxes, scores, label=LABEL, quads=quads).keep(kept)
