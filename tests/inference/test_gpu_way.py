"""A film whose pictures are looked at and hidden by a device, from the settings to the file: the
device is this CPU, with the shipped kernels, and ONNX Runtime reads and writes its memory."""

from __future__ import annotations

import gc
import logging
import shutil
import time
import weakref
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
from edge.live_runner import LiveOptions, LiveRun
from edge.media.address import Address
from edge.media.picture import HostPicture
from edge.redact import cuda_proof
from edge.runner import Run
from edge.stats import Stats
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


def pool_of(run: Run | LiveRun) -> FramePool:
    assert run._pinned is not None
    assert run._pinned._pool is not None
    return run._pinned._pool


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
            raise AssertionError("the host scaled a picture")

        patch.setattr(Cuda, "upload", counted)
        patch.setattr(PictureStage, "load", staged)
        patch.setattr(HostPicture, "shrink", by_the_host)


@pytest.mark.parametrize("device", [False, True], ids=["discrete", "integrated"], indirect=True)
def test_a_film_leaves_as_it_does_by_the_cpu(
    device: Device, clip: Path, face_model: Path, by_cpu, tmp_path: Path, monkeypatch, caplog
):
    """What is looked at is page-locked: nobody copies it again, and nothing is allocated."""
    film, wanted = by_cpu
    api = device.emulator
    assert api is not None
    watched = Watched()
    with caplog.at_level(logging.INFO):
        run = start(clip, tmp_path / "gpu.mp4", face_model, "cuda",
                    lambda _: watched.allocations.append(api.count_allocations()))  # fmt: skip
    pool = pool_of(run)
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
    assert "room for 38 page-locked pictures of 640x360 (13 MB)" in caplog.text  # 15 a second
    assert (pool.lent, pool.refused) == (looks, 0)
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
    pool = weakref.ref(pool_of(runs[0]))
    runs[0].execute()
    runs.clear()
    gc.collect()
    assert api.count_live() == before
    assert pool() is None


def test_with_one_slot_the_film_is_the_same(
    device: Device, clip: Path, face_model: Path, by_cpu, tmp_path: Path, monkeypatch, caplog
):
    monkeypatch.setattr(frame_build, "_memory_bytes", lambda: 1)
    film, wanted = by_cpu
    run = start(clip, tmp_path / "gpu.mp4", face_model, "cuda")
    pool = pool_of(run)
    with caplog.at_level(logging.INFO):
        stats = run.execute().stats
    assert (pool.count, pool.lent + pool.refused) == (1, stats.looks)
    assert min(pool.lent, pool.refused) > 0
    assert "found all 1 slots in use" in caplog.text
    assert (stats.frames_masked, stats.failures) == (0, {})
    assert (stats.frames_out, stats.looks) == (wanted.frames_out, wanted.looks)
    for mine, other in zip(decode(tmp_path / "gpu.mp4"), decode(film), strict=True):
        assert likeness(mine.astype(np.float64), other.astype(np.float64)) > 0.98


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


@pytest.mark.live
def test_a_live_stream_goes_on_in_its_slots_from_one_connection_to_the_next(
    device: Device, clip: Path, face_model: Path, tmp_path: Path
):
    """A file, played in a loop: each pass is opened anew."""
    api = device.emulator
    assert api is not None
    with av.open(str(clip)) as film, av.open(str(tmp_path / "short.mp4"), "w") as short:
        stream = short.add_stream_from_template(film.streams.video[0])
        for number, packet in enumerate(film.demux(film.streams.video[0])):
            if number < 20:
                packet.stream = stream
                short.mux(packet)
    chosen = [*OFF, f"video.models.face.model={face_model}", "runtime.device=cuda",
              "delay.seconds=1", "stabilization.lookahead_s=0.3"]  # fmt: skip
    settings = load_config("balanced", None, chosen)
    allocations: list[int] = []
    lent: list[int] = []
    runs: list[LiveRun] = []
    pools: list[weakref.ref[FramePool]] = []

    def count(stats: Stats) -> None:
        allocations.append(api.count_allocations())
        lent.append(pool_of(runs[0]).lent)
        if not pools:
            pools.append(weakref.ref(pool_of(runs[0])))
        if stats.frames_out >= 35:
            runs[0].stop()

    runs.append(
        LiveRun(
            settings,
            Address.parse(str(tmp_path / "short.mp4")),
            [Address.parse(str(tmp_path / "out.mkv"))],
            load_lane_models(settings),
            options=LiveOptions(loop=True),
            on_frame=count,
        )
    )
    assert runs[0].connect(lambda _: None) is not None
    stats = runs[0].execute()
    assert lent[-1] > lent[20] > 0
    assert len(set(allocations[10:])) == 1
    assert stats.frames_out >= 35
    # The memory goes by itself: the run is still there, and the collector has not come.
    until = time.monotonic() + 20
    while pools[0]() is not None and time.monotonic() < until:
        time.sleep(0.02)
    assert pools[0]() is None
