"""Fitting a picture into a detector's input, and finding the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.detection import Detections
from edge.errors import InferenceError
from edge.frame import ByteArray, Planes
from edge.lanes.geometry import MAX_DETECTIONS, Fit, InputBuffer, distinct


class RgbPicture:
    """A picture that is an array, (3, H, W); shrinking takes the nearest pixels."""

    def __init__(self, rgb: ByteArray) -> None:
        self.rgb = rgb
        self.height, self.width = rgb.shape[1:]

    @property
    def luma(self) -> ByteArray:
        return self.rgb[1]

    def shrink(self, width: int, height: int) -> ByteArray:
        rows = np.arange(height) * self.height // height
        columns = np.arange(width) * self.width // width
        return self.rgb[:, rows[:, None], columns]

    def edit(self) -> Planes:
        raise AssertionError("a detector edits nothing")


def coloured(width: int, height: int, rgb: tuple[int, int, int]) -> RgbPicture:
    return RgbPicture(np.broadcast_to(np.array(rgb, np.uint8)[:, None, None], (3, height, width)))


# -- Fit ---------------------------------------------------------------------------------------

sides = st.integers(1, 8192)


@settings(deadline=None)
@given(
    width=sides, height=sides, long_side=st.integers(32, 2048), multiple=st.sampled_from([1, 32])
)
@example(width=16, height=8192, long_side=640, multiple=32)
@example(width=7680, height=2, long_side=64, multiple=32)
def test_any_picture_fits(width, height, long_side, multiple):
    fit = Fit.of(width, height, long_side, multiple)
    assert fit.width % multiple == 0
    assert fit.height % multiple == 0
    assert 1 <= fit.inner_width <= fit.width < fit.inner_width + multiple
    assert 1 <= fit.inner_height <= fit.height < fit.inner_height + multiple
    assert max(fit.inner_width, fit.inner_height) <= min(long_side, max(width, height))
    if max(width, height) <= long_side:
        assert (fit.inner_width, fit.inner_height) == (width, height)
    # Undistorted, up to the rounding of a side to whole pixels.
    scale = min(1, long_side / max(width, height))
    assert abs(fit.inner_width - width * scale) <= 1
    assert abs(fit.inner_height - height * scale) <= 1


@settings(deadline=None)
@given(width=sides, height=sides, long_side=st.integers(32, 2048))
def test_the_corners_of_what_is_shown_are_the_corners_of_the_picture(width, height, long_side):
    fit = Fit.of(width, height, long_side, 32)
    inner = np.array([[0, 0, fit.inner_width, fit.inner_height]], np.float32)
    assert np.allclose(fit.to_picture(inner), [[0, 0, width, height]], rtol=1e-5)
    points = np.zeros((3, 10), np.float32)
    points[:, ::2], points[:, 1::2] = fit.inner_width / 2, fit.inner_height / 4
    back = fit.to_picture(points)
    assert back.dtype == np.float32
    assert np.allclose(back[:, ::2], width / 2, rtol=1e-5)
    assert np.allclose(back[:, 1::2], height / 4, rtol=1e-5)


# -- InputBuffer -------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_planes_come_in_the_order_asked_for(order):
    colours = (10, 120, 250)
    tensor, fit = InputBuffer(64, multiple=32, order=order).load(coloured(64, 48, colours))
    assert tensor.shape == (1, 3, 64, 64)
    assert tensor.dtype == np.float32
    for plane, channel in enumerate(order):
        assert (tensor[0, plane, : fit.inner_height] == colours[channel]).all()
        assert (tensor[0, plane, fit.inner_height :] == 0).all()


def test_the_rest_is_black_for_every_picture_in_turn():
    """Sizes change in a stream; what a larger picture showed must not stay beside a smaller one."""
    buffer = InputBuffer(96, multiple=32, order=(0, 1, 2))
    for width, height in [(96, 96), (40, 90), (90, 40), (200, 30), (2, 2), (96, 96), (40, 90)]:
        tensor, fit = buffer.load(coloured(width, height, (255, 255, 255)))
        shown = tensor[0, :, : fit.inner_height, : fit.inner_width]
        assert (shown == 255).all()
        assert tensor.sum() == shown.size * 255.0
        assert tensor.shape == (1, 3, fit.height, fit.width)


def test_pixels_lie_where_the_fit_says():
    rng = np.random.default_rng(5)
    picture = RgbPicture(rng.integers(0, 256, (3, 30, 50), dtype=np.uint8))
    tensor, fit = InputBuffer(640, multiple=32, order=(0, 1, 2)).load(picture)
    assert (fit.width, fit.height, fit.inner_width, fit.inner_height) == (64, 32, 50, 30)
    assert np.array_equal(tensor[0, :, :30, :50], picture.rgb)


def test_a_picture_that_breaks_leaves_the_buffer_usable():
    class Broken(RgbPicture):
        def shrink(self, width: int, height: int) -> ByteArray:
            return super().shrink(width - 3, height)

    buffer = InputBuffer(64, multiple=32, order=(0, 1, 2))
    with pytest.raises(ValueError, match="broadcast"):
        buffer.load(Broken(np.full((3, 20, 40), 9, np.uint8)))
    tensor, _ = buffer.load(coloured(40, 20, (7, 7, 7)))
    assert tensor.sum() == 3 * 40 * 20 * 7


# -- distinct ----------------------------------------------------------------------------------


def at(*corners: tuple[float, float], size: float = 10.0) -> np.ndarray:
    return np.array([[x, y, x + size, y + size] for x, y in corners], np.float32)


def marks(count: int) -> np.ndarray:
    return np.zeros((count, 5, 2), np.float32)


def test_doubles_are_dropped_and_the_best_stays():
    boxes = at((0, 0), (2, 0), (50, 0))
    seen = distinct(boxes, np.array([0.5, 0.9, 0.4], np.float32), marks(3), 0.3)
    assert isinstance(seen, Detections)
    assert np.array_equal(seen.boxes, boxes[[1, 2]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("column", ["boxes", "landmarks"])
def test_one_impossible_number_condemns_the_picture(bad, column):
    boxes, points = at((0, 0), (50, 0)), marks(2)
    if column == "boxes":
        boxes[1, 2] = bad
    else:
        points[1, 3, 0] = bad
    scores = np.array([0.9, 0.8], np.float32)
    if column == "landmarks" and np.isfinite(bad):
        assert len(distinct(boxes, scores, points, 0.3)) == 2  # hides nothing and no one
        return
    with pytest.raises(InferenceError, match="no picture"):
        distinct(boxes, scores, points, 0.3)


def test_a_crowd_is_seen_and_a_model_gone_wrong_is_not_believed():
    corners = [(20.0 * (k % 100), 20.0 * (k // 100)) for k in range(MAX_DETECTIONS + 1)]
    boxes = at(*corners)
    scores = np.linspace(1, 0.5, len(boxes), dtype=np.float32)
    crowd = distinct(boxes[:-1], scores[:-1], marks(len(boxes) - 1), 0.3)
    assert len(crowd) == MAX_DETECTIONS
    with pytest.raises(InferenceError, match=str(MAX_DETECTIONS)):
        distinct(boxes, scores, marks(len(boxes)), 0.3)
