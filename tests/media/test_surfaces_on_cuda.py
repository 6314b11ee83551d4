"""Frames that stay on the GPU, from the decoder to the encoder: on a GPU where one is, decoded by
NVDEC and otherwise, and in a process whose libcuda.so.1 is the CPU (tests.redact.by_name).

In the place of NVDEC: FFmpeg's software decoder, whose frames it uploads itself; in the place of
NVENC: x264, which has them downloaded."""

from __future__ import annotations

import ctypes
import gc
import io
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.packet import Packet
from av.stream import Stream
from av.video.frame import CudaContext

from edge.delay import Judgement, Verdict
from edge.detection import FloatArray
from edge.errors import InferenceError
from edge.frame import Frame
from edge.inference.cuda import Cuda
from edge.inference.dlpack import DeviceArray, count_lent
from edge.inference.picture import DevicePicture, PictureLeftError
from edge.inference.surfaces import SurfaceRoom
from edge.media.codecs import VideoSettings
from edge.media.encoder_probe import probe_encoders
from edge.media.encoders import (
    NVENC,
    SOFTWARE,
    EncoderSetup,
    EncoderState,
    PictureInfo,
    encoder_setup,
)
from edge.media.hardware_decoder import DecoderFailed
from edge.media.live_encoder import LiveEncoder
from edge.media.nvdec import Context, NvdecDecoder, OnGpu, open_nvdec
from edge.media.nvdec_proof import Proof, prove
from edge.media.picture import HostPicture, copy_tags
from edge.media.picture_encoder import EncoderFailed, FfmpegPictureEncoder
from edge.media.surface import STORED, SurfacePicture, bring, locate
from edge.motion import analysis_size
from edge.redact.cpu import CpuRedactor
from edge.redact.cuda import CudaRedactor
from edge.redact.cuda_mark import SurfaceMark
from edge.redact.effects import RedactionStyle
from edge.redact.failover import FailoverRedactor
from edge.redact.watermark import Watermark
from edge.release import Releaser
from tests.harness import SIZE, film
from tests.media.live_feed import Info
from tests.redact.emulator import ON_CPU, Device, emulated, real, shipped

WIDTH, HEIGHT = SIZE
BOXES: FloatArray = np.array([[40, 30, 150, 170], [200, 100, 330, 250]], np.float32)
RELEASE, MASK = Judgement(Verdict.RELEASE), Judgement(Verdict.MASK, ("faces",))
HOLD_S = 0.5


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("surfaces") / "clip.mp4", sound=False)


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


