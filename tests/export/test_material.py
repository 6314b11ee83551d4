"""Real inputs: pictures and films of a folder, and what is known to be in them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import ModelError
from export.material import Material, film_frames
from tests.films import write_film

FRAMES = 30
KINDS = ("face", "plate")


def level(at: int) -> int:
    """Grey of a frame: every one another."""
    return 40 + 6 * at


def film(path: Path, *, frames: int = FRAMES, size: tuple[int, int] = (96, 160)) -> Path:
    return write_film(path, (np.full((*size, 3), level(at), np.uint8) for at in range(frames)), 30)


def rows_of(at: int) -> list[list[object]]:
    """A face in every frame, which moves; a plate in the even ones."""
    face: list[object] = ["face", 1, at, 2.0, at + 10, 20.0]
    return [face] if at % 2 else [face, ["plate", 2, 30.0, 40.0, 60.0, 50.0]]


def label(path: Path, frames: int = FRAMES) -> None:
    truth = {"fps": 30, "size": [160, 96], "frames": [rows_of(at) for at in range(frames)]}
    path.with_suffix(".json").write_text(json.dumps(truth))


def picture(path: Path, grey: int = 128) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((64, 96, 3), grey, np.uint8))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_films_frames_are_spread_over_it_and_labelled_each_with_its_own(tmp_path, suffix):
    path = film(tmp_path / f"camera{suffix}")
    label(path)
    found = list(film_frames(path, 6))
    places = [int(photo.name.rpartition(" ")[2]) for photo in found]
    assert places == [0, 5, 10, 15, 20, 25]
    for at, photo in zip(places, found, strict=True):
        assert abs(float(photo.rgb.mean()) - level(at)) < 4, "another frame than its labels are of"
        np.testing.assert_allclose(photo.labels["faces"], [[at, 2, at + 10, 20]])
        plates = [[30, 40, 60, 50]] if at % 2 == 0 else np.zeros((0, 4))
        np.testing.assert_allclose(photo.labels["plates"], plates)
    assert len(list(film_frames(path))) == FRAMES


def test_a_film_that_is_shorter_than_what_is_wanted_gives_all_it_has(tmp_path):
    path = film(tmp_path / "camera.mp4", frames=4)
    assert len(list(film_frames(path, 12))) == 4


def test_boxes_shrink_with_pictures_that_are_larger_than_any_camera_gives(tmp_path):
    path = film(tmp_path / "large.mp4", frames=1, size=(1080, 3840))
    path.with_suffix(".json").write_text(json.dumps({"frames": [[["face", 1, 100, 40, 300, 80]]]}))
    (photo,) = film_frames(path)
    assert photo.rgb.shape == (540, 1920, 3)
    np.testing.assert_allclose(photo.labels["faces"], [[50, 20, 150, 40]])


def test_labelled_ones_come_first_and_some_of_all_where_there_are_more_than_asked_for(tmp_path):
    for at in range(8):
        picture(tmp_path / "faces" / f"{at}.png")
    boxes = {f"{at}.png": [[1, 2, 3, 4]] for at in range(8)}
    (tmp_path / "faces" / "labels.json").write_text(json.dumps(boxes))
    picture(tmp_path / "another.png")
    label(film(tmp_path / "camera.mp4"))
    material = Material(tmp_path)

    all_of_it = list(material.pictures(25, "faces"))
    assert [photo.name for photo in all_of_it[:8]] == [f"{at}.png" for at in range(8)]
    assert [photo.name.partition(",")[0] for photo in all_of_it[8:20]] == ["camera.mp4"] * 12
    assert all_of_it[20].name == "another.png"
    assert all("faces" in photo.labels for photo in all_of_it[:20])
    assert not any(photo.labels for photo in all_of_it[20:]), "what is changed is labelled no more"

    few = [photo.name.partition(",")[0] for photo in material.pictures(5, "faces")]
    assert few == ["0.png", "4.png", "camera.mp4", "camera.mp4", "camera.mp4"]
    plates = list(material.pictures(20, "plates"))
    assert all("plates" in photo.labels for photo in plates[:12])
    assert plates[12].name == "another.png"


def test_what_is_no_film_is_told_of(tmp_path):
    (tmp_path / "camera.mp4").write_bytes(b"no film")
    with pytest.raises(ModelError, match=r"camera\.mp4 cannot be decoded"):
        list(Material(tmp_path).pictures(3))


def test_labels_of_a_shorter_film_are_told_of(tmp_path):
    label(film(tmp_path / "camera.mp4"), frames=7)
    with pytest.raises(ModelError, match="labels are of a shorter film"):
        list(Material(tmp_path).pictures(12, "faces"))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"frames": 3}', '{"frames": [[["face", 1, "a", 2, 3, 4]]]}',
             '{"frames": [[["face", 1, 2]]]}', '{"streams": []}']
)  # fmt: skip
def test_labels_that_are_none_are_told_of(tmp_path, text):
    film(tmp_path / "camera.mp4", frames=2).with_suffix(".json").write_text(text)
    with pytest.raises(ModelError, match=r"camera\.json does not say what is where") as caught:
        list(Material(tmp_path).pictures(2))
    assert str(tmp_path) not in str(caught.value)
