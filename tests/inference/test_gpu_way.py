"""A film whose pictures are looked at and hidden by a device, from the settings to the file: the
device is this CPU, with the shipped kernels, and ONNX Runtime reads and writes its memory."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from edge.config_io import load_config
from edge.errors import ModelError
from edge.inference import choice
from edge.inference.bound import CudaMemory
from edge.inference.cuda import Cuda
from edge.inference.gpu import GpuIdentity
from edge.lane_models import load_lane_models
from edge.media.picture import HostPicture
from edge.redact import cuda_proof
from edge.runner import Run
from edge.stats import Stats
from tests.harness import decode, likeness
from tests.redact.emulator import Device, emulated, shipped
from tests.redact.test_cuda_proof import vouch

OFF = ["audio.enabled=false", "video.models.plate.enabled=false", "video.models.text.enabled=false"]


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    """A GPU for everything in this process that looks for one."""
    library = shutil.copy(shipped(), tmp_path / "libcuda_of_the_film.so")
    device = emulated(Path(library))
    vouch(tmp_path / "engines", device)
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    for module in (cuda_proof, choice):
        monkeypatch.setattr(module, "Cuda", lambda: Cuda(str(library)))
    monkeypatch.setattr(
        choice, "gpu_here", lambda: GpuIdentity("a CPU", device.cuda.target, "13.0")
    )
    monkeypatch.setattr(choice, "cuda_trouble", lambda: None)
    monkeypatch.setattr(choice, "CudaMemory", lambda cuda: CudaMemory(cuda, device_type="cpu"))
    cuda_proof._first_gpu.cache_clear()
    return device


def redact(clip: Path, out: Path, model: Path, runtime: str) -> Stats:
    chosen = [*OFF, f"video.models.face.model={model}", f"runtime.device={runtime}"]
    settings = load_config("balanced", None, chosen)
    return Run(settings, clip, out, load_lane_models(settings)).execute().stats


def test_a_film_leaves_as_it_does_by_the_cpu(
    device: Device, clip: Path, face_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wanted = redact(clip, tmp_path / "cpu.mp4", face_model, "cpu")
    assert device.emulator is not None
    before = device.emulator.count_launches()

    def by_the_cpu(*_: object) -> None:
        raise AssertionError("the CPU scaled a picture")

    with monkeypatch.context() as patch:
        patch.setattr(HostPicture, "shrink", by_the_cpu)
        stats = redact(clip, tmp_path / "gpu.mp4", face_model, "cuda")
    looks = stats.looks
    assert device.emulator.count_launches() >= before + looks + 2 * stats.frames_with_regions
    assert (stats.frames_masked, stats.failures) == (0, {})
    assert (stats.frames_out, looks) == (wanted.frames_out, wanted.looks)
    assert stats.frames_with_regions == wanted.frames_with_regions == stats.frames_out
    pairs = zip(decode(tmp_path / "gpu.mp4"), decode(tmp_path / "cpu.mp4"), strict=True)
    for mine, other in pairs:
        assert likeness(mine.astype(np.float64), other.astype(np.float64)) > 0.98
    gc.collect()


def test_a_device_that_is_lost_masks_and_hands_over_to_the_cpu(
    device: Device, clip: Path, face_model: Path, tmp_path: Path
):
    settings = load_config(
        "balanced", None, [*OFF, f"video.models.face.model={face_model}", "runtime.device=cuda"]
    )
    run = Run(settings, clip, tmp_path / "out.mp4", load_lane_models(settings))
    assert device.emulator is not None
    device.emulator.fail_launches(0, -1)
    stats = run.execute().stats
    device.emulator.fail_launches(-1, 0)
    assert stats.failures
    assert 0 < stats.frames_masked < stats.frames_out
    assert any("CPU takes over" in reason for reason in stats.reasons)
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == stats.frames_out


def test_cuda_without_a_way_to_use_it_ends_before_anything_is_written(clip: Path, face_model: Path):
    settings = load_config(
        "balanced", None, [*OFF, f"video.models.face.model={face_model}", "runtime.device=cuda"]
    )
    with pytest.raises(ModelError, match=r"runtime\.device=cuda asks.*Set runtime\.device"):
        load_lane_models(settings)