class Lending:
    """A decoder whose frames are put into memory of ours on the GPU.

    FFmpeg's own upload opens a context of its own, whose memory a real GPU's kernels in the
    primary one need not reach.
    """

    PITCH = 768

    def __init__(self, cuda: Cuda, stream: av.VideoStream) -> None:
        self._cuda, self._context = cuda, stream.codec_context
        self._frames = CudaContext(primary_ctx=True)

    def decode(self, packet: Packet[Any] | None) -> Iterator[av.VideoFrame]:
        for frame in self._context.decode(packet):
            yield self._lent(frame)

    def _lent(self, frame: av.VideoFrame) -> av.VideoFrame:
        cuda, pitch, height, width = self._cuda, self.PITCH, frame.height, frame.width
        held = np.full((height * 3 // 2, pitch), 0xEE, np.uint8)
        held[:, :width] = frame.reformat(format=STORED).to_ndarray(format=STORED)
        cuda.enter()
        address, stream = cuda.allocate(held.nbytes), cuda.stream()
        cuda.upload(address, held.ctypes.data, held.nbytes, stream)
        cuda.wait(stream)
        cuda.drop_stream(stream)
        planes = [0, 1]

        def release() -> None:
            planes.pop()
            if not planes:
                cuda.enter()
                cuda.free(address)

        luma = DeviceArray(address, (height, width), (pitch, 1), release)
        half = (height // 2, width // 2, 2)
        chroma = DeviceArray(address + height * pitch, half, (pitch, 2, 1), release)
        there = av.VideoFrame.from_dlpack((luma, chroma), STORED, cuda_context=self._frames)
        copy_tags(frame, there)
        there.duration, there.dts = frame.duration, frame.dts
        return there


@dataclass(frozen=True)
class Decoding(Device):
    """A device, and what decodes to frames of format cuda on it. nvdec: whether that is NVDEC."""

    opener: Callable[[av.VideoStream], Context] = Uploading
    nvdec: bool = False


def nvdec_here() -> bool:
    """Whether NVDEC's library is. What it does wrong where it is, is for tests to find."""
    try:
        ctypes.CDLL("libnvcuvid.so.1")
    except OSError:
        return False
    return True


def need_nvdec() -> None:
    if not nvdec_here():
        pytest.skip("libnvcuvid.so.1 of NVIDIA's driver is not here (in a container, "
                    "NVIDIA_DRIVER_CAPABILITIES has to name video)")  # fmt: skip


# FFmpeg finds libcuda by its name: the driver on the CPU has to be what a process finds by it.
@pytest.fixture(
    scope="module",
    params=[
        *(["cpu"] if ON_CPU in os.environ else []),
        pytest.param("gpu", marks=pytest.mark.gpu),
        pytest.param("gpu, NVDEC", marks=pytest.mark.gpu),
    ],
)
def gpu(request: pytest.FixtureRequest) -> Decoding:
    if request.param == "cpu":
        device = emulated(shipped())
        return Decoding(device.cuda, device.image, device.emulator)
    device = real()
    if "NVDEC" not in request.param:
        return Decoding(device.cuda, device.image, None, partial(Lending, device.cuda))
    need_nvdec()
    return Decoding(device.cuda, device.image, None, open_nvdec, nvdec=True)


@pytest.fixture(autouse=True)
def nothing_stays(gpu: Decoding) -> Iterator[None]:
    """Every test gives back what it took: of tensors, and where that can be counted, on the GPU."""

    def left() -> tuple[int, int]:
        gc.collect()
        return gpu.emulator.count_live() if gpu.emulator else 0, count_lent()

    gpu.cuda.enter()
    before, _ = left()
    yield
    if gpu.emulator:
        gpu.emulator.fail_launches(-1, 0)
    assert left() == (before, 0)


def on_gpu(gpu: Decoding) -> OnGpu:
    return OnGpu(gpu.cuda, gpu.image, HOLD_S)


def all_of(
    source: av.container.InputContainer, stream: av.VideoStream, decoder: NvdecDecoder
) -> list[av.VideoFrame]:
    return [
        frame for packet in source.demux(stream)
        for frame in decoder.decode(packet if packet.size else None)
    ]  # fmt: skip


def surfaces(gpu: Decoding, clip: Path, count: int = 8) -> list[SurfacePicture]:
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        decoder = NvdecDecoder(stream, on_gpu(gpu), gpu.opener)
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


def test_frames_lie_in_slots_as_nvenc_reads_them_with_their_times(gpu: Decoding, clip: Path):
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
    gpu: Decoding, clip: Path
):
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


def releaser(gpu: Decoding, *, marked: bool = False) -> tuple[Releaser, FailoverRedactor]:
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
def test_a_surface_is_hidden_where_it_is(gpu: Decoding, clip: Path, marked: bool):
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


def test_what_was_seen_on_the_host_before_is_not_seen_after(gpu: Decoding, clip: Path):
    mine = surfaces(gpu, clip, 1)[0]
    before = mine.shrink(WIDTH, HEIGHT)
    releaser(gpu)[0].clear(frame_of(mine), RELEASE, BOXES, [1, 2])
    after = mine.shrink(WIDTH, HEIGHT)
    assert (before[:, 40:160, 50:140] != after[:, 40:160, 50:140]).mean() > 0.5


def test_a_masked_surface_leaves_as_a_copy_and_late_lanes_see_the_original(
    gpu: Decoding, clip: Path
):
    mine, host = surfaces(gpu, clip, 1)[0], hosts(clip, 1)[0]
    original = nv12(host)
    cleared = releaser(gpu)[0].clear(frame_of(mine), MASK, BOXES, [1, 2])
    assert isinstance(cleared.picture, HostPicture)
    np.testing.assert_array_equal(nv12(mine), original)
    masked = Releaser(CpuRedactor(RedactionStyle())).clear(frame_of(host), MASK, BOXES, [1, 2])
    difference = np.abs(nv12(cleared.picture).astype(int) - nv12(masked.picture))  # type: ignore[arg-type]
    assert difference.max() <= 1


def test_while_it_is_looked_at_it_is_edited_on_the_host(gpu: Decoding, clip: Path):
    mine, host = surfaces(gpu, clip, 1)[0], hosts(clip, 1)[0]
    surface = mine.surface
    assert surface is not None
    with mine.lend():
        cleared = releaser(gpu)[0].clear(frame_of(mine), RELEASE, BOXES, [1, 2])
        room = mine._room
        np.testing.assert_array_equal(bring(surface, room).to_ndarray(), nv12(host))
    assert mine.surface is None
    Releaser(CpuRedactor(RedactionStyle())).clear(frame_of(host), RELEASE, BOXES, [1, 2])
    difference = np.abs(nv12(cleared.picture).astype(int) - nv12(host))  # type: ignore[arg-type]
    assert difference.max() <= 1


def test_what_was_hidden_is_not_lent_any_more(gpu: Decoding, clip: Path):
    mine = surfaces(gpu, clip, 1)[0]
    releaser(gpu)[0].clear(frame_of(mine), RELEASE, BOXES, [1, 2])
    with pytest.raises(PictureLeftError), mine.lend():
        raise AssertionError("it was lent")


def test_edited_on_the_host_it_lives_there(gpu: Decoding, clip: Path):
    mine = surfaces(gpu, clip, 1)[0]
    mine.edit().y[:] = 90
    assert mine.surface is None
    assert mine.edit_surface() is None
    assert (mine.luma == 90).all()
    assert (nv12(mine)[:HEIGHT] == 90).all()


def test_a_gpu_that_fails_masks_and_then_the_cpu_hides_on_the_host(gpu: Decoding, clip: Path):
    if gpu.emulator is None:
        pytest.skip("faults are planted in the driver on the CPU only")
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


def test_of_a_lost_gpu_nothing_is_shown(gpu: Decoding, clip: Path, monkeypatch: pytest.MonkeyPatch):
    mine = surfaces(gpu, clip, 1)[0]

    def lost(*_: Any) -> None:
        raise InferenceError("the device is lost")

    monkeypatch.setattr(SurfaceRoom, "download", lost)
    with pytest.raises(InferenceError):
        mine.shrink(64, 64)
    for blank in (mine.frame, mine.apart().frame):
        assert len(np.unique(blank.to_ndarray(format="nv12"))) == 1


def test_where_all_slots_are_taken_frames_come_to_the_host(gpu: Decoding, clip: Path):
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        decoder = NvdecDecoder(stream, on_gpu(gpu), gpu.opener)
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


def test_the_memory_stays_while_a_frame_is_left(gpu: Decoding, clip: Path):
    mine = surfaces(gpu, clip, 3)[-1]
    gc.collect()
    np.testing.assert_array_equal(nv12(mine), nv12(hosts(clip, 3)[-1]))
    held = [mine.surface]
    wanted = nv12(mine)
    del mine
    gc.collect()
    assert held[0] is not None
    np.testing.assert_array_equal(held[0].to_ndarray(format="nv12"), wanted)


def test_slots_come_back_from_whatever_thread_drops_them(gpu: Decoding, clip: Path):
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
    gpu: Decoding, clip: Path
):
    damaged = av.error.InvalidDataError(1, "damaged")
    broken = av.error.ExternalError(2, "broken")
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.size]
        decoder = NvdecDecoder(stream, on_gpu(gpu), gpu.opener)
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


