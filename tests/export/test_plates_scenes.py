"""The scenes that the plate detector learns from: reproducible, varied, and labelled rightly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ModelError
from edge.pii.plates import LAYOUTS
from export.train.plates.canvas import Painter, project, rounded, view
from export.train.plates.layouts import STYLES, characters, countries
from export.train.plates.lens import rolling_shutter, through_h264

FORTY = 40
"""Countries that are asked for at least."""


def area(quad: np.ndarray) -> float:
    """Signed: positive where the corners run clockwise on a screen."""
    x, y = quad[:, 0], quad[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


# -- layouts ----------------------------------------------------------------------------------


def test_many_countries_are_known_and_all_that_the_text_lane_knows():
    assert len(STYLES) >= FORTY
    assert set(LAYOUTS) <= set(STYLES)


def test_shares_add_up_and_no_country_is_left_out():
    names, shares = countries()
    assert len(names) == len(shares) == len(STYLES)
    assert shares.sum() == pytest.approx(1)
    assert (shares > 0).all()


def test_there_are_plates_of_one_line_and_of_two():
    rows = {rows for style in STYLES.values() for _, _, rows in style.sizes}
    assert rows == {1, 2}


@pytest.mark.parametrize("country", STYLES)
def test_colours_can_be_told_apart_and_sizes_are_those_of_plates(country):
    style = STYLES[country]
    for ground, ink in style.colours:
        assert np.abs(np.subtract(ground, ink)).max() > 60
    for width, height, _ in style.sizes:
        assert 150 <= width <= 540
        assert 0.9 <= width / height <= 5


@given(st.sampled_from(sorted(STYLES)), st.integers(0, 2**32 - 1))
def test_characters_follow_the_countrys_rules(country, seed):
    text = characters(country, np.random.default_rng(seed))
    bare = "".join(c for c in text if c not in " -·")
    assert 2 <= len(bare) <= 10
    assert all(c.isdigit() or "A" <= c <= "Z" for c in bare)
    if STYLES[country].script == "latin":
        patterns = LAYOUTS[country].split()
        assert any(
            len(p) == len(bare)
            and all(c.isdigit() if k == "9" else c.isalpha() if k == "A" else c == k
                    for c, k in zip(bare, p, strict=True))
            for p in patterns
        )  # fmt: skip


# -- geometry ---------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 2))
def test_a_plane_is_seen_from_its_front(seed, scale):
    matrix = view(np.random.default_rng(seed), (160, 140), scale)
    quad = project(matrix, rounded(-260, -55, 260, 55))
    assert area(quad) > 0
    assert np.allclose(project(matrix, np.zeros((1, 2))), [[160, 140]])


def test_what_is_pasted_lies_within_its_corners():
    picture = np.zeros((320, 320, 3), np.uint8)
    painter = Painter(picture, view(np.random.default_rng(3), (150, 170), 0.3))
    quad = painter.paste(np.full((30, 90, 3), 255, np.uint8), (-260, -55, 260, 55))
    mask = np.zeros((320, 320), np.uint8)
    cv2.fillPoly(mask, [np.round(quad).astype(np.int32)], 255)
    wide = cv2.dilate(mask, np.ones((5, 5)))
    narrow = cv2.erode(mask, np.ones((5, 5)))
    assert (picture[wide == 0] == 0).all()
    assert (picture[narrow == 255] == 255).all()


def test_a_rolling_shutter_moves_the_corners_with_the_picture():
    scene = np.zeros((320, 320, 3), np.uint8)
    quads = np.array([[[40, 30], [60, 30], [60, 44], [40, 44]]], np.float64)
    cv2.fillPoly(scene, [quads[0].astype(np.int32)], (255, 255, 255))
    moved, shifted = rolling_shutter(scene, quads, np.random.default_rng(1))
    assert not np.allclose(shifted, quads)
    ys, xs = np.nonzero(moved[..., 0] > 128)
    assert np.allclose([xs.mean(), ys.mean()], shifted[0].mean(0), atol=1)


def test_a_codec_leaves_the_picture_where_it_was():
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    picture = np.repeat(np.repeat(ramp[None, :, None], 64, 0), 3, 2)
    seen = through_h264(picture, 22)
    assert seen.shape == picture.shape
    assert np.abs(seen.astype(int) - picture).mean() < 8


# -- whole scenes -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backdrops():
    pytest.importorskip("PIL", reason="Pillow is not installed (extra 'train-plates')")
    from export.train.plates import glyphs
    from export.train.plates.backdrop import Backdrops

    try:
        glyphs.faces()
        return Backdrops(None)
    except ModelError as error:
        pytest.skip(str(error))


def test_the_same_seed_and_number_give_the_same_scene(backdrops):
    from export.train.plates.scene import make_scene

    for number in (0, 7, 12):
        one, same = (make_scene(3, number, backdrops) for _ in range(2))
        assert np.array_equal(one.picture, same.picture)
        assert np.array_equal(one.quads, same.quads)
    other = make_scene(4, 12, backdrops)
    assert not np.array_equal(other.picture, one.picture)


def test_scenes_are_labelled_and_varied(backdrops):
    from export.train.plates.scene import MAX_PLATES, SIDE, make_scene

    scenes = [make_scene(9, number, backdrops) for number in range(60)]
    widths, empty = [], 0
    for scene in scenes:
        assert scene.picture.shape == (SIDE, SIDE, 3)
        assert scene.picture.dtype == np.uint8
        assert len(scene.quads) == len(scene.doubtful) <= MAX_PLATES
        for quad in scene.quads[~scene.doubtful]:
            assert area(quad) > 0
            widths.append(np.linalg.norm(quad[1] - quad[0]))
        empty += len(scene.quads) == 0
    assert 4 < empty < 30
    assert min(widths) < 20
    assert max(widths) > 120


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), width=st.floats(10, 290))
def test_plates_of_any_size_are_drawn(backdrops, seed, width):
    from export.train.plates.plate import draw_plate

    plate = draw_plate(np.random.default_rng(seed), width)
    assert plate.country in STYLES
    rows, columns = plate.pixels.shape[:2]
    assert columns / rows == pytest.approx(plate.width_mm / plate.height_mm, rel=0.15)
    assert plate.pixels.std() > 3  # something is written on it


def test_a_shelf_goes_on_where_it_was_stopped(backdrops, tmp_path):
    from export.train.plates.scene import make_scene
    from export.train.plates.shelf import PLATE, Shelf

    shelf = Shelf(tmp_path / "s", 5, 4, write=True)
    scene = next(s for s in (make_scene(5, k, backdrops) for k in range(40)) if (~s.doubtful).any())
    shelf.put(2, scene)
    again = Shelf.open(tmp_path / "s")
    assert again.drawn().tolist() == [2]
    assert again.missing().tolist() == [0, 1, 3]
    assert np.array_equal(again.pictures[2], scene.picture)
    assert (again.kinds[2] == PLATE).sum() == (~scene.doubtful).sum()
    with pytest.raises(ModelError, match="other scenes"):
        Shelf(tmp_path / "s", 6, 4, write=True)
    with pytest.raises(ModelError, match="no scenes"):
        Shelf.open(tmp_path / "none")
