"""Mouths: where landmarks say, else the lower third of the face."""

from __future__ import annotations

import numpy as np
import pytest

from edge.redact.mouth import mouth_boxes

FACE = np.array([[100, 100, 200, 240]], np.float32)


def marks(right: tuple[float, float], left: tuple[float, float]) -> np.ndarray:
    points = [(130.0, 150.0), (170.0, 150.0), (150.0, 180.0), right, left]
    return np.array([points], np.float32)


def test_without_landmarks_it_is_the_lower_third() -> None:
    expected = [100, 240 - 140 / 3, 200, 240]
    for none in (None, np.zeros((0, 5, 2), np.float32)):
        assert mouth_boxes(FACE, none)[0] == pytest.approx(expected, abs=1e-3)
    assert mouth_boxes(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_landmarks_place_it_and_cheeks_are_in_it() -> None:
    x1, y1, x2, y2 = mouth_boxes(FACE, marks((130, 205), (170, 205)))[0]
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((150, 205))
    assert (x2 - x1, y2 - y1) == pytest.approx((64, 56), abs=1e-3)


def test_it_leans_with_the_head() -> None:
    x1, y1, x2, y2 = mouth_boxes(FACE, marks((150, 180), (150, 220)))[0]
    assert (x2 - x1, y2 - y1) == pytest.approx((56, 64), abs=1e-3)


def test_profile_has_a_mouth_too() -> None:
    x1, _, x2, _ = mouth_boxes(FACE, marks((150, 205), (150, 205)))[0]
    assert x2 - x1 == pytest.approx(0.35 * 100 * 1.6)


@pytest.mark.parametrize(
    ("right", "left"),
    [((np.nan, 205), (170, 205)), ((130, np.inf), (170, 205)), ((500, 205), (540, 205))],
)
def test_landmarks_that_make_no_sense_are_not_believed(
    right: tuple[float, float], left: tuple[float, float]
) -> None:
    assert np.array_equal(mouth_boxes(FACE, marks(right, left)), mouth_boxes(FACE))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="boxes of shape"):
        mouth_boxes(np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="landmarks of shape"):
        mouth_boxes(FACE, np.zeros((2, 5, 2), np.float32))
