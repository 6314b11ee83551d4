"""The choice of an encoder, what opens here, and hardware that fails amid a stream."""

from __future__ import annotations

import functools
import logging
import re
import subprocess
import sys
from collections import deque
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import SinkError
from edge.media import encoder_probe, gst, live_sink
from edge.media.address import Address
from edge.media.codecs import VideoSettings, container_for, encoder_for, has_encoder
from edge.media.encoder_probe import probe_encoders, try_encoder
from edge.media.encoders import (
    AUTO,
    HARDWARE,
    JETSON,
    NVENC,
    PREFERENCE,
    SOFTWARE,
    V4L2,
    EncoderState,
    choose_encoder,
    encoder_setup,
)
from edge.media.live_encoder import LiveEncoder
from edge.media.live_packets import TICKS_PER_S
from edge.media.live_sink import LiveSink
from edge.media.picture_encoder import EncoderFailed, FfmpegPictureEncoder, KeyframeTemplate
from tests.live.servers import RtmpServer
from tests.media.clips import decode, read_number
from tests.media.live_feed import FPS, feed, info, picture, until

WORKS = EncoderState("works")
FAST = VideoSettings(codec=NVENC, preset="ultrafast", bitrate=2_000_000)

# --- choice ---------------------------------------------------------------------------------

STATES = st.sampled_from(
    [WORKS, EncoderState("does not open here", "no driver"), EncoderState("missing", "not built")]
)
PRESENT = st.dictionaries(st.sampled_from(PREFERENCE), STATES)


@given(st.sampled_from([AUTO, *PREFERENCE]), PRESENT)
def test_the_first_that_works_is_chosen_and_all_before_it_are_explained(wanted, present):
    order = PREFERENCE if wanted == AUTO else tuple(dict.fromkeys((wanted, SOFTWARE)))
    working = [name for name in order if present.get(name) == WORKS]
    if not working:
        with pytest.raises(SinkError, match=r"No H\.264 encoder works here: .*\. Install"):
            choose_encoder(wanted, present)
        return
    choice = choose_encoder(wanted, present)
    assert choice.name == working[0]
    passed = order[: order.index(choice.name)]
    assert [note.split()[0] for note in choice.notes] == list(passed)
    for name, note in zip(passed, choice.notes, strict=True):
        reason = present[name].reason if name in present else "it was not looked for"
        assert reason in note
    assert all(note in str(choice) for note in choice.notes)
    assert (choice.why == "as set") == (wanted == choice.name)


def test_x264_always_stands_in():
    for wanted in (AUTO, *PREFERENCE):
        assert choose_encoder(wanted, {SOFTWARE: WORKS}).name == SOFTWARE


@given(st.text())
def test_an_unknown_name_is_an_error(wanted: str):
    if wanted not in (AUTO, *PREFERENCE):
        with pytest.raises(SinkError, match=r"\. Choose auto, h264_nvenc, .* or libx264\."):
            choose_encoder(wanted, dict.fromkeys(PREFERENCE, WORKS))


def test_a_file_is_encoded_by_x264_on_every_machine():
    for suffix, name in ((".mp4", SOFTWARE), (".webm", "libvpx-vp9")):
        container = container_for(Path(f"a{suffix}"))
        assert encoder_for(VideoSettings(codec=AUTO), container) == name
    with pytest.raises(SinkError, match="h264_nvenc is not supported"):
        encoder_for(VideoSettings(codec=NVENC), container_for(Path("a.mp4")))


# --- settings -------------------------------------------------------------------------------


@given(
    st.sampled_from(PREFERENCE),
    st.booleans(),
    st.one_of(st.none(), st.integers(100_000, 50_000_000)),
    st.sampled_from([Fraction(30), Fraction(30_000, 1001), Fraction(50), Fraction(25, 2)]),
    st.sampled_from(["yuv420p", "yuvj420p", "nv12"]),
)
def test_live_settings(name, steady, bitrate, fps, pixel_format):
    pictures = info(fps=fps, pixel_format=pixel_format)
    settings = VideoSettings(codec=name, bitrate=bitrate)
    setup = encoder_setup(name, pictures, settings, steady=steady)
    if bitrate is not None:
        assert setup.settings.bitrate == bitrate
    if steady:
        assert setup.settings.bitrate
        if name in (SOFTWARE, NVENC):
            rate = str(setup.settings.bitrate)
            assert setup.options["maxrate"] == setup.options["bufsize"] == rate
    if name in (JETSON, V4L2):
        assert setup.settings.bitrate
        assert setup.pixel_format == "yuv420p"
        assert setup.gop == max(2, round(2 * fps))
    elif name == NVENC:
        assert setup.options["bf"] == "0"
        assert setup.options["forced-idr"] == "1"
        assert setup.pixel_format != "yuvj420p"
    else:
        assert setup.pixel_format == pixel_format


