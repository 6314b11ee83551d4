"""Exports from end to end: what comes out, that nothing is done twice, and that old files stay."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from edge import face_model, files
from edge.config import FaceModel, Models, Settings, Video, VideoModels
from edge.errors import ModelError
from edge.inference.manifest import FILE, load_manifest, read_vouched
from edge.model_store import store_of
from tests.command import blind_yunet, stranger

pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
pytest.importorskip("skimage", reason="inputs are scikit-image's photographs (extra demo)")

from export.exporter import Exporter
from export.families.yunet import YuNetPart
from export.rows import Row, Wish
from export.sources import own_source

WISH = Wish("fp32", inputs=4)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty engines folder, on a machine without a GPU."""
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setattr("export.steps.gpu_here", lambda: None)
    (tmp_path / "engines").mkdir()
    return tmp_path / "engines"


@pytest.fixture
def model(tmp_path) -> Path:
    return blind_yunet(tmp_path / "mine.onnx")


def export(folder: Path, path: Path, wish: Wish = WISH) -> list[Row]:
    rows: list[Row] = []
    exporter = Exporter(folder, tell=lambda _: None, report=rows.append)
    exporter.export(own_source("mine", path, None), wish)
    return rows


def steps(rows: list[Row]) -> dict[str, str]:
    return {row.step: row.state for row in rows}


def untouched(folder: Path) -> dict[str, bytes]:
    """All that the manifest vouches for, read and verified, and the manifest itself."""
    manifest = load_manifest(folder)
    kept = {file.file: read_vouched(folder, file) for file in manifest.files}
    return kept | {FILE: (folder / FILE).read_bytes()}


def test_a_file_of_ones_own_becomes_a_working_lane(folder, model):
    rows = export(folder, model)
    assert steps(rows) == {"onnx": "done", "verify fp32": "done", "engine": "left"}
    assert "no GPU is here" in rows[-1].note
    settings = Settings(
        video=Video(models=VideoModels(face=FaceModel(model=("mine",)))), models=Models(fetch=False)
    )
    resolved = store_of(settings).resolve(["mine"])
    assert (resolved.family, resolved.name) == ("yunet", "mine")
    loaded = face_model.load_face_model(settings)
    assert loaded is not None
    assert (loaded.name, loaded.family) == ("mine", "yunet")
    assert loaded.make() is not None


def test_the_manifest_says_what_was_done(folder, model):
    export(folder, model)
    (file,) = load_manifest(folder).files
    assert (file.model, file.kind, file.precision, file.opset) == ("mine", "onnx", "fp32", 17)
    assert file.origin.weights == "user"
    assert file.origin.text == "the user's own mine.onnx"
    assert str(model.parent) not in (folder / FILE).read_text()
    assert file.check is not None
    assert (file.check.inputs, file.check.error, file.check.agreement) == (4, 0.0, 1.0)
    assert file.inputs[0].shape == (1, 3, ("height", 32, 544, 1280), ("width", 32, 960, 1280))


def test_nothing_is_done_twice(folder, model):
    export(folder, model)
    before = untouched(folder)
    assert steps(export(folder, model)) == {"onnx": "kept", "verify fp32": "kept", "engine": "left"}
    assert untouched(folder) == before


def test_a_damaged_cache_is_done_anew(folder, model):
    export(folder, model)
    for path in (folder / ".cache").glob("*.bin"):
        path.write_bytes(b"damaged")
    assert steps(export(folder, model))["onnx"] == "done"


def test_other_weights_replace_the_file_and_leave_nothing_behind(folder, model):
    export(folder, model)
    (old,) = load_manifest(folder).files
    changed = onnx.load(model)
    for tensor in changed.graph.initializer:
        if tensor.name == "zero":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + 1e-3, "zero"))
    onnx.save(changed, str(model))
    export(folder, model)
    (new,) = load_manifest(folder).files
    assert new.sha256 != old.sha256
    assert not (folder / old.file).exists()
    assert read_vouched(folder, new)


def test_a_graph_that_is_another_model_is_refused_and_the_old_one_stays(
    folder, model, monkeypatch, tmp_path
):
    export(folder, model)
    before = untouched(folder)
    shutil.rmtree(folder / ".cache")
    other = onnx.load(model)
    for node in other.graph.node:
        if node.op_type == "AveragePool":
            node.op_type = "MaxPool"
    constant = other.graph.initializer[0]
    constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) + 1, constant.name))
    broken = other.SerializeToString()
    monkeypatch.setattr(YuNetPart, "to_onnx", lambda self, out: out.write_bytes(broken))
    with pytest.raises(ModelError, match="is not the model it was made from"):
        export(folder, model)
    assert untouched(folder) == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_without_space_the_old_file_stays(folder, model, monkeypatch, code):
    export(folder, model)
    before = untouched(folder)
    shutil.rmtree(folder / ".cache")

    def full(_descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(ModelError, match=r"no space left .* what was there before still is"):
        export(folder, model)
    monkeypatch.undo()
    assert untouched(folder) == before
    assert not [p for p in folder.rglob(".*") if p.suffix == "" and p.name.startswith(".manifest")]


def test_a_crash_between_file_and_manifest_leaves_the_old_one(folder, model, monkeypatch):
    export(folder, model)
    before = untouched(folder)
    changed = onnx.load(model)
    changed.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(changed.graph.initializer[0]) + 1e-3, "zero")
    )
    onnx.save(changed, str(model))

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("export.place.save_manifest", crash)
        with pytest.raises(KeyboardInterrupt):
            export(folder, model)
    assert untouched(folder) == before


def test_a_damaged_manifest_is_told_of_before_the_work(folder, model):
    (folder / FILE).write_text("{")
    with pytest.raises(ModelError, match="nothing beside it is trusted"):
        export(folder, model)


@pytest.mark.parametrize("damage", ["cut", "garbage"])
def test_a_damaged_source_is_refused(folder, model, damage):
    data = model.read_bytes()
    model.write_bytes(data[: len(data) // 2] if damage == "cut" else b"\x00\xff" * 99)
    with pytest.raises(ModelError) as caught:
        export(folder, model)
    assert "\n" not in str(caught.value)
    assert not (folder / FILE).exists()


def test_a_network_of_no_family_is_refused(folder, tmp_path):
    with pytest.raises(ModelError):
        export(folder, stranger(tmp_path / "stranger.onnx"))


def test_what_was_exported_can_be_verified_again(folder, model):
    export(folder, model)
    rows: list[Row] = []
    exporter = Exporter(folder, tell=lambda _: None, report=rows.append)
    exporter.verify(own_source("mine", model, None), WISH)
    assert steps(rows) == {"verify fp32": "done"}


def test_verifying_notices_a_flipped_byte(folder, model):
    export(folder, model)
    (file,) = load_manifest(folder).files
    path = folder / file.file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    exporter = Exporter(folder, tell=lambda _: None, report=lambda _: None)
    with pytest.raises(ModelError, match="is not loaded"):
        exporter.verify(own_source("mine", model, None), WISH)


def test_what_was_never_exported_cannot_be_verified(folder, model):
    exporter = Exporter(folder, tell=lambda _: None, report=lambda _: None)
    with pytest.raises(ModelError, match="has not been exported yet"):
        exporter.verify(own_source("mine", model, None), WISH)
