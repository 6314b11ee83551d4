"""YOLO heads of every kind, as real ONNX files with known plates planted, and a real network."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detection import Detections, iou_matrix
from edge.errors import InferenceError, ModelError
from edge.lanes.letterbox import Framing
from edge.lanes.yolo import Yolo, decode
from edge.lanes.yolo_head import Extra, Head, Layout
from tests.lanes.pictures import coloured, labelled_plates
from tests.lanes.yolo_models import (
    anchors_answer,
    answering,
    cells_answer,
    engine_of,
    final_answer,
    metadata,
    middle,
)
from tests.support import shared_file

# A picture of 1280x720 lies at 0, 70 in an input of 320x320, and is 4 times as large.
PICTURE = coloured(1280, 720)
BOX = (100, 120, 140, 136)
"""In input pixels."""
SEEN = np.array([400, 200, 560, 264])
"""The same in the picture."""
OTHER = (10, 80, 60, 100)
PLACE = Framing(320, 320, 320, 32, True, True, 114).place(1280, 720)
NAMES = "{0: 'person', 1: 'License_Plate', 2: 'car', 3: 'number plate'}"


def yolo(model: bytes, weakest: float = 0.25, input_size: int = 320) -> Yolo:
    return Yolo(engine_of(model), input_size=input_size, weakest=weakest)


def look(model: bytes, weakest: float = 0.25, picture=PICTURE) -> Detections:
    frame_id, seen = yolo(model, weakest).infer(7, picture)
    assert frame_id == 7
    assert seen.label == "plate"
    for column in (seen.boxes, seen.scores, seen.quads):
        assert column.dtype == np.float32
    return seen


def head_of(layout: Layout, extra: Extra = Extra.NONE) -> Head:
    return Head("o", layout, 1, np.array([0]), extra)


def check_one(seen: Detections, score: float = 0.8, atol: float = 0.1) -> None:
    assert len(seen) == 1, seen
    assert np.allclose(seen.boxes[0], SEEN, atol=atol)
    assert seen.scores[0] == pytest.approx(score, abs=2e-3)


# -- v8 and its kin: (1, 4 + classes, cells) ------------------------------------------------------


def plant_cell(answer: np.ndarray, cell: int, box, score: float, kind: int = 0) -> None:
    answer[0, :4, cell] = middle(box)
    answer[0, 4 + kind, cell] = score


@pytest.mark.parametrize("cell", [0, 700, 2099])
def test_a_plate_in_a_cell_is_found(cell):
    answer = cells_answer()
    plant_cell(answer, cell, BOX, 0.8)
    plant_cell(answer, (cell + 40) % 2100, OTHER, 0.2)  # below what is asked for
    seen = look(answering({"output0": answer}))
    check_one(seen)
    assert seen.quads.shape == (0, 4, 2)


def test_a_plate_that_many_cells_see_is_one():
    answer = cells_answer()
    for cell, score in ((5, 0.5), (6, 0.8), (900, 0.7)):
        plant_cell(answer, cell, BOX, score)
    plant_cell(answer, 50, OTHER, 0.4)
    seen = look(answering({"output0": answer}))
    assert np.allclose(seen.scores, [0.8, 0.4])


def test_only_classes_whose_name_means_plate_count():
    answer = cells_answer(classes=4)
    plant_cell(answer, 3, BOX, 0.8, kind=1)
    plant_cell(answer, 4, OTHER, 0.9, kind=0)
    plant_cell(answer, 5, OTHER, 0.9, kind=2)
    check_one(look(answering({"output0": answer}, stated=metadata(NAMES))))
    plant_cell(answer, 6, (200, 200, 240, 220), 0.6, kind=3)
    assert len(look(answering({"output0": answer}, stated=metadata(NAMES)))) == 2


def test_half_precision_in_and_out():
    answer = cells_answer(dtype=np.float16)
    plant_cell(answer, 77, BOX, 0.8)
    check_one(look(answering({"output0": answer}, dtype=np.float16)))


def test_a_free_input_takes_the_size_that_is_set():
    """640 for 1280x720: 640x360 of a picture in an input of 640x384, scale 2."""
    answer = cells_answer(640, 384)
    plant_cell(answer, 77, (200, 112, 280, 144), 0.8)
    model = answering({"output0": answer}, shape=("b", 3, "h", "w"), free_answer=True)
    detector = yolo(model, input_size=640)
    check_one(detector.infer(0, PICTURE)[1])


@pytest.mark.parametrize(
    ("width", "height", "stride"), [(640, 384, "32"), (640, 384, "64"), (640, 384, "[8, 16, 32]")]
)
def test_the_stride_is_that_of_the_file(width, height, stride):
    answer = cells_answer(width, height)
    stated = metadata(stride=stride)
    yolo(answering({"o": answer}, shape=(1, 3, "h", "w"), stated=stated), input_size=640)


def test_a_fixed_size_stays_whatever_is_set():
    answer = cells_answer()
    plant_cell(answer, 9, BOX, 0.8)
    check_one(yolo(answering({"o": answer}), input_size=1280).infer(0, PICTURE)[1])


def test_masks_of_a_segmenting_network_are_passed_over():
    answer = cells_answer(extra=32)
    plant_cell(answer, 9, BOX, 0.8)
    answer[0, 5:] = -3.5
    prototypes = np.zeros((1, 32, 80, 80), np.float32)
    stated = metadata(task="segment")
    check_one(look(answering({"output0": answer, "output1": prototypes}, stated=stated)))


def test_scores_a_little_beyond_one_are_one():
    """int8 rounds."""
    answer = cells_answer()
    plant_cell(answer, 9, BOX, 1.01)
    answer[0, 4, 60] = -0.01
    check_one(look(answering({"o": answer})), score=1.0)


# -- v5 and v7: (1, 3 · cells, 5 + classes) -------------------------------------------------------


def plant_anchor(answer: np.ndarray, row: int, box, objectness: float, share: float, kind: int = 0):
    answer[0, row, :4] = middle(box)
    answer[0, row, 4] = objectness
    answer[0, row, 5 + kind] = share


def test_objectness_and_class_are_multiplied():
    answer = anchors_answer(classes=4)
    plant_anchor(answer, 4000, BOX, 0.9, 0.9, kind=1)
    plant_anchor(answer, 17, OTHER, 0.9, 0.2, kind=1)
    plant_anchor(answer, 18, OTHER, 0.9, 0.9, kind=0)
    plant_anchor(answer, 19, OTHER, 0.2, 1.0, kind=3)
    stated = metadata(NAMES, task=None)
    check_one(look(answering({"output": answer}, stated=stated)), score=0.81)


def test_v5_with_one_class_is_not_taken_for_a_selection():
    """(1, 6300, 6) has the width of a selection's (1, 300, 6)."""
    answer = anchors_answer()
    plant_anchor(answer, 4000, BOX, 1.0, 0.8)
    for stated in (metadata(task=None), metadata(names=None, task=None), {}):
        model = answering({"output": answer}, stated=stated)
        assert yolo(model).head.layout is Layout.ANCHORS
        check_one(look(model))