def test_x264_that_takes_over_makes_no_b_frames():
    assert "bf" not in encoder_setup(SOFTWARE, info(), FAST, steady=True).options
    assert encoder_setup(SOFTWARE, info(), FAST, steady=True, relieves=True).options["bf"] == "0"


def opening(name: str, options: dict[str, str]) -> str:
    """What FFmpeg says to these options; it reads them before it looks for a driver."""
    context = av.Codec(name, "w").create()
    context.width, context.height, context.pix_fmt = 320, 240, "yuv420p"
    context.framerate, context.time_base = Fraction(30), Fraction(1, 30)
    context.options = options
    try:
        context.open(strict=False)
    except (av.FFmpegError, OSError) as error:
        return type(error).__name__
    return "opened"


@pytest.mark.parametrize("steady", [True, False])
def test_options_and_their_values_are_known_to_nvenc(steady: bool):
    if not has_encoder(NVENC):
        pytest.skip("this FFmpeg was built without NVENC")
    refused = opening(NVENC, {"preset": "no such value"})
    assert refused != opening(NVENC, {})
    assert opening(NVENC, {"no_such_option": "no such value"}) != refused
    for settings in (FAST, VideoSettings(codec=NVENC)):
        options = dict(encoder_setup(NVENC, info(), settings, steady=steady).options)
        assert opening(NVENC, options) != refused
        for name in options:
            assert opening(NVENC, {name: "no such value"}) == refused, name


# --- what opens here ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here() -> dict[str, EncoderState]:
    return probe_encoders()


def test_the_probe_tells_working_encoders_from_those_without_a_driver(here):
    assert list(here) == list(PREFERENCE)
    assert here[SOFTWARE] == WORKS
    for state in here.values():
        assert (state.state == "works") == (not state.reason)


def test_nvenc_without_a_driver_is_noticed_and_the_reason_told(here):
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is an NVIDIA driver")
    if not has_encoder(NVENC):
        assert here[NVENC] == EncoderState("missing", "this FFmpeg was built without it")
        return
    assert here[NVENC].state == "does not open here"
    assert "libcuda" in here[NVENC].reason
    choice = choose_encoder(NVENC, here)
    assert choice.name == SOFTWARE
    assert "libcuda" in choice.notes[0]


@pytest.mark.parametrize("probed", [True, False])
def test_nvenc_that_does_not_open_gives_way_to_x264_with_one_line(
    probed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """FFmpeg's own NVENC, asked for by name; also where the probe took it for working."""
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is an NVIDIA driver")
    if not has_encoder(NVENC):
        pytest.skip("this FFmpeg was built without NVENC")
    present = probe_encoders if probed else lambda names: dict.fromkeys(names, WORKS)
    with caplog.at_level(logging.INFO, logger="edge.media"):
        encoder = LiveEncoder(info(), FAST, steady=True, probe=present)
    try:
        packets = [p for n in range(20) for p in encoder.encode(picture(n), n / FPS)]
        packets += encoder.flush()
        assert encoder.encoder == SOFTWARE
    finally:
        encoder.close()
    assert sum(packet.is_video for packet in packets) == 20
    assert packets[0].is_key
    [line] = [record.getMessage() for record in caplog.records if NVENC in record.getMessage()]
    assert line.startswith("encoder libx264: in place of what was set; h264_nvenc does not open")
    assert not probed or "libcuda" in line


def test_v4l2_without_a_codec_device_is_noticed_and_the_reason_told(here):
    if any(Path("/dev").glob("video*")):
        pytest.skip("there is a V4L2 device")
    assert here[V4L2].reason in (
        "Could not find a valid device",
        "this FFmpeg was built without it",
    )


def test_away_from_a_jetson_gstreamer_is_not_even_looked_for(here):
    if gst.is_jetson():
        pytest.skip("this is a Jetson")
    assert here[JETSON] == EncoderState("missing", "this is no Jetson")


def test_on_a_jetson_without_its_elements_the_reason_is_told(monkeypatch: pytest.MonkeyPatch):
    if gst.is_jetson():
        pytest.skip("this is a Jetson")
    monkeypatch.setattr(encoder_probe, "is_jetson", lambda: True)
    state = probe_encoders([JETSON])[JETSON]
    assert state.state == "does not open here"
    assert "GStreamer" in state.reason


def test_x264_passes_the_trial_that_hardware_has_to_pass():
    assert try_encoder(SOFTWARE) == WORKS


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"crashed \(SIGSEGV\)"),
        ("import time; time.sleep(60)", "did not answer in 0.5 s"),
        ("print('noise')", "without a word"),
        ("raise SystemExit(3)", "without a word"),
    ],
)
def test_a_driver_that_crashes_or_hangs_takes_nothing_with_it(monkeypatch, script, reason):
    if not has_encoder(V4L2):
        pytest.skip("this FFmpeg was built without V4L2")
    # In place of the program that opens the encoder.
    popen = subprocess.Popen

    def start(command, **kwargs):
        return popen([sys.executable, "-c", script], **kwargs)

    monkeypatch.setattr(subprocess, "Popen", start)
    timeout_s = 0.5 if "sleep" in script else 30.0
    state = probe_encoders([V4L2], timeout_s)[V4L2]
    assert state.state == "does not open here"
    assert re.search(reason, state.reason)


