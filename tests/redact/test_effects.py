from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.redact.effects import (
    MAX_CELLS,
    MIN_CELL_PX,
    RECTANGLE_EXPONENT,
    SOFT_BELOW_PX,
    Effect,
    RedactionStyle,
    Shape,
    axis,
    block_mask,
    gaussian_weights,
    make_regions,
    whole_picture_cells,
)

sides = st.integers(1, 400).map(lambda n: 2 * n)
coordinates = st.floats(-1500, 1500, allow_nan=False, width=32)
lengths = st.floats(0, 900, width=32)
styles = st.builds(
    RedactionStyle,
    effect=st.sampled_from(Effect),
    shape=st.sampled_from(Shape),
    pad=st.floats(0, 1),
    min_pad_px=st.floats(0, 20),
    cells=st.integers(1, MAX_CELLS),
)


@st.composite
def boxes(draw: st.DrawFn, most: int = 6) -> np.ndarray:
    rows = draw(st.lists(st.tuples(coordinates, coordinates, lengths, lengths), max_size=most))
    return np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float64).reshape(-1, 4)


@given(boxes(), styles, sides, sides)
def test_regions_are_even_inside_and_not_empty(found, style, width, height):
    for region in make_regions(found, style, width, height):
        assert 0 <= region.x1 < region.x2 <= width
        assert 0 <= region.y1 < region.y2 <= height
        assert region.left <= region.x1
        assert region.bottom >= region.y2
        assert all(v % 2 == 0 for v in (region.x1, region.y1, region.x2, region.y2, region.cell))


@given(boxes(), styles, sides, sides)
def test_every_pixel_of_every_unpadded_box_is_hidden(found, style, width, height):
    hidden = np.zeros((height, width), bool)
    for region in make_regions(found, style, width, height):
        mask = block_mask(region).repeat(2, 0).repeat(2, 1) > 0
        hidden[region.y1 : region.y2, region.x1 : region.x2] |= mask
    xs, ys = np.arange(width) + 0.5, np.arange(height) + 0.5
    for x1, y1, x2, y2 in found:
        inside = ((ys >= y1) & (ys < y2))[:, None] & ((xs >= x1) & (xs < x2))
        assert hidden[inside].all()


@given(boxes(), styles, sides, sides, st.randoms(use_true_random=False))
def test_the_order_of_boxes_does_not_matter_and_the_coarsest_lies_on_top(
    found, style, width, height, random
):
    regions = make_regions(found, style, width, height)
    order = list(range(len(found)))
    random.shuffle(order)
    assert make_regions(found[order], style, width, height) == regions
    assert all(a.cell <= b.cell for a, b in itertools.pairwise(regions))


@given(boxes(most=1), styles, sides, sides)
def test_a_face_gets_at_most_the_cells_of_its_style_and_no_cell_is_small(
    found, style, width, height
):
    for region in make_regions(found, style, width, height):
        face = (found[0, 2:] - found[0, :2]).max()
        assert region.cell * style.cells >= face
        for first, last, cells in (
            (region.x1, region.x2, region.cells_x),
            (region.y1, region.y2, region.cells_y),
        ):
            smallest = axis((last - first) // 2, cells, 2).sizes.min()
            assert smallest >= min(MIN_CELL_PX, last - first)
            assert smallest >= min(region.cell, last - first)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(4))
def test_a_number_that_is_not_finite_is_refused(bad, column):
    found = np.array([[10, 10, 50, 50], [100, 100, 150, 150]], np.float32)
    found[1, column] = bad
    with pytest.raises(ValueError, match="finite"):
        make_regions(found, RedactionStyle(), 640, 360)


def test_a_box_inside_out_is_refused():
    with pytest.raises(ValueError, match="ends before it begins"):
        make_regions([[50, 10, 40, 20]], RedactionStyle(), 640, 360)


@pytest.mark.parametrize("found", [np.zeros((2, 5)), np.zeros(4), np.zeros((1, 2, 4)), 3.0])
def test_boxes_of_another_shape_are_refused(found):
    with pytest.raises(ValueError, match="shape"):
        make_regions(found, RedactionStyle(), 640, 360)


@pytest.mark.parametrize("found", [[], np.zeros((0, 4), np.float32)])
def test_no_boxes_give_no_regions(found):
    assert make_regions(found, RedactionStyle(), 640, 360) == []


def test_boxes_outside_vanish_and_those_near_the_border_stay():
    outside = [[-100, 0, -50, 60], [700, 0, 800, 60], [0, 400, 60, 500], [0, -90, 60, -40]]
    assert make_regions(outside, RedactionStyle(), 640, 360) == []
    touching = make_regions([[-50, 0, -2, 60]], RedactionStyle(pad=0.15), 640, 360)
    assert [(r.x1, r.x2) for r in touching] == [(0, 6)]


def test_a_monstrous_box_covers_the_picture():
    (region,) = make_regions([[-1e30, -1e30, 1e30, 1e30]], RedactionStyle(), 640, 360)
    assert (region.x1, region.y1, region.x2, region.y2) == (0, 0, 640, 360)
    assert (region.cells_x, region.cells_y) == (1, 1)
    assert block_mask(region).all()


