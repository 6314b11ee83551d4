"""HyperLPR's decoder against outputs made by hand, and the real network on real plates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detection import Detections, iou_matrix
from edge.errors import InferenceError
from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from edge.lanes.hyperlpr import (
    ANCHORS,
    COARSE_FROM,
    COARSE_TRUST,
    GROWTH,
    HyperLpr,
    decode,
)
from edge.lanes.letterbox import Framing, Placement
from tests.lanes.pictures import coloured, labelled_plates, photograph
from tests.support import shared_file

PLACE = Framing(None, None, 640, 32, False, True, 127).place(1280, 720)
"""An input of 640x384, of which 640x360 show the picture; scale 2."""


def silence(place: Placement = PLACE) -> dict[str, np.ndarray]:
    """Outputs of a network that sees nothing."""
    outputs = {}
    for stride in ANCHORS:
        maps = np.zeros((1, 45, place.height // stride, place.width // stride), np.float32)
        maps[0, 4::15] = -9
        outputs[f"p{stride}"] = maps
    return outputs


def logit(share: float) -> float:
    return math.log(share / (1 - share))


def corners_of(box) -> np.ndarray:
    """Four corners within a box, as on a plate that is seen from the side."""
    x1, y1, x2, y2 = box
    dy = (y2 - y1) / 8
    return np.array([(x1, y1), (x2, y1 + dy), (x2, y2), (x1, y2 - dy)])


def plant(outputs, stride: int, anchor: int, box, score: float, place=PLACE) -> tuple[int, int]:
    """Write a plate, x1 y1 x2 y2 in input pixels, into the cell that its centre lies in."""
    x1, y1, x2, y2 = box
    cx, cy, w, h = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    column, row = int(cx // stride), int(cy // stride)
    aw, ah = ANCHORS[stride][anchor]
    values = outputs[f"p{stride}"][0, 15 * anchor : 15 * anchor + 15, row, column]
    values[:5] = (
        logit((cx / stride - column + 0.5) / 2), logit((cy / stride - row + 0.5) / 2),
        logit(math.sqrt(w / aw) / 2), logit(math.sqrt(h / ah) / 2), logit(score),
    )  # fmt: skip
    cell = np.array([column, row]) * stride
    values[5:13] = ((corners_of(box) - cell) / (aw, ah)).ravel()
    return row, column


def grown(box, growth: float = GROWTH) -> np.ndarray:
    x1, y1, x2, y2 = box
    dx, dy = growth * (x2 - x1), growth * (y2 - y1)
    return np.array([x1 - dx, y1 - dy, x2 + dx, y2 + dy])


def check_sound(seen: Detections, weakest: float) -> None:
    assert seen.label == "plate"
    assert seen.quads.shape == (len(seen), 4, 2)
    for column in (seen.boxes, seen.scores, seen.quads):
        assert column.dtype == np.float32
        assert np.isfinite(column).all()
    assert (seen.scores >= weakest * 0.999).all()
    assert (seen.boxes[:, 2:] >= seen.boxes[:, :2]).all()


@pytest.mark.parametrize(
    ("stride", "anchor", "box"),
    [
        (8, 0, (100, 60, 112, 65)),
        (8, 1, (100, 60, 124, 70)),
        (8, 2, (600, 350, 640, 362)),
        (16, 0, (0.5, 0.5, 60.5, 20.5)),
        (16, 1, (300, 200, 400, 240)),
        (16, 2, (-10, 100, 90, 150)),
        (32, 0, (100, 100, 400, 200)),
        (32, 2, (10, 10, 630, 350)),
    ],
)
def test_the_plate_that_was_put_into_a_cell_is_found_and_grown(stride, anchor, box):
    outputs = silence()
    plant(outputs, stride, anchor, box, 0.8)
    seen = decode(outputs, PLACE, 0.3)
    check_sound(seen, 0.3)
    assert len(seen) == 1
    assert np.allclose(seen.boxes[0], grown(box) * 2, atol=0.05)
    assert np.allclose(seen.quads[0], corners_of(box) * 2, atol=0.05)
    assert seen.scores[0] == pytest.approx(0.8, abs=1e-4)


def test_a_box_holds_corners_that_reach_beyond_it():
    outputs = silence()
    row, column = plant(outputs, 8, 1, (100, 60, 124, 70), 0.8)
    outputs["p8"][0, 15 + 5, row, column] -= 2  # 16 px further to the left
    seen = decode(outputs, PLACE, 0.3)
    assert seen.boxes[0, 0] == pytest.approx((100 - 16) * 2, abs=0.1)


def test_scores_are_compared_at_the_threshold():
    outputs = silence()
    plant(outputs, 8, 1, (100, 60, 124, 70), 0.31)
    plant(outputs, 8, 1, (300, 60, 324, 70), 0.29)
    assert len(decode(outputs, PLACE, 0.3)) == 1
    assert len(decode(outputs, PLACE, 0.28)) == 2
    assert len(decode(outputs, PLACE, 1.0)) == 0


def test_one_plate_seen_by_all_strides_is_one_plate():
    outputs = silence()
    for stride, anchor, score in ((8, 2, 0.5), (16, 1, 0.9), (32, 0, 0.7)):
        plant(outputs, stride, anchor, (200, 100, 246, 152), score)
    plant(outputs, 8, 1, (400, 100, 424, 110), 0.4)
    assert np.allclose(decode(outputs, PLACE, 0.3).scores, [0.9, 0.4], atol=1e-4)


def test_where_nothing_is_nothing_is_seen():
    seen = decode(silence(), PLACE, 0.3)
    assert len(seen) == 0
    check_sound(seen, 0.3)


@pytest.mark.parametrize("missing", ["p8", "p16", "p32"])
def test_a_missing_output_is_an_error(missing):
    outputs = silence()
    del outputs[missing]
    with pytest.raises(InferenceError, match=missing):
        decode(outputs, PLACE, 0.3)


@pytest.mark.parametrize("change", ["fewer", "channels", "flat", "batch", "transposed"])
def test_another_shape_is_an_error(change):
    outputs = silence()
    old = outputs["p16"]
    outputs["p16"] = {
        "fewer": old[..., :-1], "channels": old[:, :44], "flat": old[0],
        "batch": np.repeat(old, 2, axis=0), "transposed": old.transpose(0, 1, 3, 2),
    }[change]  # fmt: skip
    with pytest.raises(InferenceError, match="p16 has shape"):
        decode(outputs, PLACE, 0.3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("anchor", range(3))
def test_a_score_that_is_no_number_is_an_error_anywhere(bad, anchor):
    """Below any threshold it would be a plate silently missed."""
    outputs = silence()
    outputs["p32"][0, 15 * anchor + 4, 3, 5] = bad
    with pytest.raises(InferenceError, match="NaN"):
        decode(outputs, PLACE, 0.3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("value", [5, 8, 12])
def test_a_corner_at_no_place_is_an_error(bad, value):
    outputs = silence()
    row, column = plant(outputs, 16, 1, (300, 200, 400, 240), 0.8)
    outputs["p16"][0, 15 + value, row, column] = bad
    with pytest.raises(InferenceError, match="no p"):
        decode(outputs, PLACE, 0.3)


@pytest.mark.parametrize("value", [0, 2])
def test_a_box_that_is_no_number_is_an_error(value):
    outputs = silence()
    row, column = plant(outputs, 16, 1, (300, 200, 400, 240), 0.8)
    outputs["p16"][0, 15 + value, row, column] = math.nan
    with pytest.raises(InferenceError, match="no p"):
        decode(outputs, PLACE, 0.3)


def test_a_network_that_fires_everywhere_is_not_believed():
    outputs = silence()
    for maps in outputs.values():
        maps[:] = 0
        maps[0, 4::15] = 9
        maps[0, 2::15] = maps[0, 3::15] = -2
    with pytest.raises(InferenceError, match="more than 2000"):
        decode(outputs, PLACE, 0.3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_outputs_give_sound_columns_or_an_error(seed):
    rng = np.random.default_rng(seed)
    place = Framing(None, None, 96, 32, False, True, 127).place(200, 120)
    outputs = {
        name: rng.normal(-2, rng.choice([1, 5, 1e6]), maps.shape).astype(np.float32)
        for name, maps in silence(place).items()
    }
    try:
        seen = decode(outputs, place, 0.3)
    except InferenceError:
        return
    check_sound(seen, 0.3)


# -- two looks at one picture ---------------------------------------------------------------------


class Scripted:
    """An engine that answers what was planted for each size of input."""

    name = "scripted"
    inputs = ("input",)
    outputs = ("p8", "p16", "p32")
    input_specs = output_specs = ()

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}
        self.answers: dict[tuple[int, int], dict[str, np.ndarray]] = {}

    def run(self, feeds: Tensors) -> Tensors:
        _, _, height, width = feeds["input"].shape
        return self.answers[width, height]


def two_looks() -> tuple[Scripted, HyperLpr, Placement]:
    engine = Scripted()
    coarse = Framing(None, None, 192, 32, False, True, 127).place(1280, 720)
    engine.answers[640, 384] = silence()
    engine.answers[coarse.width, coarse.height] = silence(coarse)
    return engine, HyperLpr(engine, input_size=640, weakest=0.15), coarse


def test_a_near_plate_is_found_by_the_second_look():
    engine, network, coarse = two_looks()
    plant(engine.answers[192, 128], 16, 2, (60, 40, 140, 70), 0.9, coarse)
    seen = network.infer(3, coloured(1280, 720))[1]
    check_sound(seen, 0.15)
    assert np.allclose(seen.boxes[0], grown((60, 40, 140, 70)) * 1280 / 192, atol=0.5)
    assert seen.scores[0] == pytest.approx(0.9 * COARSE_TRUST, abs=1e-3)


def test_the_second_look_is_not_asked_about_plates_that_are_far():
    engine, network, coarse = two_looks()
    wide = 192 * COARSE_FROM / (1 + 2 * GROWTH)
    plant(engine.answers[192, 128], 8, 2, (60, 40, 59 + wide, 50), 0.9, coarse)
    assert len(network.infer(3, coloured(1280, 720))[1]) == 0
    plant(engine.answers[192, 128], 8, 2, (60, 80, 61 + wide, 90), 0.9, coarse)
    assert len(network.infer(3, coloured(1280, 720))[1]) == 1


def test_a_plate_that_both_looks_see_is_one():
    engine, network, coarse = two_looks()
    plant(engine.answers[640, 384], 16, 2, (200, 100, 340, 160), 0.8)
    scaled = tuple(v * 0.3 for v in (200, 100, 340, 160))
    plant(engine.answers[192, 128], 16, 0, scaled, 0.9, coarse)
    seen = network.infer(3, coloured(1280, 720))[1]
    assert np.allclose(seen.scores, [0.8], atol=1e-3)


def test_a_high_threshold_leaves_the_second_look_nothing_to_say():
    engine, _, coarse = two_looks()
    network = HyperLpr(engine, input_size=640, weakest=0.6)
    plant(engine.answers[192, 128], 16, 2, (60, 40, 140, 70), 0.99, coarse)
    assert len(network.infer(3, coloured(1280, 720))[1]) == 0


# -- the real network -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> HyperLpr:
    model = shared_file("models/plate_hyperlpr.onnx").read_bytes()
    return HyperLpr(OnnxEngine(model, "hyperlpr"), input_size=640, weakest=0.3)


def test_the_network_finds_real_plates_where_they_are(network):
    for picture, boxes in labelled_plates(16):
        frame_id, seen = network.infer(5, picture)
        assert frame_id == 5
        check_sound(seen, 0.3)
        overlap = iou_matrix(boxes, seen.boxes).max(axis=1, initial=0)
        assert (overlap > 0.4).all(), (overlap, picture.width, picture.height)


def test_corners_begin_at_the_top_left_and_run_clockwise(network):
    picture, boxes = labelled_plates(4)[3]
    seen = network.infer(0, picture)[1]
    best = int(iou_matrix(boxes, seen.boxes)[0].argmax())
    top_left, top_right, bottom_right, bottom_left = seen.quads[best]
    assert top_left[0] < top_right[0]
    assert bottom_left[0] < bottom_right[0]
    assert top_left[1] < bottom_left[1]
    assert top_right[1] < bottom_right[1]


def test_the_network_goes_on_when_the_size_changes(network):
    pictures = [picture for picture, _ in labelled_plates(3)]
    first = network.infer(0, pictures[0])[1]
    network.infer(1, pictures[2])
    assert np.array_equal(network.infer(2, pictures[0])[1].boxes, first.boxes)


@pytest.mark.parametrize("size", [(2, 2), (16, 16), (16, 1080), (3840, 16), (514, 386)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_plain_pictures_have_no_plate(size, level, network):
    assert len(network.infer(0, coloured(*size, (level,) * 3))[1]) == 0


def test_faces_are_no_plates(network):
    folder = shared_file("media/faces")
    for path in sorted(folder.glob("*.jpg"))[:5]:
        assert len(network.infer(0, photograph(path))[1]) == 0, path.name
