"""The code around GStreamer's elements, with elements that run in software.

The Jetson's own elements were not at hand when this was written: what is tested is everything but
their names and properties.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.frame import PictureType
from av.video.reformatter import ColorRange
from hypothesis import given
from hypothesis import strategies as st

from edge.frame import Frame
from edge.media import decoders, gst, gst_encoder
from edge.media.address import Address
from edge.media.codecs import VideoSettings
from edge.media.decoders import PictureDecoder, choose_decoder
from edge.media.encoders import JETSON, EncoderState, encoder_setup
from edge.media.gst import GstFailed, GstMissing, GstPipeline, from_ns, load_gst, to_ns
from edge.media.gst_decoder import SOFTWARE_DECODER, DecoderFailed, GstDecoder, nv12_shapes
from edge.media.gst_encoder import SOFTWARE_ENCODER, GstPictureEncoder, i420_shapes, pack
from edge.media.live import LiveConnection
from edge.media.live_encoder import LiveEncoder
from edge.media.live_packets import TICKS_PER_S
from edge.media.normalise import ColourTags
from edge.media.picture import plane_views
from edge.media.picture_encoder import EncoderFailed, FfmpegPictureEncoder
from tests.live.servers import Publisher, free_port
from tests.media.clips import make_clip, numbered_frame, read_number
from tests.media.live_feed import FPS, info, picture

CLOCK = Fraction(1, 90_000)
STEP = 90_000 // FPS


@pytest.fixture(scope="module", autouse=True)
def _gstreamer() -> None:
    try:
        gst.require_elements(SOFTWARE_ENCODER.names)
        for names in SOFTWARE_DECODER.names.values():
            gst.require_elements(names)
    except GstMissing as error:
        pytest.skip(f"{error}; .ci/packages.sh installs it")


def encoder(elements=SOFTWARE_ENCODER, *, keyframe_s=2.0, **changes) -> GstPictureEncoder:
    pictures = info(**changes)
    settings = VideoSettings(codec=JETSON, bitrate=1_500_000, keyframe_interval_s=keyframe_s)
    return GstPictureEncoder(
        pictures, encoder_setup(JETSON, pictures, settings, steady=True), elements
    )


def frame_at(number: int, *, key: bool = False, size=(320, 240), step: int = STEP):
    frame = numbered_frame(number % 256, *size, "yuv420p")
    frame.pts, frame.time_base = number * step, CLOCK
    frame.pict_type = PictureType.I if key else PictureType.NONE
    return frame


def encode(made: GstPictureEncoder, count: int, keys=(0,), size=(320, 240)) -> list[Packet]:
    packets: list[Packet] = []
    for number in range(count):
        packets += made.encode(frame_at(number, key=number in keys, size=size))
    packets += made.flush()
    made.close()
    return packets


def encode_on(made: GstPictureEncoder, *, pause_s: float = 0.0) -> None:
    for number in range(1000):
        list(made.encode(frame_at(number)))
        time.sleep(pause_s)


def numbers_of(packets: list[Packet]) -> list[int]:
    context = av.Codec("h264", "r").create()
    frames = [frame for packet in [*packets, None] for frame in context.decode(packet)]
    return [read_number(frame.to_ndarray(format="gray")) for frame in frames]


# --- encoder --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(320, 240), (322, 182)])
def test_frames_come_out_as_h264_with_their_numbers_times_and_keyframes(size):
    made = encoder(width=size[0], height=size[1])
    packets = encode(made, 60, keys=(0, 25), size=size)
    assert [p.pts for p in packets] == [p.dts for p in packets] == [n * STEP for n in range(60)]
    assert {p.time_base for p in packets} == {CLOCK}
    assert [p.pts // STEP for p in packets if p.is_keyframe] == [0, 25]
    assert numbers_of(packets) == list(range(60))


def test_without_being_told_there_is_a_keyframe_every_interval():
    packets = encode(encoder(keyframe_s=0.5), 60)
    keys = [p.pts for p in packets if p.is_keyframe]
    assert {b - a for a, b in pairwise(keys)} == {45_000}


def test_the_template_tells_size_colours_and_pixel_shape_and_there_is_no_sei():
    colour = ColourTags(primaries=9, transfer=14, matrix=9, full_range=True)
    made = encoder(colour=colour, sample_aspect=Fraction(4, 3))
    packets = encode(made, 4)
    context = made.template.codec_context
    assert (context.width, context.height, context.name) == (320, 240, "h264")
    assert context.sample_aspect_ratio == Fraction(4, 3)
    found = (context.color_primaries, context.color_trc, context.colorspace)
    assert (*found, context.color_range) == (9, 14, 9, ColorRange.JPEG)
    kinds = [unit[0] & 0x1F for p in packets for unit in bytes(p).split(b"\0\0\1")[1:]]
    assert {7, 8, 5} <= set(kinds)
    assert 6 not in kinds


def test_an_element_that_is_missing_is_named():
    with pytest.raises(EncoderFailed, match="GStreamer has no nvvidconv, nvv4l2h264enc"):
        encoder(gst_encoder.JETSON_ENCODER)


def test_an_encoder_that_breaks_says_why():
    elements = gst_encoder.EncoderElements(
        SOFTWARE_ENCODER.names,
        "videoconvert ! identity error-after=10",
        SOFTWARE_ENCODER.encode,
    )
    made = encoder(elements)
    with pytest.raises(EncoderFailed, match=r"^identity: .*[^.]$"):
        encode_on(made, pause_s=0.002)
    made.close()


def breaking_live_encoder(after: int, events: list[str]) -> LiveEncoder:
    """Real elements that do break, behind the encoder that all live outputs share."""
    elements = gst_encoder.EncoderElements(
        SOFTWARE_ENCODER.names,
        f"videoconvert ! identity error-after={after}",
        SOFTWARE_ENCODER.encode,
    )

    def opener(pictures, setup):
        if setup.name == JETSON:
            return GstPictureEncoder(pictures, setup, elements)
        return FfmpegPictureEncoder(pictures, setup)

    return LiveEncoder(
        info(),
        VideoSettings(codec=JETSON, bitrate=1_500_000, preset="ultrafast"),
        steady=True,
        on_event=events.append,
        probe=lambda names: dict.fromkeys(names, EncoderState("works")),
        opener=opener,
    )


@pytest.mark.parametrize("after", [1, 40, 10_000])
def test_the_live_encoder_goes_on_with_x264_and_loses_no_picture(after: int):
    events: list[str] = []
    live = breaking_live_encoder(after, events)
    assert live.encoder == JETSON
    packets = []
    for number in range(100):
        packets += live.encode(picture(number), number / FPS)
        time.sleep(0.002)
    packets += [packet for packet in live.flush() if packet.is_video]
    live.close()
    broke = after < 100
    assert live.encoder == ("libx264" if broke else JETSON)
    assert [event.split(":")[0] for event in events] == ["encoder nvv4l2h264enc failed"] * broke
    assert [p.pts for p in packets] == [n * TICKS_PER_S // FPS for n in range(100)]
    assert all(a.dts < b.dts for a, b in pairwise(packets))
    context = av.Codec("h264", "r").create()
    # Of an encoder that gave nothing there is no header in the stream, but in the template only.
    context.extradata = live.template(0).codec_context.extradata
    units = [Packet(p.data) for p in packets]
    frames = [frame for unit in [*units, None] for frame in context.decode(unit)]
    found = [read_number(frame.to_ndarray(format="gray")) for frame in frames]
    assert found == list(range(100))


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[GstPictureEncoder]:
    """An encoder that takes everything and gives nothing, nor ends."""
    monkeypatch.setattr(gst_encoder, "_WAIT_S", 0.2)
    monkeypatch.setattr(gst_encoder, "_FLUSH_S", 0.2)
    elements = gst_encoder.EncoderElements(
        SOFTWARE_ENCODER.names,
        "videoconvert ! identity sleep-time=30000000",
        SOFTWARE_ENCODER.encode,
    )
    made = encoder(elements)
    yield made
    began = time.monotonic()
    made.close()
    assert time.monotonic() - began < 10


def test_an_encoder_that_hangs_is_given_up(stuck: GstPictureEncoder):
    began = time.monotonic()
    with pytest.raises(EncoderFailed, match="gave out nothing"):
        encode_on(stuck)
    assert time.monotonic() - began < 10


def test_an_encoder_that_hangs_at_the_end_is_given_up(stuck: GstPictureEncoder):
    list(stuck.encode(frame_at(0)))
    began = time.monotonic()
    with pytest.raises(EncoderFailed, match="did not end within"):
        list(stuck.flush())
    assert time.monotonic() - began < 10


@given(st.integers(1, 64), st.integers(1, 64))
def test_layouts_are_gstreamers(half_width: int, half_height: int):
    # gst_video_info_set_format: strides rounded up to 4, planes one after the other.
    width, height = 2 * half_width, 2 * half_height
    (rows, luma), (_, chroma), _ = i420_shapes(width, height)
    assert rows == height
    assert luma % 4 == chroma % 4 == 0
    assert 0 <= luma - width < 4
    assert 0 <= chroma - width // 2 < 4
    frame = av.VideoFrame(width, height, "yuv420p")
    assert len(pack(frame)) == height * luma + height * chroma
    assert nv12_shapes(width, height) == ((height, luma), (height // 2, luma))


@given(st.integers(0, 10**15), st.sampled_from([90_000, 12_800, 48_000, 1000, 1_200_000]))
def test_times_survive_nanoseconds(ticks: int, rate: int):
    assert from_ns(to_ns(ticks, Fraction(1, rate)), Fraction(1, rate)) == ticks


# --- decoder --------------------------------------------------------------------------------


def clip(path: Path, **changes) -> Path:
    return make_clip(path, **{"frames": 60, "size": (320, 240), "fps": FPS, **changes})


def decoded(path: Path) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """[(pts, number)] by GStreamer, and by FFmpeg."""
    found: list[list[tuple[int, int]]] = []
    for by_gst in (True, False):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            decoder = GstDecoder(stream, SOFTWARE_DECODER) if by_gst else stream.codec_context
            frames = []
            for packet in container.demux(stream):
                flush = packet.dts is None and packet.pts is None
                for frame in decoder.decode(None if flush else packet):
                    assert frame.time_base in (None, stream.time_base)
                    frames.append((frame.pts, read_number(frame.to_ndarray(format="gray"))))
            if by_gst:
                decoder.close()
            found.append(frames)
    return found[0], found[1]


@pytest.mark.parametrize(
    ("name", "codec", "size"),
    [
        ("a.mp4", "libx264", (320, 240)),
        ("a.ts", "libx264", (322, 182)),
        ("a.flv", "libx264", (320, 240)),
        ("a.mkv", "libx265", (320, 240)),
        ("b.ts", "libx265", (320, 240)),
    ],
)
def test_decodes_what_ffmpeg_decodes_with_the_same_times(tmp_path: Path, name, codec, size):
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"preset": "veryfast"}
    ours, theirs = decoded(clip(tmp_path / name, codec=codec, size=size, options=options))
    assert ours == theirs
    assert [number for _, number in ours] == list(range(60))


@pytest.mark.parametrize("pixel_format", ["I420", "NV12"])
def test_pixels_and_colour_tags_are_ffmpegs(tmp_path: Path, pixel_format):
    elements = replace(SOFTWARE_DECODER, pixel_format=pixel_format)
    path = clip(tmp_path / "a.mp4", pix_fmt="yuvj420p", size=(322, 182))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = GstDecoder(stream, elements)
        packets = list(container.demux(stream))
        ours = [f for p in packets[:-1] for f in decoder.decode(p)] + list(decoder.decode(None))
        theirs = [f for p in packets for f in stream.codec_context.decode(p)]
        decoder.close()
    assert len(ours) == len(theirs) == 60
    for a, b in zip(ours, theirs, strict=True):
        name = {"I420": "yuv420p", "NV12": "nv12"}[pixel_format]
        assert (a.format.name, a.color_range) == (name, ColorRange.JPEG)
        luma, *chroma = plane_views(a)
        if pixel_format == "NV12":
            chroma = [chroma[0][:, :, 0], chroma[0][:, :, 1]]
        for ours_, theirs_ in zip((luma, *chroma), plane_views(b), strict=True):
            assert np.array_equal(ours_, theirs_)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_refuses_what_the_hardware_does_not_decode(tmp_path: Path, codec: str):
    pix_fmt = "yuv420p" if codec == "mpeg4" else "yuv444p"
    path = clip(tmp_path / "a.mkv", codec=codec, pix_fmt=pix_fmt)
    with av.open(str(path)) as container, pytest.raises(DecoderFailed, match="does not decode"):
        GstDecoder(container.streams.video[0], SOFTWARE_DECODER)


def decode_noise(decoder: GstDecoder) -> None:
    random = np.random.default_rng(1)
    for number in range(200):
        data = random.integers(1, 256, 500, np.uint8).tobytes()
        noise: Packet = Packet(data)
        noise.pts = noise.dts = number * 3000
        noise.is_keyframe, noise.time_base = True, CLOCK
        list(decoder.decode(noise))
    list(decoder.decode(None))


def test_a_stream_without_a_picture_in_it_is_an_error_and_does_not_hang(tmp_path: Path):
    with av.open(str(clip(tmp_path / "a.ts"))) as container:
        stream = container.streams.video[0]
        decoder = GstDecoder(stream, SOFTWARE_DECODER)
        began = time.monotonic()
        with pytest.raises(DecoderFailed):
            decode_noise(decoder)
        decoder.close()
        assert time.monotonic() - began < 10


# --- live source ----------------------------------------------------------------------------


class Failing:
    """The only thing that is not real here: hardware that breaks after some packets."""

    name, answers_later, room = GstDecoder.name, True, None

    def __init__(self, stream: av.VideoStream, after: int) -> None:
        self._real, self._left = GstDecoder(stream, SOFTWARE_DECODER), after

    def decode(self, packet):
        self._left -= 1
        if self._left < 0:
            raise DecoderFailed("the driver is gone")
        yield from self._real.decode(packet)
        time.sleep(0.01)  # a live source is not faster, and what is inside at the end is lost

    def close(self) -> None:
        self._real.close()


def test_when_hardware_fails_ffmpeg_goes_on_from_the_next_keyframe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(PictureDecoder, "_failures", 0)
    path = clip(tmp_path / "a.ts", options={"preset": "ultrafast", "g": "12", "bf": "0"})
    notes: list[str] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = PictureDecoder(stream, notes.append, lambda s: Failing(s, after=30))
        assert decoder.name == decoders.JETSON
        frames = [f for p in container.demux(stream) for f in decoder.decode(p if p.size else None)]
        decoder.close()
    numbers = [read_number(f.to_ndarray(format="gray")) for f in frames]
    assert numbers == sorted(set(numbers))
    # Keyframes are at 24, 36, 48; the decoder broke at 30, with a few pictures in it.
    assert set(range(36, 60)) <= set(numbers)
    assert set(range(20)) <= set(numbers)
    assert notes == [
        "decoder nvv4l2decoder failed: the driver is gone. FFmpeg goes on in its place"
    ]
    assert PictureDecoder._failures == 1


def test_here_ffmpeg_decodes_unless_this_is_a_jetson():
    name, why = choose_decoder()
    assert (name == decoders.JETSON) == (why == "its elements are there")


def test_a_live_source_through_the_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PictureDecoder, "_failures", 0)
    monkeypatch.setattr(decoders, "open_hardware", lambda s: GstDecoder(s, SOFTWARE_DECODER))
    options = {"preset": "ultrafast", "g": "15", "bf": "0"}
    path = clip(tmp_path / "a.ts", frames=240, options=options)
    url = f"udp://127.0.0.1:{free_port()}"
    numbers, times = [], []
    with (
        Publisher(path, f"{url}?pkt_size=1316", tmp_path / "log"),
        LiveConnection(Address.parse(url)) as source,
    ):
        for item in source.read():
            if isinstance(item, Frame):
                numbers.append(read_number(item.picture.luma))
                times.append(item.pts)
            if len(numbers) == 60:
                break
    assert {(b - a) % 240 for a, b in pairwise(numbers)} == {1}
    assert np.abs(np.diff(times) - 1 / FPS).max() < 0.001
    assert source.notes == []


# --- the pipeline itself --------------------------------------------------------------------


def test_a_pipeline_that_cannot_be_made_or_started_is_a_clear_error():
    with pytest.raises(GstFailed, match="no element"):
        GstPipeline("appsrc name=in ! no-such-element ! appsink name=out")
    with pytest.raises(GstFailed, match=r"filesrc: .*"):
        GstPipeline("appsrc name=in ! fakesink filesrc location=/none/a ! appsink name=out")


def test_after_close_nothing_is_taken():
    pipeline = GstPipeline("appsrc name=in format=time ! appsink name=out sync=false async=false")
    pipeline.push(b"abc", 5)
    [sample] = pipeline.drain(5.0)
    assert (sample.data, sample.time_ns) == (b"abc", 5)
    pipeline.close()
    pipeline.close()
    with pytest.raises(GstFailed, match="closed"):
        pipeline.push(b"abc", 6)


def test_gstreamer_is_loaded_once_and_only_where_it_is_used():
    assert load_gst() is load_gst()
    program = "import sys, edge.live_runner, edge.doctor; sys.exit('gi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
