"""Re-identification: the attack works on what is not hidden, and geometry does not betray it."""

import json

import cv2
import numpy as np
import pytest

from benchmarks import reid
from benchmarks._common import BenchmarkError
from benchmarks._faces import FaceEmbedder, FaceFinder
from benchmarks._portraits import Portrait, named
from benchmarks._reid_video import _identify, _Sighting
from edge.redact.effects import Effect, RedactionStyle
from tests.support import shared_file


def portrait(width=120, height=100):
    """A face-like patch whose five landmarks are bright dots on a textured ground."""
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 120, (height, width, 3), np.uint8), (0, 0), 2)
    marks = np.array([(45, 40), (75, 42), (60, 55), (48, 70), (72, 71)], np.float32)
    for x, y in marks:
        cv2.circle(picture, (int(x), int(y)), 2, (255, 255, 255), -1)
    return Portrait("ann", "ann.jpg", picture, np.array([35, 25, 85, 85], np.float32), marks)


@pytest.mark.parametrize("size", [30.0, 60.0, 150.0])
def test_landmarks_and_box_move_with_the_picture(size):
    scaled = portrait().at_size(size)
    assert scaled.size == pytest.approx(size)
    assert scaled.picture.shape[0] % 2 == scaled.picture.shape[1] % 2 == 0
    for x, y in scaled.landmarks:
        window = scaled.picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
        assert window.max() > scaled.picture.mean() + 60


def test_the_other_photo_is_mirrored_with_eyes_named_anew():
    original, other = portrait(), portrait().as_another_photo()
    right, left = other.landmarks[0], other.landmarks[1]
    assert right[0] < left[0]  # the person's right eye is on the picture's left, as before
    assert original.landmarks[0][0] < original.landmarks[1][0]
    for x, y in other.landmarks:
        window = other.picture[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3]
        assert window.max() > other.picture.mean() + 60
    assert other.size == pytest.approx(original.size, rel=1e-3)


def test_pictures_go_through_the_projects_redactor():
    face = portrait()
    style = RedactionStyle(effect=Effect.SOLID)
    hidden = reid.redact_picture(face.picture, face.box[None], style)
    assert hidden.shape == face.picture.shape
    x1, y1, x2, y2 = face.box.astype(int)
    assert hidden[y1:y2, x1:x2].std() < 3
    corner = np.abs(hidden[:16, :24].astype(int) - face.picture[:16, :24]).mean()
    assert corner < 8  # only what 4:2:0 costs
    blurred = reid.light_blur(face)
    assert blurred[y1:y2, x1:x2].std() < face.picture[y1:y2, x1:x2].std()
    assert np.array_equal(blurred[:10, :20], face.picture[:10, :20])


@pytest.fixture(scope="module")
def known():
    finder = FaceFinder(shared_file("models/face_yunet_n.onnx"))
    embedder = FaceEmbedder(shared_file("models/face_embed_mobilefacenet.onnx"))
    return named(shared_file("media/people"), finder, embedder), embedder


def test_names_come_from_files_and_likeness(known):
    people, _ = known
    found = sorted((p.name, p.photo) for p in people)
    names = [name for name, _ in found]
    assert names.count("obama") == 4
    assert names.count("biden") == 2
    assert {("obama", "two_people.jpg"), ("biden", "two_people.jpg")} <= set(found)


def test_the_attack_works_and_is_stopped(known):
    people, embedder = known
    bench = reid.Bench(people, embedder)
    open_faces = bench.attack(reid.leave, 64)
    assert open_faces["naive same"].rate == 1
    assert open_faces["naive other"].rate == 1
    assert open_faces["naive mirrored"].rate >= 0.8
    hidden = bench.attack(reid.redactor(RedactionStyle(effect=Effect.SOLID)), 64)
    assert hidden["naive mirrored"].rate <= 0.5
    assert hidden["naive mirrored"].p_value > open_faces["naive mirrored"].p_value


def test_command(tmp_path, capsys):
    models, people = shared_file("models"), shared_file("media/people")
    few = tmp_path / "few"
    few.mkdir()
    for name in ("obama.jpg", "obama2.jpg", "biden.jpg"):
        (few / name).write_bytes((people / name).read_bytes())
    words = ["--named", str(few), "--crowd", str(few), "--models", str(models), "--sizes", "40"]
    assert reid.run([*words, "--cells", "4", "8", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [(r["effect"], r["cells"]) for r in result["rows"]] == [
        ("none", None), ("blur", None), ("mosaic", 4), ("mosaic", 8),
        ("gaussian", 4), ("gaussian", 8), ("solid", None),
    ]  # fmt: skip
    assert reid.run(words) == 0
    assert "top-1 re-identification" in capsys.readouterr().out


def test_a_clips_people_are_joined_and_probed_once():
    rng = np.random.default_rng(1)
    faces = rng.standard_normal((6, 128)).astype(np.float32)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    blank = faces[0]  # what a recogniser sees in every mask: always the same
    sightings = [
        _Sighting((scene, ident), size, faces[ident], blank)
        for scene in range(2)
        for ident in range(6)
        for size in (24.0, 60.0, 25.0)
    ]
    result = _identify(sightings)
    assert result.upper.identities == result.upper.hits == result.upper.probes == 6
    assert (result.naive.hits, result.naive.probes) == (1, 6)
    assert result.naive.at_chance
    assert result.small.probes == result.large.probes == 6
    assert result.table().row_count == 5
    assert set(result.to_json()) == {"naive", "parrot", "upper", "small", "large"}


def test_missing_data_is_named(tmp_path):
    with pytest.raises(BenchmarkError, match=r"face_yunet_n.onnx is missing.*--models"):
        reid.run(["--models", str(tmp_path)])
    with pytest.raises(SystemExit):
        reid.run(["--cells", "9"])
    with pytest.raises(SystemExit):
        reid.run(["--sizes", "2"])
