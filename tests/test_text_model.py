from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from edge.config import Settings
from edge.config_io import load_config
from edge.errors import ModelError
from edge.lanes.ppocr_det import DEFAULT_CONF
from edge.text_model import load_text_model
from tests.lanes.signs import Sign, draw, model, picture


def settings_with(*overrides: str) -> Settings:
    return load_config(None, None, list(overrides))


@pytest.fixture(autouse=True)
def _models() -> None:
    for name in ("ppocr-v4-det", "ppocr-v4-rec", "ppocr-v4-cls"):
        model(name)


def test_text_switched_off_needs_no_model():
    assert load_text_model(settings_with("video.models.text.enabled=false")) is None


def test_every_lane_gets_models_of_its_own_that_read():
    loaded = load_text_model(settings_with())
    assert loaded is not None
    assert loaded.name == "ppocr-v4-det + ppocr-v4-rec"
    assert loaded.conf == DEFAULT_CONF
    detectors = [loaded.make_detector() for _ in range(2)]
    readers = [loaded.make_reader() for _ in range(2)]
    assert detectors[0] is not detectors[1]
    assert readers[0] is not readers[1]
    page = picture(draw(Sign("Gate 14", 200, 100, 30))[0])
    for finder, reader in zip(detectors, readers, strict=True):
        frame_id, seen = finder.infer(5, page)
        assert frame_id == 5
        assert [reading.text for reading in reader.read(page, seen.quads)] == ["Gate 14"]


def test_the_orientation_model_can_be_left_out():
    loaded = load_text_model(settings_with("video.models.text.orientation=null"))
    assert loaded is not None
    assert loaded.make_reader() is not None


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("detector", "ppocr-v4-rec"), ("recogniser", "ppocr-v4-det"),
        ("orientation", "ppocr-v4-det"),
    ],
)  # fmt: skip
def test_a_model_of_another_family_is_told_of(part, name):
    with pytest.raises(ModelError, match=r"family .*\. Use"):
        load_text_model(settings_with(f"video.models.text.{part}=[{name}]"))


def test_a_recogniser_without_a_dictionary_is_told_of(tmp_path: Path):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 48, "w"])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 48, "w"])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [result])
    path = tmp_path / "mute.onnx"
    opset = helper.make_opsetid("", 17)
    path.write_bytes(
        helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString()
    )
    with pytest.raises(ModelError, match="dictionary"):
        load_text_model(settings_with(f"video.models.text.recogniser=[{path}]"))


def test_a_model_that_cannot_be_had_is_told_of():
    with pytest.raises(ModelError):
        load_text_model(settings_with("video.models.text.detector=[/nowhere/det.onnx]"))
