"""Which shots are fit to enrol somebody with: judged on real photographs and spoilt ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.catalogue import load_catalogue
from edge.enrolment import Shot, ShotJudge, compare, enrol, shots_of
from edge.errors import SourceError
from edge.inference.onnx import OnnxEngine
from edge.lanes.embedding import load_embedder
from edge.lanes.yunet import YuNet
from edge.media.still import read_still, to_picture
from tests.films import write_film
from tests.support import shared_file

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def judge() -> ShotJudge:
    finder = OnnxEngine(shared_file("models/face_yunet_n.onnx").read_bytes(), "yunet")
    model = shared_file("models/face_embed_mobilefacenet.onnx").read_bytes()
    embedder = load_embedder(model, "net", load_catalogue()["mobilefacenet"].input)
    return ShotJudge(YuNet(finder, input_size=960, weakest=0.15), embedder)


@pytest.fixture(scope="module")
def photo() -> Picture:
    picture = cv2.imread(str(shared_file("media/people/obama.jpg")))
    assert picture is not None
    return np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


def problem(judge: ShotJudge, picture: Picture) -> str | None:
    return judge.judge(to_picture(picture), "shot").problem


def blurred(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 4))


def shaken(picture: Picture) -> Picture:
    return np.asarray(cv2.blur(picture, (19, 1)))


def dark(picture: Picture) -> Picture:
    return np.asarray(cv2.convertScaleAbs(picture, alpha=0.2))


def burnt(picture: Picture) -> Picture:
    return np.asarray(cv2.convertScaleAbs(picture, alpha=1.6, beta=60))


def flat(picture: Picture) -> Picture:
    return np.asarray(cv2.convertScaleAbs(picture, alpha=0.2, beta=110))


def small(picture: Picture) -> Picture:
    return np.asarray(cv2.resize(picture, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA))


def twice(picture: Picture) -> Picture:
    return np.hstack([picture, picture])


def cut(picture: Picture) -> Picture:
    return picture[:, : picture.shape[1] * 5 // 9]


def empty(picture: Picture) -> Picture:
    return np.zeros_like(picture)


def test_a_good_photograph_is_good(judge: ShotJudge, photo: Picture) -> None:
    shot = judge.judge(to_picture(photo), "shot")
    assert shot.problem is None
    assert shot.embedding is not None
    assert 100 < shot.face_px < 130


@pytest.mark.parametrize(("spoil", "word"), [
    (blurred, "blurred"), (shaken, "blurred"), (dark, "dark"), (burnt, "bright"),
    (flat, "contrast"), (small, "too small"), (twice, "2 faces"), (empty, "no face"),
    (cut, ""),
])  # fmt: skip
def test_a_spoilt_one_is_refused_with_the_reason(
    judge: ShotJudge, photo: Picture, spoil: Callable[[Picture], Picture], word: str
) -> None:
    reason = problem(judge, spoil(photo))
    assert reason is not None
    assert word in reason


def test_shots_are_judged_by_each_other() -> None:
    rng = np.random.default_rng(1)
    centre = rng.normal(size=64)
    rows = centre + 0.4 * rng.normal(size=(4, 64))
    rows = np.vstack([rows, rows[:1] * 2, rng.normal(size=(1, 64))])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    shots = [Shot(f"s{i}", None, 100, row.astype(np.float32)) for i, row in enumerate(rows)]
    judged = compare([*shots, Shot("bad", "no face")])
    reasons = [shot.problem for shot in judged]
    assert reasons[:4] == [None] * 4
    assert "s0" in str(reasons[4])
    assert "somebody else" in str(reasons[5])
    assert reasons[6] == "no face"
    person = enrol("Ann", judged)
    assert person is not None
    assert person.shots == 4
    assert enrol("Ann", judged[4:]) is None


def test_somebody_else_among_real_shots_is_found(judge: ShotJudge) -> None:
    folder = shared_file("media/people")
    names = ["obama.jpg", "obama2.jpg", "lin-manuel-miranda.png"]
    shots = compare([judge.judge(read_still(folder / name), name) for name in names])
    assert [shot.problem is None for shot in shots] == [True, True, False]


def test_a_folder_a_file_and_a_film_all_give_shots(
    judge: ShotJudge, photo: Picture, tmp_path: Path
) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.jpg"), photo)
    cv2.imwrite(str(folder / "b.PNG"), dark(photo))
    (folder / "notes.txt").write_text("none of these")
    film = write_film(tmp_path / "film.mp4", [photo] * 30 + [dark(photo)] * 30, fps=10)
    shots = list(shots_of([str(folder), str(folder / "a.jpg"), str(film)], judge))
    assert [shot.origin for shot in shots[:3]] == ["a.jpg", "b.PNG", "a.jpg"]
    filmed = shots[3:]
    assert [shot.origin for shot in filmed if shot.problem is None] == ["at 0.0 s"], "not distinct"
    assert {shot.problem for shot in filmed} == {None, "too dark"}


def test_what_cannot_be_read_is_told(judge: ShotJudge, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (tmp_path / "none.png").write_bytes(b"")
    for source, word in (("empty", "no photographs"), ("broken.jpg", "not a picture"),
                         ("none.png", "not a picture"), ("absent.jpg", "cannot be read"),
                         ("absent.mp4", "does not exist")):  # fmt: skip
        with pytest.raises(SourceError, match=word):
            list(shots_of([str(tmp_path / source)], judge))


def test_a_photograph_is_upright_by_its_exif_tag(tmp_path: Path) -> None:
    """Telephones store the sensor's picture and say how it was held."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :30] = 255
    _, data = cv2.imencode(".jpg", picture)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    raw = data.tobytes()
    (tmp_path / "held.jpg").write_bytes(raw[:2] + segment + raw[2:])
    held = read_still(tmp_path / "held.jpg")
    assert (held.width, held.height) == (40, 60)
    assert held.luma[:25].mean() > 200
    assert held.luma[35:].mean() < 40


def test_nothing_biometric_is_printed(judge: ShotJudge, photo: Picture) -> None:
    assert "embedding" not in repr(judge.judge(to_picture(photo), "shot"))
