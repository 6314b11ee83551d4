"""How detectors are compared: by the boxes that the runtime reads out of their answers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="models are exported with onnx (extra engines)")

from edge.detection import Detections
from edge.errors import InferenceError
from export.detection import DetectorPart
from export.family import Sample, Tally

MOST = 3


class Boxes(DetectorPart):
    """Its output is boxes with a score, one a row; more than MOST of them the runtime refuses."""

    kind = "faces"
    conf, weakest = 0.5, 0.2

    def to_onnx(self, out):
        raise AssertionError("nobody asks for it here")

    def reference(self, feeds):
        raise AssertionError("nobody asks for it here")

    def load(self, picture):
        raise AssertionError("nobody asks for it here")

    def read(self, outputs, context):
        rows = np.asarray(outputs["y"], np.float32)
        if len(rows) > MOST:
            raise InferenceError("more than a picture holds")
        rows = rows[rows[:, 4] >= self.weakest]
        return Detections(rows[:, :4], rows[:, 4], np.zeros((len(rows), 5, 2), np.float32))


def boxes(*scores: float, shift: float = 0.0) -> dict[str, np.ndarray]:
    """Boxes of 10 × 10 px side by side, moved by some pixels."""
    rows = [
        (20 * at + shift, 0, 20 * at + 10 + shift, 10, score) for at, score in enumerate(scores)
    ]
    return {"y": np.array(rows, np.float32).reshape(-1, 5)}


TOO_MANY = boxes(*[0.9] * (MOST + 1))


@pytest.mark.parametrize(
    ("wanted", "got", "same"),
    [
        (boxes(0.9, 0.8), boxes(0.9, 0.8), Tally(2, 2)),
        (boxes(0.9, 0.8), boxes(0.9, 0.3), Tally(2, 2)),  # the tracker still follows it
        (boxes(0.9, 0.8), boxes(0.9), Tally(1, 2)),
        (boxes(0.9), boxes(0.9, 0.8), Tally(1, 2)),
        (boxes(0.9), boxes(0.9, shift=8.0), Tally(0, 2)),
        (boxes(), boxes(), Tally(0, 0)),
        (boxes(0.9, 0.8), TOO_MANY, Tally(0, 2)),
        (boxes(), TOO_MANY, Tally(0, 1)),
        (TOO_MANY, boxes(0.9), Tally(0, 1)),
        (TOO_MANY, TOO_MANY, Tally(1, 1)),
    ],
)
def test_answers_are_boxes_or_that_there_can_be_none(wanted, got, same):
    assert Boxes().agreement(wanted, got, Sample({})) == same


def test_what_the_runtime_refuses_hides_nothing():
    truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    sample = Sample({}, truth)
    assert Boxes().correct(boxes(0.9, 0.8), sample) == Tally(2, 2)
    assert Boxes().correct(boxes(0.9, 0.3), sample) == Tally(1, 2)
    assert Boxes().correct(boxes(0.9, 0.9, shift=2.0), sample) == Tally(2, 2)
    assert Boxes().correct(boxes(0.9, 0.9, shift=3.0), sample) == Tally(0, 2)
    assert Boxes().correct(TOO_MANY, sample) == Tally(0, 2)
    assert Boxes().correct(TOO_MANY, Sample({})) is None
