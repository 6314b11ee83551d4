"""The plate benchmark's own measure: what counts as hidden, and where true boxes lie."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from benchmarks._common import BenchmarkError
from benchmarks._stills import (
    CLIP_SIZE,
    SHOWN_FRAMES,
    Slideshow,
    Still,
    hidden_shares,
    labelled,
    unlabelled,
)
from edge.redact.effects import RedactionStyle, Shape

BARE = RedactionStyle(shape=Shape.RECTANGLE, pad=0, min_pad_px=0)
SIZE = (400, 300)


def shares(hidden, true, style=BARE) -> list[float]:
    return hidden_shares(np.array(hidden, np.float32).reshape(-1, 4), np.array(true), SIZE, style)


def test_a_share_is_that_of_the_painted_pixels():
    true = [[100, 100, 200, 150]]
    assert shares([], true) == [0]
    assert shares([[100, 100, 200, 150]], true) == [1]
    assert shares([[100, 100, 150, 150]], true) == [0.5]
    assert shares([[100, 100, 150, 150], [150, 100, 200, 150]], true) == [1]
    assert shares([[100, 100, 150, 150], [100, 100, 150, 150]], true) == [0.5]
    assert shares([[300, 200, 380, 280]], true) == [0]


def test_each_plate_has_its_own_share():
    assert shares([[0, 0, 50, 50]], [[0, 0, 50, 50], [50, 0, 100, 50]]) == [1, 0]


def test_padding_and_outline_are_those_of_the_redactor():
    true = [[100, 100, 200, 150]]
    smaller = [[110, 104, 190, 146]]
    assert shares(smaller, true)[0] == pytest.approx(0.8 * 0.84)
    padded = shares(smaller, true, RedactionStyle())[0]
    assert 0.9 < padded < 1  # an ellipse leaves corners


def test_a_plate_at_the_border_is_judged_by_what_is_seen_of_it():
    assert shares([[380, 280, 420, 320]], [[380, 280, 400, 300]]) == [1]


def still(width: int, height: int, box) -> Still:
    picture = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = box
    picture[y1:y2, x1:x2] = 255
    return Still(f"{width}x{height}", picture, np.array([box], np.float64))


def test_true_boxes_move_with_the_picture():
    show = Slideshow(
        [still(640, 360, (100, 80, 220, 140)), still(1920, 1200, (900, 600, 1100, 700))]
    )
    assert show.frames == 2 * SHOWN_FRAMES
    seen = 0
    for frame in show.read():
        assert frame.frame_id == seen
        seen += 1
        if frame.frame_id % 10:
            continue
        ys, xs = np.nonzero(frame.picture.luma > 160)
        found = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert np.allclose(show.boxes_at(frame.frame_id)[0], found, atol=2)
    assert seen == show.frames


def test_a_camera_pans_while_a_picture_is_shown():
    show = Slideshow([still(640, 360, (100, 80, 220, 140))] * 2)
    first, last = show.boxes_at(0)[0], show.boxes_at(SHOWN_FRAMES - 1)[0]
    assert abs(first[0] - last[0]) == pytest.approx(60)
    assert np.allclose(show.boxes_at(SHOWN_FRAMES)[0], last)  # and back with the next one
    assert (show.boxes_at(3) <= np.tile(CLIP_SIZE, 2)).all()


def test_labelled_photographs_are_read(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((31, 41, 3), np.uint8))
    (tmp_path / "labels.json").write_text(json.dumps({"a.png": [[1, 2, 30, 20]]}))
    (one,) = labelled(tmp_path)
    assert one.size == (40, 30)
    assert one.boxes.tolist() == [[1, 2, 30, 20]]
    assert [s.name for s in unlabelled([tmp_path])] == ["a.png"]


@pytest.mark.parametrize("text", ["[]", "{", '{"a.png": [["x"]]}', '{"missing.png": []}'])
def test_labels_that_cannot_be_used_are_told_of(tmp_path, text):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 40, 3), np.uint8))
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(BenchmarkError):
        labelled(tmp_path)


def test_a_folder_without_labels_is_told_of(tmp_path):
    with pytest.raises(BenchmarkError, match="cannot be read"):
        labelled(tmp_path)
