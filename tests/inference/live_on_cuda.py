"""A live stream whose frames stay on the GPU from the decoder to the encoder, in a process whose
libcuda.so.1 is the CPU (tests.redact.by_name).

Not real here are NVDEC, in whose place FFmpeg decodes and uploads, and NVENC, in whose place x264
encodes what it downloads itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.packet import Packet

from edge.allocator import settle_memory
from edge.config_io import load_config
from edge.inference import choice
from edge.inference.bound import CudaMemory
from edge.inference.dlpack import count_lent
from edge.inference.gpu import GpuIdentity
from edge.lane_models import load_lane_models
from edge.live_runner import LiveRun
from edge.media import decoders, nvdec
from edge.media.address import Address
from edge.media.decoders import PictureDecoder
from edge.media.encoders import (
    NVENC,
    SOFTWARE,
    EncoderSetup,
    EncoderState,
    PictureInfo,
)
from edge.media.live_encoder import LiveEncoder
from edge.media.nvdec_proof import Proof
from edge.media.picture import HostPicture
from edge.media.picture_encoder import FfmpegPictureEncoder, PictureEncoder
from edge.media.surface import SurfacePicture
from edge.redact import cuda_proof
from edge.stats import Stats
from tests.harness import FRAMES, HIDDEN, decode, film, fine_detail, likeness, true_face
from tests.media.test_live import serving
from tests.media.test_surfaces_on_cuda import Reading, Uploading
from tests.redact.emulator import Device, emulated, shipped
from tests.redact.test_cuda_proof import vouch

OFF = ["audio.enabled=false", "video.models.plate.enabled=false", "video.models.text.enabled=false"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its header comes first, with its length: it can be streamed."""
    return film(tmp_path_factory.mktemp("web") / "clip.mkv", sound=False)


@pytest.fixture(scope="module")
def web(clip: Path) -> Iterator[str]:
    with serving(clip.parent) as server:
        yield f"http://127.0.0.1:{server.server_port}/clip.mkv"


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A GPU for everything in this process that looks for one."""
    device = emulated(shipped())
    assert device.emulator is not None
    vouch(tmp_path / "engines", device)
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    here = GpuIdentity("a CPU", device.cuda.target, "13.0")
    monkeypatch.setattr(choice, "gpu_here", lambda: here)
    monkeypatch.setattr(choice, "cuda_trouble", lambda: None)
    monkeypatch.setattr(choice, "CudaMemory", lambda cuda: CudaMemory(cuda, device_type="cpu"))
    monkeypatch.setattr(nvdec, "open_nvdec", Uploading)
    monkeypatch.setattr(PictureDecoder, "_failures", 0)
    proof = Proof()
    proof.demand(nvdec.OnGpu(device.cuda, device.image, 1.0))
    monkeypatch.setattr(decoders, "_NVDEC", proof)
    cuda_proof._first_gpu.cache_clear()
    yield device
    device.emulator.fail_launches(-1, 0)
    cuda_proof._first_gpu.cache_clear()


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> list[Reading]:
    """What was opened in NVENC's place."""
    opened: list[Reading] = []

    def opener(info: PictureInfo, setup: EncoderSetup) -> PictureEncoder:
        if setup.name == SOFTWARE:
            return FfmpegPictureEncoder(info, setup)
        opened.append(Reading(info, setup))
        return opened[-1]

    defaults = LiveEncoder.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "probe", lambda names: {NVENC: EncoderState("works")})
    monkeypatch.setitem(defaults, "opener", opener)
    return opened


def run(
    source: str, out: Path, model: Path, device: str,
    meanwhile: Callable[[Stats], None] = lambda _: None, frames: int = FRAMES - 2,
) -> Stats:  # fmt: skip
    chosen = [*OFF, f"video.models.face.model={model}", f"runtime.device={device}"]
    settings = load_config("balanced", None, [*chosen, "delay.seconds=1.6"])
    live = LiveRun(settings, Address.parse(source), [Address.parse(str(out))],
                   load_lane_models(settings))  # fmt: skip
    assert live.connect(print) is not None

    def watch(stats: Stats) -> None:
        meanwhile(stats)
        if stats.frames_out >= frames:
            live.stop()

    live._on_frame = watch
    return live.execute()


