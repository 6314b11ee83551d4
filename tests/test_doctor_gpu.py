"""Doctor tells of hiding on the GPU what a stream would find out at its start."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge import doctor_gpu, probe
from edge.doctor_gpu import device_use, frames_use, onnx_use, redaction_use, scaling_use
from edge.doctor_report import LanePart
from edge.inference.choice import Choice
from edge.inference.gpu import gpu_here
from edge.redact import cuda_proof
from tests.redact.emulator import build, emulated, shipped
from tests.redact.test_cuda_proof import vouch

WITHOUT = dataclasses.replace(probe.probe_machine(), gpus=(), gpu_trouble=None)
WITH = dataclasses.replace(WITHOUT, gpus=(probe.Gpu("Ada", "12.8", 8192),))


def test_without_a_gpu_or_a_driver_that_answers_nothing_is_tried():
    assert redaction_use(WITHOUT) == "CPU: no NVIDIA GPU is here"
    hung = dataclasses.replace(WITHOUT, gpu_trouble="timed out")
    assert redaction_use(hung) == "CPU: the NVIDIA driver does not answer"
    assert "pycuda" not in probe.OPTIONAL_PACKAGES


def test_a_driver_that_is_gone_by_now_is_told_of():
    if gpu_here() is not None:
        pytest.skip("a GPU is here")
    cuda_proof._first_gpu.cache_clear()
    assert redaction_use(WITH).startswith("CPU: no NVIDIA GPU answers")


def test_kernels_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    device = emulated(shipped())
    monkeypatch.setattr(cuda_proof, "_first_gpu", lambda: device.cuda)
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path))
    said = redaction_use(WITH)
    assert said.startswith("CPU: the kernels have not been compiled for this GPU (sm_89). Run ")
    vouch(tmp_path, device)
    said = redaction_use(WITH)
    assert said == "CPU; the GPU's kernels pass their self-test, runtime.device=cuda uses them"


def test_where_frames_lie_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert frames_use(WITHOUT) == "host: no NVIDIA GPU is here"
    hung = dataclasses.replace(WITHOUT, gpu_trouble="timed out")
    assert frames_use(hung) == "host: the NVIDIA driver does not answer"
    device = emulated(shipped())
    monkeypatch.setattr(doctor_gpu, "Cuda", lambda: device.cuda)
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path))
    assert frames_use(WITH).startswith("host: the kernels have not been compiled for this GPU")
    vouch(tmp_path, device)
    if gpu_here() is None:
        assert frames_use(WITH).startswith("host: NVDEC cannot be used: FFmpeg has no CUDA here")
    monkeypatch.setattr(doctor_gpu, "prove_nvdec", lambda on_gpu: None)
    assert frames_use(WITH).startswith("GPU: NVDEC decodes what it should")
    monkeypatch.setattr(device.cuda, "integrated", True)
    assert frames_use(WITH) == "memory that host and GPU share"


def test_what_scales_pictures_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert scaling_use(WITHOUT) == "CPU: no NVIDIA GPU is here"
    hung = dataclasses.replace(WITHOUT, gpu_trouble="timed out")
    assert scaling_use(hung) == "CPU: the NVIDIA driver does not answer"
    device = emulated(shipped())
    monkeypatch.setattr(doctor_gpu, "Cuda", lambda: device.cuda)
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path))
    assert scaling_use(WITH).startswith("CPU: the kernels have not been compiled for this GPU")
    vouch(tmp_path, device)
    said = scaling_use(WITH)
    assert said == "the GPU's kernels pass their self-test, models on the GPU use them"
    wrong = emulated(build(tmp_path, {": t.border[plane]": ": 0.0f"}))
    monkeypatch.setattr(doctor_gpu, "Cuda", lambda: wrong.cuda)
    assert scaling_use(WITH).startswith("CPU: the GPU scales pictures otherwise than it should")


def test_kernels_that_give_other_samples_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    device = emulated(build(tmp_path, {"sum += area / 2;": "sum += 3 * area;"}))
    monkeypatch.setattr(cuda_proof, "_first_gpu", lambda: device.cuda)
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    vouch(tmp_path / "engines", device)
    said = redaction_use(WITH)
    assert said.startswith("CPU: the GPU hides faces otherwise than the CPU")
    assert "\n" not in said


def test_onnx_runtime_is_tried_where_a_gpu_is(monkeypatch: pytest.MonkeyPatch):
    assert onnx_use(WITHOUT) == "no: no NVIDIA GPU is here"
    hung = dataclasses.replace(WITHOUT, gpu_trouble="timed out")
    assert onnx_use(hung) == "no: the NVIDIA driver does not answer"
    missing = "ONNX Runtime's CUDA provider does not load (libcublas.so.13: cannot open)"
    for trouble, said in ((None, "yes: a test ran on it"), (missing, f"no: {missing}")):
        monkeypatch.setattr(doctor_gpu, "cuda_trouble", lambda trouble=trouble: trouble)
        assert onnx_use(WITH) == said


@pytest.mark.parametrize(
    ("device", "runs", "said"),
    [
        ("cpu", ["ONNX Runtime on the CPU: runtime.device is cpu"], "CPU (as set)"),
        ("cuda", [str(Choice(None, "no engine was exported", on_gpu=True))], "GPU (as set)"),
        ("auto", [str(Choice(None, "no engine was exported", on_gpu=True)), None], "GPU"),
        ("auto", ["tensorrt_rtx 1.7.1, fp16: checked on this Ada"], "GPU"),
        ("auto", [f"encoder: {Choice(None, 'x')}; decoder: {Choice(None, 'x', True)}"], "GPU"),
        ("auto", ["ONNX Runtime on the CPU: it was built by tensorrt 10.3.0, here is none"], "CPU"),
        ("auto", ["ONNX Runtime on the CPU: no NVIDIA GPU is here", None], "CPU"),
        ("auto", [], "CPU"),
    ],
)
def test_a_profile_says_what_its_models_run_on(device, runs, said):
    parts = [LanePart("faces", "detector", "ready", "net", runs=one) for one in runs]
    assert device_use(device, parts) == said
