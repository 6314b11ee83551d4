"""Camera motion and cuts, on real photographs moved by motions that are known.

Matrices are compared by where they carry points of the picture, in full-frame pixels, with the
picture's top left corner at 0, 0 as for boxes.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.motion import IDENTITY, Motion, MotionEstimator, compose, invert, move_boxes

WIDTH, HEIGHT = 1280, 720
TEXTURE = 3000


@cache
def photograph(name: str) -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    rgb = getattr(data, name)()
    grey = rgb if rgb.ndim == 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (TEXTURE, TEXTURE), interpolation=cv2.INTER_CUBIC)


def pose(x=0.0, y=0.0, zoom=1.0, roll=0.0, size=(WIDTH, HEIGHT)) -> np.ndarray:
    """Where a camera that looks at x, y from the texture's middle shows the texture: (2, 3)."""
    cos, sin = zoom * math.cos(roll), zoom * math.sin(roll)
    linear = np.array([[cos, -sin], [sin, cos]])
    middle = np.array([TEXTURE / 2 + x, TEXTURE / 2 + y])
    return np.column_stack([linear, np.array(size) / 2 - linear @ middle])


def shown(name: str, camera: np.ndarray, size=(WIDTH, HEIGHT)) -> np.ndarray:
    """The picture that the camera takes; OpenCV counts from the middle of the first pixel."""
    half = np.array([0.5, 0.5])
    shifted = camera.copy()
    shifted[:, 2] += camera[:, :2] @ half - half
    return cv2.warpAffine(photograph(name), shifted, size, borderMode=cv2.BORDER_REFLECT)


def estimate(*pictures: np.ndarray) -> list[Motion]:
    estimator = MotionEstimator()
    return [estimator.step(picture) for picture in pictures]