def test_what_ffmpeg_gives_without_the_hardware_is_refused(gpu: Decoding, clip: Path):
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        decoder = NvdecDecoder(stream, on_gpu(gpu), lambda s: s.codec_context)
        with pytest.raises(DecoderFailed, match="frames of yuv420p"):
            all_of(source, stream, decoder)


def test_without_nvdec_its_decoder_fails(gpu: Decoding, clip: Path):
    """FFmpeg's CUDA is there, so that everything up to the decoder's library runs."""
    if nvdec_here():
        pytest.skip("libnvcuvid.so.1 is here")
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        decoder = NvdecDecoder(stream, on_gpu(gpu))
        with pytest.raises(DecoderFailed):
            all_of(source, stream, decoder)


class Faulty:
    """A decoder on the GPU that does something wrong to the film that it is tried with."""

    def __init__(self, sound: Context, fault: str) -> None:
        self._sound = sound
        self._fault, self._count = fault, 0
        self._before: av.VideoFrame | None = None

    def decode(self, packet: Packet[Any] | None) -> Iterator[av.VideoFrame]:
        for frame in self._sound.decode(packet):
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


def test_a_decoder_that_gives_what_h264_defines_is_believed_once_for_all(gpu: Decoding):
    tried: list[av.VideoStream] = []

    def opener(stream: av.VideoStream) -> Context:
        tried.append(stream)
        return gpu.opener(stream)

    proof = Proof()
    for _ in range(3):
        proof.demand(on_gpu(gpu), opener)
    assert len(tried) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [("late", "frame 9 of a film"), ("lost", "came 23"), ("host", "frames of nv12")],
)
def test_a_decoder_that_gives_something_else_is_not_used(gpu: Decoding, fault: str, said: str):
    proof = Proof()
    for _ in range(2):
        with pytest.raises(DecoderFailed, match=said):
            proof.demand(on_gpu(gpu), lambda stream: Faulty(gpu.opener(stream), fault))