def shown(clip: Path, out: Path) -> tuple[int, int]:
    """How many frames of the output are the clip's, and in how many of those the face is seen."""
    originals = [fine_detail(luma) for luma in decode(clip)]
    found = faces = 0
    for luma in decode(out):
        detail = fine_detail(luma)
        alike = [likeness(original, detail) for original in originals]
        if max(alike) < 0.5:
            continue  # masked, or a slate
        at = int(np.argmax(alike))
        x1, y1, x2, y2 = true_face(at)[0].astype(int)
        face = np.s_[y1:y2, x1:x2]
        found += 1
        faces += likeness(originals[at][face], detail[face]) > HIDDEN
    return found, faces


def test_frames_never_come_to_the_host(
    gpu: Device, encoder: list[Reading], web: str, clip: Path, face_model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    wanted = run(web, tmp_path / "cpu.mkv", face_model, "cpu")
    assert {frame for one in encoder for frame in one.given} <= {"yuv420p"}
    encoder.clear()

    def to_the_host(*_: object) -> None:
        raise AssertionError("a frame came to the host")

    with monkeypatch.context() as patch:
        patch.setattr(SurfacePicture, "frame", property(to_the_host))
        patch.setattr(SurfacePicture, "edit", to_the_host)
        patch.setattr(HostPicture, "shrink", to_the_host)
        stats = run(web, tmp_path / "gpu.mkv", face_model, "cuda")
    assert stats.failures == {}
    assert stats.frames_masked < FRAMES / 4, "this machine is too slow to tell"
    count = stats.frames_out - stats.frames_masked
    assert stats.frames_with_regions == count
    (nvenc,) = encoder
    assert nvenc.setup.on_gpu
    assert nvenc.given.count("cuda") == count
    assert wanted.failures == {}
    found, faces = shown(clip, tmp_path / "gpu.mkv")
    assert found >= count - 2
    assert faces == shown(clip, tmp_path / "cpu.mkv")[1] == 0
    encoder.clear()
    settle_memory()  # which unfreezes what an ended stream has left
    assert count_lent() == 0


def test_when_the_decoder_fails_ffmpeg_goes_on_amid_the_stream(
    gpu: Device, encoder: list[Reading], web: str, clip: Path, face_model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    class Failing(Uploading):
        left = 30

        def decode(self, packet: Packet[Any] | None) -> Iterator[av.VideoFrame]:
            self.left -= 1
            if self.left < 0:
                raise av.error.ExternalError(1, "the decoder is gone")
            yield from super().decode(packet)

    monkeypatch.setattr(nvdec, "open_nvdec", Failing)
    stats = run(web, tmp_path / "out.mkv", face_model, "cuda")
    assert stats.failures == {}
    (nvenc,) = encoder
    kinds = nvenc.given
    assert {"cuda", "nv12"} <= set(kinds)
    found, faces = shown(clip, tmp_path / "out.mkv")
    assert found > FRAMES / 2
    assert faces == 0


def test_a_gpu_that_is_lost_amid_the_stream_leaves_it_to_the_cpu(
    gpu: Device, encoder: list[Reading], web: str, clip: Path, face_model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    assert gpu.emulator is not None
    api, lost = gpu.emulator, []

    def lose(stats: Stats) -> None:
        if stats.frames_out >= 25 and not lost:
            lost.append(True)
            api.lose_device()

    monkeypatch.setattr(Reading, "lost", lambda _: bool(lost))
    stats = run(web, tmp_path / "out.mkv", face_model, "cuda", lose, 2 * FRAMES)
    assert lost
    assert stats.frames_masked
    assert any("the CPU hides from now on" in reason for reason in stats.reasons)
    found, faces = shown(clip, tmp_path / "out.mkv")
    assert found > FRAMES / 2
    assert faces == 0
