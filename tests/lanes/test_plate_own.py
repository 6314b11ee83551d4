"""The decoder of our own plate detector against outputs made by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.catalogue import load_catalogue
from edge.detection import Detections, iou_matrix
from edge.errors import InferenceError
from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from edge.lanes.letterbox import Framing, Placement
from edge.lanes.plate_own import (
    DEFAULT_CONF,
    GROWTH,
    OUTPUTS,
    STRIDES,
    UNIT,
    OwnPlates,
    decode,
)
from edge.model_store import ModelStore
from tests.lanes.pictures import RgbPicture, coloured

PLACE = Framing(None, None, 640, 32, False, True, 114).place(1280, 720)
"""An input of 640x384, of which 640x360 show the picture; scale 2."""


WEAKEST = DEFAULT_CONF / 2
"""What a tracker asks for: weaker ones prolong a track, and begin none."""


def silence(place: Placement = PLACE) -> dict[str, np.ndarray]:
    """Outputs of a network that sees nothing."""
    outputs = {}
    for stride in STRIDES:
        maps = np.zeros((1, 9, place.height // stride, place.width // stride), np.float32)
        maps[0, 0] = -9
        outputs[f"plates_{stride}"] = maps
    return outputs


def corners_of(box) -> np.ndarray:
    """Four corners within a box, as on a plate that is seen from the side."""
    x1, y1, x2, y2 = box
    dy = (y2 - y1) / 8
    return np.array([(x1, y1), (x2, y1 + dy), (x2, y2), (x1, y2 - dy)])


def plant(outputs, stride: int, box, score: float) -> tuple[int, int]:
    """Write a plate, x1 y1 x2 y2 in input pixels, into the cell that its middle lies in."""
    maps = outputs[f"plates_{stride}"]
    column = min(int((box[0] + box[2]) / 2 // stride), maps.shape[3] - 1)
    row = min(int((box[1] + box[3]) / 2 // stride), maps.shape[2] - 1)
    middle = (np.array([column, row]) + 0.5) * stride
    maps[0, 0, row, column] = math.log(score / (1 - score))
    maps[0, 1:, row, column] = ((corners_of(box) - middle) / (UNIT * stride)).ravel()
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
    ("stride", "box"),
    [
        (8, (100, 60, 112, 65)),
        (8, (600, 350, 640, 362)),
        (16, (0.5, 0.5, 60.5, 20.5)),
        (16, (-10, 100, 90, 150)),
        (32, (100, 100, 400, 200)),
        (32, (10, 10, 630, 350)),
    ],
)
def test_the_plate_that_was_put_into_a_cell_is_found_and_grown(stride, box):
    outputs = silence()
    plant(outputs, stride, box, 0.8)
    seen = decode(outputs, PLACE, 0.3)
    check_sound(seen, 0.3)
    assert len(seen) == 1
    assert np.allclose(seen.boxes[0], grown(box) * 2, atol=0.05)
    assert np.allclose(seen.quads[0], corners_of(box) * 2, atol=0.05)
    assert seen.scores[0] == pytest.approx(0.8, abs=1e-4)


def test_boxes_grow_as_much_as_asked_for():
    outputs = silence()
    box = (100, 60, 164, 80)
    plant(outputs, 8, box, 0.8)
    assert np.allclose(decode(outputs, PLACE, 0.3, growth=0).boxes[0], np.array(box) * 2, atol=0.05)


def test_scores_are_compared_at_the_threshold():
    outputs = silence()
    plant(outputs, 8, (100, 60, 124, 70), 0.31)
    plant(outputs, 8, (300, 60, 324, 70), 0.29)
    assert len(decode(outputs, PLACE, 0.3)) == 1
    assert len(decode(outputs, PLACE, 0.28)) == 2
    assert len(decode(outputs, PLACE, 1.0)) == 0


def test_one_plate_seen_by_all_strides_is_one_plate():
    outputs = silence()
    for stride, score in ((8, 0.5), (16, 0.9), (32, 0.7)):
        plant(outputs, stride, (200, 100, 246, 122), score)
    plant(outputs, 8, (400, 100, 424, 110), 0.4)
    assert np.allclose(decode(outputs, PLACE, 0.3).scores, [0.9, 0.4], atol=1e-4)


def test_corners_in_any_order_begin_at_the_top_left():
    outputs = silence()
    row, column = plant(outputs, 16, (300, 200, 400, 240), 0.8)
    values = outputs["plates_16"][0, 1:, row, column]
    values[:] = values.reshape(4, 2)[::-1].ravel()
    assert np.allclose(
        decode(outputs, PLACE, 0.3).quads[0], corners_of((600, 400, 800, 480)), atol=0.1
    )


def test_where_nothing_is_nothing_is_seen():
    seen = decode(silence(), PLACE, 0.3)
    assert len(seen) == 0
    check_sound(seen, 0.3)


@pytest.mark.parametrize("missing", OUTPUTS)
def test_a_missing_output_is_an_error(missing):
    outputs = silence()
    del outputs[missing]
    with pytest.raises(InferenceError, match=missing):
        decode(outputs, PLACE, 0.3)


@pytest.mark.parametrize("change", ["fewer", "channels", "flat", "batch", "transposed"])
def test_another_shape_is_an_error(change):
    outputs = silence()
    old = outputs["plates_16"]
    outputs["plates_16"] = {
        "fewer": old[..., :-1], "channels": old[:, :8], "flat": old[0],
        "batch": np.repeat(old, 2, axis=0), "transposed": old.transpose(0, 1, 3, 2),
    }[change]  # fmt: skip
    with pytest.raises(InferenceError, match="plates_16 has shape"):
        decode(outputs, PLACE, 0.3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_score_that_is_no_number_is_an_error_anywhere(bad, name):
    """Below any threshold it would be a plate silently missed."""
    outputs = silence()
    outputs[name][0, 0, 3, 5] = bad
    with pytest.raises(InferenceError, match="NaN"):
        decode(outputs, PLACE, 0.3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("value", [1, 4, 8])
def test_a_corner_at_no_place_is_an_error(bad, value):
    outputs = silence()
    row, column = plant(outputs, 16, (300, 200, 400, 240), 0.8)
    outputs["plates_16"][0, value, row, column] = bad
    with pytest.raises(InferenceError, match="no p"):
        decode(outputs, PLACE, 0.3)


def test_a_network_that_fires_everywhere_is_not_believed():
    outputs = silence()
    for maps in outputs.values():
        maps[0, 0] = 9
        maps[0, 1:] = (np.array([-1, -1, 1, -1, 1, 1, -1, 1], np.float32) / 6)[:, None, None]
    with pytest.raises(InferenceError, match="more than 2000"):
        decode(outputs, PLACE, 0.3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_outputs_give_sound_columns_or_an_error(seed):
    rng = np.random.default_rng(seed)
    place = Framing(None, None, 96, 32, False, True, 114).place(200, 120)
    outputs = {
        name: rng.normal(-2, rng.choice([1, 5, 1e6]), maps.shape).astype(np.float32)
        for name, maps in silence(place).items()
    }
    try:
        seen = decode(outputs, place, 0.3)
    except InferenceError:
        return
    check_sound(seen, 0.3)


class Scripted:
    """An engine that keeps what it was given and answers that there is nothing."""

    name = "scripted"
    inputs = ("picture",)
    outputs = OUTPUTS
    input_specs = output_specs = ()

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}
        self.seen = np.zeros(0)

    def run(self, feeds: Tensors) -> Tensors:
        self.seen = np.array(feeds["picture"])
        return silence()


def test_the_network_sees_rgb_on_grey():
    engine = Scripted()
    frame_id, seen = OwnPlates(engine, input_size=640, weakest=0.2).infer(
        7, coloured(1280, 720, (255, 51, 0))
    )
    assert frame_id == 7
    assert len(seen) == 0
    assert engine.seen.shape == (1, 3, 384, 640)
    assert np.allclose(engine.seen[0, :, 100, 100], (1, 0.2, 0), atol=0.01)
    assert np.allclose(engine.seen[0, :, 380, 100], 114 / 255, atol=0.01)


# -- the real network -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> OwnPlates:
    resolved = ModelStore(load_catalogue(), []).resolve(["plates-own"], fetch=False)
    engine = OnnxEngine(resolved.read_bytes(), "plates-own")
    return OwnPlates(engine, input_size=640, weakest=WEAKEST)


def test_the_weights_come_with_the_package_and_are_small():
    entry = load_catalogue()["plates-own"]
    path = ModelStore(load_catalogue(), []).find("plates-own")
    assert path is not None
    assert path.stat().st_size == entry.size <= 2_000_000


def street(texts: list[str], width: int) -> tuple[RgbPicture, np.ndarray]:
    """A grey wall with red cars' boots, each with a white plate, and the plates' boxes, (N, 4)."""
    picture = np.full((720, 1280, 3), 120, np.uint8)
    boxes = []
    for k, text in enumerate(texts):
        x, y = 180 + 440 * k, 380
        high = width // 4
        cv2.rectangle(picture, (x - 150, y - 180), (x + width + 150, y + 180), (150, 20, 30), -1)
        for lamp in (x - 140, x + width + 80):
            cv2.rectangle(picture, (lamp, y - 90), (lamp + 60, y - 30), (230, 60, 40), -1)
        cv2.rectangle(picture, (x - 30, y - 20), (x + width + 30, y + high + 20), (80, 10, 16), -1)
        cv2.rectangle(picture, (x, y), (x + width, y + high), (235, 235, 235), -1)
        size = 0.9 * width / cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 1, 2)[0][0]
        at = (x + width // 20, y + int(high * 0.8))
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_DUPLEX, size, (20, 20, 20), 3, cv2.LINE_AA)
        boxes.append((x, y, x + width, y + high))
    return RgbPicture(np.ascontiguousarray(picture.transpose(2, 0, 1))), np.array(boxes, np.float32)


@pytest.mark.parametrize("width", [60, 120])
def test_plates_are_found_that_the_training_did_not_draw(width, network):
    """OpenCV's strokes are none of the fonts that it learnt from."""
    picture, boxes = street(["KV 4821", "AB12 CDE", "7TRN 305"], width)
    seen = network.infer(0, picture)[1]
    check_sound(seen, WEAKEST)
    assert seen.scores.max() >= 0.8  # these have neither edge nor light
    # Boxes grow by 15 % on each side: one that fits overlaps its plate by 0.59.
    overlap = iou_matrix(boxes, seen.boxes).max(axis=1, initial=0)
    assert (overlap > 0.35).all(), overlap


def test_corners_begin_at_the_top_left_and_run_clockwise(network):
    picture, boxes = street(["KV 4821"], 200)
    quad = network.infer(0, picture)[1].quads[0]
    x1, y1, x2, y2 = boxes[0]
    assert np.allclose(quad, [(x1, y1), (x2, y1), (x2, y2), (x1, y2)], atol=20)


@pytest.mark.parametrize("size", [(2, 2), (16, 16), (16, 1080), (3840, 16), (514, 386)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_plain_pictures_have_no_plate(size, level, network):
    assert len(network.infer(0, coloured(*size, (level,) * 3))[1]) == 0


def test_the_network_goes_on_when_the_size_changes(network):
    picture, _ = street(["KV 4821"], 200)
    first = network.infer(0, picture)[1]
    network.infer(1, coloured(320, 640))
    assert np.array_equal(network.infer(2, picture)[1].boxes, first.boxes)
