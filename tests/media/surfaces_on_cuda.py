"""Frames that stay on the GPU, from the decoder to the encoder, in a process whose libcuda.so.1 is
the CPU (tests.redact.by_name). In the place of NVDEC: FFmpeg's software decoder, whose frames it
uploads itself; in the place of NVENC: x264, which has them downloaded."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.packet import Packet

from edge.delay import Judgement, Verdict
from edge.detection import FloatArray
from edge.errors import InferenceError
from edge.frame import Frame
from edge.inference.dlpack import count_lent
from edge.inference.picture import DevicePicture
from edge.inference.surfaces import SurfaceRoom
from edge.media.hardware_decoder import DecoderFailed
from edge.media.nvdec import NvdecDecoder, OnGpu
from edge.media.nvdec_proof import Proof, prove
from edge.media.picture import HostPicture
from edge.media.surface import SurfacePicture, locate
from edge.motion import analysis_size
from edge.redact.cpu import CpuRedactor
from edge.redact.cuda import CudaRedactor
from edge.redact.cuda_mark import SurfaceMark
from edge.redact.effects import RedactionStyle
from edge.redact.failover import FailoverRedactor
from edge.redact.watermark import Watermark
from edge.release import Releaser
from tests.harness import SIZE, film
from tests.redact.emulator import Device, emulated, shipped

WIDTH, HEIGHT = SIZE
BOXES: FloatArray = np.array([[40, 30, 150, 170], [200, 100, 330, 250]], np.float32)
RELEASE, MASK = Judgement(Verdict.RELEASE), Judgement(Verdict.MASK, ("faces",))
HOLD_S = 0.5


@pytest.fixture(scope="module")
def gpu() -> Device:
    return emulated(shipped())


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("surfaces") / "clip.mp4", sound=False)


@pytest.fixture(autouse=True)
def nothing_stays(gpu: Device) -> Iterator[None]:
    """Every test gives back what it took, on the GPU and of tensors."""
    assert gpu.emulator is not None
    gpu.cuda.enter()
    gc.collect()
    before = gpu.emulator.count_live()
    yield
    gpu.emulator.fail_launches(-1, 0)
    gc.collect()
    assert (gpu.emulator.count_live(), count_lent()) == (before, 0)


class Uploading:
    """A decoder whose frames FFmpeg puts into memory of its own on the GPU."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._context = stream.codec_context
        self._graph: Any = None

    def decode(self, packet: Packet[Any] | None) -> Iterator[av.VideoFrame]:
        for frame in self._context.decode(packet):
            if self._graph is None:
                self._graph = av.filter.Graph()
                nodes = [
                    self._graph.add_buffer(
                        width=frame.width, height=frame.height, format=frame.format.name,
                        time_base=frame.time_base,
                    ),
                    self._graph.add("format", "nv12"),
                    self._graph.add("hwupload_cuda"),
                    self._graph.add("buffersink"),
                ]  # fmt: skip
                self._graph.link_nodes(*nodes).configure()
            self._graph.push(frame)
            yield self._graph.pull()


def on_gpu(gpu: Device) -> OnGpu:
    return OnGpu(gpu.cuda, gpu.image, HOLD_S)


def all_of(
    source: av.container.InputContainer, stream: av.VideoStream, decoder: NvdecDecoder
) -> list[av.VideoFrame]:
    return [
        frame for packet in source.demux(stream)
        for frame in decoder.decode(packet if packet.size else None)
    ]  # fmt: skip


def surfaces(gpu: Device, clip: Path, count: int = 8) -> list[SurfacePicture]:
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        decoder = NvdecDecoder(stream, on_gpu(gpu), Uploading)
        frames = (
            frame for packet in source.demux(stream)
            for frame in decoder.decode(packet if packet.size else None)
        )  # fmt: skip
        taken = list(itertools.islice(frames, count))
    assert decoder.room is not None
    return [SurfacePicture(frame, decoder.room) for frame in taken]


def hosts(clip: Path, count: int = 8) -> list[HostPicture]:
    with av.open(str(clip)) as source:
        frames = itertools.islice(source.decode(video=0), count)
        # Copied, since swscale minds where chroma is sited, which a surface does not tell.
        return [HostPicture(frame.reformat(format="nv12")).apart() for frame in frames]


