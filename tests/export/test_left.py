"""What is left for the device: engines of what was exported on a machine without its GPU."""

from __future__ import annotations

import pytest

from edge.inference import choice as choosing
from edge.inference.choice import choose, explain
from edge.inference.gpu import GpuIdentity
from edge.inference.manifest import load_manifest, read_vouched
from edge.inference.onnx import OnnxEngine
from tests.command import blind_yunet, invoke

pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
pytest.importorskip("tensorrt_rtx", reason="engines are built by tensorrt-rtx (extra engines)")
pytest.importorskip("skimage", reason="inputs are scikit-image's photographs (extra demo)")

from export.exporter import Exporter
from export.rows import Wish
from export.sources import own_source

ADA = GpuIdentity("NVIDIA L4", "sm_89", "13.0")
NEWER = GpuIdentity("NVIDIA L4", "sm_89", "13.1")


@pytest.fixture
def exported(tmp_path, monkeypatch):
    """The folder of a machine without a GPU, from which the user's own weights are gone."""
    folder = tmp_path / "engines"
    folder.mkdir()
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(folder))
    monkeypatch.setattr("export.steps.gpu_here", lambda: None)
    path = blind_yunet(tmp_path / "mine.onnx")
    exporter = Exporter(folder, tell=lambda _: None, report=lambda _: None)
    exporter.export(own_source("mine", path, None), Wish("fp32", inputs=2))
    path.unlink()
    return folder


@pytest.fixture
def device(monkeypatch):
    """Says which GPU is here. No GPU runs in tests: the graph that an engine was built of answers
    in its place; all around it, the builder too, is real."""

    def become(gpu: GpuIdentity, folder) -> None:
        for place in ("edge.inference.gpu", "export.steps", "edge.inference.choice"):
            monkeypatch.setattr(f"{place}.gpu_here", lambda: gpu)

        def engine(plan, name, *, flavour, metadata=None):
            assert flavour == "tensorrt_rtx"
            (graph,) = load_manifest(folder).of("mine", "onnx")
            return OnnxEngine(read_vouched(folder, graph), name)

        monkeypatch.setattr("edge.inference.tensorrt.TensorRtEngine", engine)

    return become


def test_the_rest_is_done_without_the_weights(exported, device):
    device(ADA, exported)
    (graph,) = load_manifest(exported).files
    assert "no engine was exported" in explain(graph.origin.sha256, folder=exported)
    done = invoke("export", "--left")
    assert done.code == 0, done.err
    assert "mine · engine sm_89 · done" in done.err
    kept, engine = sorted(load_manifest(exported).files, key=lambda file: file.kind, reverse=True)
    assert kept == graph, "what the first machine saw of the original is worth more"
    assert engine.engine is not None
    assert (engine.engine.target, engine.engine.gpu, engine.engine.driver) == (
        "sm_89", "NVIDIA L4", "13.0",
    )  # fmt: skip
    assert engine.check is not None
    assert engine.check.agreement == 1
    assert engine.origin == graph.origin
    choice = choose(load_manifest(exported), graph.origin.sha256, "", ADA, "auto")
    assert choice.engine == engine, choice
    again = invoke("export", "--left")
    assert "engine" not in again.err


def test_another_driver_makes_it_anew(exported, device, monkeypatch):
    device(ADA, exported)
    assert invoke("export", "--left").code == 0
    device(NEWER, exported)
    (engine,) = load_manifest(exported).of("mine", "engine")
    assert "the driver changed from 13.0 to 13.1" in explain(engine.origin.sha256, folder=exported)
    done = invoke("export", "--left")
    assert done.code == 0, done.err
    (engine,) = load_manifest(exported).of("mine", "engine")
    assert engine.engine is not None
    assert engine.engine.driver == "13.1"
    monkeypatch.setattr(choosing, "gpu_here", lambda: NEWER)
    assert "checked on this NVIDIA L4" in explain(engine.origin.sha256, folder=exported)


def test_weights_that_only_a_framework_reads_are_told_of_and_nothing_fails(
    exported, device, monkeypatch
):
    manifest = load_manifest(exported)
    (graph,) = manifest.files
    from edge.inference.manifest import Manifest, save_manifest

    save_manifest(exported, Manifest(files=(graph.model_copy(update={"family": "whisper"}),)))
    device(ADA, exported)
    done = invoke("export", "--left")
    assert done.code == 0
    assert "mine · left: its weights are not here" in done.err


def test_a_graph_that_was_tampered_with_is_not_built_from(exported, device):
    (graph,) = load_manifest(exported).files
    path = exported / graph.file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    device(ADA, exported)
    done = invoke("export", "--left")
    assert done.code != 0
    assert "is not what manifest.json vouches for" in done.err
    assert not list(load_manifest(exported).of("mine", "engine"))


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_a_damaged_engine_is_built_anew_and_until_then_not_loaded(exported, device, damage):
    device(ADA, exported)
    assert invoke("export", "--left").code == 0
    (engine,) = load_manifest(exported).of("mine", "engine")
    path = exported / engine.file
    if damage == "flipped":
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        path.write_bytes(bytes(data))
    else:
        path.unlink()
    assert explain(engine.origin.sha256, folder=exported).startswith("nothing: exported file")
    done = invoke("export", "--left")
    assert done.code == 0, done.err
    assert read_vouched(exported, engine)


def test_pictures_beside_the_engines_are_what_is_compared_on(exported, device):
    device(ADA, exported)
    (exported / "calibration").mkdir()
    done = invoke("export", "--left")
    assert "there is no picture in" in done.err
    assert done.code != 0