# --- hardware that fails --------------------------------------------------------------------


class Breaking:
    """Stands for hardware: x264 that holds some pictures back, and breaks when it was told to.

    Its header differs from that of the x264 that takes over, as that of hardware would.
    """

    HELD = 3

    def __init__(self, pictures, setup, after: int | None, at_flush: bool = False) -> None:
        own = encoder_setup(
            SOFTWARE,
            pictures,
            VideoSettings(preset="medium", bitrate=3_000_000, tune="zerolatency"),
            steady=True,
            relieves=True,
        )
        at_once = {k: v for k, v in own.options.items() if k != "rc-lookahead"}
        self._real = FfmpegPictureEncoder(pictures, replace(own, options=at_once))
        self.setup = setup
        self._left, self._at_flush = after, at_flush
        self._held: deque = deque()
        self.closed = False

    template = property(lambda self: self._real.template)
    header = property(lambda self: self._real.header)

    def encode(self, frame):
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise EncoderFailed("the driver is gone")
        self._held.extend(self._real.encode(frame))
        while len(self._held) > self.HELD:
            yield self._held.popleft()

    def flush(self):
        if self._at_flush:
            raise EncoderFailed("the driver is gone")
        self._held.extend(self._real.flush())
        yield from self._held

    def close(self) -> None:
        self.closed = True


def opener(after: int | None, *, at_flush: bool = False, made: list | None = None):
    def open_encoder(pictures, setup):
        if setup.name == SOFTWARE:
            return FfmpegPictureEncoder(pictures, setup)
        breaking = Breaking(pictures, setup, after, at_flush)
        if made is not None:
            made.append(breaking)
        return breaking

    return open_encoder


def everything_works(names) -> dict[str, EncoderState]:
    return dict.fromkeys(names, WORKS)


def live_encoder(after: int | None, events: list[str], **changes) -> LiveEncoder:
    return LiveEncoder(
        info(),
        FAST,
        steady=True,
        on_event=events.append,
        probe=everything_works,
        opener=opener(after, **changes),
    )


def numbers_in(units: list[bytes]) -> list[int]:
    context = av.Codec("h264", "r").create()
    packets = [*context.parse(b"".join(units)), *context.parse(None)]
    frames = [frame for packet in [*packets, None] for frame in context.decode(packet)]
    return [read_number(frame.to_ndarray(format="gray")) for frame in frames]


