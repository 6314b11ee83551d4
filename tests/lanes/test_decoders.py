"""Decoders against outputs made by hand, and against real networks on a real face."""

from __future__ import annotations

import math
from dataclasses import dataclass

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge.catalogue import load_catalogue
from edge.detection import Detections, iou_matrix
from edge.errors import InferenceError, ModelError
from edge.inference.onnx import OnnxEngine
from edge.lanes import centerface, yunet
from edge.lanes.families import FACE_FAMILIES, face_family
from edge.lanes.geometry import Fit
from edge.lanes.lane import Detector
from edge.media.picture import HostPicture
from edge.model_store import ModelStore
from tests.support import shared_file

FIT = Fit.of(1280, 720, 640, 32)  # input 640x384, of which 640x360 show the picture; scale 2

# -- YuNet, by hand ----------------------------------------------------------------------------


def yunet_outputs(fit: Fit = FIT) -> dict[str, np.ndarray]:
    outputs = {}
    for stride in yunet.STRIDES:
        cells = (fit.width // stride) * (fit.height // stride)
        for kind, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            outputs[f"{kind}_{stride}"] = np.zeros((1, cells, channels), np.float32)
    return outputs


def put_yunet(outputs: dict[str, np.ndarray], stride: int, box, score: float, fit=FIT) -> int:
    """Write a face, x1 y1 x2 y2 in input pixels, into the cell that its centre lies in."""
    columns = fit.width // stride
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    column, row = int(cx // stride), int(cy // stride)
    cell = row * columns + column
    outputs[f"cls_{stride}"][0, cell] = score
    outputs[f"obj_{stride}"][0, cell] = score
    outputs[f"bbox_{stride}"][0, cell] = (
        cx / stride - column, cy / stride - row,
        math.log((box[2] - box[0]) / stride), math.log((box[3] - box[1]) / stride),
    )  # fmt: skip
    points = np.array(landmarks_in(box)).reshape(5, 2)
    outputs[f"kps_{stride}"][0, cell] = (points / stride - (column, row)).ravel()
    return cell


def landmarks_in(box) -> list[tuple[float, float]]:
    w, h = box[2] - box[0], box[3] - box[1]
    places = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    return [(box[0] + x * w, box[1] + y * h) for x, y in places]


@pytest.mark.parametrize("stride", yunet.STRIDES)
@pytest.mark.parametrize(
    "box", [(100, 60, 140, 110), (0.5, 0.5, 12.5, 9.5), (590, 300, 638, 358), (-20, -10, 30, 50)]
)
def test_yunet_finds_the_face_that_was_put_into_a_cell(stride, box):
    outputs = yunet_outputs()
    put_yunet(outputs, stride, box, 0.8)
    seen = yunet.decode(outputs, FIT, 0.3)
    assert len(seen) == 1
    assert np.allclose(seen.boxes[0], np.array(box) * 2, atol=1e-2)
    assert seen.scores[0] == pytest.approx(0.8)
    assert np.allclose(seen.landmarks[0], np.array(landmarks_in(box)) * 2, atol=1e-2)


def test_yunet_score_is_the_geometric_mean():
    outputs = yunet_outputs()
    cell = put_yunet(outputs, 16, (100, 60, 140, 110), 0.9)
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.9, 0.4
    assert yunet.decode(outputs, FIT, 0.5).scores[0] == pytest.approx(0.6)
    assert len(yunet.decode(outputs, FIT, 0.61)) == 0


def test_yunet_scores_just_beyond_one_are_one():
    """A sigmoid in half precision may end a little above."""
    outputs = yunet_outputs()
    put_yunet(outputs, 8, (100, 60, 140, 110), 1.001)
    assert yunet.decode(outputs, FIT, 0.3).scores[0] == 1.0


def test_one_face_seen_by_all_strides_is_one_face():
    outputs = yunet_outputs()
    for stride, score in ((8, 0.5), (16, 0.9), (32, 0.7)):
        put_yunet(outputs, stride, (100, 60, 140, 110), score)
    put_yunet(outputs, 8, (300, 60, 320, 84), 0.4)
    seen = yunet.decode(outputs, FIT, 0.3)
    assert np.allclose(seen.scores, [0.9, 0.4])


def test_yunet_sees_nothing_where_nothing_is():
    seen = yunet.decode(yunet_outputs(), FIT, 0.3)
    assert len(seen) == 0
    assert seen.boxes.shape == (0, 4)
    assert seen.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("missing", ["cls_8", "obj_16", "bbox_32", "kps_8"])
def test_yunet_without_an_output_is_an_error(missing):
    outputs = yunet_outputs()
    del outputs[missing]
    with pytest.raises(InferenceError, match=missing):
        yunet.decode(outputs, FIT, 0.3)


@pytest.mark.parametrize("kind", ["cls", "obj", "bbox", "kps"])
@pytest.mark.parametrize("change", ["fewer", "more", "flat", "batch", "channels"])
def test_yunet_of_another_shape_is_an_error(kind, change):
    outputs = yunet_outputs()
    old = outputs[f"{kind}_16"]
    outputs[f"{kind}_16"] = {
        "fewer": old[:, :-1], "more": np.repeat(old, 2, axis=1), "flat": old[0],
        "batch": np.repeat(old, 2, axis=0), "channels": np.repeat(old, 2, axis=2),
    }[change]  # fmt: skip
    with pytest.raises(InferenceError, match="stride 16"):
        yunet.decode(outputs, FIT, 0.3)


def test_yunet_outputs_for_another_input_size_are_an_error():
    with pytest.raises(InferenceError, match="shapes"):
        yunet.decode(yunet_outputs(Fit.of(640, 360, 320, 32)), FIT, 0.3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["cls", "obj"])
def test_a_yunet_score_that_is_no_number_is_an_error_anywhere(kind, bad):
    """Below any threshold it would be a face silently missed."""
    outputs = yunet_outputs()
    outputs[f"{kind}_32"][0, 7] = bad
    with pytest.raises(InferenceError, match=r"NaN|no picture"):
        yunet.decode(outputs, FIT, 0.3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize(("kind", "column"), [("bbox", 0), ("bbox", 1), ("kps", 4)])
def test_a_yunet_face_at_no_place_is_an_error(kind, column, bad):
    outputs = yunet_outputs()
    cell = put_yunet(outputs, 32, (100, 60, 140, 110), 0.9)
    outputs[f"{kind}_32"][0, cell, column] = bad
    with pytest.raises(InferenceError, match="no picture"):
        yunet.decode(outputs, FIT, 0.3)


@pytest.mark.parametrize("size", [11.0, 88.0, 1e9, 3e38])
def test_a_yunet_size_that_overflows_hides_too_much_rather_than_nothing(size):
    outputs = yunet_outputs()
    cell = put_yunet(outputs, 32, (100, 60, 140, 110), 0.9)
    outputs["bbox_32"][0, cell, 2:] = size
    box = yunet.decode(outputs, FIT, 0.3).boxes[0]
    assert (box[:2] < 0).all()
    assert (box[2:] > (1280, 720)).all()


def test_a_yunet_that_fires_everywhere_is_not_believed():
    outputs = yunet_outputs()
    for stride in yunet.STRIDES:
        outputs[f"cls_{stride}"][:], outputs[f"obj_{stride}"][:] = 1, 1
    with pytest.raises(InferenceError, match="things"):
        yunet.decode(outputs, FIT, 0.3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_yunet_outputs_give_sound_columns_or_an_error(seed):
    rng = np.random.default_rng(seed)
    fit = Fit.of(200, 120, 96, 32)
    outputs = {
        name: rng.normal(0, rng.choice([0.3, 3, 1e6]), value.shape).astype(np.float32)
        for name, value in yunet_outputs(fit).items()
    }
    try:
        seen = yunet.decode(outputs, fit, 0.3)
    except InferenceError:
        return
    check_sound(seen, 0.3)


def check_sound(seen: Detections, weakest: float) -> None:
    for column in (seen.boxes, seen.scores, seen.landmarks):
        assert column.dtype == np.float32
        assert np.isfinite(column).all()
    assert (seen.scores >= weakest).all()
    assert (seen.boxes[:, 2:] >= seen.boxes[:, :2]).all()


# -- CenterFace, by hand -----------------------------------------------------------------------


def centerface_outputs(fit: Fit = FIT) -> list[np.ndarray]:
    rows, columns = fit.height // 4, fit.width // 4
    return [np.zeros((1, channels, rows, columns), np.float32) for channels in (1, 2, 2, 10)]


def put_centerface(outputs: list[np.ndarray], box, score: float) -> tuple[int, int]:
    heat, scale, offset, landmarks = outputs
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    column, row = int(cx // 4), int(cy // 4)
    w, h = box[2] - box[0], box[3] - box[1]
    heat[0, 0, row, column] = score
    scale[0, :, row, column] = math.log(h / 4), math.log(w / 4)
    offset[0, :, row, column] = cy / 4 - row - 0.5, cx / 4 - column - 0.5
    relative = [((y - box[1]) / h, (x - box[0]) / w) for x, y in landmarks_in(box)]
    landmarks[0, :, row, column] = np.array(relative).ravel()
    return row, column


@pytest.mark.parametrize(
    "box", [(100, 60, 140, 110), (0.5, 0.5, 12.5, 9.5), (590, 300, 638, 358), (-20, -10, 30, 50)]
)
def test_centerface_finds_the_face_that_was_put_into_a_cell(box):
    outputs = centerface_outputs()
    put_centerface(outputs, box, 0.8)
    put_centerface(outputs, (400, 200, 420, 230), 0.4)
    seen = centerface.decode(outputs, FIT, 0.3)
    assert np.allclose(seen.scores, [0.8, 0.4])
    assert np.allclose(seen.boxes[0], np.array(box) * 2, atol=1e-2)
    assert np.allclose(seen.landmarks[0], np.array(landmarks_in(box)) * 2, atol=1e-2)


def test_centerface_sees_nothing_where_nothing_is():
    seen = centerface.decode(centerface_outputs(), FIT, 0.3)
    assert len(seen) == 0
    assert seen.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("change", ["fewer", "more", "swapped", "smaller", "batch"])
def test_centerface_of_another_shape_is_an_error(change):
    outputs = centerface_outputs()
    outputs = {
        "fewer": outputs[:3], "more": [*outputs, outputs[0]], "swapped": outputs[::-1],
        "smaller": [*outputs[:3], outputs[3][:, :, :-1]],
        "batch": [np.repeat(o, 2, axis=0) for o in outputs],
    }[change]  # fmt: skip
    with pytest.raises(InferenceError, match="shapes"):
        centerface.decode(outputs, FIT, 0.3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_centerface_score_that_is_no_number_is_an_error_anywhere(bad):
    outputs = centerface_outputs()
    outputs[0][0, 0, 5, 5] = bad
    with pytest.raises(InferenceError, match="NaN"):
        centerface.decode(outputs, FIT, 0.3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 3e38])
@pytest.mark.parametrize("which", [2, 3])
def test_a_centerface_face_at_no_place_is_an_error(which, bad):
    outputs = centerface_outputs()
    row, column = put_centerface(outputs, (100, 60, 140, 110), 0.9)
    outputs[which][0, 0, row, column] = bad
    with pytest.raises(InferenceError, match="no picture"):
        centerface.decode(outputs, FIT, 0.3)


def test_a_centerface_size_that_overflows_hides_too_much_rather_than_nothing():
    outputs = centerface_outputs()
    row, column = put_centerface(outputs, (100, 60, 140, 110), 0.9)
    outputs[1][0, :, row, column] = 1e9
    box = centerface.decode(outputs, FIT, 0.3).boxes[0]
    assert (box[:2] < 0).all()
    assert (box[2:] > (1280, 720)).all()


def test_a_centerface_that_fires_everywhere_is_not_believed():
    outputs = centerface_outputs()
    outputs[0][:] = 1
    outputs[1][:] = math.log(0.25)
    with pytest.raises(InferenceError, match="things"):
        centerface.decode(outputs, FIT, 0.3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_centerface_outputs_give_sound_columns_or_an_error(seed):
    rng = np.random.default_rng(seed)
    fit = Fit.of(200, 120, 96, 32)
    outputs = [
        rng.normal(0, rng.choice([0.3, 3, 1e6]), value.shape).astype(np.float32)
        for value in centerface_outputs(fit)
    ]
    try:
        seen = centerface.decode(outputs, fit, 0.3)
    except InferenceError:
        return
    check_sound(seen, 0.3)


# -- families ----------------------------------------------------------------------------------


def yunet_file() -> bytes:
    return shared_file("models/face_yunet_n.onnx").read_bytes()


def centerface_file() -> bytes:
    try:
        return ModelStore(load_catalogue()).resolve(["centerface"]).read_bytes()
    except ModelError as error:
        pytest.skip(f"CenterFace is neither on this machine nor to be had: {error}")


FILES = {"yunet": yunet_file, "centerface": centerface_file}


@pytest.mark.parametrize("name", FILES)
def test_a_model_of_unknown_family_is_recognised(name):
    assert face_family(None, FILES[name](), name).name == name


def test_a_family_is_found_by_its_name_without_a_look_at_the_model():
    for family in FACE_FAMILIES:
        assert face_family(family.name, b"", "any") is family


def test_a_family_that_there_is_not_is_refused_with_the_others_named():
    with pytest.raises(ModelError, match="yunet, centerface"):
        face_family("no family", b"", "mine")


def test_a_model_of_no_face_family_is_refused():
    model = shared_file("models/face_embed_mobilefacenet.onnx").read_bytes()
    with pytest.raises(ModelError, match="yunet, centerface"):
        face_family(None, model, "mine")


def test_a_model_without_inputs_is_refused():
    value = numpy_helper.from_array(np.zeros((1, 4), np.float32), "value")
    node = helper.make_node("Constant", [], ["out"], value=value)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 4])
    graph = helper.make_graph([node], "constant", [], [out])
    opset = helper.make_opsetid("", 13)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    with pytest.raises(ModelError, match="yunet, centerface"):
        face_family(None, model, "mine")


# -- real networks on a real face ----------------------------------------------------------------

FACE = np.array([170.0, 62.0, 278.0, 202.0])
"""The astronaut's face in scikit-image's 512x512 photograph: hairline to chin, ear to ear."""


@dataclass(frozen=True)
class View:
    """A crop of the photograph, scaled to a picture's size."""

    crop: tuple[int, int, int, int]
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def face(self) -> np.ndarray:
        x1, y1, x2, y2 = self.crop
        factor = np.tile((self.width / (x2 - x1), self.height / (y2 - y1)), 2)
        return (FACE - (x1, y1, x1, y1)) * factor

    def picture(self) -> HostPicture:
        data = pytest.importorskip("skimage.data")
        x1, y1, x2, y2 = self.crop
        rgb = cv2.resize(
            data.astronaut()[y1:y2, x1:x2], (self.width, self.height), interpolation=cv2.INTER_AREA
        )
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        return HostPicture(frame.reformat(format="yuv420p"))


VIEWS = [
    View((0, 0, 512, 512), 512, 512),
    View((0, 0, 512, 288), 1280, 720),
    View((0, 0, 512, 288), 854, 480),
    View((0, 0, 512, 218), 1918, 816),
    View((100, 0, 388, 512), 608, 1080),
    View((130, 30, 330, 230), 98, 98),
    View((0, 0, 512, 512), 162, 162),
    View((140, 40, 310, 512), 170, 472),
]


def detector(name: str) -> Detector:
    family = face_family(name, b"", name)
    engine = OnnxEngine(family.prepare(FILES[name](), name), name)
    assert family.recognise(engine)
    return family.build(engine, input_size=640, weakest=0.3)


@pytest.fixture(scope="module")
def detectors() -> dict[str, Detector]:
    return {name: detector(name) for name in FILES}


def best(seen: Detections) -> np.ndarray:
    assert len(seen) >= 1
    return seen.boxes[[int(np.argmax(seen.scores))]]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(iou_matrix(a.astype(np.float32), b.astype(np.float32))[0, 0])


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_both_networks_find_the_face_where_it_is(view, detectors):
    picture = view.picture()
    found = {}
    for number, (name, network) in enumerate(detectors.items()):
        frame_id, seen = network.infer(number, picture)
        assert frame_id == number
        assert len(seen) == 1, f"{name} saw {seen}"
        check_sound(seen, 0.3)
        assert seen.scores[0] > 0.6
        assert overlap(best(seen), view.face[None]) >= 0.5, f"{name}: {best(seen)}, {view.face}"
        found[name] = seen
    assert overlap(best(found["yunet"]), best(found["centerface"])) >= 0.5
    # The same five points in the same order.
    apart = np.abs(found["yunet"].landmarks[0] - found["centerface"].landmarks[0]).max()
    assert apart <= 0.15 * (view.face[2] - view.face[0])


@pytest.mark.parametrize("name", FILES)
def test_a_network_goes_on_when_the_size_changes(name, detectors):
    first = detectors[name].infer(0, VIEWS[1].picture())[1]
    detectors[name].infer(1, VIEWS[4].picture())
    again = detectors[name].infer(2, VIEWS[1].picture())[1]
    assert np.array_equal(first.boxes, again.boxes)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [(2, 2), (16, 16), (16, 1080), (3840, 16), (514, 386)])
@pytest.mark.parametrize("level", [0, 255])
def test_pictures_without_a_face_have_none(name, size, level, detectors):
    frame = av.VideoFrame(*size, "yuv420p")
    picture = HostPicture(frame)
    planes = picture.edit()
    planes.y[:] = level
    planes.chroma[0][:], planes.chroma[1][:] = 128, 128
    _, seen = detectors[name].infer(0, picture)
    check_sound(seen, 0.3)
    assert not (seen.scores > 0.65).any()
