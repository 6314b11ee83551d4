from __future__ import annotations

import numpy as np
import pytest

from edge.frame import Planes
from edge.redact.watermark import Watermark


def grey(width: int, height: int, luma: int = 120, *, full_range: bool = False) -> Planes:
    y = np.full((height, width), luma, np.uint8)
    u = np.full((height // 2, width // 2), 90, np.uint8)
    return Planes("yuv420p", y, (u, np.full_like(u, 200)), full_range)


@pytest.mark.parametrize("luma", [16, 120, 235])
@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720), (640, 360)])
def test_the_text_stands_out_at_the_bottom_left(width, height, luma):
    planes = grey(width, height, luma)
    mark = Watermark(width, height)
    assert mark.visible
    mark.apply(planes)
    ys, xs = np.nonzero(planes.y != luma)
    assert xs.max() < width / 2
    assert ys.min() > height * 0.9
    assert xs.min() > 0
    assert ys.max() < height - 1
    drawn = planes.y[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].astype(int)
    assert np.percentile(drawn, 98) - np.percentile(drawn, 2) > 100


def test_colour_fades_to_neutral_under_the_text_and_stays_elsewhere():
    planes = grey(1280, 720)
    Watermark(1280, 720).apply(planes)
    u, v = planes.chroma
    assert (u[:300] == 90).all()
    assert (v[:, 640 // 2 :] == 200).all()
    assert abs(int(u.max()) - 128) <= 10
    assert abs(int(v.min()) - 128) <= 20


def test_both_layouts_agree_and_rows_may_be_padded():
    planar = grey(640, 360)
    y = np.full((360, 700), 120, np.uint8)
    uv = np.empty((180, 400, 2), np.uint8)
    uv[:] = 90, 200
    packed = Planes("nv12", y[:, :640], (uv[:, :320],))
    mark = Watermark(640, 360)
    mark.apply(planar)
    mark.apply(packed)
    np.testing.assert_array_equal(packed.y, planar.y)
    np.testing.assert_array_equal(packed.chroma[0][..., 0], planar.chroma[0])
    np.testing.assert_array_equal(packed.chroma[0][..., 1], planar.chroma[1])
    assert (y[:, 640:] == 120).all()


def test_levels_follow_the_range():
    limited, full = grey(1280, 720), grey(1280, 720, full_range=True)
    mark = Watermark(1280, 720)
    mark.apply(limited)
    mark.apply(full)
    assert 200 <= limited.y.max() <= 235
    assert full.y.max() > limited.y.max()
    assert full.y.min() < limited.y.min()


@pytest.mark.parametrize(
    "size", [(16, 16), (2, 2), (64, 48), (20, 4000), (4000, 20), (160, 90), (320, 240), (200, 720)]
)
def test_small_and_odd_pictures_get_a_fitting_text_or_none(size):
    width, height = size
    planes = grey(width, height)
    mark = Watermark(width, height)
    mark.apply(planes)
    assert bool((planes.y != 120).any()) == mark.visible


def test_a_long_text_shrinks_to_the_width():
    planes = grey(640, 720)
    mark = Watermark(640, 720, "Faces and licence plates are hidden in this stream")
    mark.apply(planes)
    assert mark.visible
    assert np.nonzero(planes.y != 120)[1].max() < 640 - 1


def test_a_picture_of_another_size_is_refused():
    with pytest.raises(ValueError, match="another size"):
        Watermark(640, 360).apply(grey(320, 180))
