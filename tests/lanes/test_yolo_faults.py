"""YOLO files that are refused with a reason, and answers gone wrong that close the gate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InferenceError, ModelError
from edge.lanes.yolo import decode
from edge.lanes.yolo_head import Extra, Layout
from tests.lanes.test_yolo import BOX, PLACE, check_one, head_of, plant_cell, yolo
from tests.lanes.yolo_models import (
    PLATE,
    anchors_answer,
    answering,
    cells_answer,
    final_answer,
    metadata,
    middle,
)

# -- files that are refused -----------------------------------------------------------------------


def refused(model: bytes, match: str) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        yolo(model)
    message = str(caught.value)
    assert message.startswith("model mine.onnx ")
    assert "\n" not in message
    assert message.count(". ") >= 1  # what, and what to do about it


@pytest.mark.parametrize(
    "shape",
    [(1, 128), (1, 5, 2101), (1, 4, 2100), (1, 2100, 5), (1, 6300, 5), (2, 5, 2100), (1, 1000),
     (1, 5000, 6), (1, 300, 5), (1, 3, 40, 40, 6), (0,), (1, 2100)],
    ids=str,
)  # fmt: skip
def test_an_answer_of_no_known_shape_is_refused_with_the_shape(shape):
    refused(answering({"o": np.zeros(shape, np.float32)}), r"answers in shapes \(.*yolo export")


@pytest.mark.parametrize("extra", [1, 8, 32, 79])
def test_more_values_than_the_metadata_explains_are_refused(extra):
    refused(answering({"o": cells_answer(extra=extra)}), "does not fit its metadata")
    refused(answering({"o": final_answer(extra=extra)}), "does not fit its metadata")


@pytest.mark.parametrize(
    ("task", "extra", "others"),
    [("obb", 0, {}), ("obb", 2, {}), ("segment", 0, {}), ("pose", 0, {}), ("pose", 51, {}),
     ("pose", 8, {"kpt_shape": "[17, 3]"}), ("detect", 1, {}), ("classify", 8, {})],
)  # fmt: skip
def test_a_task_that_the_shape_denies_is_refused(task, extra, others):
    stated = metadata(task=task, **others)
    refused(answering({"o": cells_answer(extra=extra)}, stated=stated), "does not fit its metadata")


def test_several_classes_without_names_are_refused():
    refused(answering({"o": cells_answer(classes=4)}, stated={}), "no class names")
    refused(answering({"o": anchors_answer(classes=4)}, stated={}), "no class names")


def test_a_network_that_knows_no_plates_is_refused_with_its_classes():
    names = str({k: f"thing {k}" for k in range(80)})
    model = answering({"o": cells_answer(classes=80)}, stated=metadata(names))
    refused(model, r"its classes are thing 0, .*thing 7 and 72 more\. Use a model")


@pytest.mark.parametrize(
    ("shape", "match"),
    [((1, 320, 320, 3), "channels first"), ((1, 1, 320, 320), "colour"),
     ((4, 3, 320, 320), "batch=1"), ((1, 3), "no YOLO")],
)  # fmt: skip
def test_an_input_that_is_no_picture_is_refused(shape, match):
    refused(answering({"o": cells_answer()}, shape=shape), match)


def test_an_input_in_bytes_is_refused():
    refused(answering({"o": cells_answer()}, dtype=np.uint8), "float32 or float16")


def test_two_inputs_are_refused():
    refused(answering({"o": cells_answer()}, inputs=2), "no YOLO")


def test_coordinates_as_shares_are_refused():
    answer = cells_answer()
    answer[0, :4] /= 320
    refused(answering({"o": answer}), "shares of the picture")
    rows = anchors_answer()
    rows[0, :, :4] /= 320
    refused(answering({"o": rows}), "shares of the picture")


@pytest.mark.parametrize("logit", [-4.0, 3.0])
def test_scores_before_their_sigmoid_are_refused(logit):
    answer = cells_answer()
    answer[0, 4] = logit
    refused(answering({"o": answer}), r"within 0\.\.1")


def test_a_network_that_sees_plates_everywhere_is_refused():
    answer = cells_answer(480, 480)
    answer[0, 4] = 1
    answer[0, 2:4] = 4
    refused(answering({"o": answer}, shape=(1, 3, 480, 480)), "more than 2000")


# -- answers gone wrong, by hand: what ONNX Runtime's engine would refuse, too --------------------


ANSWERS = {
    Layout.CELLS: (cells_answer, lambda a, n, v: a.__setitem__((0, n, 9), v), (0, 1, 2, 3), 4),
    Layout.ANCHORS: (anchors_answer, lambda a, n, v: a.__setitem__((0, 9, n), v), (0, 1, 2, 3), 4),
    Layout.FINAL: (final_answer, lambda a, n, v: a.__setitem__((0, 9, n), v), (0, 1, 2, 3), 4),
}


def planted(layout: Layout) -> np.ndarray:
    make, put, places, score = ANSWERS[layout]
    answer = make()
    box = BOX if layout is Layout.FINAL else middle(BOX)
    for place, value in zip(places, box, strict=True):
        put(answer, place, value)
    put(answer, score, 0.8)
    if layout is Layout.ANCHORS:
        put(answer, 5, 1)
    return answer


@pytest.mark.parametrize("layout", ANSWERS)
def test_what_was_planted_by_hand_is_found(layout):
    check_one(decode({"o": planted(layout)}, head_of(layout), PLACE, 0.25))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("layout", ANSWERS)
def test_a_score_that_is_no_number_is_an_error_anywhere(layout, bad):
    answer = ANSWERS[layout][0]()
    ANSWERS[layout][1](answer, 4, bad)
    with pytest.raises(InferenceError, match=r"within 0\.\.1"):
        decode({"o": answer}, head_of(layout), PLACE, 0.25)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("layout", ANSWERS)
def test_a_plate_at_no_place_is_an_error(layout, place, bad):
    answer = planted(layout)
    ANSWERS[layout][1](answer, place, bad)
    with pytest.raises(InferenceError, match=r"no picture|ends before"):
        decode({"o": answer}, head_of(layout), PLACE, 0.25)


@pytest.mark.parametrize("layout", [Layout.CELLS, Layout.ANCHORS])
def test_a_plate_of_negative_size_is_an_error_unless_it_was_rounded(layout):
    answer = planted(layout)
    ANSWERS[layout][1](answer, 2, -0.5)
    assert len(decode({"o": answer}, head_of(layout), PLACE, 0.25)) == 1
    ANSWERS[layout][1](answer, 2, -20)
    with pytest.raises(InferenceError, match="ends before"):
        decode({"o": answer}, head_of(layout), PLACE, 0.25)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 3e38])
@pytest.mark.parametrize("extra", [Extra.ANGLE, Extra.CORNERS])
def test_corners_at_no_place_are_an_error(extra, bad):
    answer = cells_answer(extra=1 if extra is Extra.ANGLE else 8)
    plant_cell(answer, 9, BOX, 0.8)
    answer[0, 5, 9] = bad
    if bad == 3e38 and extra is Extra.ANGLE:
        return  # some angle all the same
    with pytest.raises(InferenceError, match="no picture"), np.errstate(invalid="ignore"):
        decode({"o": answer}, head_of(Layout.CELLS, extra), PLACE, 0.25)


@pytest.mark.parametrize("change", ["flat", "batch", "fewer", "missing"])
@pytest.mark.parametrize("layout", [*ANSWERS, Layout.LISTED])
def test_an_answer_of_another_shape_than_at_first_is_an_error(layout, change):
    listed = layout is Layout.LISTED
    answer = np.array([[0, *BOX, 0, 0.8]], np.float32) if listed else planted(layout)
    narrow = answer[:, :4] if layout is Layout.CELLS or listed else answer[:, :, :5]
    changed = {
        "flat": answer[0], "batch": np.stack([answer, answer]), "fewer": narrow,
        "missing": answer,
    }[change]  # fmt: skip
    with pytest.raises(InferenceError, match=r"shape|no output"):
        decode({"p" if change == "missing" else "o": changed}, head_of(layout), PLACE, 0.25)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([*Layout]), st.sampled_from([*Extra]))
def test_random_answers_give_sound_columns_or_an_error(seed, layout, extra):
    rng = np.random.default_rng(seed)
    values = {Extra.NONE: 0, Extra.ANGLE: 1, Extra.CORNERS: 8, Extra.IGNORED: 32}[extra]
    if layout in (Layout.LISTED, Layout.ANCHORS):
        extra, values = Extra.NONE, 0
    shape = {
        Layout.CELLS: (1, 5 + values, 84), Layout.ANCHORS: (1, 252, 6),
        Layout.FINAL: (1, 30, 6 + values), Layout.LISTED: (9, 7),
    }[layout]  # fmt: skip
    answer = rng.normal(0, rng.choice([0.3, 30, 1e6]), shape).astype(np.float32)
    if rng.random() < 0.7:  # scores that pass, so that the rest is looked at
        place = {
            Layout.CELLS: np.s_[0, 4], Layout.ANCHORS: np.s_[0, :, 4:6],
            Layout.FINAL: np.s_[0, :, 4], Layout.LISTED: np.s_[:, 6],
        }[layout]  # fmt: skip
        answer[place] = rng.random(answer[place].shape)
    if layout is Layout.LISTED:
        answer[:, [0, 5]] = 0
    elif layout is Layout.FINAL:
        answer[0, :, 5] = 0
    try:
        seen = decode({"o": answer}, head_of(layout, extra), PLACE, 0.3)
    except InferenceError:
        return
    for column in (seen.boxes, seen.scores, seen.quads):
        assert column.dtype == np.float32
        assert np.isfinite(column).all()
    assert (seen.scores >= 0.3).all()
    assert (seen.boxes[:, 2:] >= seen.boxes[:, :2]).all()


def test_names_in_metadata_that_are_no_text_are_refused():
    refused(answering({"o": cells_answer()}, stated=metadata(PLATE[:-1])), "class names")
