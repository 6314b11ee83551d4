"""The text detector's geometry by hand and by property, and the real network on drawn signs."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InferenceError
from edge.lanes.geometry import MAX_DETECTIONS, Fit
from edge.lanes.ppocr_det import PpocrDetector, corners, decode, unclip
from tests.lanes.pictures import coloured
from tests.lanes.signs import Sign, covered, draw, find, wall

FIT = Fit.of(1280, 720, 640, 32)  # input 640x384, of which 640x360 show the picture; scale 2


def blank(fit: Fit = FIT) -> np.ndarray:
    return np.zeros((1, 1, fit.height, fit.width), np.float32)


def test_a_core_becomes_the_line_around_it():
    chance = blank()
    chance[0, 0, 100:110, 200:300] = 0.8  # 100 x 10: grown by 1000 · 1.6 / 220 = 7.27
    seen = decode(chance, FIT, 0.5)
    assert len(seen) == 1
    assert seen.label == "text"
    assert seen.scores[0] == pytest.approx(0.8, abs=1e-3)
    assert np.allclose(seen.boxes[0] / 2, [192.7, 92.7, 307.3, 117.3], atol=0.1)
    assert np.allclose(seen.quads[0, 0], seen.boxes[0, :2], atol=1e-3)
    assert np.allclose(seen.quads[0, 2], seen.boxes[0, 2:], atol=1e-3)


def test_a_slanted_core_keeps_its_angle():
    chance = blank()
    rectangle = np.array([[300, 200, 120, 14, 20]], np.float32)
    cv2.fillConvexPoly(chance[0, 0], np.rint(corners(rectangle)[0]).astype(np.int32), 0.9)
    seen = decode(chance, FIT, 0.5)
    assert len(seen) == 1
    top = seen.quads[0, 1] - seen.quads[0, 0]
    assert math.degrees(math.atan2(top[1], top[0])) == pytest.approx(20, abs=1.5)
    assert np.allclose(seen.quads[0].mean(axis=0), (600, 400), atol=3)


def test_faint_small_and_weak_cores_are_no_lines():
    chance = blank()
    chance[0, 0, 50:60, 50:150] = 0.29  # below the binarisation threshold
    chance[0, 0, 100:102, 50:150] = 0.9  # two pixels high
    chance[0, 0, 150:160, 50:150] = 0.4
    assert len(decode(chance, FIT, 0.5)) == 0
    assert len(decode(chance, FIT, 0.3)) == 1


def test_what_lies_in_the_hole_of_a_ring_is_seen_too():
    chance = blank()
    chance[0, 0, 50:250, 50:250] = 0.9
    chance[0, 0, 70:230, 70:230] = 0
    chance[0, 0, 140:160, 100:200] = 0.9
    boxes = decode(chance, FIT, 0.1).boxes
    assert len(boxes) == 2


def test_the_black_rim_of_the_input_is_no_picture():
    chance = blank()
    chance[0, 0, 362:380, 100:400] = 0.9
    assert len(decode(chance, FIT, 0.5)) == 0


def test_nothing_seen_has_the_right_columns():
    seen = decode(blank(), FIT, 0.5)
    assert (seen.boxes.shape, seen.quads.shape) == ((0, 4), (0, 4, 2))


@pytest.mark.parametrize("shape", [(1, 384, 640), (1, 1, 384, 608), (2, 1, 384, 640)])
def test_another_shape_is_an_error(shape):
    with pytest.raises(InferenceError, match="shape"):
        decode(np.zeros(shape, np.float32), FIT, 0.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_an_error_anywhere(bad):
    chance = blank()
    chance[0, 0, -1, -1] = bad
    with pytest.raises(InferenceError, match="NaN"):
        decode(chance, FIT, 0.5)


def test_a_network_that_sees_text_everywhere_is_not_believed():
    fit = Fit.of(1920, 1080, 1920, 32)
    chance = blank(fit)
    for row in range(0, 1080, 12):
        for column in range(0, 1920, 40):
            chance[0, 0, row : row + 6, column : column + 30] = 0.9
    with pytest.raises(InferenceError, match=str(MAX_DETECTIONS)):
        decode(chance, fit, 0.5)


RECTANGLES = st.tuples(
    st.floats(-50, 700), st.floats(-50, 500), st.floats(1, 300), st.floats(1, 300),
    st.floats(-90, 90),
)  # fmt: skip


@given(RECTANGLES)
def test_corners_are_those_of_the_rectangle_clockwise_from_top_left(rectangle):
    quad = corners(np.array([rectangle], np.float32))[0].astype(np.float64)
    x, y, width, height, angle = rectangle
    expected = cv2.boxPoints(((x, y), (width, height), angle))
    distance = np.linalg.norm(quad[:, None] - expected[None], axis=2)
    assert distance.min(axis=1).max() < 0.05
    assert distance.min(axis=0).max() < 0.05
    across, down = quad[1] - quad[0], quad[3] - quad[0]
    assert across[0] * down[1] - across[1] * down[0] > 0  # clockwise, as y goes down
    assert abs(across[1]) <= abs(across[0]) * (1 + 1e-3) + 1e-3  # the top is no steeper than 45°
    assert across[0] > 0


@given(RECTANGLES, st.floats(0.5, 3))
def test_unclip_is_the_offset_of_the_polygon(rectangle, ratio):
    before = np.array([rectangle], np.float32)
    after = unclip(before, ratio)
    width, height = rectangle[2:4]
    offset = width * height * ratio / (2 * (width + height))
    assert np.allclose(after[0, 2:4] - before[0, 2:4], 2 * offset, rtol=1e-3, atol=1e-3)
    assert np.array_equal(after[0, [0, 1, 4]], before[0, [0, 1, 4]])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 9]))
def test_any_map_gives_sound_columns(seed, blur):
    fit = Fit.of(200, 120, 96, 32)
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.random((fit.height, fit.width), np.float32), (blur, blur), 0)
    seen = decode(noise[None, None], fit, 0.2)
    assert np.isfinite(seen.boxes).all()
    assert ((seen.scores >= 0.2) & (seen.scores <= 1)).all()
    assert (seen.boxes[:, :2] < seen.boxes[:, 2:]).all()
    assert np.allclose(seen.quads.min(axis=1), seen.boxes[:, :2], atol=1e-3)
    assert np.allclose(seen.quads.max(axis=1), seen.boxes[:, 2:], atol=1e-3)


class _Recorder:
    """An engine that keeps what it is fed."""

    inputs, outputs = ("x",), ("y",)

    def run(self, feeds):
        self.fed = feeds["x"].copy()
        return {"y": np.zeros((1, 1, *self.fed.shape[2:]), np.float32)}


def test_the_network_is_fed_bgr_with_imagenet_statistics():
    engine = _Recorder()
    looker = PpocrDetector(engine, input_size=640, weakest=0.5)
    for _ in range(2):  # the second time into memory that is already there
        looker.infer(0, coloured(640, 360, (255, 0, 51)))
    red, green, blue = (1 - 0.406) / 0.225, -0.456 / 0.224, (0.2 - 0.485) / 0.229
    assert engine.fed.shape == (1, 3, 384, 640)
    assert np.allclose(engine.fed[0, :, 10, 10], [blue, green, red], atol=1e-4)


# -- the real network ---------------------------------------------------------------------------


def test_drawn_signs_are_found_and_covered():
    signs = [
        Sign("Evergreen Terrace 742", 40, 30, 14),
        Sign("Call 555-0142", 460, 40, 20, ink=(240, 240, 240), panel=(20, 60, 30)),
        Sign("NO PARKING", 60, 200, 32, angle=9),
        Sign("Dr. Anna Weber", 480, 180, 24, angle=-14),
        Sign("Hauptstrasse 5", 60, 340, 26, angle=90),
    ]
    rgb, boxes = draw(*signs)
    seen = find(rgb)
    for sign, box in zip(signs, boxes, strict=True):
        assert covered(box, seen.boxes) > 0.9, sign
    assert len(seen) <= len(signs) + 2  # one may be in pieces, but there is nothing else


def test_a_wall_without_text_has_none():
    assert len(find(wall())) == 0
