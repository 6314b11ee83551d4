"""Choosing the plate model: a missing one may be stood in for, a wrong one never."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge.config import Settings
from edge.errors import ModelError
from edge.lanes.plate_own import DEFAULT_CONF
from edge.plate_model import load_plate_model
from tests.lanes.pictures import coloured
from tests.lanes.yolo_models import answering, cells_answer, middle
from tests.support import shared_file

HYPERLPR = "plate_hyperlpr.onnx"


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch, tmp_path):
    """No models but those that a test puts there."""
    monkeypatch.delenv("PRIVAEDGE_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("edge.model_store.SYSTEM_DIR", tmp_path / "none")


def settings_with(folder: Path, *, text: bool = True, fetch: bool = True, **plate) -> Settings:
    return Settings.model_validate(
        {
            "video": {"models": {"plate": plate, "text": {"enabled": text}}},
            "models": {"search_paths": (str(folder),), "fetch": fetch},
        }
    )


def user_file(folder: Path, **others) -> Path:
    answer = cells_answer()
    answer[0, :, 9] = [*middle((100, 120, 140, 136)), 0.2]
    path = folder / "best.onnx"
    path.write_bytes(answering({"output0": answer}, **others))
    return path


def test_switched_off_is_no_model_and_nothing_missing(tmp_path):
    choice = load_plate_model(settings_with(tmp_path, enabled=False, model=("plate-hyperlpr",)))
    assert choice.model is None
    assert choice.missing is None


def test_the_catalogued_model_is_found_and_works(tmp_path):
    shutil.copy(shared_file(f"models/{HYPERLPR}"), tmp_path / HYPERLPR)
    choice = load_plate_model(settings_with(tmp_path))
    assert choice.missing is None
    model = choice.model
    assert (model.name, model.family, model.conf) == ("plate-hyperlpr", "hyperlpr", 0.3)
    first, second = model.make(), model.make()
    assert first is not second  # one thread each
    for detector in (first, second):
        assert len(detector.infer(0, coloured(320, 200))[1]) == 0


def test_a_users_yolo_is_taken_by_its_path(tmp_path):
    """conf reaches the decoder: what is below half of it is not even reported."""
    path = str(user_file(tmp_path))
    for conf, found in ((None, 1), (0.3, 1), (0.5, 0)):
        model = load_plate_model(settings_with(tmp_path, model=(path,), conf=conf)).model
        assert (model.name, model.family) == ("best.onnx", "yolo")
        assert model.conf == (0.25 if conf is None else conf)
        assert len(model.make().infer(0, coloured(1280, 720))[1]) == found


def test_the_input_size_reaches_a_free_model(tmp_path):
    answer = cells_answer(960, 544)
    answer[0, 4, 9] = 0.9
    path = tmp_path / "free.onnx"
    path.write_bytes(answering({"o": answer}, shape=(1, 3, "h", "w")))
    settings = settings_with(tmp_path, model=(str(path),), input_size=960)
    assert len(load_plate_model(settings).model.make().infer(0, coloured(1280, 720))[1]) == 1
    with pytest.raises(ModelError, match="640x384"):
        load_plate_model(settings_with(tmp_path, model=(str(path),)))


def test_a_fresh_machine_has_the_model_that_comes_with_the_package(tmp_path):
    model = load_plate_model(settings_with(tmp_path, text=False, fetch=False)).model
    assert (model.name, model.family, model.conf) == ("plates-own", "plate-own", DEFAULT_CONF)
    assert len(model.make().infer(0, coloured(320, 200))[1]) == 0


@pytest.mark.parametrize("fetch", [True, False])
def test_a_catalogued_model_that_is_nowhere_is_stood_in_for_by_text(tmp_path, fetch):
    choice = load_plate_model(settings_with(tmp_path, fetch=fetch, model=("plate-hyperlpr",)))
    assert choice.model is None
    assert "plate-hyperlpr" in choice.missing
    assert "\n" not in choice.missing


def test_without_the_text_lane_a_missing_model_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="plate-hyperlpr"):
        load_plate_model(settings_with(tmp_path, text=False, model=("plate-hyperlpr",)))


def test_a_named_file_that_is_not_there_is_an_error(tmp_path):
    missing = str(tmp_path / "best.onnx")
    for preference in ((missing,), ("plate-hyperlpr", missing)):
        with pytest.raises(ModelError, match=r"best\.onnx does not exist"):
            load_plate_model(settings_with(tmp_path, model=preference))


def test_an_unknown_name_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="not in the model catalogue"):
        load_plate_model(settings_with(tmp_path, model=("plate-hyperlrp",)))


def test_a_file_with_the_wrong_hash_is_an_error(tmp_path):
    (tmp_path / HYPERLPR).write_bytes(b"tampered with")
    with pytest.raises(ModelError, match="wrong SHA-256"):
        load_plate_model(settings_with(tmp_path))


@pytest.mark.parametrize(
    ("others", "match"),
    [
        ({"stated": {"names": "['cat', 'dog']"}}, "knows no licence plates"),
        ({"dtype": np.uint8}, "float32"),
        ({"shape": (1, 3, 640, 640)}, "answers in shapes"),
    ],
    ids=["classes", "type", "size"],
)
def test_a_file_that_is_no_plate_detector_is_an_error(tmp_path, others, match):
    path = str(user_file(tmp_path, **others))
    with pytest.raises(ModelError, match=match):
        load_plate_model(settings_with(tmp_path, model=(path,)))