def nv12(picture: SurfacePicture | HostPicture) -> np.ndarray:
    return picture.frame.to_ndarray(format="nv12")


def test_frames_lie_in_slots_as_nvenc_reads_them_with_their_times(gpu: Device, clip: Path):
    with av.open(str(clip)) as source:
        wanted = [
            (f.pts, f.time_base, f.duration) for f in itertools.islice(source.decode(video=0), 8)
        ]
    for mine, host, times in zip(surfaces(gpu, clip), hosts(clip), wanted, strict=True):
        np.testing.assert_array_equal(nv12(mine), nv12(host))
        frame = mine.surface
        assert frame is not None
        assert (frame.format.name, frame.sw_format.name) == ("cuda", "nv12")
        assert (frame.pts, frame.time_base, frame.duration) == times
        there = locate(frame)
        assert there.u == there.y + there.y_pitch * there.height
        assert there.chroma_pitch == there.y_pitch
        assert (mine.width, mine.height, mine.layout) == (host.width, host.height, host.layout)
        assert mine.full_range == host.full_range


def test_what_is_seen_of_a_surface_is_what_is_seen_of_a_picture_of_the_host(
    gpu: Device, clip: Path
):
    assert gpu.emulator is not None
    size = analysis_size(WIDTH, HEIGHT)
    for mine, host in zip(surfaces(gpu, clip, 3), hosts(clip, 3), strict=True):
        np.testing.assert_array_equal(mine.shrink(160, 96), host.shrink(160, 96))
        np.testing.assert_array_equal(mine.crop(16, 8, 64, 32), host.crop(16, 8, 64, 32))
        np.testing.assert_array_equal(mine.luma, host.luma)
        small = mine.small_luma(*size)
        assert small.shape == (size[1], size[0])
        with mine.lend() as there:
            assert isinstance(there, DevicePicture)
    # Another size makes the tables anew, and leaves none behind.
    assert mine.small_luma(64, 48).shape == (48, 64)


def releaser(gpu: Device, *, marked: bool = False) -> tuple[Releaser, FailoverRedactor]:
    def make() -> CudaRedactor:
        return CudaRedactor(RedactionStyle(), gpu.cuda, gpu.image, WIDTH, HEIGHT)

    redactor = FailoverRedactor(RedactionStyle(), make(), make)
    mark = Watermark(WIDTH, HEIGHT) if marked else None
    there = SurfaceMark(mark, gpu.cuda, gpu.image) if mark else None
    made = Releaser(redactor, overlay=mark, surface_overlay=there, troubles=redactor.take_troubles)
    return made, redactor


def frame_of(picture: Any) -> Frame:
    return Frame(0, 0.0, 0, picture)


@pytest.mark.parametrize("marked", [False, True], ids=["plain", "watermark"])
def test_a_surface_is_hidden_where_it_is(gpu: Device, clip: Path, marked: bool):
    mine, host = surfaces(gpu, clip, 1)[0], hosts(clip, 1)[0]
    there, _ = releaser(gpu, marked=marked)
    here = Releaser(
        CpuRedactor(RedactionStyle()), overlay=Watermark(WIDTH, HEIGHT) if marked else None
    )
    mine.shrink(64, 64)  # a copy on the host, from before
    cleared = there.clear(frame_of(mine), RELEASE, BOXES, [1, 2])
    wanted = here.clear(frame_of(host), RELEASE, BOXES, [1, 2])
    assert cleared.picture is mine
    assert mine.surface is not None, "it has not been brought to the host"
    difference = np.abs(nv12(mine).astype(int) - nv12(wanted.picture))  # type: ignore[arg-type]
    assert difference.max() <= 1


def test_what_was_seen_on_the_host_before_is_not_seen_after(gpu: Device, clip: Path):
    mine = surfaces(gpu, clip, 1)[0]
    before = mine.shrink(WIDTH, HEIGHT)
    releaser(gpu)[0].clear(frame_of(mine), RELEASE, BOXES, [1, 2])
    after = mine.shrink(WIDTH, HEIGHT)
    assert (before[:, 40:160, 50:140] != after[:, 40:160, 50:140]).mean() > 0.5


