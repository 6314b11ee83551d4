"""doctor about exported engines: which one a lane uses, why, and what is wrong with the files."""

from __future__ import annotations

import pytest

from edge.catalogue import load_catalogue
from edge.config import FaceModel, Models, Settings, Video, VideoModels
from edge.doctor import Report, collect
from edge.inference.choice import explain_exported
from edge.inference.gpu import GpuIdentity
from edge.inference.manifest import FILE, Manifest, save_manifest
from edge.lane_models import OWN_TAGGER
from edge.model_store import ModelStore
from tests.inference.test_manifest import exported, facts, write

ADA = GpuIdentity("NVIDIA L4", "sm_89", "13.0")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    (tmp_path / "engines").mkdir()
    return tmp_path / "engines"


def report(face_model) -> Report:
    face = FaceModel(model=(str(face_model),))
    settings = Settings(video=Video(models=VideoModels(face=face)), models=Models(fetch=False))
    empty = face_model.parent
    return collect({"mine": settings}, lambda _: ModelStore(load_catalogue(), [empty], empty))


def test_the_engines_that_the_manifest_vouches_for_are_counted(folder, blind_model):
    good = exported(b"plan", engine=facts())
    save_manifest(folder, Manifest(files=(good,)))
    write(folder, good)
    write(folder, exported(b"stranger", engine=facts(target="sm_86")), b"stranger")
    found = report(blind_model)
    assert found.engines.files == (good.file,)
    assert not [p for p in found.problems if "export" in p.text]


def test_an_engine_that_was_changed_is_a_serious_problem(folder, blind_model):
    good = exported(b"plan", engine=facts())
    save_manifest(folder, Manifest(files=(good,)))
    write(folder, good, b"code")
    found = report(blind_model)
    assert found.engines.files == ()
    (problem,) = [p for p in found.problems if "is not loaded" in p.text]
    assert problem.serious
    assert "privaedge export net" in problem.text


def test_a_damaged_manifest_is_a_serious_problem(folder, blind_model):
    (folder / FILE).write_text("{")
    found = report(blind_model)
    (problem,) = [p for p in found.problems if "nothing beside it is trusted" in p.text]
    assert problem.serious


def test_every_lane_says_what_runs_it(folder, blind_model):
    (use,) = report(blind_model).profiles
    ready = [part for part in use.lanes if part.readiness == "ready" and part.sha256]
    assert ready
    carried = (OWN_TAGGER, "lines")
    for part in ready:
        assert part.model in carried or part.runs is not None, part
        if part.role == "detector":
            assert part.runs == "ONNX Runtime on the CPU: no NVIDIA GPU is here" or (
                "export" in (part.runs or "")
            )


def test_what_has_two_parts_is_explained_in_both(folder, monkeypatch):
    monkeypatch.setattr("edge.inference.choice.gpu_here", lambda: ADA)
    monkeypatch.setattr("edge.inference.choice.installed", lambda flavour: "10.3.0")
    halves = [exported(p.encode(), part=p, model="ears") for p in ("encoder", "decoder")]
    engine = exported(b"plan", part="encoder", model="ears", engine=facts())
    save_manifest(folder, Manifest(files=(*halves, engine)))
    write(folder, engine)
    text = explain_exported("ears")
    assert text is not None
    assert "encoder: tensorrt 10.3.0, fp16: checked on this NVIDIA L4" in text
    assert "decoder: ONNX Runtime on the CPU: no engine was exported" in text
    assert explain_exported("nobody") is None
    (folder / FILE).write_text("{")
    assert explain_exported("ears") is None