def test_without_nvdec_the_proof_says_so(gpu: Decoding):
    if nvdec_here():
        pytest.skip("libnvcuvid.so.1 is here")
    with pytest.raises(DecoderFailed):
        prove(on_gpu(gpu))


def test_nvdec_gives_what_h264_defines(gpu: Decoding):
    if not gpu.nvdec:
        pytest.skip("another decoder is tested here")
    prove(on_gpu(gpu))


# --- encoding ---------------------------------------------------------------------------------


@dataclass
class Reading:
    """Encodes frames as NVENC does, where they are."""

    info: PictureInfo
    setup: EncoderSetup
    given: list[str] = field(default_factory=list)
    """The pixel format of each frame."""
    lost: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        software = encoder_setup(
            SOFTWARE, self.info, self.setup.settings, steady=self.setup.steady, relieves=True
        )
        self._real = FfmpegPictureEncoder(self.info, software)

    @property
    def template(self) -> Stream:
        return self._real.template

    @property
    def header(self) -> bytes:
        return self._real.header

    def encode(self, frame: av.VideoFrame) -> Iterator[Packet[Any]]:
        if self.lost():
            raise EncoderFailed("the device is lost")
        self.given.append(frame.format.name)
        host = frame
        if frame.sw_format is not None:
            host = frame.reformat(format=frame.sw_format.name)
            host.pts, host.time_base = frame.pts, frame.time_base
            host.pict_type = frame.pict_type
        yield from self._real.encode(host)

    def flush(self) -> Iterator[Packet[Any]]:
        yield from self._real.flush()

    def close(self) -> None:
        self._real.close()


@pytest.fixture
def encoder(gpu: Decoding) -> Iterator[LiveEncoder]:
    """NVENC, or what stands for it on the driver on the CPU."""
    info = Info(WIDTH, HEIGHT, Fraction(25), "nv12")
    settings = VideoSettings(codec=NVENC, bitrate=6_000_000)
    if gpu.emulator is not None:
        stands: dict[str, Any] = {
            "probe": lambda _: {NVENC: EncoderState("works")}, "opener": Reading,
        }  # fmt: skip
        made = LiveEncoder(info, settings, steady=True, on_gpu=True, **stands)
    else:
        state = probe_encoders((NVENC,))[NVENC]
        if state.state != "works":
            pytest.skip(f"{NVENC} {state}")
        made = LiveEncoder(info, settings, steady=True, on_gpu=True)
    yield made
    made.close()


def test_surfaces_are_encoded_where_they_are(gpu: Decoding, encoder: LiveEncoder, clip: Path):
    """What comes out of it looks like what went in: NVENC reads the right memory, when it is done
    being written, in the right layout."""
    pictures = surfaces(gpu, clip, 24)
    originals = [nv12(picture) for picture in pictures]
    assert encoder.encoder == NVENC
    assert encoder._picture.setup.on_gpu
    packets = [p for n, one in enumerate(pictures) for p in encoder.encode(one, n / 25)]
    assert all(one.surface is not None for one in pictures), "none was brought to the host for it"
    packets += [p for p in encoder.flush() if p.is_video]
    assert encoder.encoder == NVENC, "it was not replaced"
    header = encoder.template(0).codec_context.extradata
    film = io.BytesIO(b"".join([header or b"", *(p.data for p in packets)]))
    with av.open(film, "r", format="h264") as source:
        shown = [frame.to_ndarray(format=STORED) for frame in source.decode(video=0)]
    assert len(shown) == len(originals)
    for mine, original in zip(shown, originals, strict=True):
        error = np.mean((mine.astype(float) - original) ** 2)
        assert 10 * np.log10(255**2 / max(error, 1e-9)) > 30  # dB; another frame's is below 20