def test_a_masked_surface_leaves_as_a_copy_and_late_lanes_see_the_original(gpu: Device, clip: Path):
    mine, host = surfaces(gpu, clip, 1)[0], hosts(clip, 1)[0]
    original = nv12(host)
    cleared = releaser(gpu)[0].clear(frame_of(mine), MASK, BOXES, [1, 2])
    assert isinstance(cleared.picture, HostPicture)
    np.testing.assert_array_equal(nv12(mine), original)
    masked = Releaser(CpuRedactor(RedactionStyle())).clear(frame_of(host), MASK, BOXES, [1, 2])
    difference = np.abs(nv12(cleared.picture).astype(int) - nv12(masked.picture))  # type: ignore[arg-type]
    assert difference.max() <= 1


def test_edited_on_the_host_it_lives_there(gpu: Device, clip: Path):
    mine = surfaces(gpu, clip, 1)[0]
    mine.edit().y[:] = 90
    assert mine.surface is None
    assert mine.edit_surface() is None
    assert (mine.luma == 90).all()
    assert (nv12(mine)[:HEIGHT] == 90).all()


def test_a_gpu_that_fails_masks_and_then_the_cpu_hides_on_the_host(gpu: Device, clip: Path):
    assert gpu.emulator is not None
    there, redactor = releaser(gpu)
    here = Releaser(CpuRedactor(RedactionStyle()))
    pictures, originals = surfaces(gpu, clip, 6), hosts(clip, 6)
    outcomes = []
    for mine, host in zip(pictures, originals, strict=True):
        gpu.emulator.fail_launches(0, -1)
        cleared = there.clear(frame_of(mine), RELEASE, BOXES, [1, 2])
        gpu.emulator.fail_launches(-1, 0)
        outcomes.append((cleared.masked, cleared.broken))
        if not cleared.masked:
            wanted = here.clear(frame_of(host), RELEASE, BOXES, [1, 2])
            np.testing.assert_array_equal(nv12(mine), nv12(wanted.picture))  # type: ignore[arg-type]
            assert mine.surface is None
    assert outcomes == [(True, True)] * 3 + [(False, False)] * 3
    assert redactor.on_cpu


def test_of_a_lost_gpu_nothing_is_shown(gpu: Device, clip: Path, monkeypatch: pytest.MonkeyPatch):
    mine = surfaces(gpu, clip, 1)[0]

    def lost(*_: Any) -> None:
        raise InferenceError("the device is lost")

    monkeypatch.setattr(SurfaceRoom, "download", lost)
    with pytest.raises(InferenceError):
        mine.shrink(64, 64)
    for blank in (mine.frame, mine.apart().frame):
        assert len(np.unique(blank.to_ndarray(format="nv12"))) == 1


def test_where_all_slots_are_taken_frames_come_to_the_host(gpu: Device, clip: Path):
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        decoder = NvdecDecoder(stream, on_gpu(gpu), Uploading)
        decoder._count = 3
        kept = all_of(source, stream, decoder)
    kinds = [frame.format.name for frame in kept]
    assert kinds == ["cuda"] * 3 + ["nv12"] * (len(kept) - 3)
    assert decoder.room is not None
    assert decoder.room.free == 0
    for frame, host in zip(kept, hosts(clip, len(kept)), strict=True):
        np.testing.assert_array_equal(frame.reformat(format="nv12").to_ndarray(), nv12(host))
    pts = [frame.pts for frame in kept]
    assert pts == sorted(set(pts))
    del kept, frame
    gc.collect()
    assert decoder.room.free == 3


def test_the_memory_stays_while_a_frame_is_left(gpu: Device, clip: Path):
    assert gpu.emulator is not None
    mine = surfaces(gpu, clip, 3)[-1]
    gc.collect()
    np.testing.assert_array_equal(nv12(mine), nv12(hosts(clip, 3)[-1]))
    held = [mine.surface]
    wanted = nv12(mine)
    del mine
    gc.collect()
    assert held[0] is not None
    np.testing.assert_array_equal(held[0].to_ndarray(format="nv12"), wanted)


