from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.catalogue import InputSpec, load_catalogue
from edge.errors import InferenceError, ModelError
from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from edge.lanes.embedding import (
    ALIGNED_PX,
    TEMPLATE,
    FaceEmbedder,
    align,
    load_embedder,
    similarity,
)
from edge.lanes.pose import Pose
from edge.lanes.yunet import YuNet
from edge.media.still import read_still
from tests.support import shared_file

FACE = (ALIGNED_PX, ALIGNED_PX, 3)


class Net:
    """An engine that gives what it is told, and remembers what it was fed."""

    inputs = ("face",)
    outputs = ("vector",)

    def __init__(self, answer: NDArray[np.float32] | None = None) -> None:
        self.answer = np.ones((1, 4), np.float32) if answer is None else answer
        self.fed: list[NDArray[np.float32]] = []

    def run(self, feeds: Tensors) -> Tensors:
        self.fed.append(feeds["face"])
        return {"vector": self.answer}


# -- alignment -----------------------------------------------------------------------------------


@given(st.floats(-179, 179), st.floats(0.05, 20), st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_a_similarity_is_found_exactly(roll: float, zoom: float, x: float, y: float) -> None:
    angle = np.radians(roll)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE @ turn.T + (x, y)).astype(np.float32)
    matrix, left = similarity(points)
    assert np.abs(points @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE).max() < 0.05
    assert left < 0.05


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=5, max_size=5))
def test_no_other_similarity_is_nearer(shifts: list[tuple[float, float]]) -> None:
    points = (TEMPLATE + np.array(shifts)).astype(np.float32)
    try:
        matrix, left = similarity(points)
    except ValueError:
        return

    def rest(m: NDArray[np.float64]) -> float:
        return float(np.sqrt(((points @ m[:, :2].T + m[:, 2] - TEMPLATE) ** 2).sum(1).mean()))

    assert rest(matrix) == pytest.approx(left, rel=1e-6, abs=1e-6)
    for row, column, step in ((0, 2, 0.1), (1, 2, -0.1)):
        other = matrix.copy()
        other[row, column] += step
        assert rest(other) > left - 1e-9
    for zoom in (0.99, 1.01):
        assert rest(matrix * zoom) >= left - 1e-9


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2))])
def test_landmarks_without_a_shape_are_refused(points: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="landmarks"):
        similarity(points.astype(np.float32))


def chart(size: int) -> NDArray[np.uint8]:
    """A picture without repetition: position is colour. (3, size, size)."""
    ramp = np.linspace(0, 255, size)
    x, y = np.meshgrid(ramp, ramp)
    return np.stack([x, y, 255 - x]).astype(np.uint8)


@pytest.mark.parametrize("size", [30, 112, 300, 1500])
def test_a_crop_shows_the_same_at_every_size(size: int) -> None:
    """Also where a large face is shrunk first: half a pixel off would be seen as a shift."""
    scale = 0.6 * size / ALIGNED_PX
    marks = (TEMPLATE * scale + 0.2 * size).astype(np.float32)
    face = align(chart(size), marks).astype(float)
    aligned = np.mgrid[0:ALIGNED_PX, 0:ALIGNED_PX][::-1]
    x, y = np.clip((aligned * scale + 0.2 * size) / (size - 1) * 255, 0, 255)
    inside = np.s_[8:-8, 8:-8]
    assert np.abs(face[..., 0] - x)[inside].mean() < 1.0
    assert np.abs(face[..., 1] - y)[inside].mean() < 1.0


def test_only_the_faces_surroundings_are_read() -> None:
    picture = np.zeros((3, 1000, 1000), np.uint8)
    marks = TEMPLATE + 400
    picture[:, 300:650, 300:650] = 90
    face = align(picture, marks)
    assert (face == 90).all()


def test_what_lies_outside_is_black_and_a_face_wholly_outside_refused() -> None:
    picture = np.full((3, 200, 200), 200, np.uint8)
    face = align(picture, TEMPLATE - 56)
    assert not face[:40, :40].any()
    assert (face[70:, 70:] == 200).all()
    with pytest.raises(ValueError, match="outside"):
        align(picture, TEMPLATE + 500)


# -- embedding -----------------------------------------------------------------------------------


def test_a_vector_has_length_one() -> None:
    vector = FaceEmbedder(Net(np.array([[3, 4]], np.float32))).embed(np.zeros(FACE, np.uint8))
    assert vector.dtype == np.float32
    assert vector.tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("bad", [
    np.zeros((1, 4)), np.full((1, 4), np.nan), np.full((1, 4), np.inf), np.ones((1, 5)),
    np.ones((2, 4)), np.ones(4), np.ones((1, 0)), np.full((1, 4), 1e38),
])  # fmt: skip
def test_a_vector_that_says_nothing_is_an_error(bad: NDArray[np.float64]) -> None:
    net = Net()
    embedder = FaceEmbedder(net)
    net.answer = bad.astype(np.float32)
    with np.errstate(over="ignore"), pytest.raises(InferenceError):
        embedder.embed(np.zeros(FACE, np.uint8))


