"""Which engine is taken where a GPU is, and that `cuda` starts nothing without one."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import ExitCode, InferenceError, ModelError
from edge.inference import choice as choosing
from edge.inference.bound import CudaMemory
from edge.inference.choice import choose, engine_maker, explain
from edge.inference.eyes import SightedEngine
from edge.inference.failover import FailoverEngine
from edge.inference.manifest import Manifest
from edge.inference.onnx import OnnxEngine
from edge.inference.onnx_cuda import OnnxCudaEngine
from edge.pii.token_classifier import TokenClassifier
from tests.command import invoke
from tests.inference.test_manifest import ADA, WEIGHTS, exported, facts
from tests.inference.test_onnx import reciprocal
from tests.redact.emulator import emulated, shipped

NO_ENGINE = "no engine was exported (privaedge export)"
X = np.array([1, 2, 4], np.float32)


@pytest.fixture(params=[None, "onnxruntime-gpu is not installed"], ids=["works", "missing"])
def trouble(request, monkeypatch) -> str | None:
    """Whether ONNX Runtime computes on the GPU, or why it does not."""
    monkeypatch.setattr(choosing, "cuda_trouble", lambda: request.param)
    return request.param


@pytest.fixture
def ada(monkeypatch, tmp_path):
    """A machine with a GPU on which ONNX Runtime computes, and no engine."""
    monkeypatch.setattr(choosing, "gpu_here", lambda: ADA)
    monkeypatch.setattr(choosing, "cuda_trouble", lambda: None)
    monkeypatch.setattr("edge.inference.choice.Cuda", lambda: emulated(shipped()).cuda)
    monkeypatch.setattr(
        "edge.inference.choice.CudaMemory", lambda cuda: CudaMemory(cuda, device_type="cpu")
    )
    return tmp_path


def test_without_an_engine_onnx_runtime_takes_the_gpu_where_it_can(trouble):
    for device in ("auto", "cuda") if trouble is None else ("auto",):
        choice = choose(Manifest(files=()), WEIGHTS, "", ADA, device)
        assert choice.on_gpu == (trouble is None)
        if trouble is None:
            assert str(choice) == f"ONNX Runtime on the GPU: {NO_ENGINE}"
        else:
            assert str(choice) == f"ONNX Runtime on the CPU: {NO_ENGINE}; {trouble}"


def test_an_engine_that_was_checked_comes_first(trouble, monkeypatch):
    monkeypatch.setattr(choosing, "installed", lambda flavour: "10.3.0")
    manifest = Manifest(files=(exported(engine=facts()),))
    choice = choose(manifest, WEIGHTS, "", ADA, "cuda")
    assert str(choice).startswith("tensorrt 10.3.0, fp16: checked on this NVIDIA L4")
    other = Manifest(files=(exported(engine=facts(driver="12.6")),))
    assert "the driver changed from 12.6" in choose(other, WEIGHTS, "", ADA, "auto").why
    assert choose(other, WEIGHTS, "", ADA, "auto").on_gpu == (trouble is None)


@pytest.mark.parametrize("gpu", [None, ADA])
def test_cuda_is_an_error_where_nothing_uses_the_gpu(gpu, monkeypatch):
    monkeypatch.setattr(choosing, "cuda_trouble", lambda: "onnxruntime-gpu is not installed")
    why = "no NVIDIA GPU is here" if gpu is None else f"{NO_ENGINE}; onnxruntime-gpu is not"
    with pytest.raises(ModelError, match=r"Set runtime\.device to auto") as caught:
        choose(Manifest(files=()), WEIGHTS, "", gpu, "cuda")
    assert why in str(caught.value)
    assert choose(Manifest(files=()), WEIGHTS, "", gpu, "auto").why.startswith(why)
    assert choose(Manifest(files=()), WEIGHTS, "", gpu, "cpu").why == "runtime.device is cpu"


def test_without_a_gpu_onnx_runtime_is_not_even_asked(monkeypatch):
    def asked() -> str:
        raise AssertionError

    monkeypatch.setattr(choosing, "cuda_trouble", asked)
    assert not choose(Manifest(files=()), WEIGHTS, "", None, "auto").on_gpu
    assert not choose(Manifest(files=()), WEIGHTS, "", ADA, "cpu").on_gpu


def test_makers_give_what_was_chosen(ada):
    def make(device: str):
        return engine_maker(reciprocal(), "net", WEIGHTS, device=device, threads=1, folder=ada)()

    wanted = OnnxEngine(reciprocal(), "net").run({"x": X})["inverse"].tolist()
    for device in ("auto", "cuda"):
        engine = make(device)
        assert isinstance(engine, FailoverEngine)
        assert isinstance(engine._gpu, SightedEngine)
        assert isinstance(engine._gpu._engine, OnnxCudaEngine)
        for _ in range(3):
            assert engine.run({"x": X})["inverse"].tolist() == wanted
        for _ in range(3):
            with pytest.raises(InferenceError):
                engine.run({"x": np.zeros(3, np.float32)})
        assert engine.on_cpu
        assert engine.run({"x": X})["inverse"].tolist() == wanted
        engine.close()
    assert isinstance(make("cpu"), OnnxEngine)
    assert explain(WEIGHTS, "cuda", folder=ada) == f"ONNX Runtime on the GPU: {NO_ENGINE}"


def test_a_maker_says_which_model_the_gpu_cannot_run(monkeypatch, tmp_path):
    monkeypatch.setattr(choosing, "gpu_here", lambda: None)
    with pytest.raises(ModelError) as caught:
        engine_maker(reciprocal(), "net", WEIGHTS, device="cuda", threads=1, folder=tmp_path)
    assert str(caught.value) == (
        "net: the GPU cannot run it, as runtime.device=cuda asks: no NVIDIA GPU is here. "
        "Set runtime.device to auto, and the CPU does."
    )
    said = explain(WEIGHTS, "cuda", folder=tmp_path)
    assert said.startswith("nothing: the GPU cannot run it")


def test_a_folder_with_a_tagger_goes_the_same_way(monkeypatch, tmp_path):
    monkeypatch.setattr(choosing, "gpu_here", lambda: None)
    (tmp_path / "config.json").write_text('{"id2label": {"0": "O"}}')
    (tmp_path / "model.onnx").write_bytes(reciprocal())
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=f"{tmp_path.name}: the GPU cannot run it"):
        TokenClassifier.load(tmp_path, device="cuda")


def test_nothing_starts_and_nothing_is_written(monkeypatch, tmp_path, clip, blind_model):
    monkeypatch.setattr(choosing, "gpu_here", lambda: None)
    out = tmp_path / "out.mp4"
    alone = ("video.models.plate.enabled=false", "video.models.text.enabled=false",
             "audio.enabled=false", f"video.models.face.model={blind_model}")  # fmt: skip
    outcome = invoke("run", str(clip), str(out),
                     *(f"--set={one}" for one in (*alone, "runtime.device=cuda")))  # fmt: skip
    outcome.refused(ExitCode.MODEL, "the GPU cannot run it", "no NVIDIA GPU is here")
    assert not out.exists()
    assert list(tmp_path.iterdir()) == []
