"""The export verb: what it lists, and every mistake in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge.errors import ExitCode
from edge.inference.manifest import load_manifest, read_vouched
from tests.command import blind_yunet, invoke
from tests.lanes.yolo_models import answering, cells_answer, metadata


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    return tmp_path / "engines"


def test_it_lists_what_can_be_exported():
    done = invoke("export", "--list", "--json")
    assert done.code == 0
    rows = {row["model"]: row for row in json.loads(done.out)}
    assert {"centerface", "yunet-n", "silero-vad", "tagger-own", "lines-own"} <= set(rows)
    assert rows["centerface"]["weights"] == "published"
    assert rows["tagger-own"]["here"] == "yes"


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (["nosuch"], ExitCode.MODEL, "nosuch is no model"),
        (["--precision", "int4", "tagger-own"], ExitCode.CONFIG, "int4 is no precision"),
        (["--target", "rtx4090", "tagger-own"], ExitCode.CONFIG, "rtx4090 is no target"),
        (["tagger-own", "--as", "mine"], ExitCode.CONFIG, "for a file of your own"),
        (["nosuch/file.onnx"], ExitCode.MODEL, "does not exist"),
        (["tagger-own", "--family", "yolo"], ExitCode.CONFIG, "for a file of your own"),
    ],
)
def test_a_mistake_is_one_line(args, code, word):
    invoke("export", *args).refused(code, word)


@pytest.mark.parametrize("name", ["Über", "a b", "../x", "-x", "centerface"])
def test_a_name_that_settings_cannot_have_is_refused(tmp_path, name):
    path = blind_yunet(tmp_path / "mine.onnx")
    done = invoke("export", path, f"--as={name}")
    assert done.code == int(ExitCode.CONFIG)


def test_weights_that_no_plate_is_among_are_refused_and_the_others_still_exported(tmp_path, folder):
    """Eighty classes, none of them a plate: the lane could not know what to hide."""
    pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
    names = str({k: f"thing {k}" for k in range(80)})
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(answering({"o": cells_answer(classes=80)}, stated=metadata(names)))
    good = blind_yunet(tmp_path / "good.onnx")
    done = invoke("export", wrong, good, "--precision=fp32", "--inputs=2")
    assert done.code == int(ExitCode.MODEL)
    assert "knows no licence plates" in done.err
    assert [file.model for file in load_manifest(folder).files] == ["good"]


def test_another_number_of_classes_than_names_is_refused(tmp_path, folder):
    pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
    wrong = tmp_path / "wrong.onnx"
    table = cells_answer(classes=3)
    wrong.write_bytes(answering({"o": table.astype(np.float32)}, stated=metadata()))
    done = invoke("export", wrong, "--precision=fp32", "--inputs=2")
    assert done.code == int(ExitCode.MODEL)
    assert "wrong" in done.err
    assert load_manifest(folder).files == ()


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_missing_calibration_data_are_told_of(tmp_path, folder, what):
    pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
    pictures = tmp_path / "pictures"
    if what == "empty":
        pictures.mkdir()
    model = blind_yunet(tmp_path / "mine.onnx")
    done = invoke("export", model, "--precision=int8", f"--calibration={pictures}")
    assert done.code == int(ExitCode.MODEL)
    expected = {"missing": "does not exist", "empty": "there is no picture in"}[what]
    assert expected in done.err
    assert load_manifest(folder).files == ()


def test_the_rest_is_nothing_where_no_gpu_is(monkeypatch):
    monkeypatch.setattr("edge.inference.gpu.gpu_here", lambda: None)
    done = invoke("export", "--left")
    assert done.code == 0
    assert "no NVIDIA GPU is here" in done.out


def test_engines_for_named_targets_and_what_is_left_for_the_device(tmp_path, folder, monkeypatch):
    pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
    pytest.importorskip("tensorrt_rtx", reason="engines are built by tensorrt-rtx (extra engines)")
    monkeypatch.setattr("export.steps.gpu_here", lambda: None)
    model = blind_yunet(tmp_path / "mine.onnx")
    done = invoke(
        "export", model, "--precision=fp32", "--inputs=2", "--target=sm_89,sm_120",
        "--target=sm_87",
    )  # fmt: skip
    assert done.code == 0, done.err
    manifest = load_manifest(folder)
    engines = {file.engine.target for file in manifest.of("mine", "engine") if file.engine}
    assert engines == {"sm_89", "sm_120"}
    lines = {line.split(" · ")[1]: line for line in done.err.splitlines() if " · " in line}
    assert list(lines) == ["onnx", "verify fp32", "engine sm_89", "engine sm_120", "engine sm_87"]
    assert "checked there before use" in lines["engine sm_89"]
    assert "Run `privaedge export` on the device" in lines["engine sm_87"]
    for word in ("mine", "engine sm_120", "done", "left", "100.00 %"):
        assert word in done.out, "the table says less than the lines"
    listed = invoke("export", "--list", "--json")
    (row,) = [row for row in json.loads(listed.out) if row["model"] == "mine"]
    assert (row["family"], row["weights"]) == ("yunet", "user")
    assert row["exported"] == "fp32, fp32 sm_120, fp32 sm_89"


def test_a_graph_that_tensorrt_cannot_take_fails_alone(tmp_path, folder, monkeypatch):
    """The engine before it stays, and so does the ONNX file."""
    pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
    pytest.importorskip("tensorrt_rtx", reason="engines are built by tensorrt-rtx (extra engines)")
    monkeypatch.setattr("export.steps.gpu_here", lambda: None)
    model = blind_yunet(tmp_path / "mine.onnx")
    args = ("export", model, "--precision=fp32", "--inputs=2", "--target=sm_89")
    assert invoke(*args).code == 0
    before = load_manifest(folder)

    def refuse(*_):
        from export.compiler import Unbuildable

        raise Unbuildable("TensorRT cannot build an engine of the graph (out of memory).")

    with monkeypatch.context() as patch:
        patch.setattr("export.compiler.build", refuse)
        patch.setattr("export.steps.Cache.get", lambda self, key: None)
        done = invoke(*args)
    assert done.code == int(ExitCode.MODEL)
    assert "engine sm_89 · failed" in done.err
    after = load_manifest(folder)
    assert list(after.of("mine", "engine")) == list(before.of("mine", "engine"))
    assert {file.sha256 for file in after.files} == {file.sha256 for file in before.files}
    for file in after.files:
        assert read_vouched(folder, file)


def test_all_names_can_be_read_on_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    done = invoke("export", "--list")
    for row in json.loads(invoke("export", "--list", "--json").out):
        assert row["model"] in done.out