def test_padding_is_a_fraction_of_the_box_but_at_least_some_pixels():
    style = RedactionStyle(pad=0.25, min_pad_px=4, shape=Shape.RECTANGLE)
    large, small = make_regions([[100, 100, 180, 200], [300, 100, 308, 108]], style, 640, 360)[::-1]
    assert (large.x1, large.y1, large.x2, large.y2) == (80, 74, 200, 226)
    assert (small.x1, small.y1, small.x2, small.y2) == (296, 96, 312, 112)


def test_the_outline_is_round_where_padding_allows_and_a_rectangle_where_not():
    def exponent(**style: float) -> int:
        (region,) = make_regions([[100, 100, 200, 200]], RedactionStyle(**style), 640, 360)
        return region.exponent

    assert exponent(pad=0.15) == 4
    assert exponent(pad=0.05, min_pad_px=0) == 8
    assert exponent(pad=0.0, min_pad_px=0) == RECTANGLE_EXPONENT
    (square,) = make_regions([[9, 9, 99, 99]], RedactionStyle(shape=Shape.RECTANGLE), 640, 360)
    assert square.exponent == RECTANGLE_EXPONENT
    assert block_mask(square).all()


def test_the_outline_cuts_the_corners_and_is_symmetric():
    (region,) = make_regions([[100, 100, 200, 200]], RedactionStyle(), 640, 360)
    mask = block_mask(region)
    assert mask[0, 0] == 0
    assert mask[0, mask.shape[1] // 2] == 255
    for mirrored in (mask[::-1], mask[:, ::-1], mask.T):
        np.testing.assert_array_equal(mask, mirrored)


def test_the_outline_does_not_change_shape_at_the_border():
    (inside,) = make_regions([[100, 100, 200, 200]], RedactionStyle(), 640, 360)
    (cut,) = make_regions([[-20, 100, 80, 200]], RedactionStyle(), 640, 360)
    whole, part = block_mask(inside), block_mask(cut)
    np.testing.assert_array_equal(part, whole[:, -part.shape[1] :])


def test_the_grid_moves_with_the_box():
    at = [make_regions([[x, 90, x + 80, 190]], RedactionStyle(), 640, 360)[0] for x in (100, 102)]
    assert (at[1].x1 - at[0].x1, at[1].x2 - at[0].x2) == (2, 2)
    assert (at[0].cells_x, at[0].cells_y) == (at[1].cells_x, at[1].cells_y)


def test_small_faces_get_a_smooth_mosaic_and_solid_stays_solid():
    small, large = (
        [[100, 100, 120, 100 + SOFT_BELOW_PX - 1]],
        [[100, 100, 120, 100 + SOFT_BELOW_PX]],
    )
    assert make_regions(small, RedactionStyle(), 640, 360)[0].effect is Effect.GAUSSIAN
    assert make_regions(large, RedactionStyle(), 640, 360)[0].effect is Effect.MOSAIC
    solid = RedactionStyle(effect=Effect.SOLID)
    assert make_regions(small, solid, 640, 360)[0].effect is Effect.SOLID


@given(st.integers(1, 2000), st.integers(1, 30), st.sampled_from([1, 2]))
def test_an_axis_is_divided_without_gaps_into_like_cells(length, cells, scale):
    line = axis(length, cells, scale)
    assert line.edges[0] == 0
    assert line.edges[-1] == line.sizes.sum() == len(line.index) == length * scale
    assert line.sizes.min() >= scale
    assert np.ptp(line.sizes) <= scale
    np.testing.assert_array_equal(np.bincount(line.index), line.sizes)


@given(st.integers(1, 300), st.integers(1, 12))
def test_luma_and_chroma_are_cut_along_the_same_lines(length, cells):
    np.testing.assert_array_equal(axis(length, cells, 2).edges, 2 * axis(length, cells).edges)


@given(st.integers(1, 300), st.integers(1, 12), st.sampled_from([1, 2]))
def test_gaussian_weights_are_exact_fractions_that_sum_to_one(length, cells, scale):
    weights = gaussian_weights(length, cells, scale)
    assert weights.dtype == np.float32
    assert (weights >= 0).all()
    np.testing.assert_array_equal(weights * 256, np.rint(weights * 256))
    np.testing.assert_array_equal(weights.sum(axis=1), 1)


@given(st.integers(1, 8000), st.integers(1, 8000))
def test_a_face_as_large_as_the_picture_has_at_most_eight_cells(width, height):
    columns, rows = whole_picture_cells(width, height)
    assert columns >= 1
    assert rows >= 1
    short = min(width, height)
    assert max(1, short / max(width / columns, height / rows)) <= MAX_CELLS


@pytest.mark.parametrize(
    "wrong",
    [
        {"cells": 0},
        {"cells": 9},
        {"pad": -0.1},
        {"pad": float("nan")},
        {"min_pad_px": float("inf")},
        {"min_pad_px": -1},
    ],
)
def test_a_style_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RedactionStyle(**wrong)


def test_a_plain_string_names_an_effect_and_an_unknown_one_is_refused() -> None:
    assert RedactionStyle(effect="solid").effect is Effect.SOLID  # type: ignore[arg-type]
    assert RedactionStyle(shape="rectangle").shape is Shape.RECTANGLE  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="blurry"):
        RedactionStyle(effect="blurry")  # type: ignore[arg-type]