def test_slots_come_back_from_whatever_thread_drops_them(gpu: Device, clip: Path):
    pictures = surfaces(gpu, clip, 8)
    room = pictures[0]._room
    free = room.free
    thread = threading.Thread(target=pictures.clear)
    thread.start()
    thread.join()
    assert room.free == free + 8


class Refusing:
    """A decoder that fails with one of FFmpeg's errors."""

    def __init__(self, error: Exception, after: int = 0) -> None:
        self._error, self._left = error, after

    def decode(self, packet: Packet[Any] | None) -> list[av.VideoFrame]:
        self._left -= 1
        if self._left < 0:
            raise self._error
        return []


def test_damaged_packets_are_passed_over_and_hardware_that_fails_is_told_of(
    gpu: Device, clip: Path
):
    damaged = av.error.InvalidDataError(1, "damaged")
    broken = av.error.ExternalError(2, "broken")
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.size]
        decoder = NvdecDecoder(stream, on_gpu(gpu), Uploading)
        assert [frame for packet in packets[:6] for frame in decoder.decode(packet)]
        decoder._context = Refusing(damaged)
        for _ in range(15):
            with pytest.raises(av.error.InvalidDataError):
                list(decoder.decode(packets[7]))
        with pytest.raises(DecoderFailed, match="16 packets in a row"):
            list(decoder.decode(packets[7]))
        unknown = NvdecDecoder(stream, on_gpu(gpu), lambda _: Refusing(damaged))
        with pytest.raises(DecoderFailed, match="1 packets in a row"):
            list(unknown.decode(packets[0]))
        with pytest.raises(DecoderFailed, match="broken"):
            list(NvdecDecoder(stream, on_gpu(gpu), lambda _: Refusing(broken)).decode(packets[0]))
        silent = NvdecDecoder(stream, on_gpu(gpu), lambda _: Refusing(broken, after=1000))
        for _ in range(64):
            assert not list(silent.decode(packets[0]))
        with pytest.raises(DecoderFailed, match="gave out nothing"):
            list(silent.decode(packets[0]))


def test_what_ffmpeg_gives_without_the_hardware_is_refused(gpu: Device, clip: Path):
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        decoder = NvdecDecoder(stream, on_gpu(gpu), lambda s: s.codec_context)
        with pytest.raises(DecoderFailed, match="frames of yuv420p"):
            all_of(source, stream, decoder)


def test_nvdec_itself_is_not_here(gpu: Device, clip: Path):
    """FFmpeg's CUDA is, so that everything up to the decoder's library runs."""
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        decoder = NvdecDecoder(stream, on_gpu(gpu))
        with pytest.raises(DecoderFailed):
            all_of(source, stream, decoder)


class Faulty(Uploading):
    """A decoder on the GPU that does something wrong to the film that it is tried with."""

    def __init__(self, stream: av.VideoStream, fault: str) -> None:
        super().__init__(stream)
        self._fault, self._count = fault, 0
        self._before: av.VideoFrame | None = None

    def decode(self, packet: Packet[Any] | None) -> Iterator[av.VideoFrame]:
        for frame in super().decode(packet):
            self._count += 1
            if self._count == 10 and self._fault == "late":
                yield self._before
                continue
            if self._count == 10 and self._fault == "lost":
                continue
            if self._count == 10 and self._fault == "host":
                yield frame.reformat(format="nv12")
                continue
            self._before = frame
            yield frame


def test_a_decoder_that_gives_what_h264_defines_is_believed_once_for_all(gpu: Device):
    tried: list[av.VideoStream] = []

    def opener(stream: av.VideoStream) -> Uploading:
        tried.append(stream)
        return Uploading(stream)

    proof = Proof()
    for _ in range(3):
        proof.demand(on_gpu(gpu), opener)
    assert len(tried) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [("late", "frame 9 of a film"), ("lost", "came 23"), ("host", "frames of nv12")],
)
def test_a_decoder_that_gives_something_else_is_not_used(gpu: Device, fault: str, said: str):
    proof = Proof()
    for _ in range(2):
        with pytest.raises(DecoderFailed, match=said):
            proof.demand(on_gpu(gpu), lambda stream: Faulty(stream, fault))


def test_without_nvdec_the_proof_says_so(gpu: Device):
    with pytest.raises(DecoderFailed):
        prove(on_gpu(gpu))
