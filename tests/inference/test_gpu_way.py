"""A film whose pictures are looked at and hidden by a device, from the settings to the file: the
device is this CPU, with the shipped kernels, and ONNX Runtime reads and writes its memory."""

from __future__ import annotations

import gc
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edge import frame_build
from edge.config_io import load_config
from edge.errors import DeviceError, ModelError
from edge.frame import PlaneSource
from edge.inference import choice
from edge.inference.bound import CudaMemory
from edge.inference.cuda import Cuda
from edge.inference.frame_pool import FrameLayout, FramePool
from edge.inference.gpu import GpuIdentity
from edge.inference.picture import DevicePicture
from edge.inference.stage import PictureStage
from edge.lane_models import load_lane_models
from edge.media.picture import HostPicture
from edge.redact import cuda_proof
from edge.redact.cuda_planes import Staged
from edge.runner import Run
from tests.harness import decode, likeness
from tests.redact.emulator import Device, emulated, shipped
from tests.redact.test_cuda_proof import vouch

OFF = ["audio.enabled=false", "video.models.plate.enabled=false", "video.models.text.enabled=false"]


@pytest.fixture
def device(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Device]:
    """A GPU for everything in this process that looks for one."""
    library = shutil.copy(shipped(), tmp_path / "libcuda_of_the_film.so")
    device = emulated(Path(library), integrated=getattr(request, "param", False))
    vouch(tmp_path / "engines", device)
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    for module in (cuda_proof, choice, frame_build):
        monkeypatch.setattr(module, "Cuda", lambda: Cuda(str(library)))
    monkeypatch.setattr(
        choice, "gpu_here", lambda: GpuIdentity("a CPU", device.cuda.target, "13.0")
    )
    monkeypatch.setattr(choice, "cuda_trouble", lambda: None)
    monkeypatch.setattr(choice, "CudaMemory", lambda cuda: CudaMemory(cuda, device_type="cpu"))
    cuda_proof._first_gpu.cache_clear()
    yield device
    cuda_proof._first_gpu.cache_clear()


def start(clip: Path, out: Path, model: Path, runtime: str, on_frame: Any = None) -> Run:
    chosen = [*OFF, f"video.models.face.model={model}", f"runtime.device={runtime}"]
    settings = load_config("balanced", None, chosen)
    return Run(settings, clip, out, load_lane_models(settings), on_frame=on_frame)


@pytest.fixture(scope="module")
def by_cpu(clip: Path, face_model: Path, tmp_path_factory: pytest.TempPathFactory):
    """The film as the CPU makes it, and what that says of it."""
    out = tmp_path_factory.mktemp("cpu") / "cpu.mp4"
    return out, start(clip, out, face_model, "cpu").execute().stats


@dataclass
class Watched:
    """What is asked of the device, and what the host does itself."""

    allocations: list[int] = field(default_factory=list)
    """Made when each frame had left."""
    uploads: list[int] = field(default_factory=list)
    """Bytes of each."""
    brought: list[object] = field(default_factory=list)
    """Pictures of the pipeline that the host copied for the device."""

    def put_in(self, patch: pytest.MonkeyPatch) -> None:
        upload, load = Cuda.upload, PictureStage.load

        def counted(cuda: Cuda, to: int, host: int, size: int, stream: int) -> None:
            self.uploads.append(size)
            upload(cuda, to, host, size, stream)

        def staged(stage: PictureStage, picture: PlaneSource) -> DevicePicture:
            if isinstance(picture, HostPicture):  # not one that eyes prove themselves on
                self.brought.append(picture)
            return load(stage, picture)

        def by_the_host(*_: object) -> None:
            raise AssertionError("the host scaled or copied a picture")

        patch.setattr(Cuda, "upload", counted)
        patch.setattr(PictureStage, "load", staged)
        patch.setattr(Staged, "__enter__", by_the_host)
        patch.setattr(HostPicture, "shrink", by_the_host)


@pytest.mark.parametrize("device", [False, True], ids=["discrete", "integrated"], indirect=True)
def test_a_film_leaves_as_it_does_by_the_cpu(
    device: Device, clip: Path, face_model: Path, by_cpu, tmp_path: Path, monkeypatch, caplog
):
    """Its pictures are page-locked: nobody copies them again, and nothing is allocated."""
    film, wanted = by_cpu
    api = device.emulator
    assert api is not None
    watched = Watched()
    with caplog.at_level(logging.INFO):
        run = start(clip, tmp_path / "gpu.mp4", face_model, "cuda",
                    lambda _: watched.allocations.append(api.count_allocations()))  # fmt: skip
    before = api.count_launches()
    with monkeypatch.context() as patch:
        watched.put_in(patch)
        stats = run.execute().stats
    looks = stats.looks
    assert api.count_launches() >= before + looks + 2 * stats.frames_with_regions
    assert (stats.frames_masked, stats.failures) == (0, {})
    assert (stats.frames_out, looks) == (wanted.frames_out, wanted.looks)
    assert stats.frames_with_regions == wanted.frames_with_regions == stats.frames_out
    pairs = zip(decode(tmp_path / "gpu.mp4"), decode(film), strict=True)
    for mine, other in pairs:
        assert likeness(mine.astype(np.float64), other.astype(np.float64)) > 0.98
    assert "of 640x360 are page-locked: 2" in caplog.text  # some 25 MB: 2 s, and some more
    assert watched.brought == []
    picture = FrameLayout("yuv420p", 640, 360).size
    assert watched.uploads.count(picture) == (0 if device.cuda.integrated else looks)
    warm = 25  # frames: one second
    assert len(watched.allocations) == stats.frames_out
    assert len(set(watched.allocations[warm:])) == 1


def test_page_locked_memory_goes_back_with_the_film(
    device: Device, clip: Path, face_model: Path, tmp_path: Path
):
    """One that ends early, with pictures in the delay line and before the detector."""
    api = device.emulator
    assert api is not None
    gc.collect()
    before = api.count_live()
    runs: list[Run] = []
    runs.append(start(clip, tmp_path / "gpu.mp4", face_model, "cuda",
                      lambda stats: runs[0].stop() if stats.frames_out == 5 else None))  # fmt: skip
    pinned = runs[0]._pinned
    assert pinned is not None
    runs[0].execute()
    print(api.count_live(), before, "before dropping")
    runs.clear()
    print(api.count_live(), "before collecting")
    gc.collect()
    print(api.count_live(), "after")
    assert api.count_live() == before
    assert pinned.pinned > 5


def test_without_page_locked_memory_pictures_are_copied(
    device: Device, clip: Path, face_model: Path, by_cpu, tmp_path: Path, monkeypatch, caplog
):
    def refuse(*_: object) -> FramePool:
        raise DeviceError("CUDA's cuMemHostAlloc failed with error 2")

    monkeypatch.setattr(frame_build, "FramePool", refuse)
    stats = start(clip, tmp_path / "gpu.mp4", face_model, "cuda").execute().stats
    assert "not page-locked, and copied for the GPU: CUDA's cuMemHostAlloc" in caplog.text
    assert (stats.frames_masked, stats.failures) == (0, {})
    assert (stats.frames_out, stats.looks) == (by_cpu[1].frames_out, by_cpu[1].looks)


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
