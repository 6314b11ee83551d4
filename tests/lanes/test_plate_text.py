from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.detection import Detections
from edge.errors import InferenceError
from edge.lanes.plate_text import PLATE_SCORE, TextPlates, plate_boxes, plate_likeness
from edge.lanes.reader import Reading
from tests.lanes.pictures import coloured, labelled_plates
from tests.lanes.signs import covered, detector, reader

PAGE = coloured(640, 480)


class _Finder:
    def __init__(self, *boxes, quads=True):
        self.boxes, self.with_quads = np.array(boxes, np.float32).reshape(-1, 4), quads

    def infer(self, frame_id, image):
        quads = self.boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        scores = np.full(len(self.boxes), 0.9, np.float32)
        return frame_id, Detections(
            self.boxes, scores, label="text", quads=quads if self.with_quads else quads[:0]
        )


class _Reader:
    def __init__(self, *texts):
        self.texts = texts

    def read(self, picture, quads):
        return [Reading(text, 0.95) for text in self.texts]


LINES = ((100, 100, 190, 120), (300, 100, 400, 120), (100, 300, 190, 320))


def test_lines_that_read_like_plates_are_plates():
    plates = TextPlates(_Finder(*LINES), _Reader("7ABC123", "BAKERY", "CAR WASH"))
    frame_id, seen = plates.infer(7, PAGE)
    assert (frame_id, len(seen), seen.label) == (7, 1, "plate")
    x1, y1, x2, y2 = seen.boxes[0]
    assert x1 < 100
    assert x2 > 190
    assert (y2 - y1) / (x2 - x1) == pytest.approx(0.55, abs=0.01)
    assert seen.quads.shape == (1, 4, 2)


def test_no_text_is_no_plate():
    _, seen = TextPlates(_Finder(), _Reader()).infer(0, PAGE)
    assert len(seen) == 0


@pytest.mark.parametrize(
    ("finder", "texts"),
    [(_Finder(*LINES), ("A", "B")), (_Finder(*LINES, quads=False), ("A", "B", "C"))],
)
def test_readings_that_do_not_fit_are_an_error(finder, texts):
    with pytest.raises(InferenceError):
        TextPlates(finder, _Reader(*texts)).infer(0, PAGE)


@pytest.mark.parametrize(
    ("text", "plate"),
    [
        ("178 1601", True), ("8951283", True), ("12-3456", True), ("262 029", True),
        ("78188", False), ("12345678", False), ("06:23:47", False), ("12 34 56", False),
        ("2014", False), ("$123456", False), ("123.456", False), ("", False),
    ],
)  # fmt: skip
def test_some_plates_are_bare_numbers(text, plate):
    line = np.array([[0, 0], [100, 0], [100, 25], [0, 25]], np.float32)
    assert (plate_likeness(Reading(text, 0.9), line) >= PLATE_SCORE) is plate
    fine_print = line * np.array([3, 1], np.float32)
    assert plate_likeness(Reading(text, 0.9), fine_print) < PLATE_SCORE


@given(st.floats(-100, 900), st.floats(-100, 900), st.floats(1, 400), st.floats(1, 400))
def test_a_plate_reaches_beyond_its_line_on_all_sides(x, y, width, height):
    line = np.array([[x, y, x + width, y + height]], np.float32)
    box = plate_boxes(line)
    assert (box[:, :2] < line[:, :2]).all()
    assert (box[:, 2:] > line[:, 2:]).all()


def test_plates_on_photographs_are_hidden_by_reading_alone():
    """A sample; benchmarks/plates.py counts them all."""
    plates = TextPlates(detector(), reader())
    hidden = total = 0
    for image, boxes in labelled_plates(12):
        _, seen = plates.infer(0, image)
        for box in boxes:
            total += 1
            hidden += covered(box, seen.boxes) >= 0.8
    assert hidden >= 0.55 * total
