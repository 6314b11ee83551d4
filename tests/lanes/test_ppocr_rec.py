"""The text reader: crops and CTC by hand and by property, and the real networks on drawn signs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InferenceError, ModelError
from edge.lanes.ppocr_rec import (
    LINE_HEIGHT_PX,
    PpocrReader,
    batches,
    ctc_greedy,
    dictionary,
)
from edge.lanes.reader import Reading
from edge.lanes.rectify import MAX_ASPECT, rectify, sides
from tests.lanes.signs import Sign, draw, find, picture, reader

ALPHABET = ("", "a", "b", "c", " ")


def steps(*classes: int, sure: float = 0.9) -> np.ndarray:
    """Probabilities in which these classes are the likeliest; the rest is for the blank."""
    chance = np.zeros((len(classes), len(ALPHABET)), np.float32)
    for step, best in enumerate(classes):
        chance[step, 0] = 1 - sure
        chance[step, best] = sure if best else 1.0
    return chance


# -- CTC ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        ((), ""), ((0, 0), ""), ((1,), "a"), ((1, 1, 1), "a"), ((1, 0, 1), "aa"),
        ((0, 1, 2, 2, 0, 2, 3), "abbc"), ((1, 4, 2), "a b"), ((4, 1, 4, 4, 0, 4, 2, 4), "a b"),
        ((4, 4), ""),
    ],
)  # fmt: skip
def test_repeats_are_one_character_and_blanks_part_them(classes, text):
    assert ctc_greedy(steps(*classes), ALPHABET).text == text


def test_a_space_need_not_be_the_likeliest_class():
    chance = steps(1, 0, 2, 0, 3)
    chance[1, :] = (0.95, 0, 0, 0, 0.05)
    assert ctc_greedy(chance, ALPHABET).text == "a bc"


def test_confidence_is_the_mean_over_characters():
    chance = np.concatenate([steps(1, 0, sure=0.9), steps(2, 2, 0, 4, sure=0.6), steps(3, sure=1)])
    assert ctc_greedy(chance, ALPHABET).confidence == pytest.approx((0.9 + 0.6 + 1) / 3)
    assert ctc_greedy(steps(0, 0), ALPHABET).confidence == 0.0


@pytest.mark.parametrize("bad", [math.nan, -0.5, 1.5, math.inf])
def test_what_is_no_probability_is_an_error(bad):
    chance = steps(1, 2)
    chance[1] = bad
    with pytest.raises(InferenceError):
        ctc_greedy(chance, ALPHABET)


@given(st.text(alphabet="abc", max_size=12), st.data())
def test_any_alignment_of_a_text_reads_as_that_text(text, data):
    classes: list[int] = [0] * data.draw(st.integers(0, 2))
    for i, character in enumerate(text):
        if i and text[i - 1] == character:
            classes.append(0)
        classes += [ALPHABET.index(character)] * data.draw(st.integers(1, 3))
        classes += [0] * data.draw(st.integers(0, 2))
    assert ctc_greedy(steps(*classes), ALPHABET).text == text


# -- crops and batches --------------------------------------------------------------------------


def test_a_crop_has_the_proportions_of_its_line_and_the_pixels_of_its_place():
    luma = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
    quad = np.array([[40, 20], [136, 20], [136, 44], [40, 44]], np.float32)
    line = rectify(luma, quad, 48)
    assert line.shape == (48, 192)
    expected = 40 + (np.arange(192) + 0.5) / 2 - 0.5
    assert np.abs(line[24].astype(float) - expected).max() <= 1


def test_a_tall_crop_is_turned_a_quarter_to_the_left():
    luma = np.tile(np.arange(200, dtype=np.uint8)[:, None], (1, 100))
    quad = np.array([[20, 40], [44, 40], [44, 136], [20, 136]], np.float32)
    line = rectify(luma, quad, 48)
    assert line.shape == (48, 192)
    assert line[24, 0] < line[24, -1]  # what was at the top is at the left


def test_fine_detail_of_a_large_line_is_averaged_and_not_skipped():
    luma = np.zeros((600, 900), np.uint8)
    luma[:, ::2] = 200
    quad = np.array([[50, 50], [850, 50], [850, 450], [50, 450]], np.float32)
    assert rectify(luma, quad, 48).std() < 10


@given(
    st.tuples(*[st.floats(-400, 900)] * 2), st.floats(0.1, 1500), st.floats(0.1, 900),
    st.floats(-math.pi, math.pi),
)  # fmt: skip
def test_any_quad_gives_a_crop_within_bounds(centre, width, height, angle):
    luma = np.full((300, 500), 77, np.uint8)
    u = np.array([math.cos(angle), math.sin(angle)]) * width / 2
    v = np.array([-math.sin(angle), math.cos(angle)]) * height / 2
    quad = (np.array(centre) + np.array([-u - v, u - v, u + v, v - u])).astype(np.float32)
    assert sides(quad) == pytest.approx((width, height), rel=1e-2, abs=1e-3)
    line = rectify(luma, quad, 48)
    assert line.shape[0] == 48
    assert 30 <= line.shape[1] <= 48 * MAX_ASPECT
    assert (line == 77).all()


@given(st.lists(st.integers(30, 1600), max_size=60))
def test_batches_hold_every_line_once_and_only_like_ones(widths):
    groups = batches(widths)
    assert sorted(i for group in groups for i in group) == list(range(len(widths)))
    for group in groups:
        inside = [widths[i] for i in group]
        assert 1 <= len(inside) <= 8
        assert max(inside) <= 1.25 * min(inside)


# -- engines that misbehave ---------------------------------------------------------------------


class _Engine:
    """Answers with what it is told to."""

    inputs, outputs = ("x",), ("y",)

    def __init__(self, answer):
        self.answer = answer
        self.shapes = []

    def run(self, feeds):
        self.shapes.append(feeds["x"].shape)
        return {"y": self.answer(feeds["x"])}


def _says(classes: int, step_px: int = 8, lines: int = 0):
    def answer(x):
        chance = np.zeros((len(x) + lines, x.shape[3] // step_px, classes), np.float32)
        chance[:, :, 1] = 1
        return chance

    return answer


QUADS = np.array([[[10, 10], [90, 10], [90, 30], [10, 30]]] * 3, np.float32)
PAGE = picture(np.full((60, 120, 3), 128, np.uint8))


def test_lines_of_one_width_are_read_in_one_go():
    engine = _Engine(_says(len(ALPHABET)))
    readings = PpocrReader(engine, ALPHABET[1:], None).read(PAGE, QUADS)
    assert [r.text for r in readings] == ["a"] * 3
    assert engine.shapes == [(3, 3, LINE_HEIGHT_PX, 192)]


def test_no_lines_need_no_engine():
    engine = _Engine(_says(len(ALPHABET)))
    assert PpocrReader(engine, ALPHABET[1:], engine).read(PAGE, QUADS[:0]) == []
    assert engine.shapes == []


@pytest.mark.parametrize("answer", [_says(4), _says(5, 4), _says(5, lines=1), lambda x: x[0]])
def test_a_recogniser_of_another_shape_is_an_error(answer):
    with pytest.raises(InferenceError, match="expected"):
        PpocrReader(_Engine(answer), ALPHABET[1:], None).read(PAGE, QUADS)


@pytest.mark.parametrize("shape", [(3, 3), (2, 2), (3,)])
def test_a_classifier_of_another_shape_is_an_error(shape):
    classifier = _Engine(lambda _: np.zeros(shape, np.float32))
    good = _Engine(_says(len(ALPHABET)))
    with pytest.raises(InferenceError, match="classifier"):
        PpocrReader(good, ALPHABET[1:], classifier).read(PAGE, QUADS)


def test_a_line_is_turned_only_where_it_reads_better_so():
    """The classifier errs: what it takes for upside down is read both ways."""
    wrong = _Engine(lambda x: np.tile(np.array([0, 1], np.float32), (len(x), 1)))
    calls = []

    def answer(x):
        calls.append(len(x))
        sure = 0.9 if len(calls) == 1 else 0.95
        return np.stack([steps(*[1] * (x.shape[3] // 8), sure=sure)] * len(x))

    (reading, *_) = PpocrReader(_Engine(answer), ALPHABET[1:], wrong).read(PAGE, QUADS)
    assert calls == [3, 3]
    assert reading.confidence == pytest.approx(0.9)


def test_a_model_without_a_dictionary_is_told_of():
    assert dictionary("x\ny", "m") == ("x", "y", " ")
    for nothing in (None, ""):
        with pytest.raises(ModelError, match=r"dictionary.*\. Use"):
            dictionary(nothing, "m")


def test_a_reading_shows_no_text():
    assert "555" not in repr(Reading("555-0142", 0.9))


# -- the real networks --------------------------------------------------------------------------


def read(*signs: Sign) -> list[Reading]:
    rgb, boxes = draw(*signs)
    seen = find(rgb)
    page = picture(rgb)
    order = []
    for box in boxes:
        centre = (box[:2] + box[2:]) / 2
        inside = (seen.boxes[:, :2] <= centre).all(1) & (seen.boxes[:, 2:] >= centre).all(1)
        order.append(int(np.flatnonzero(inside)[0]))
    return reader().read(page, seen.quads[order])


def test_signs_of_14_to_32_px_are_read():
    signs = [
        Sign("742 Evergreen Terrace", 40, 30, 14),
        Sign("Call 555-0142", 460, 40, 18, ink=(240, 240, 240), panel=(20, 60, 30)),
        Sign("NO PARKING", 60, 180, 32, angle=9),
        Sign("Dr. Anna Weber", 480, 170, 24, angle=-14),
        Sign("anna@example.org", 60, 360, 20, ink=(180, 20, 20)),
        Sign("7ABC 123", 560, 380, 26),
    ]
    readings = read(*signs)
    assert [r.text for r in readings] == [sign.text for sign in signs]
    assert min(r.confidence for r in readings) > 0.8


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_signs_are_read_whichever_way_they_hang(angle):
    signs = [Sign("Hauptstrasse 17", 60, 40, 28, angle), Sign("Bakery 0142", 560, 60, 26, angle)]
    readings = read(*signs)
    assert [r.text for r in readings] == [sign.text for sign in signs]