@pytest.mark.parametrize("after", [0, 1, 3, 4, 50, 75])
def test_no_picture_is_lost_when_hardware_fails(after: int, caplog: pytest.LogCaptureFixture):
    events: list[str] = []
    made: list[Breaking] = []
    encoder = live_encoder(after, events, made=made)
    assert encoder.encoder == NVENC
    packets = []
    with caplog.at_level(logging.WARNING):
        for number in range(150):
            packets += encoder.encode(picture(number), 10.0 + number / FPS)
    assert encoder.encoder == SOFTWARE
    packets += [p for p in encoder.flush() if p.is_video]
    encoder.close()
    assert [p.pts for p in packets] == [(300 + n) * TICKS_PER_S // FPS for n in range(150)]
    assert all(a.dts < b.dts for a, b in pairwise(packets))
    assert all(p.dts <= p.pts for p in packets)
    # x264 begins with a keyframe, and where one is due there is one.
    epochs = [p.epoch for p in packets]
    assert epochs == sorted(epochs)
    taken_over = epochs.index(max(epochs))
    assert taken_over == max(0, after - Breaking.HELD)
    assert packets[taken_over].is_key
    keys = [p.pts for p in packets if p.is_key]
    assert max(b - a for a, b in pairwise(keys)) <= 2 * TICKS_PER_S
    [event] = events
    assert event == "encoder h264_nvenc failed: the driver is gone. libx264 goes on in its place"
    assert event in caplog.text
    assert made[0].closed
    if max(epochs):
        # The new header is in the stream, for who has only the old one.
        KeyframeTemplate(packets[taken_over].data)
    header = encoder.template(0).codec_context.extradata
    assert numbers_in([header, *(p.data for p in packets)]) == list(range(150))


def test_hardware_that_fails_at_the_end_loses_nothing_either():
    events: list[str] = []
    encoder = live_encoder(None, events, at_flush=True)
    packets = []
    for number in range(20):
        packets += encoder.encode(picture(number), number / FPS)
    packets += [p for p in encoder.flush() if p.is_video]
    assert [p.pts for p in packets] == [n * TICKS_PER_S // FPS for n in range(20)]
    assert len(events) == 1


def test_hardware_that_takes_and_never_gives_is_replaced():
    events: list[str] = []
    encoder = live_encoder(None, events)
    encoder._picture.HELD = 1000
    packets = []
    for number in range(60):
        packets += encoder.encode(picture(number), number / FPS)
    packets += [p for p in encoder.flush() if p.is_video]
    assert [p.pts for p in packets] == [n * TICKS_PER_S // FPS for n in range(60)]
    assert "holds back more than 32 pictures" in events[0]


def test_a_picture_that_is_shown_again_and_again_keeps_its_times():
    """As the slate is: the same frame, given anew for each moment."""
    events: list[str] = []
    encoder = live_encoder(40, events)
    slate, packets = picture(7), []
    for number in range(80):
        packets += encoder.encode(slate, number / FPS)
    packets += [p for p in encoder.flush() if p.is_video]
    assert [p.pts for p in packets] == [n * TICKS_PER_S // FPS for n in range(80)]


def test_a_size_that_hardware_does_not_take_is_left_to_the_next():
    def open_encoder(pictures, setup):
        if setup.name != SOFTWARE:
            raise EncoderFailed("320x240 is too small")
        return FfmpegPictureEncoder(pictures, setup)

    encoder = LiveEncoder(
        info(),
        VideoSettings(codec=AUTO),
        steady=True,
        probe=everything_works,
        opener=open_encoder,
    )
    assert encoder.encoder == SOFTWARE
    assert len(encoder.choice.notes) == len(HARDWARE)
    assert all("320x240 is too small" in note for note in encoder.choice.notes)


def test_on_this_machine_auto_gives_a_stream_that_plays(tmp_path: Path, here):
    sink = LiveSink([tmp_path / "a.mp4"], info(), VideoSettings(codec=AUTO, bitrate=2_000_000))
    assert sink.encoder == choose_encoder(AUTO, here).name
    feed(sink, 30)
    assert sink.close(10.0)
    assert decode(tmp_path / "a.mp4").numbers == list(range(30))


def test_outputs_go_on_when_hardware_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    events: list[str] = []
    monkeypatch.setattr(
        live_sink,
        "LiveEncoder",
        functools.partial(LiveEncoder, probe=everything_works, opener=opener(70)),
    )
    names = ["a.ts", "a.flv", "a.mp4", "a.mkv"]
    sink = LiveSink([tmp_path / name for name in names], info(), FAST, on_event=events.append)
    feed(sink, 150, pace=4.0)
    assert sink.close(10.0), sink.status
    assert sink.encoder == SOFTWARE
    assert len(events) == 1
    # Streams take the new header along; a file with one header for all is followed by another.
    for name in ("a.ts", "a.flv"):
        decoded = decode(tmp_path / name)
        assert decoded.numbers == list(range(150))
        assert np.abs(np.diff(decoded.times) - 1 / FPS).max() < 0.002
        assert not list(tmp_path.glob(f"{name[0]}.part*{name[1:]}"))
    for name in ("mp4", "mkv"):
        parts = [decode(tmp_path / f"a.{name}"), decode(tmp_path / f"a.part2.{name}")]
        assert [number for part in parts for number in part.numbers] == list(range(150))
    assert {status.dropped for status in sink.status} == {0}


@pytest.mark.live
def test_an_rtmp_server_gets_one_stream_when_hardware_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        live_sink,
        "LiveEncoder",
        functools.partial(LiveEncoder, probe=everything_works, opener=opener(70)),
    )
    with RtmpServer(tmp_path / "nginx", record=True) as server:
        sink = LiveSink([Address.parse(server.url())], info(), FAST)
        feed(sink, 150, pace=1.5)
        assert sink.close(10.0)
        [status] = sink.status
        assert (status.connections, status.dropped) == (1, 0)
        [recording] = server.recordings()
        # The server writes the rest when it hears of the end.
        until(lambda: len(decode(recording).numbers) == 150)
    decoded = decode(recording)
    assert decoded.numbers == list(range(150))
    assert np.abs(np.diff(decoded.times) - 1 / FPS).max() < 0.002
