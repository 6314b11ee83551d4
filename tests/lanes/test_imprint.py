from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.lanes.imprint import ROWS, imprint, likeness
from tests.lanes.signs import Sign, draw, picture

SAME = 0.65


def of(text: str, *, dx: float = 0, dy: float = 0, px: int = 26) -> np.ndarray:
    """The imprint of a text, in a box that is off by some pixels."""
    rgb, (box,) = draw(Sign(text, 40, 40, px))
    x1, y1, x2, y2 = box + np.array([-5 + dx, -6 + dy, 5 + dx, 6 + dy])
    quad = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)
    return imprint(picture(rgb).luma, quad)


def test_the_same_line_in_a_box_that_is_off_is_the_same():
    before = of("742 Evergreen Terrace")
    assert before.shape[0] == ROWS
    assert likeness(before, before) == pytest.approx(1, abs=1e-3)
    for now in (of("742 Evergreen Terrace", dx=3, dy=-2), of("742 Evergreen Terrace", px=30)):
        assert likeness(before, now) > SAME


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("Call 555-0142 now", "Ring 867-5309 now"),
        ("742 Evergreen Terrace", "742 Evergreen Gardens"),
        ("nothing to see here", "my PIN is 7261 today"),
    ],
)
def test_a_line_of_which_a_part_has_changed_is_another(before, now):
    assert likeness(of(before), of(now)) < SAME


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_any_two_imprints_can_be_compared(a, b, seed):
    rng = np.random.default_rng(seed)
    one, other = (rng.integers(0, 256, (ROWS, n), dtype=np.uint8) for n in (max(a, 8), max(b, 8)))
    assert -1.001 <= likeness(one, other) <= 1.001


def test_a_plain_area_is_like_anything():
    plain = np.full((ROWS, 64), 90, np.uint8)
    assert likeness(plain, of("anything at all")) == 1.0
