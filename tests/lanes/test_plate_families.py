"""Which family a plate model belongs to, told by its name in the catalogue or by its graph."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import ModelError
from edge.inference.onnx import OnnxEngine
from edge.lanes.hyperlpr import HyperLpr
from edge.lanes.plate_families import PLATE_FAMILIES, plate_family
from edge.lanes.yolo import Yolo
from tests.lanes.yolo_models import (
    anchors_answer,
    answering,
    cells_answer,
    final_answer,
    metadata,
)
from tests.support import shared_file

REAL = {"plate_hyperlpr": ("hyperlpr", HyperLpr), "plate_yolov8n_int8": ("yolo", Yolo)}


@pytest.mark.parametrize("file", REAL)
def test_a_real_file_of_unknown_family_is_recognised_and_built(file):
    model = shared_file(f"models/{file}.onnx").read_bytes()
    name, kind = REAL[file]
    family = plate_family(None, model, file)
    assert family.name == name
    assert family.prepare(model, file) == model
    detector = family.build(OnnxEngine(model, file), input_size=640, weakest=family.conf / 2)
    assert isinstance(detector, kind)


@pytest.mark.parametrize(
    "answer",
    [cells_answer(), anchors_answer(), final_answer(), np.zeros((0, 7), np.float32)],
    ids=["cells", "anchors", "final", "listed"],
)
def test_every_kind_of_yolo_is_recognised(answer):
    model = answering({"output0": answer}, free_answer=answer.ndim == 2)
    assert plate_family(None, model, "mine").name == "yolo"


def test_a_yolo_with_masks_is_recognised():
    answers = {"output0": cells_answer(extra=32), "output1": np.zeros((1, 32, 80, 80), np.float32)}
    model = answering(answers, stated=metadata(task="segment"))
    assert plate_family(None, model, "mine").name == "yolo"


def test_a_family_is_found_by_its_name_without_a_look_at_the_model():
    for family in PLATE_FAMILIES:
        assert plate_family(family.name, b"", "any") is family
        assert 0 < family.conf < 1


@pytest.mark.parametrize(
    "model",
    [
        answering({"o": np.zeros((1, 128, 2, 2), np.float32)}),
        answering({"o": cells_answer()}, shape=(1, 9)),
        answering({"o": cells_answer()}, inputs=2),
    ],
    ids=["maps", "no picture", "two inputs"],
)
def test_a_model_of_no_plate_family_is_refused(model):
    with pytest.raises(ModelError, match=r"mine is of no plate family .* hyperlpr, yolo"):
        plate_family(None, model, "mine")


def test_a_family_that_there_is_not_is_refused_with_the_others_named():
    with pytest.raises(ModelError, match="hyperlpr, yolo"):
        plate_family("no family", b"", "mine")


def test_a_face_model_is_refused():
    model = shared_file("models/face_yunet_n.onnx").read_bytes()
    family = plate_family(None, model, "mine")
    engine = OnnxEngine(model, "mine")
    with pytest.raises(ModelError, match="model mine "):
        family.build(engine, input_size=640, weakest=0.1)


def test_what_is_no_model_is_refused():
    with pytest.raises(ModelError, match="cannot be loaded"):
        plate_family(None, b"no model", "mine")
