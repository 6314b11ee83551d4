"""The letterbox: what a network is shown, and the exact way back into the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.lanes.letterbox import Framing, LetterboxBuffer
from tests.lanes.pictures import RgbPicture, coloured

sides = st.integers(1, 8192)


def framing(
    height: int | None = None,
    width: int | None = None,
    *,
    long_side: int = 640,
    multiple: int = 32,
    centred: bool = True,
    enlarge: bool = True,
    grey: int = 114,
) -> Framing:
    return Framing(height, width, long_side, multiple, centred, enlarge, grey)


framings = st.builds(
    framing,
    height=st.none() | st.integers(32, 1280),
    width=st.none() | st.integers(32, 1280),
    long_side=st.integers(32, 2048),
    multiple=st.sampled_from([1, 32, 64]),
    centred=st.booleans(),
    enlarge=st.booleans(),
)


@settings(deadline=None)
@given(framings, sides, sides)
@example(framing(320, 320), 8192, 1)
@example(framing(None, 320), 16, 8192)
def test_any_picture_lies_within_its_input(how, width, height):
    place = how.place(width, height)
    assert place.width == how.width or (how.width is None and place.width % how.multiple == 0)
    assert place.height == how.height or (how.height is None and place.height % how.multiple == 0)
    assert 0 <= place.left <= place.left + place.inner_width <= place.width
    assert 0 <= place.top <= place.top + place.inner_height <= place.height
    assert place.inner_width >= 1
    assert place.inner_height >= 1
    if not how.enlarge:
        assert place.inner_width <= width
        assert place.inner_height <= height
    if not how.centred:
        assert place.left == place.top == 0


@settings(deadline=None)
@given(framings, sides, sides)
def test_a_picture_keeps_its_shape(how, width, height):
    """Up to the rounding of a side to whole pixels."""
    place = how.place(width, height)
    scale = min(place.inner_width / width, place.inner_height / height)
    assert abs(place.inner_width - width * scale) <= max(1, width / height)
    assert abs(place.inner_height - height * scale) <= max(1, height / width)


@settings(deadline=None)
@given(framings, sides, sides, st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_there_and_back_is_where_it_began(how, width, height, shares):
    place = how.place(width, height)
    points = np.array(shares, np.float32).reshape(2, 4) * np.tile((width, height), 2)
    points = points.astype(np.float32)
    there = place.to_input(points)
    # The whole picture, border to border, is the whole inner part.
    low = np.tile((place.left, place.top), 2)
    high = low + np.tile((place.inner_width, place.inner_height), 2)
    assert (there >= low - 1e-2).all()
    assert (there <= high + 1e-2).all()
    back = place.to_picture(there)
    assert back.dtype == np.float32
    # float32 has 24 bits, of which the border's pixels take some.
    coarseness = np.tile((place.scale_x * place.width, place.scale_y * place.height), 2) * 2**-22
    assert (np.abs(back - points) <= coarseness + 1e-3).all()


@settings(deadline=None)
@given(framings, sides, sides)
def test_the_corners_of_the_inner_part_are_those_of_the_picture(how, width, height):
    place = how.place(width, height)
    corners = (place.left, place.top, place.left + place.inner_width,
               place.top + place.inner_height)  # fmt: skip
    back = place.to_picture(np.array([corners], np.float32))
    assert np.allclose(back, [[0, 0, width, height]], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "how", "wanted"),
    [
        ((1280, 720), framing(640, 640), (0, 140, 640, 360)),
        ((1280, 720), framing(320, 320), (0, 70, 320, 180)),
        ((720, 1280), framing(640, 640), (140, 0, 360, 640)),
        ((320, 240), framing(640, 640), (0, 80, 640, 480)),
        ((1280, 721), framing(640, 640), (0, 140, 640, 360)),
        ((1280, 718), framing(640, 640), (0, 140, 640, 359)),
        ((1280, 720), framing(), (0, 12, 640, 360)),
        ((1280, 720), framing(multiple=64), (0, 12, 640, 360)),
        ((1280, 720), framing(centred=False), (0, 0, 640, 360)),
        ((320, 180), framing(centred=False, enlarge=False), (0, 0, 320, 180)),
    ],
)
def test_the_picture_lies_where_ultralytics_puts_it(size, how, wanted):
    """left, top, width and height of the picture in the input, as ultralytics' LetterBox has."""
    place = how.place(*size)
    assert (place.left, place.top, place.inner_width, place.inner_height) == wanted


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_tensor_holds_the_picture_and_grey_around_it(dtype):
    buffer = LetterboxBuffer(framing(64, 96), order=(2, 0, 1), dtype=np.dtype(dtype))
    tensor, place = buffer.load(coloured(30, 30, (0, 51, 255)))
    assert tensor.shape == (1, 3, 64, 96)
    assert tensor.dtype == dtype
    assert (place.left, place.top, place.inner_width, place.inner_height) == (16, 0, 64, 64)
    inner = tensor[0, :, :, 16:80]
    for plane, level in enumerate((1.0, 0.0, 0.2)):
        assert np.allclose(inner[plane], level, atol=1e-3)
    outer = np.delete(tensor, slice(16, 80), axis=3)
    assert np.allclose(outer, 114 / 255, atol=1e-3)


def test_a_smaller_picture_shows_nothing_of_the_one_before():
    buffer = LetterboxBuffer(framing(96, 96), order=(0, 1, 2))
    for width, height in [(96, 96), (40, 90), (90, 40), (200, 30), (2, 2), (96, 96), (40, 90)]:
        tensor, place = buffer.load(coloured(width, height, (255, 255, 255)))
        white = int((tensor == 1).sum())
        assert white == 3 * place.inner_width * place.inner_height
        assert np.allclose(tensor[tensor != 1], 114 / 255)


def test_every_level_is_exact_to_half_a_step():
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 32, 256))
    tensor, _ = LetterboxBuffer(framing(32, 256), order=(0, 1, 2)).load(RgbPicture(ramp))
    assert np.allclose(tensor[0, 0, 0], np.arange(256) / 255, atol=1e-7)


def test_a_picture_that_breaks_leaves_the_buffer_usable():
    class Broken(RgbPicture):
        def shrink(self, width: int, height: int) -> np.ndarray:
            return super().shrink(width - 3, height)

    buffer = LetterboxBuffer(framing(64, 64), order=(0, 1, 2))
    with pytest.raises(ValueError, match="broadcast"):
        buffer.load(Broken(np.full((3, 20, 40), 9, np.uint8)))
    tensor, _ = buffer.load(coloured(64, 64, (255, 255, 255)))
    assert (tensor == 1).all()
