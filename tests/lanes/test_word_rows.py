"""Words to lines: by hand, and whatever the words, none is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detection import Detections
from edge.lanes.word_rows import join_words


def words(*boxes: tuple[float, float, float, float], angle: float = 0.0) -> Detections:
    """Upright boxes x, y, width, height, turned together about the origin."""
    quads = np.array(
        [[(x, y), (x + w, y), (x + w, y + h), (x, y + h)] for x, y, w, h in boxes], np.float32
    ).reshape(-1, 4, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    quads = (quads @ turn.T).astype(np.float32)
    scores = np.linspace(0.5, 0.9, len(quads)).astype(np.float32)
    boxes_ = np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1)
    return Detections(boxes_, scores, label="text", quads=quads)


def test_words_in_a_row_are_one_line():
    line = join_words(words((10, 10, 30, 20), (48, 11, 90, 20), (150, 9, 60, 22)))
    assert len(line) == 1
    assert line.boxes[0].tolist() == [10, 9, 210, 31]
    assert line.scores[0] == np.float32(0.9)
    assert line.label == "text"
    np.testing.assert_allclose(line.quads[0], [(10, 9), (210, 9), (210, 31), (10, 31)])


def test_lines_below_each_other_and_columns_stay_apart():
    found = join_words(words((0, 0, 80, 20), (0, 30, 80, 20), (140, 0, 80, 20)))
    assert len(found) == 3


def test_a_headline_does_not_swallow_small_print():
    assert len(join_words(words((0, 0, 80, 60), (90, 20, 80, 20)))) == 2


def test_a_slanted_line_is_joined_along_its_slant():
    line = join_words(words((100, 0, 80, 20), (190, 0, 80, 20), (280, 0, 40, 20), angle=0.5))
    assert len(line) == 1
    sides = np.linalg.norm(np.roll(line.quads[0], -1, axis=0) - line.quads[0], axis=1)
    np.testing.assert_allclose(sorted(sides), [20, 20, 220, 220], atol=0.1)


def test_words_that_run_downwards_are_joined_downwards():
    line = join_words(words((0, 0, 20, 80), (1, 90, 20, 60)))
    assert len(line) == 1
    assert line.boxes[0].tolist() == [0, 0, 21, 150]


def test_single_letters_go_along():
    assert len(join_words(words((0, 0, 18, 20), (24, 0, 60, 20), (92, 0, 12, 20)))) == 1


_BOX = st.tuples(st.floats(0, 900), st.floats(0, 500), st.floats(3, 300), st.floats(3, 60))


@given(st.lists(_BOX, max_size=25), st.floats(-0.7, 0.7))
@settings(max_examples=60, deadline=None)
def test_every_word_lies_in_a_line(boxes, angle):
    found = words(*boxes, angle=angle)
    lines = join_words(found)
    assert len(lines) <= max(1, len(found))
    for quad in found.quads:
        assert any(_holds(line, quad) for line in lines.quads)


def _holds(line, quad) -> bool:
    """Whether a rectangle holds all corners of another, to a hundredth of a pixel."""
    corner, along, down = line[0], line[1] - line[0], line[3] - line[0]
    for side in (along, down):
        length = np.linalg.norm(side)
        places = (quad - corner) @ (side / length)
        if places.min() < -0.05 or places.max() > length + 0.05:
            return False
    return True
