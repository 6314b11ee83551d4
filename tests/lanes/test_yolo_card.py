"""Metadata of a stranger's file: read as literals, believed in bounds, never run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ModelError
from edge.lanes.yolo_card import Card, means_plate, read_card


def card(**metadata: str) -> Card:
    return read_card(metadata, "mine.onnx")


def test_what_ultralytics_writes_is_read():
    read = card(
        names="{0: 'license_plate', 1: 'car'}", task="detect", stride="32", imgsz="[320, 320]",
        args="{'batch': 1, 'half': False, 'nms': False}", end2end="False",
        description="Ultralytics YOLOv8n model",
    )  # fmt: skip
    assert read == Card({0: "license_plate", 1: "car"}, "detect", 32, False, None)


def test_nothing_stated_is_nothing_known():
    assert card() == Card(None, None, 32, None, None)
    assert card().wanted("mine.onnx") == (0,)


def test_older_exports_have_a_list_of_names():
    assert card(names="['plate', 'car']").names == {0: "plate", 1: "car"}


def test_names_come_in_the_order_of_their_numbers():
    read = card(names="{1: 'b', 0: 'a'}")
    assert list(read.names.items()) == [(0, "a"), (1, "b")]


ATTACKS = [
    "__import__('os').system('true')",
    "{0: __import__('os')}",
    "{0: open('/etc/passwd').read()}",
    "{0: 'a'}[0]",
    "{0: f'{1}'}",
    "{0: 'a' for _ in range(9)}",
    "lambda: 0",
    "'a' * 10**10",
    "(" * 100_000,
    "[" * 150 + "]" * 150,
    "-" * 100_000 + "1",
    "1" + "+1" * 100_000,
    "{0: " * 50_000,
    "9" * 200_000,
    "{0: 'a', 1: " + "'x' " * 50_000 + "}",
    "\x00",
    "{0: '\ud800'}",
    "{0: 'a'} # " + "x" * (1 << 18),
    "{" + ", ".join(f"{k}: 'c'" for k in range(10_001)) + "}",
    "{0: 'a', 2: 'b'}",
    "{-1: 'a'}",
    "{True: 'a', 0: 'b'}",
    "{0.0: 'a'}",
    "{'0': 'a'}",
    "{0: 1}",
    "{0: None}",
    "{0: ['plate']}",
    "{}",
    "[]",
    "0",
    "'plate'",
    "None",
    "",
    "{0: 'plate'",
]


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: repr(text[:24]))
def test_names_that_are_none_are_refused_in_one_line(text):
    with pytest.raises(ModelError, match="class names that cannot be read") as caught:
        card(names=text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 200  # nothing of the file is repeated


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: repr(text[:24]))
@pytest.mark.parametrize("key", ["stride", "args", "end2end", "kpt_shape", "task"])
def test_whatever_else_cannot_be_read_is_not_stated(key, text):
    assert card(**{key: text}) == card()


@given(st.text(max_size=60), st.sampled_from(["stride", "args", "end2end", "kpt_shape", "task"]))
def test_any_text_is_survived(text, key):
    read = card(**{key: text})
    assert 8 <= read.stride <= 256


@pytest.mark.parametrize(
    ("text", "stride"),
    [("32", 32), ("64", 64), ("[8, 16, 32]", 32), ("(8, 16, 32, 64)", 64), ("0", 32), ("-32", 32),
     ("7", 32), ("4096", 32), ("32.0", 32), ("True", 32), ("[]", 32), ("['32']", 32),
     ("[True, 16]", 16)],
)  # fmt: skip
def test_a_stride_is_believed_within_bounds(text, stride):
    assert card(stride=text).stride == stride


@pytest.mark.parametrize(
    ("end2end", "args", "final"),
    [("True", None, True), ("False", None, False), (None, "{'nms': True}", True),
     (None, "{'nms': False}", False), ("False", "{'nms': True}", True), (None, "{}", None),
     ("1", "{'nms': 1}", None), ("true", None, None), ("True", "[]", True)],
)  # fmt: skip
def test_whether_doubles_are_dropped(end2end, args, final):
    stated = {key: value for key, value in (("end2end", end2end), ("args", args)) if value}
    assert card(**stated).final is final


@pytest.mark.parametrize(
    ("text", "shape"),
    [("[4, 2]", (4, 2)), ("(17, 3)", (17, 3)), ("[4]", None), ("[4, 1]", None), ("[0, 2]", None),
     ("[-4, 2]", None), ("[4, 2, 1]", None), ("['4', 2]", None), ("[True, 2]", None),
     ("[1000000, 2]", None), ("4", None)],
)  # fmt: skip
def test_the_shape_of_key_points(text, shape):
    assert card(kpt_shape=text).keypoints == shape


@pytest.mark.parametrize(
    "name",
    ["license_plate", "License Plate", "LICENSE-PLATE", "licence", "licenseplate", "LicensePlate",
     "number plate", "numberplate", "NumberPlate", "Plate", "plates", "car_plate", "vehicle plate",
     "eu-plate-2", "LP", "lp", "Kennzeichen", "Nummernschild", "placa", "Matrícula", "matricula",
     "plaque d'immatriculation", "targa", "车牌", "車牌", "ナンバープレート", "kenteken"],
)  # fmt: skip
def test_names_that_mean_plate(name):
    assert means_plate(name)


@pytest.mark.parametrize(
    "name",
    ["template", "car", "person", "help", "face", "", "0", "plated", "tectonic_plateau", "alpha",
     "traffic sign", "helpline", "boilerplate text", "vehicle", "number", "registration"],
)  # fmt: skip
def test_names_that_do_not(name):
    assert not means_plate(name)


def test_the_only_class_is_the_plate_whatever_its_name():
    assert card(names="{0: 'item'}").wanted("mine") == (0,)


def test_of_several_those_that_fit_count():
    names = "['car', 'licence plate', 'number_plate', 'face']"
    assert card(names=names).wanted("mine") == (1, 2)


def test_where_none_fits_the_classes_are_named_fit_for_a_terminal():
    names = str({0: "car\x1b[31m\n" + "x" * 150, 1: "bus"})
    with pytest.raises(ModelError, match=r"car\?\[31m\?x+…, bus\. Use a model") as caught:
        card(names=names).wanted("mine")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