def test_older_v5_files_have_raw_maps_beside_the_table():
    answer = anchors_answer(dtype=np.float16)
    plant_anchor(answer, 4000, BOX, 1.0, 0.8)
    raw = np.full((1, 3, 40, 40, 6), 9, np.float32)
    model = answering(
        {"raw": raw, "output": answer}, stated=metadata("['plate']", None), dtype=np.float16
    )
    check_one(look(model))


def test_v5_without_anything_finds_nothing():
    assert len(look(answering({"output": anchors_answer()}))) == 0


# -- with doubles already dropped -----------------------------------------------------------------


def plant_row(answer: np.ndarray, row: int, values) -> None:
    answer[0, row, : len(values)] = values


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(
    "stated",
    [
        metadata(end2end="True"),
        metadata(args="{'batch': 1, 'nms': True}", end2end="False"),
        metadata(),
        {},
    ],
    ids=["end2end", "nms", "unsaid", "no metadata"],
)
def test_a_selection_is_read_as_it_is(stated, dtype):
    answer = final_answer(dtype=dtype)
    plant_row(answer, 0, [*BOX, 0.8, 0])
    plant_row(answer, 1, [*OTHER, 0.1, 0])
    model = answering({"output0": answer}, stated=stated, dtype=dtype)
    assert yolo(model).head.layout is Layout.FINAL
    check_one(look(model))


def test_a_selection_names_classes():
    answer = final_answer()
    plant_row(answer, 0, [*OTHER, 0.9, 2])
    plant_row(answer, 1, [*BOX, 0.8, 3])
    check_one(look(answering({"o": answer}, stated=metadata(NAMES, end2end="True"))))


@pytest.mark.parametrize("kind", [1, 4, -1, 0.5, 1e9])
def test_a_class_that_there_is_not_closes_the_gate(kind):
    answer = final_answer()
    plant_row(answer, 7, [*BOX, 0.8, kind])
    head = Head("o", Layout.FINAL, 1, np.array([0]), Extra.NONE)
    with pytest.raises(InferenceError, match="class"):
        decode({"o": answer}, head, PLACE, 0.25)
    with pytest.raises(ModelError, match=r"mine\.onnx cannot be used"):
        look(answering({"o": answer}))


def test_a_selection_of_shares_instead_of_pixels_is_refused():
    answer = final_answer()
    plant_row(answer, 0, [0.3, 0.4, 0.5, 0.6, 0.8, 0])
    with pytest.raises(ModelError, match="pixels"):
        look(answering({"o": answer}))


@pytest.mark.parametrize("plates", [0, 1, 3])
def test_a_list_has_as_many_rows_as_plates(plates):
    answer = np.zeros((plates, 7), np.float32)
    for row in range(plates):
        moved = np.array(BOX) + np.array([0, 30, 0, 30]) * row
        answer[row] = [0, *moved, 0, 0.8 - row / 10]
    seen = look(answering({"output": answer}, stated={}, shape=(1, 3, 320, 320), free_answer=True))
    assert len(seen) == plates
    if plates:
        check_one(seen.keep(np.array([0])))


