"""FFmpeg's frames in CUDA's memory, ours and its own, in a process whose libcuda.so.1 is the CPU
(tests.redact.by_name): no test of a GPU, but of all calls that go to one."""

from __future__ import annotations

import ctypes
import gc
import io
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.codec.hwaccel import HWAccel
from av.video.frame import CudaContext

from edge.errors import InferenceError
from edge.frame import Planes
from edge.inference.cuda import Cuda
from edge.inference.dlpack import DeviceArray, count_lent, read_plane
from edge.inference.picture import DevicePicture
from edge.redact.cpu import CpuRedactor
from edge.redact.cuda import KERNELS, CudaRedactor
from edge.redact.effects import RedactionStyle
from tests.media.clips import make_clip
from tests.redact.emulator import Device, emulated, shipped
from tests.redact.test_cpu import as_nv12, noise

WIDTH, HEIGHT, PITCH = 190, 110, 256
BOXES = np.array([[20, 20, 150, 100], [60, 40, 90, 80], [140, 30, 260, 150]])


@pytest.fixture(scope="module")
def gpu() -> Device:
    device = emulated(shipped())
    device.cuda.enter()
    device.cuda.kernels(device.image, KERNELS)  # stay loaded from now on
    return device


@pytest.fixture
def context() -> CudaContext:
    return CudaContext()


@pytest.fixture(autouse=True)
def nothing_stays(gpu: Device):
    """Every test gives back what it took, on the GPU and of tensors."""
    assert gpu.emulator is not None
    gpu.cuda.enter()
    before = gpu.emulator.count_live(), gpu.emulator.count_handles()
    yield
    gc.collect()
    assert (gpu.emulator.count_live(), gpu.emulator.count_handles(), count_lent()) == (*before, 0)


