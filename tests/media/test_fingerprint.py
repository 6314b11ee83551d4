"""Two pictures share a fingerprint only if they are the same."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.media.fingerprint import fingerprint
from edge.media.picture import plane_views

Planes = list[NDArray[np.uint8]]


def planes(layout: str, width: int, height: int) -> Planes:
    noise = np.random.default_rng(7)
    half = (height // 2, width // 2)
    shapes = [(height, width), (*half, 2)] if layout == "nv12" else [(height, width), half, half]
    return [noise.integers(0, 256, shape, np.uint8) for shape in shapes]


sizes = st.tuples(st.integers(1, 40), st.integers(1, 20)).map(lambda s: (2 * s[0], 2 * s[1]))


@given(st.sampled_from(["yuv420p", "nv12"]), sizes, st.data())
def test_any_single_change_is_seen(layout: str, size: tuple[int, int], data: st.DataObject) -> None:
    picture = planes(layout, *size)
    before = fingerprint(picture)
    assert fingerprint([plane.copy() for plane in picture]) == before
    flat = picture[data.draw(st.integers(0, len(picture) - 1))].reshape(-1)
    at = data.draw(st.integers(0, flat.size - 1))
    flat[at] ^= data.draw(st.integers(1, 255))
    assert fingerprint(picture) != before


@given(sizes, st.data())
def test_rows_and_columns_that_change_places_are_seen(
    size: tuple[int, int], data: st.DataObject
) -> None:
    picture = planes("yuv420p", *size)
    before = fingerprint(picture)
    luma = picture[0]
    axis = data.draw(st.sampled_from([0, 1]))
    a, b = data.draw(st.tuples(*[st.integers(0, luma.shape[axis] - 1)] * 2))
    order = np.arange(luma.shape[axis])
    order[[a, b]] = order[[b, a]]
    moved = np.take(luma, order, axis)
    assert (fingerprint([moved, *picture[1:]]) == before) == bool((moved == luma).all())


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "nv12"])
@pytest.mark.parametrize("size", [(64, 48), (70, 38), (1922, 1082)])
def test_padding_beside_the_picture_is_not_part_of_it(pix_fmt: str, size: tuple[int, int]) -> None:
    values = set()
    for filling in (0, 255):
        frame = av.VideoFrame(*size, pix_fmt)
        for plane in frame.planes:
            plane.update(bytes([filling]) * plane.buffer_size)
        for view in plane_views(frame):
            view[...] = 77
        values.add(fingerprint(plane_views(frame)))
    assert len(values) == 1