def test_a_list_about_another_picture_is_an_error():
    head = Head("o", Layout.LISTED, 1, np.array([0]), Extra.NONE)
    answer = np.array([[1, *BOX, 0, 0.8]], np.float32)
    with pytest.raises(InferenceError, match="not given"):
        decode({"o": answer}, head, PLACE, 0.25)


# -- corners --------------------------------------------------------------------------------------


def turned(box, angle: float) -> np.ndarray:
    """Corners of a box that is turned clockwise, in the picture: as they are read."""
    cx, cy, w, h = middle(box)
    cos, sin = math.cos(angle), math.sin(angle)
    half = np.array([(-w, -h), (w, -h), (w, h), (-w, h)]) / 2
    there = half @ np.array([(cos, sin), (-sin, cos)]) + (cx, cy)
    return (there - (0, 70)) * 4


@pytest.mark.parametrize("angle", [-0.3, 0.0, 0.2])
@pytest.mark.parametrize("final", [False, True])
def test_a_turned_box_has_corners_and_a_box_around_them(angle, final):
    if final:
        answer = final_answer(extra=1)
        plant_row(answer, 0, [*middle(BOX), 0.8, 0, angle])
    else:
        answer = cells_answer(extra=1)
        plant_cell(answer, 9, BOX, 0.8)
        answer[0, 5, 9] = angle
    seen = look(answering({"o": answer}, stated=metadata(task="obb", end2end=str(final))))
    corners = turned(BOX, angle)
    assert np.allclose(seen.quads[0], corners, atol=0.1)
    assert np.allclose(seen.boxes[0], [*corners.min(axis=0), *corners.max(axis=0)], atol=0.1)


def test_a_box_whose_long_side_is_called_its_height_is_the_same_plate():
    """Angles run from -π/4 to 3π/4: the network may stand a lying plate on its end."""
    answer = cells_answer(extra=1)
    cx, cy, w, h = middle(BOX)
    answer[0, :, 9] = [cx, cy, h, w, 0.8, 0.1 + math.pi / 2]
    seen = look(answering({"o": answer}, stated=metadata(task="obb")))
    assert np.allclose(seen.quads[0], turned(BOX, 0.1), atol=0.1)


@pytest.mark.parametrize("values", [2, 3])
@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("final", [False, True])
def test_four_key_points_are_corners(values, stated, final):
    points = np.array([(102, 121), (139, 123), (138, 135), (101, 134)], np.float32)
    rest = np.ones((4, values), np.float32)
    rest[:, :2] = points[[2, 3, 0, 1]]  # in whatever order they were labelled
    shape = {"kpt_shape": f"[4, {values}]"} if stated else {}
    if final:
        answer = final_answer(extra=4 * values)
        plant_row(answer, 0, [*BOX, 0.8, 0, *rest.ravel()])
    else:
        answer = cells_answer(extra=4 * values)
        plant_cell(answer, 9, BOX, 0.8)
        answer[0, 5:, 9] = rest.ravel()
    seen = look(answering({"o": answer}, stated=metadata(task="pose", end2end=str(final), **shape)))
    check_one(seen)
    assert np.allclose(seen.quads[0], (points - (0, 70)) * 4, atol=0.1)


def test_key_points_that_are_no_corners_are_passed_over():
    answer = cells_answer(extra=51)
    plant_cell(answer, 9, BOX, 0.8)
    stated = metadata(task="pose", kpt_shape="[17, 3]")
    seen = look(answering({"o": answer}, stated=stated))
    check_one(seen)
    assert len(seen.quads) == 0


# -- pictures of other sizes ----------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.integers(16, 2000), st.integers(16, 2000),
    st.floats(0, 0.8), st.floats(0, 0.8), st.floats(0.05, 0.2), st.floats(0.05, 0.2),
)  # fmt: skip
def test_a_plate_is_found_where_it_is_in_a_picture_of_any_size(width, height, x, y, w, h):
    wanted = np.array([x * width, y * height, (x + w) * width, (y + h) * height], np.float32)
    place = Framing(320, 320, 320, 32, True, True, 114).place(width, height)
    answer = cells_answer()
    plant_cell(answer, 9, place.to_input(wanted), 0.8)
    seen = decode({"o": answer}, head_of(Layout.CELLS), place, 0.25)
    assert np.allclose(seen.boxes[0], wanted, atol=max(width, height) * 1e-5)


# -- a real network -------------------------------------------------------------------------------


def test_a_real_int8_network_finds_real_plates():
    """Not all: at 320 px some plates are 12 px wide, and it is not the model that is tested."""
    model = shared_file("models/plate_yolov8n_int8.onnx").read_bytes()
    detector = yolo(model)
    assert detector.head.layout is Layout.CELLS
    found = 0
    for picture, boxes in labelled_plates(8):
        seen = detector.infer(0, picture)[1]
        found += int((iou_matrix(boxes, seen.boxes).max(axis=1, initial=0) > 0.5).sum())
    assert found >= 5
