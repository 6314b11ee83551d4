"""Columns of detections, overlap, and suppression of doubles."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge.detection import Detections, iou_matrix, nms


def boxes_of(count: int, seed: int, spread: float = 200.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-spread, spread, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(1, 120, (count, 2))], axis=1, dtype="f4")


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """By counting unit cells: shares no arithmetic with what is tested. Integer boxes only."""
    cells_a = {(x, y) for x in range(a[0], a[2]) for y in range(a[1], a[3])}
    cells_b = {(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])}
    return len(cells_a & cells_b) / max(1, len(cells_a | cells_b))


# -- columns -----------------------------------------------------------------------------------


def test_nothing_seen_is_empty_columns():
    nothing = Detections()
    assert len(nothing) == 0
    assert nothing.boxes.shape == (0, 4)
    assert nothing.keep(np.zeros(0, bool)).landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize(
    ("boxes", "scores", "landmarks"),
    [((2, 4), (1,), (0, 5, 2)), ((2, 5), (2,), (0, 5, 2)), ((2, 4), (2, 1), (0, 5, 2)),
     ((2, 4), (2,), (1, 5, 2)), ((2, 4), (2,), (2, 10)), ((0,), (0,), (0, 5, 2))],
)  # fmt: skip
def test_columns_of_different_length_are_refused(boxes, scores, landmarks):
    with pytest.raises(ValueError, match=r"boxes|landmarks"):
        Detections(*(np.zeros(shape, np.float32) for shape in (boxes, scores, landmarks)))


def test_keep_takes_the_same_rows_of_every_column():
    boxes = boxes_of(4, 0)
    marks = np.arange(40, dtype=np.float32).reshape(4, 5, 2)
    seen = Detections(boxes, np.array([0.1, 0.2, 0.3, 0.4], np.float32), marks, "plate")
    for which, rows in ((np.array([True, False, False, True]), [0, 3]), (np.array([3, 1]), [3, 1])):
        kept = seen.keep(which)
        assert np.array_equal(kept.boxes, boxes[rows])
        assert np.array_equal(kept.scores, seen.scores[rows])
        assert np.array_equal(kept.landmarks, marks[rows])
        assert kept.label == "plate"
    bare = Detections(boxes, seen.scores).keep(np.array([2]))
    assert bare.landmarks.shape == (0, 5, 2)


# -- overlap -----------------------------------------------------------------------------------

whole = st.integers(0, 12)
small_boxes = st.lists(
    st.tuples(whole, whole, whole, whole).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])),
    max_size=5,
)


@settings(deadline=None)
@given(a=small_boxes, b=small_boxes)
def test_overlap_is_what_counting_cells_gives(a, b):
    matrix = iou_matrix(
        np.array(a, np.float32).reshape(-1, 4), np.array(b, np.float32).reshape(-1, 4)
    )
    assert matrix.shape == (len(a), len(b))
    assert matrix.dtype == np.float32
    for i, box_a in enumerate(a):
        for j, box_b in enumerate(b):
            assert matrix[i, j] == pytest.approx(iou(box_a, box_b), abs=1e-5)


@settings(deadline=None)
@given(hnp.arrays(np.float32, (6, 4), elements=st.floats(-1e4, 1e4, width=32)))
def test_overlap_of_any_numbers_is_a_share(raw):
    """Inside-out boxes too, as a broken model may give them."""
    matrix = iou_matrix(raw, raw)
    assert np.isfinite(matrix).all()
    assert (matrix >= 0).all()
    assert (matrix <= 1 + 1e-5).all()
    assert np.allclose(matrix, matrix.T, atol=1e-6)


# -- suppression -------------------------------------------------------------------------------


def plain_nms(boxes: np.ndarray, scores: np.ndarray, limit: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(iou_matrix(boxes[i : i + 1], boxes[k : k + 1])[0, 0] <= limit for k in kept):
            kept.append(i)
    return kept


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 150), seed=st.integers(0, 2**32 - 1), limit=st.floats(0, 1))
def test_suppression_is_the_textbook_one(count, seed, limit):
    boxes = boxes_of(count, seed)
    scores = np.random.default_rng(seed).permutation(count).astype(np.float32)
    textbook = plain_nms(boxes, scores, limit)
    assert nms(boxes, scores, limit).tolist() == textbook
    for most in (1, len(textbook) // 2, len(textbook), len(textbook) + 1):
        assert nms(boxes, scores, limit, most).tolist() == textbook[:most]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 150), seed=st.integers(0, 2**32 - 1))
def test_what_is_dropped_is_hidden_by_what_is_kept(count, seed):
    boxes = boxes_of(count, seed)
    scores = np.random.default_rng(seed).random(count).astype(np.float32)
    kept = nms(boxes, scores, 0.3)
    overlap = iou_matrix(boxes, boxes[kept])
    assert ((overlap > 0.3).any(axis=1) | np.isin(np.arange(count), kept)).all()
    among = iou_matrix(boxes[kept], boxes[kept])
    assert (among[~np.eye(len(kept), dtype=bool)] <= 0.3).all()
    assert (np.diff(scores[kept]) <= 0).all()


def test_equals_keep_their_order():
    boxes = np.array([[0, 0, 10, 10]] * 3 + [[50, 0, 60, 10]], np.float32)
    assert nms(boxes, np.ones(4, np.float32), 0.3).tolist() == [0, 3]


def test_memory_does_not_grow_with_the_square_of_the_candidates():
    """A model gone wrong fires in every cell; that must not take the machine down."""
    boxes = np.repeat(boxes_of(50, 3, spread=2000), 200, axis=0)
    scores = np.linspace(1, 0, len(boxes), dtype=np.float32)
    tracemalloc.start()
    try:
        kept = nms(boxes, scores, 0.3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < len(kept) <= 50
    assert peak < 50 * 2**20


def test_a_box_without_a_place_suppresses_nothing():
    boxes = np.array([[np.nan] * 4, [-np.inf, 0, np.inf, 9], [0, 0, 9, 9], [20, 0, 29, 9]], "f4")
    with np.errstate(invalid="ignore"):
        kept = nms(boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32), 0.3)
    assert {2, 3} <= set(kept.tolist())