def between(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    return compose(invert(before), now)


def error(got: np.ndarray, wanted: np.ndarray, size=(WIDTH, HEIGHT)) -> float:
    """Largest distance, in pixels, over points that are in the picture before and after."""
    x, y = np.meshgrid(np.linspace(0, size[0], 9), np.linspace(0, size[1], 9))
    boxes = np.stack([x.ravel(), y.ravel()] * 2, axis=1)
    there = move_boxes(boxes, wanted)[:, :2]
    inside = ((there >= 0) & (there <= size)).all(axis=1)
    assert inside.any()
    return float(np.linalg.norm(move_boxes(boxes, got)[:, :2] - there, axis=1)[inside].max())


# -- transforms ----------------------------------------------------------------------------------

similarities = st.builds(
    pose,
    st.floats(-500, 500), st.floats(-500, 500), st.floats(0.5, 2), st.floats(-3, 3),
)  # fmt: skip


@settings(deadline=None)
@given(similarities, similarities)
def test_composing_and_inverting_are_those_of_three_by_three_matrices(a, b):
    def square(matrix: np.ndarray) -> np.ndarray:
        return np.vstack([matrix, [0, 0, 1]])

    assert np.allclose(square(compose(a, b)), square(b) @ square(a))
    assert np.allclose(compose(a, invert(a)), IDENTITY, atol=1e-6)
    assert invert(a).dtype == np.float64


@settings(deadline=None)
@given(similarities, similarities, st.tuples(*[st.floats(0, 1000)] * 4))
def test_a_box_goes_the_same_way_in_one_step_as_in_two(a, b, numbers):
    x, y, w, h = numbers
    box = np.array([[x, y, x + w, y + h]])
    assert np.allclose(move_boxes(move_boxes(box, a), b), move_boxes(box, compose(a, b)), atol=1e-5)
    assert np.allclose(move_boxes(move_boxes(box, a), invert(a)), box, atol=1e-5)


def test_a_box_scales_with_the_zoom_and_stays_upright():
    zoom = np.array([[0.0, -2.0, 100.0], [2.0, 0.0, 0.0]])  # a quarter turn, twice as large
    moved = move_boxes(np.array([[10.0, 20.0, 30.0, 60.0]]), zoom)
    assert np.allclose(moved, [[100 - 80 - 20, 40 - 40, 100 - 80 + 20, 40 + 40]])
    assert move_boxes(np.zeros((0, 4)), zoom).shape == (0, 4)


# -- known motion --------------------------------------------------------------------------------

MOVES = {
    "still": (0, 0, 1, 0),
    "quarter pixel": (0.25, 0.25, 1, 0),
    "slow pan": (7, 1, 1, 0),
    "pan": (40, 0, 1, 0),
    "whip pan": (100, 0, 1, 0),
    "whip tilt": (0, -70, 1, 0),
    "diagonal": (-70, 70, 1, 0),
    "zoom in": (0, 0, 1.04, 0),
    "zoom out": (0, 0, 0.96, 0),
    "roll": (0, 0, 1, 0.03),
    "handheld": (12, -9, 1.01, 0.01),
}


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
@pytest.mark.parametrize("move", MOVES)
def test_a_known_motion_is_measured_to_half_a_pixel(name, move):
    x, y, zoom, roll = MOVES[move]
    cameras = [pose(), pose(x, y, zoom, roll)]
    first, motion = estimate(*(shown(name, camera) for camera in cameras))
    assert first.cut
    assert not motion.cut
    assert motion.reliable
    assert motion.matrix.shape == (2, 3)
    assert motion.matrix.dtype == np.float64
    assert error(motion.matrix, between(*cameras)) <= 0.5


@settings(max_examples=15, deadline=None)
@given(
    x=st.floats(-80, 80), y=st.floats(-50, 50), zoom=st.floats(0.97, 1.03),
    roll=st.floats(-0.02, 0.02), name=st.sampled_from(["astronaut", "coffee"]),
)  # fmt: skip
def test_any_motion_of_a_camera_in_a_hand_is_measured(x, y, zoom, roll, name):
    cameras = [pose(30, -60, 1.1), compose(pose(30, -60, 1.1), wiggle(x, y, zoom, roll))]
    _, motion = estimate(*(shown(name, camera) for camera in cameras))
    assert not motion.cut
    assert motion.reliable
    assert error(motion.matrix, between(*cameras)) <= 0.75


def wiggle(x, y, zoom, roll, size=(WIDTH, HEIGHT)) -> np.ndarray:
    """A motion about the middle of the picture."""
    cos, sin = zoom * math.cos(roll), zoom * math.sin(roll)
    linear = np.array([[cos, -sin], [sin, cos]])
    middle = np.array(size) / 2
    return np.column_stack([linear, middle - linear @ middle + (x, y)])


@pytest.mark.parametrize("step", [(6, 2, 1, 0), (20, 0, 1, 0), (0, 0, 1.01, 0.003)], ids=str)
def test_errors_do_not_pile_up_over_a_gap(step):
    """Sixteen frames are the longest way that a box is carried."""
    cameras = [pose(-100, 0, 0.9)]
    for _ in range(16):
        cameras.append(compose(cameras[-1], wiggle(*step)))
    motions = estimate(*(shown("astronaut", camera) for camera in cameras))
    whole = IDENTITY
    for motion in motions[1:]:
        assert not motion.cut
        whole = compose(whole, motion.matrix)
    assert error(whole, between(cameras[0], cameras[-1])) <= 3


@pytest.mark.parametrize(
    "size",
    [(3840, 2160), (1920, 1080), (720, 1280), (640, 480), (320, 180), (160, 120), (1000, 250)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_pixels_are_those_of_the_full_picture_whatever_its_size(size):
    """To a fifth of a pixel of the small picture that is analysed."""
    scale = max(size) / WIDTH
    cameras = [pose(zoom=0.8 * scale, size=size)]
    cameras.append(compose(cameras[0], wiggle(8 * scale, 3 * scale, 1.03, 0.01, size)))
    _, motion = estimate(*(shown("astronaut", camera, size) for camera in cameras))
    assert not motion.cut
    assert error(motion.matrix, between(*cameras), size) <= 0.2 * max(size) / 320


def test_a_zoom_leaves_the_middle_where_it_is():
    """Where pixels are counted from shows at 4K: half a small pixel is six large ones."""
    size = (3840, 2160)
    middle = np.array([1920.0, 1080.0, 1920.0, 1080.0])
    drifts = []
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        near, far = (shown(name, pose(zoom=z, size=size), size) for z in (2.76, 2.4))
        for pictures, way in (((far, near), 1), ((near, far), -1)):
            _, motion = estimate(*pictures)
            drifts.append(way * (move_boxes(middle[None], motion.matrix)[0] - middle))
    assert np.abs(np.mean(drifts, axis=0)).max() <= 0.8


def test_something_that_moves_on_its_own_does_not_move_the_camera():
    cameras = [pose(), pose(15, 0)]
    pictures = [shown("astronaut", camera).copy() for camera in cameras]
    walker = shown("coffee", pose(zoom=0.5))[200:600, 300:600]
    for picture, x in zip(pictures, (300, 360), strict=True):
        picture[200:600, x : x + 300] = walker
    _, motion = estimate(*pictures)
    assert not motion.cut
    assert error(motion.matrix, between(*cameras)) <= 0.75


# -- cuts ----------------------------------------------------------------------------------------

NAMES = ["astronaut", "coffee", "chelsea", "rocket", "camera", "brick"]


@pytest.mark.parametrize(("before", "now"), list(itertools.permutations(NAMES, 2)))
def test_another_picture_is_a_cut(before, now):
    a, b = shown(before, pose(zoom=0.6)), shown(now, pose(zoom=0.6))
    motions = estimate(a, a, b, b)
    assert [motion.cut for motion in motions] == [True, False, True, False]
    assert np.array_equal(motions[2].matrix, IDENTITY)
    assert not motions[2].reliable


@pytest.mark.parametrize("name", ["astronaut", "rocket"])
@pytest.mark.parametrize("level", [16, 235])
def test_a_cut_from_and_to_a_flat_picture_is_found(name, level):
    picture, flat = shown(name, pose(zoom=0.6)), np.full((HEIGHT, WIDTH), level, np.uint8)
    assert [m.cut for m in estimate(picture, flat, flat, picture)] == [True, True, False, True]


@pytest.mark.parametrize("size", [(640, 360), (1280, 718), (720, 1280)])
def test_another_size_is_a_cut(size):
    motions = estimate(
        shown("astronaut", pose()), shown("astronaut", pose(size=size), size),
        shown("astronaut", pose(3, 0, size=size), size),
    )  # fmt: skip
    assert [motion.cut for motion in motions] == [True, True, False]


def test_a_whip_pan_is_no_cut():
    pictures = [shown("astronaut", pose(x, 0)) for x in range(-400, 401, 100)]
    assert not any(motion.cut for motion in estimate(*pictures)[1:])


# -- pictures that are hard to follow ------------------------------------------------------------


def noise(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def check_sound(motion: Motion) -> None:
    assert motion.matrix.shape == (2, 3)
    assert np.isfinite(motion.matrix).all()
    assert 0.4 < np.linalg.det(motion.matrix[:, :2]) ** 0.5 < 2.1
    if motion.cut:
        assert np.array_equal(motion.matrix, IDENTITY)


@pytest.mark.parametrize("level", [0, 16, 128, 255])
def test_a_flat_picture_has_no_motion_and_says_that_it_does_not_know(level):
    for motion in estimate(*[np.full((HEIGHT, WIDTH), level, np.uint8)] * 3)[1:]:
        assert not motion.cut
        assert not motion.reliable
        assert np.array_equal(motion.matrix, IDENTITY)


def test_noise_is_sound():
    for motion in estimate(*(noise(seed) for seed in range(4))):
        check_sound(motion)


def test_a_noisy_camera_in_the_dark_is_followed():
    """Dark pictures are noisy: luma 20 to 60 with noise of 4 levels, as at high gain."""
    rng = np.random.default_rng(1)
    cameras = [pose(12 * k, 0) for k in range(5)]
    pictures = []
    for camera in cameras:
        dark = 20 + shown("astronaut", camera) * (40 / 255) + rng.normal(0, 4, (HEIGHT, WIDTH))
        pictures.append(np.clip(dark, 0, 255).astype(np.uint8))
    for k, motion in enumerate(estimate(*pictures)[1:]):
        assert not motion.cut
        assert error(motion.matrix, between(cameras[k], cameras[k + 1])) <= 1.5


@pytest.mark.parametrize(("frames", "allowed"), [(15, 8), (30, 4), (60, 4)])
def test_a_fade_to_black_and_back_never_throws_and_does_not_move_the_picture(frames, allowed):
    """What can hardly be seen must not send boxes across the picture."""
    picture = shown("astronaut", pose(zoom=0.6)).astype(np.float32)
    levels = [*np.linspace(1, 0, frames), *np.linspace(0, 1, frames)]
    for motion in estimate(*((picture * level).astype(np.uint8) for level in levels)):
        check_sound(motion)
        assert error(motion.matrix, IDENTITY) <= allowed


def test_a_flash_is_sound_and_the_frames_around_it_are_followed():
    plain = [shown("astronaut", pose(4 * k, 0)) for k in range(6)]
    plain[3] = np.clip(plain[3].astype(np.int32) * 2 + 90, 0, 255).astype(np.uint8)
    motions = estimate(*plain)
    for motion in motions:
        check_sound(motion)
    assert not any(motions[k].cut for k in (1, 2, 5))


@pytest.mark.parametrize(
    "size",
    [(16, 16), (16, 2), (2, 2), (16, 1080), (3840, 16), (2, 720), (18, 4096), (7680, 4320)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_any_size_is_sound(size):
    width, height = size
    pictures = [
        np.zeros((height, width), np.uint8),
        np.full((height, width), 255, np.uint8),
        cv2.resize(photograph("astronaut"), size, interpolation=cv2.INTER_AREA),
        cv2.resize(photograph("astronaut"), size, interpolation=cv2.INTER_AREA),
        cv2.resize(photograph("coffee"), size, interpolation=cv2.INTER_AREA),
        noise(1, height, width) if width * height < 2**20 else np.zeros((height, width), np.uint8),
    ]
    for motion in estimate(*pictures):
        check_sound(motion)


def test_a_still_tiny_picture_does_not_move():
    tiny = cv2.resize(photograph("astronaut"), (16, 16), interpolation=cv2.INTER_AREA)
    for motion in estimate(*[tiny] * 6)[1:]:
        assert not motion.cut
        assert error(motion.matrix, IDENTITY, (16, 16)) <= 0.05


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(2, 80).map(lambda n: 2 * n),
    height=st.integers(2, 80).map(lambda n: 2 * n),
    seed=st.integers(0, 1000),
)
def test_any_small_picture_is_sound(width, height, seed):
    rng = np.random.default_rng(seed)
    estimator = MotionEstimator()
    for _ in range(4):
        coarse = rng.integers(0, 256, (int(rng.integers(1, 9)), 7), dtype=np.uint8)
        check_sound(estimator.step(cv2.resize(coarse, (width, height))))


# -- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1280, 720), (320, 180), (16, 16)])
def test_only_the_picture_is_read_and_nothing_is_written(size):
    """Decoders pad rows with rubbish, and use a frame's memory again for the next one."""
    width, height = size
    cameras = [pose(k * 3, k, size=size) for k in range(6)]
    clean = [shown("astronaut", camera, size) for camera in cameras]
    wanted = estimate(*clean)
    rng = np.random.default_rng(2)
    memory = np.zeros((height + 8, width + 64), np.uint8)
    estimator = MotionEstimator()
    for picture, motion in zip(clean, wanted, strict=True):
        memory[:] = rng.integers(0, 256, memory.shape, dtype=np.uint8)
        memory[4:-4, 32:-32] = picture
        view = memory[4:-4, 32:-32]
        view.flags.writeable = False
        got = estimator.step(view)
        assert got.cut == motion.cut
        assert np.allclose(got.matrix, motion.matrix, atol=1e-9)
        assert np.array_equal(memory[4:-4, 32:-32], picture)


def test_the_same_pictures_give_the_same_motion():
    """RANSAC draws at random: a file must come out the same every time."""
    pictures = [shown("astronaut", pose(9 * k, 2 * k, 1 + 0.01 * k)) for k in range(6)]
    runs = [estimate(*pictures) for _ in range(2)]
    for a, b in zip(*runs, strict=True):
        assert np.array_equal(a.matrix, b.matrix)