def test_a_picture_is_fed_as_the_catalogue_says() -> None:
    face = np.zeros(FACE, np.uint8)
    face[..., 0], face[..., 1], face[..., 2] = 0, 255, 51
    for spec, expected in (
        (None, (-1.0, 1.0, -0.6)),
        (_spec(channels="BGR", range=(0.0, 255.0)), (51.0, 255.0, 0.0)),
        (_spec(range=(0.0, 1.0), mean=(0.5, 0.4, 0.1), std=(0.5, 0.3, 0.2)), (-1.0, 2.0, 0.5)),
    ):
        net = Net()
        FaceEmbedder(net, spec).embed(face)
        assert net.fed[-1].shape == (1, 3, ALIGNED_PX, ALIGNED_PX)
        assert net.fed[-1].dtype == np.float32
        assert net.fed[-1][0, :, 5, 5].tolist() == pytest.approx(expected, abs=1e-5)
    net = Net()
    FaceEmbedder(net, _spec(layout="NHWC")).embed(face)
    assert net.fed[-1].shape == (1, ALIGNED_PX, ALIGNED_PX, 3)


def _spec(**changes: object) -> InputSpec:
    whole = {"layout": "NCHW", "channels": "RGB", "range": (0.0, 1.0), "dynamic": False,
             "size": (ALIGNED_PX, ALIGNED_PX)}  # fmt: skip
    return InputSpec.model_validate({**whole, **changes})


def test_networks_of_another_kind_are_refused() -> None:
    with pytest.raises(ModelError, match="112x112"):
        FaceEmbedder(Net(), _spec(size=(224, 224)))
    with pytest.raises(ModelError, match="does not work"):
        FaceEmbedder(Net(np.ones(7, np.float32)))
    two = Net()
    two.inputs = ("face", "mask")  # type: ignore[assignment]
    with pytest.raises(ModelError, match="2 inputs"):
        FaceEmbedder(two)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_embedder(b"no model", "net.onnx")
    detector = shared_file("models/face_yunet_n.onnx").read_bytes()
    with pytest.raises(ModelError, match="does not work"):
        load_embedder(detector, "yunet")


# -- pose ----------------------------------------------------------------------------------------


def test_the_template_looks_straight_ahead() -> None:
    pose = Pose.of(TEMPLATE)
    assert pose is not None
    assert abs(pose.yaw) < 0.02
    assert pose.pitch == pytest.approx(0.5, abs=0.02)
    assert pose.tells()


def turned(yaw_deg: float, *, roll_deg: float = 0.0) -> NDArray[np.float32]:
    """The landmarks of a head turned about its vertical axis, seen from far away."""
    flat = TEMPLATE.astype(np.float64) - TEMPLATE.mean(axis=0)
    depth = np.array([0, 0, 20.0, 4.0, 4.0])
    yaw, roll = np.radians((yaw_deg, roll_deg))
    x = flat[:, 0] * np.cos(yaw) + depth * np.sin(yaw)
    points = np.stack([x, flat[:, 1]], axis=1)
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return (points @ turn.T * 3 + 500).astype(np.float32)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_head_that_turns_away_stops_telling(side: int) -> None:
    told = [bool((p := Pose.of(turned(side * yaw))) and p.tells()) for yaw in range(0, 90, 5)]
    assert all(told[:5]), "25° still tells"
    assert not any(told[10:]), "50° does not"
    assert told == sorted(told, reverse=True)


def test_roll_is_undone_but_not_without_limit() -> None:
    for roll, tells in ((0, True), (40, True), (-40, True), (75, False), (180, False)):
        pose = Pose.of(turned(0, roll_deg=roll))
        assert bool(pose and pose.tells()) == tells, roll


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.inf), np.zeros((3, 2))])
def test_landmarks_of_no_face_have_no_pose(points: NDArray[np.float64]) -> None:
    assert Pose.of(points.astype(np.float32)) is None


# -- the real network ----------------------------------------------------------------------------


def test_photographs_of_one_person_resemble_each_other_and_nobody_else() -> None:
    model = shared_file("models/face_embed_mobilefacenet.onnx").read_bytes()
    finder = OnnxEngine(shared_file("models/face_yunet_n.onnx").read_bytes(), "yunet")
    embedder = load_embedder(model, "net", load_catalogue()["mobilefacenet"].input)
    assert embedder.dimensions == 128
    detector = YuNet(finder, input_size=960, weakest=0.6)
    vectors = {}
    for name in ("obama.jpg", "obama2.jpg", "biden.jpg", "lin-manuel-miranda.png"):
        picture = read_still(shared_file(f"media/people/{name}"))
        _, seen = detector.infer(0, picture)
        rgb = picture.shrink(picture.width, picture.height)
        vectors[name] = embedder.embed(align(rgb, seen.landmarks[0]))
    table = np.stack(list(vectors.values()))
    table = table @ table.T
    assert table[0, 1] > 0.65
    others = table[np.triu_indices(4, 1)][1:]
    assert others.max() < 0.25


def test_a_large_face_gives_the_same_as_its_small_copy() -> None:
    model = shared_file("models/face_embed_mobilefacenet.onnx").read_bytes()
    embedder = load_embedder(model, "net", load_catalogue()["mobilefacenet"].input)
    finder = OnnxEngine(shared_file("models/face_yunet_n.onnx").read_bytes(), "yunet")
    picture = read_still(shared_file("media/people/obama.jpg"))
    _, seen = YuNet(finder, input_size=960, weakest=0.6).infer(0, picture)
    rgb = picture.shrink(picture.width, picture.height)
    small = np.stack([cv2.resize(plane, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
                      for plane in rgb])  # fmt: skip
    large = embedder.embed(align(rgb, seen.landmarks[0]))
    shrunk = embedder.embed(align(small, seen.landmarks[0] * 0.4))
    assert float(large @ shrunk) > 0.97
