"""Plain numbers against the arrays of edge.motion, which say the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.carry import STAY, Box, Move, Ways, hull, overlap
from edge.detection import iou_matrix
from edge.motion import IDENTITY, Matrix, compose, invert, move_boxes

places = st.floats(-3000, 3000)
sizes = st.floats(0, 2000)


@st.composite
def matrices(draw: st.DrawFn, least: float = 0.99, most: float = 1.01) -> Matrix:
    """Similarities as cameras make them, sheared a little by pixels that are not square."""
    zoom, roll = draw(st.floats(0.5, 2)), draw(st.floats(-0.5, 0.5))
    cos, sin = zoom * np.cos(roll), zoom * np.sin(roll)
    shear = draw(st.floats(least, most))
    shift_x, shift_y = draw(places), draw(places)
    return np.array([[cos, -sin * shear, shift_x], [sin / shear, cos, shift_y]])


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y = draw(places), draw(places)
    return x, y, x + draw(sizes), y + draw(sizes)


def array(move: Move) -> Matrix:
    return np.array(move).reshape(2, 3)


@given(matrices(), matrices(), boxes())
def test_moves_are_what_arrays_say(first, then, box):
    a, b = Move.of(first), Move.of(then)
    assert array(a.then(b)) == pytest.approx(compose(first, then), rel=1e-9, abs=1e-6)
    assert array(a.back()) == pytest.approx(invert(first), rel=1e-9, abs=1e-6)
    assert a.carry(box) == pytest.approx(move_boxes(np.array([box]), first)[0], rel=1e-9, abs=1e-6)


@given(matrices(1, 1), boxes())
def test_the_way_back_undoes_a_move(matrix, box):
    move = Move.of(matrix)
    assert move.back().carry(move.carry(box)) == pytest.approx(box, abs=1e-6)
    assert array(move.then(move.back())) == pytest.approx(IDENTITY, abs=1e-6)


@given(st.lists(matrices(1, 1), min_size=1, max_size=6), boxes())
def test_ways_lead_from_both_ends_to_every_frame_between(cameras, box):
    moves = {k + 1: Move.of(matrix) for k, matrix in enumerate(cameras)}
    ways, end = Ways(moves, len(moves)), len(moves)
    arrived = ways.since(0).carry(box)
    there = box
    for frame_id, step in enumerate(ways.steps(0)):
        there = moves[frame_id].carry(there) if frame_id else box
        assert step.on.carry(box) == pytest.approx(there, abs=1e-4)
        assert step.back.carry(arrived) == pytest.approx(there, abs=1e-4)
    assert ways.since(end) == STAY
    assert [step.on for step in ways.steps(end)] == [STAY]


@given(boxes(), boxes())
def test_hull_and_overlap(a, b):
    both = np.array([a, b])
    assert hull(a, b) == (*both[:, :2].min(axis=0), *both[:, 2:].max(axis=0))
    expected = iou_matrix(*(np.array([box], np.float32) for box in (a, b)))[0, 0]
    assert overlap(a, b) == pytest.approx(float(expected), abs=1e-2)
    assert overlap(a, b) == overlap(b, a)
    assert 0 <= overlap(a, b) <= 1 + 1e-9