def lend(cuda: Cuda, planes: Planes, context: CudaContext) -> tuple[av.VideoFrame, int]:
    """A frame of samples in the GPU's memory, which is freed with it, and where they are: luma,
    then chroma in rows as long, without a gap, as NVENC wants them."""
    held = np.full((HEIGHT * 3 // 2, PITCH), 0xEE, np.uint8)
    held[:HEIGHT, :WIDTH] = planes.y
    held[HEIGHT:, :WIDTH] = planes.chroma[0].reshape(HEIGHT // 2, WIDTH)
    address, stream = cuda.allocate(held.nbytes), cuda.stream()
    cuda.upload(address, held.ctypes.data, held.nbytes, stream)
    cuda.wait(stream)
    cuda.drop_stream(stream)
    holders = [1, 2]

    def release() -> None:
        holders.pop()
        if not holders:
            cuda.enter()
            cuda.free(address)

    luma = DeviceArray(address, (HEIGHT, WIDTH), (PITCH, 1), release)
    chroma = DeviceArray(
        address + HEIGHT * PITCH, (HEIGHT // 2, WIDTH // 2, 2), (PITCH, 2, 1), release
    )
    return av.VideoFrame.from_dlpack((luma, chroma), format="nv12", cuda_context=context), address


def samples(planes: Planes) -> np.ndarray:
    """As VideoFrame.to_ndarray lays them out."""
    return np.vstack((planes.y, planes.chroma[0].reshape(HEIGHT // 2, WIDTH)))


def on_device(frame: av.VideoFrame) -> DevicePicture:
    """What kernels are given; the frame has to stay for as long."""
    y, uv = (read_plane(plane) for plane in frame.planes)
    return DevicePicture(
        "nv12", frame.width, frame.height, y.address, uv.address, uv.address + 1, y.strides[0],
        uv.strides[0],
    )  # fmt: skip


def test_a_frame_lies_where_our_memory_does_in_the_layout_that_nvenc_wants(
    gpu: Device, context: CudaContext
):
    planes = as_nv12(noise(WIDTH, HEIGHT))
    frame, address = lend(gpu.cuda, planes, context)
    assert (frame.format.name, frame.sw_format.name) == ("cuda", "nv12")
    assert [plane.line_size for plane in frame.planes] == [PITCH, PITCH]
    with read_plane(frame.planes[0]) as y, read_plane(frame.planes[1]) as uv:
        assert (y.address, uv.address) == (address, address + PITCH * HEIGHT)
        assert (y.shape, y.strides) == ((HEIGHT, WIDTH), (PITCH, 1))
        assert (uv.shape, uv.strides) == ((HEIGHT // 2, WIDTH // 2, 2), (PITCH, 2, 1))
    np.testing.assert_array_equal(frame.to_ndarray(format="nv12"), samples(planes))
    np.testing.assert_array_equal(frame.reformat(format="nv12").to_ndarray(), samples(planes))


def test_a_plane_keeps_the_memory_of_a_frame_that_is_gone(gpu: Device, context: CudaContext):
    assert gpu.emulator is not None
    before = gpu.emulator.count_live()
    frame, address = lend(gpu.cuda, as_nv12(noise(WIDTH, HEIGHT)), context)
    plane = read_plane(frame.planes[1])
    del frame
    assert (gpu.emulator.count_live(), count_lent()) == (before + 1, 2)
    assert plane.address == address + PITCH * HEIGHT
    plane.close()
    assert (gpu.emulator.count_live(), count_lent()) == (before, 0)


@pytest.mark.parametrize("of_redactor", [True, False], ids=["its stream", "the default stream"])
def test_kernels_edit_a_frame_in_place(gpu: Device, of_redactor: bool):
    assert gpu.emulator is not None
    planes, style = as_nv12(noise(WIDTH, HEIGHT)), RedactionStyle()
    redactor = CudaRedactor(style, gpu.cuda, gpu.image, WIDTH, HEIGHT)
    context = CudaContext(cuda_stream=redactor.stream if of_redactor else None)
    frame, _ = lend(gpu.cuda, planes, context)
    gpu.emulator.copied_on.restype = ctypes.c_uint64
    for whole in (False, True):
        if whole:
            redactor.mask_device(on_device(frame))
            CpuRedactor(style).mask_whole(planes)
        else:
            redactor.redact_device(on_device(frame), BOXES)
            CpuRedactor(style).redact(planes, BOXES)
        gpu.cuda.wait(redactor.stream)
        np.testing.assert_array_equal(frame.to_ndarray(format="nv12"), samples(planes))
        assert gpu.emulator.copied_on() == (redactor.stream if of_redactor else 0)
    frame = context = None  # before the stream that it may work on
    redactor.close()


def test_frames_that_ffmpeg_allocates_are_read_and_edited(gpu: Device):
    planes = as_nv12(noise(WIDTH, HEIGHT))
    graph = av.filter.Graph()
    nodes = [
        graph.add_buffer(width=WIDTH, height=HEIGHT, format="nv12", time_base=Fraction(1, 25)),
        graph.add("hwupload_cuda"), graph.add("buffersink"),
    ]  # fmt: skip
    graph.link_nodes(*nodes).configure()
    sent = av.VideoFrame.from_ndarray(samples(planes), format="nv12")
    sent.pts = 0
    graph.push(sent)
    frame = graph.pull()
    assert isinstance(frame, av.VideoFrame)
    picture = on_device(frame)
    assert picture.chroma_pitch == picture.y_pitch > WIDTH
    assert picture.u == picture.y + HEIGHT * picture.y_pitch
    redactor = CudaRedactor(RedactionStyle(), gpu.cuda, gpu.image, WIDTH, HEIGHT)
    redactor.redact_device(picture, BOXES)
    gpu.cuda.wait(redactor.stream)
    redactor.close()
    CpuRedactor(RedactionStyle()).redact(planes, BOXES)
    np.testing.assert_array_equal(frame.to_ndarray(format="nv12"), samples(planes))


def encoded(frames: list[Any], held: Callable[[], None] = lambda: None) -> bytes:
    """A film by libx264. held: called after each frame, when it is in the encoder alone."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska", options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.open()  # else it takes the frame's CUDA for its own, and refuses
        for pts, make in enumerate(frames):
            frame = make()
            frame.pts, frame.time_base = pts, Fraction(1, 25)
            out.mux(stream.encode(frame))
            del frame
            held()
        out.mux(stream.encode(None))
    return file.getvalue()


def test_a_software_encoder_makes_the_same_of_it_and_lets_go(gpu: Device, context: CudaContext):
    pictures = [as_nv12(noise(WIDTH, HEIGHT, seed)) for seed in range(12)]

    def on_host(planes: Planes) -> av.VideoFrame:
        return av.VideoFrame.from_ndarray(samples(planes), format="nv12")

    def released() -> None:
        assert count_lent() == 0

    by_cuda = encoded([lambda p=p: lend(gpu.cuda, p, context)[0] for p in pictures], released)
    by_host = encoded([lambda p=p: on_host(p) for p in pictures])
    films = []
    for film in (by_cuda, by_host):
        with av.open(io.BytesIO(film)) as source:
            films.append([frame.to_ndarray() for frame in source.decode(video=0)])
    np.testing.assert_array_equal(*films)
    assert len(films[0]) == len(pictures)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_nothing_stays_behind_of_many_frames_in_one_context(gpu: Device):
    assert gpu.emulator is not None
    planes = as_nv12(noise(WIDTH, HEIGHT))
    held = gpu.emulator.count_holders()
    context = CudaContext()

    def rounds(count: int) -> None:
        for _ in range(count):
            frame, _ = lend(gpu.cuda, planes, context)
            on_device(frame)
            frame.reformat(format="nv12")

    rounds(200)
    before, live = resident(), gpu.emulator.count_live()
    rounds(1500)
    assert gpu.emulator.count_live() == live
    assert gpu.emulator.count_holders() == held + 1, "one of FFmpeg's, whatever the frames"
    assert resident() - before < 2_000_000
    context = None
    assert gpu.emulator.count_holders() == held


def test_what_cannot_become_a_frame_is_released(gpu: Device, context: CudaContext):
    address = gpu.cuda.allocate(4096)
    released: list[int] = []
    for shape in ((33, 64), (32, 63)):
        planes = [
            DeviceArray(address, shape, (64, 1), lambda: released.append(0)),
            DeviceArray(address + 2048, (16, 64), (64, 1), lambda: released.append(1)),
        ]
        with pytest.raises(ValueError, match="must be even"):
            av.VideoFrame.from_dlpack(planes, format="nv12", cuda_context=context)
        del planes
    assert sorted(released) == [0, 0, 1, 1]
    gpu.cuda.free(address)


def test_a_frame_of_the_host_is_none_of_the_gpus(gpu: Device):
    with pytest.raises(InferenceError, match="not in the first GPU's memory"):
        read_plane(av.VideoFrame(WIDTH, HEIGHT, "nv12").planes[0])


def test_ffmpeg_shares_the_context_that_is_at_work_already(gpu: Device, tmp_path: Path):
    assert gpu.emulator is not None
    clip = make_clip(tmp_path / "clip.mp4")
    held = gpu.emulator.count_holders()
    accelerated = HWAccel("cuda", is_hw_owned=True)
    with av.open(str(clip), hwaccel=accelerated) as source:
        assert gpu.emulator.count_holders() == held + 1
        assert source.streams.video[0].codec_context.is_hwaccel
        # There is no NVDEC here, and without being told nobody notices.
        formats = {frame.format.name for frame in source.decode(video=0)}
        assert formats == {"yuv420p"}
    del source, accelerated
    gc.collect()
    assert gpu.emulator.count_holders() == held


def test_without_a_gpu_a_file_does_not_open(gpu: Device, tmp_path: Path):
    assert gpu.emulator is not None
    clip = make_clip(tmp_path / "clip.mp4")
    gpu.emulator.remove_device(1)
    try:
        with pytest.raises(av.error.ExternalError):
            av.open(str(clip), hwaccel=HWAccel("cuda", is_hw_owned=True))
    finally:
        gpu.emulator.remove_device(0)
