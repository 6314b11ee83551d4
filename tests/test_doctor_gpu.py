"""Doctor tells of hiding on the GPU what a stream would find out at its start."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge import probe
from edge.doctor_gpu import redaction_use
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
