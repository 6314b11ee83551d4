"""The export benchmark: what it says of each step, and of a film that detectors are run over."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from rich.console import Console

from edge.catalogue import load_catalogue
from edge.errors import ModelError
from edge.inference.manifest import Check
from edge.model_store import ModelStore
from tests.command import blind_yunet
from tests.films import write_film
from tests.support import SHARED, shared_file

pytest.importorskip("onnx", reason="models are exported with onnx (extra engines)")

from benchmarks._export_film import Hidden, hidden_in
from benchmarks.export import Line, Measurement, Step, cells, columns
from export.rows import Row, Wish
from export.sources import own_source, source_of

FRAMES = 4


def check(error: float, accuracy: float | None = None) -> Check:
    return Check(
        against="onnxruntime 1", inputs=50, error=error, tolerance=None, agreement=0.9955,
        accuracy=accuracy, accuracy_fp32=accuracy, milliseconds=1.0,
    )  # fmt: skip


def measurement(tmp_path) -> Measurement:
    return Measurement(tmp_path, Wish(), None, Console(quiet=True))


def test_engines_are_of_the_precision_that_the_gate_took(tmp_path):
    measured = measurement(tmp_path)
    for step, state, note in (
        ("onnx", "done", ""), ("verify fp32", "done", ""), ("int8", "gated", "loses"),
        ("fp16", "done", ""), ("engine sm_86", "done", "not run yet"),
        ("engine sm_89", "failed", "no kernel"), ("engine sm_120", "done", "not run yet"),
    ):  # fmt: skip
        seen = check(0.0 if step == "verify fp32" else 0.25, 0.5) if "engine" not in step else None
        measured._take(Row("net-random", "random", step, state, 1.5, note, seen))
    precisions = ["fp16", "int8", "fp8"]
    row = cells("net-random", measured.lines["net-random"], precisions, film=False)
    assert columns(precisions, film=False) == [
        "network", "inputs", "ONNX", "FP16", "INT8", "FP8", "engines",
    ]  # fmt: skip
    assert row == [
        "net *random*", "50", "exact, 99.55 %, hides 50.0 %, 3.0 s",
        "2.5e-01, 99.55 %, hides 50.0 %, 1.5 s",
        "2.5e-01, 99.55 %, hides 50.0 %, 1.5 s; refused", "–",
        "fp16 1.5 1.5 s, none for sm_89",
    ]  # fmt: skip


def test_the_second_part_of_a_model_begins_with_fp32(tmp_path):
    measured = measurement(tmp_path)
    measured._take(Row("w-encoder", "user", "fp16", "done", 1.0, "", check(0.1)))
    measured._take(Row("w-decoder", "user", "onnx", "done", 1.0))
    measured._take(Row("w-decoder", "user", "engine sm_86", "done", 1.0))
    assert list(measured.lines["w-decoder"].engines) == ["fp32"]


def test_where_no_engine_can_be_it_says_why_and_a_failure_is_no_blank():
    left = Line("published", engines={"fp32": {"sm_86": Step("left", 0.0, None, "it stays")}})
    assert cells("net", left, [], film=False)[-1] == "none: it stays"
    failed = Line("published", failure="no model net. Get it.")
    assert cells("net", failed, ["fp16"], film=False)[2:4] == ["no model net. Get it.", "–"]


def labelled_film(path, pictures, boxes):
    write_film(path, pictures, 30)
    frames = [[["face", at, *map(float, box)] for at, box in enumerate(boxes)]] * len(pictures)
    path.with_suffix(".json").write_text(json.dumps({"frames": frames}))
    return path


def exported(name, source, folder, precision="fp32") -> None:
    from export.exporter import Exporter

    pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
    pytest.importorskip("skimage", reason="inputs are scikit-image's photographs (extra demo)")
    folder.mkdir()
    exporter = Exporter(folder, tell=lambda _: None, report=lambda _: None)
    exporter.export(source, Wish(precision, inputs=2))


def test_what_sees_nothing_hides_nothing_of_a_film(tmp_path):
    source = own_source("mine", blind_yunet(tmp_path / "mine.onnx"), None)
    exported("mine", source, tmp_path / "engines")
    grey = [np.full((96, 160, 3), 90, np.uint8)] * FRAMES
    film = labelled_film(tmp_path / "film.mp4", grey, [(10, 10, 40, 40), (60, 10, 90, 40)])
    said: list[str] = []
    found = hidden_in(film, tmp_path / "engines", source, said.append)
    assert found == {"mine": {"fp32": Hidden(0, 2 * FRAMES)}}
    assert said == ["  mine hides fp32 0.0 % of 8"]


def test_a_real_detector_hides_real_faces_of_a_film(tmp_path):
    folder = shared_file("media/faces/labels.json").parent
    try:
        store = ModelStore(load_catalogue(), extra_dirs=[SHARED / "models"])
        source = source_of("yunet-n", store)
    except ModelError as error:
        pytest.skip(f"no model yunet-n: {error}")
    exported("yunet-n", source, tmp_path / "engines")
    name, boxes = next(iter(json.loads((folder / "labels.json").read_text()).items()))
    picture = cv2.imread(str(folder / name))
    film = labelled_film(tmp_path / "film.mp4", [picture] * FRAMES, boxes)
    hidden = hidden_in(film, tmp_path / "engines", source, lambda _: None)["yunet-n"]["fp32"]
    assert hidden.of == len(boxes) * FRAMES
    assert hidden.share > 0.5
