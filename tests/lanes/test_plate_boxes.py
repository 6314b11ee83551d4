"""Corners in order, boxes that hold, and answers that no detector in its right mind gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InferenceError
from edge.lanes.geometry import MAX_DETECTIONS
from edge.lanes.plate_boxes import clockwise, distinct_plates, grown, holding

NO_QUADS = np.zeros((0, 4, 2), np.float32)


def plate(angle: float, centre=(200.0, 100.0), size=(90.0, 30.0)) -> np.ndarray:
    """Corners of a turned plate as it is read: top left, top right, bottom right, bottom left."""
    cos, sin = math.cos(angle), math.sin(angle)
    half = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * np.array(size) / 2
    return (half @ np.array([(cos, sin), (-sin, cos)]) + centre).astype(np.float32)


@given(
    st.floats(-0.2, 0.2),
    st.permutations(range(4)),
    st.floats(20, 300),
    st.floats(10, 100),
)
def test_corners_come_in_reading_order_whatever_the_network_says(angle, order, width, height):
    wanted = plate(angle, size=(width, height))
    ends_apart = wanted.sum(axis=1)
    if sorted(ends_apart)[1] - sorted(ends_apart)[0] < 1e-2:
        return  # of two corners equally far up and left none is the first
    found = clockwise(wanted[list(order)][None])
    assert np.allclose(found[0], wanted)


@given(st.floats(-math.pi, math.pi), st.permutations(range(4)))
def test_corners_are_those_given_and_run_clockwise(angle, order):
    given_ = plate(angle)[list(order)][None]
    found = clockwise(given_)[0]
    assert sorted(map(tuple, found)) == sorted(map(tuple, given_[0]))
    x, y = found.T
    area = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2
    assert area == pytest.approx(90 * 30, rel=1e-3)  # positive: clockwise, as y points down


def test_no_corners_stay_none():
    assert clockwise(NO_QUADS).shape == (0, 4, 2)


def test_boxes_grow_by_a_share_of_their_sides():
    boxes = np.array([[10, 10, 110, 50]], np.float32)
    assert np.allclose(grown(boxes, 0.1), [[0, 6, 120, 54]])
    assert np.allclose(grown(boxes, 0), boxes)


def test_a_box_holds_its_corners():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    quads = np.array(
        [[(2, 2), (8, 2), (8, 8), (2, 8)], [(-1, 2), (12, 3), (12, 11), (0, 9)]], np.float32
    )
    assert np.array_equal(holding(boxes, quads), [[0, 0, 10, 10], [-1, 0, 12, 11]])


def at(count: int) -> np.ndarray:
    corner = np.stack([20.0 * (np.arange(count) % 100), 20.0 * (np.arange(count) // 100)], axis=1)
    return np.concatenate([corner, corner + 10], axis=1).astype(np.float32)


def test_doubles_are_dropped_with_their_corners():
    boxes = np.array([[0, 0, 90, 30], [3, 0, 93, 30], [200, 0, 290, 30]], np.float32)
    quads = np.stack([plate(0, ((b[0] + b[2]) / 2, 15)) for b in boxes])
    seen = distinct_plates(boxes, np.array([0.4, 0.9, 0.5], np.float32), quads, 0.5)
    assert seen.label == "plate"
    assert np.allclose(seen.scores, [0.9, 0.5])
    assert np.array_equal(seen.boxes, boxes[[1, 2]])
    assert np.array_equal(seen.quads, quads[[1, 2]])
    assert seen.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("column", ["boxes", "quads"])
def test_one_impossible_number_condemns_the_picture(bad, column):
    boxes, quads = at(2), np.stack([plate(0), plate(0)])
    (boxes if column == "boxes" else quads)[1].flat[2] = bad
    with pytest.raises(InferenceError, match="no picture"):
        distinct_plates(boxes, np.array([0.9, 0.8], np.float32), quads, 0.5)


def test_a_box_that_ends_before_it_begins_condemns_the_picture():
    boxes = at(2)
    boxes[1, 2] = boxes[1, 0] - 1
    with pytest.raises(InferenceError, match="ends before"):
        distinct_plates(boxes, np.array([0.9, 0.8], np.float32), NO_QUADS, 0.5)


def test_a_car_park_is_seen_and_a_model_gone_wrong_is_not_believed():
    boxes = at(MAX_DETECTIONS + 1)
    scores = np.linspace(1, 0.5, len(boxes), dtype=np.float32)
    assert len(distinct_plates(boxes[:-1], scores[:-1], NO_QUADS, 0.5)) == MAX_DETECTIONS
    with pytest.raises(InferenceError, match=str(MAX_DETECTIONS)):
        distinct_plates(boxes, scores, NO_QUADS, 0.5)
