"""The live sink into files, folders and datagrams, looked at with plain PyAV."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from edge.errors import SinkError
from edge.media import live_output
from edge.media.address import Address
from edge.media.codecs import VideoSettings
from edge.media.live_sink import LiveSink
from tests.live.servers import UdpReceiver
from tests.media.clips import Sound, click_track, decode
from tests.media.live_feed import FPS, SIZE, Heartbeat, feed, info, picture, until

CRISP = VideoSettings(preset="ultrafast", crf=10)


def clicks(duration_s: float) -> np.ndarray:
    track = click_track(Sound(duration_s=duration_s))
    return np.tile(track, (2, 1))


def test_a_file_holds_every_picture_and_the_sound_in_sync(tmp_path: Path):
    path = tmp_path / "a:b.mp4"
    sink = LiveSink([path], info(), CRISP, has_sound=True)
    feed(sink, 60, sound=clicks(2.0), start_s=1000.0)
    assert sink.close(10.0)
    [status] = sink.status
    assert (status.state, status.path, status.dropped) == ("closed", path, 0)
    decoded = decode(path)
    assert decoded.numbers == list(range(60))
    steps = np.diff(decoded.times)
    assert np.abs(steps - 1 / FPS).max() < 0.002
    # One frame of AAC is what its decoder's delay may be misjudged by.
    wanted = np.arange(0.2, 2.0, 0.4)
    assert np.abs(np.array(decoded.sync) - wanted).max() < 0.025
    with av.open(str(path)) as container:
        audio = container.streams.audio[0].codec_context
        assert (audio.name, audio.sample_rate, audio.layout.name) == ("aac", 48000, "stereo")


def test_there_is_sound_where_none_was_delivered(tmp_path: Path):
    path = tmp_path / "a.mp4"
    sink = LiveSink([path], info(), CRISP, has_sound=False)
    feed(sink, 60)
    assert sink.close(10.0)
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    assert frames[-1].time + 1024 / 48000 > 59 / FPS
    assert max(np.abs(frame.to_ndarray()).max() for frame in frames) < 1e-3
    assert {b.pts - a.pts for a, b in pairwise(frames)} == {1024}


def test_sound_that_stops_becomes_silence_and_comes_back_in_sync(tmp_path: Path):
    path = tmp_path / "a.mp4"
    sink = LiveSink([path], info(), CRISP, has_sound=True, sound_lag_s=0.2)
    track = clicks(4.0)
    feed(sink, 120, sound=track, mute=(1.0, 2.5))
    assert sink.close(10.0)
    heard = np.array(decode(path).sync)
    wanted = np.array([t for t in np.arange(0.2, 4.0, 0.4) if not 0.95 < t < 2.5])
    assert len(heard) == len(wanted)
    assert np.abs(heard - wanted).max() < 0.025


def test_timestamps_rise_whatever_they_are_told(tmp_path: Path):
    path = tmp_path / "a.mkv"
    sink = LiveSink([path], info(), CRISP)
    for number, pts in enumerate([5.0, 5.04, 5.04, 5.0, 5.12, 4.0, 5.2]):
        sink.write_frame(picture(number), pts)
    assert sink.close(10.0)
    decoded = decode(path)
    assert decoded.numbers == list(range(7))
    assert decoded.times == sorted(decoded.times)


def test_keyframes_come_by_the_clock_also_when_pictures_come_slowly(tmp_path: Path):
    path = tmp_path / "a.mkv"
    sink = LiveSink([path], info(), CRISP)
    feed(sink, 80, step_s=0.1)
    assert sink.close(10.0)
    with av.open(str(path)) as container:
        keys = [p.pts * p.time_base for p in container.demux(video=0) if p.is_keyframe]
    assert {round(float(b - a), 1) for a, b in pairwise(keys)} == {2.0}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts", ".flv"])
def test_each_container_plays(tmp_path: Path, suffix: str):
    path = tmp_path / f"a{suffix}"
    sink = LiveSink([path], info(), CRISP)
    feed(sink, 30)
    assert sink.close(10.0)
    assert decode(path).numbers == list(range(30))


def test_flv_is_begun_anew_before_its_clock_runs_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live_output, "_RENEW_FLV_AFTER_S", 1)
    sink = LiveSink([tmp_path / "a.flv"], info(), CRISP)
    feed(sink, 150, pace=8.0)
    assert sink.close(10.0)
    parts = [decode(tmp_path / name) for name in ("a.flv", "a.part2.flv", "a.part3.flv")]
    assert [number for part in parts for number in part.numbers] == list(range(150))
    assert sink.status[0].dropped == 0
    assert sink.status[0].connections == 3


def test_another_pixel_format_is_converted_and_another_size_refused(tmp_path: Path):
    sink = LiveSink([tmp_path / "a.mp4"], info(), CRISP)
    for number in range(10):
        sink.write_frame(picture(number, pix_fmt=("yuv420p", "nv12")[number % 2]), number / FPS)
    with pytest.raises(ValueError, match="does not belong"):
        sink.write_frame(picture(0, size=(64, 48)), 1.0)
    assert sink.close(10.0)
    assert decode(tmp_path / "a.mp4").numbers == list(range(10))
    with pytest.raises(RuntimeError, match="closed"):
        sink.write_frame(picture(0), 2.0)
    assert sink.close()


def test_a_folder_is_a_live_hls_stream_that_forgets(tmp_path: Path):
    # FFmpeg parses the options it is given as one string: separators in names must survive.
    folder = tmp_path / "it's a=b:c\\d"
    sink = LiveSink([Address.parse(f"{folder}/")], info(), CRISP)
    feed(sink, round(22 * FPS), pace=8.0)
    playlist = folder / "index.m3u8"
    text = playlist.read_text()
    assert "#EXT-X-ENDLIST" not in text
    lengths = [float(line[8:-1]) for line in text.splitlines() if line.startswith("#EXTINF:")]
    assert all(abs(length - 2.0) < 0.1 for length in lengths)
    assert len(lengths) <= 6
    assert sink.close(10.0)
    assert "#EXT-X-ENDLIST" in playlist.read_text()
    segments = list(folder.glob("*.ts"))
    assert 6 <= len(segments) <= 8
    assert not list(folder.glob("*.tmp"))
    newest = max(segments, key=lambda p: int(p.stem.rpartition("-")[2]))
    assert decode(newest).numbers[-1] == round(22 * FPS - 1) % 256

    # A restart goes on behind what is there.
    again = LiveSink([Address.parse(f"{folder}/")], info(), CRISP)
    feed(again, 70, pace=8.0)
    assert again.close(10.0)
    assert "#EXT-X-DISCONTINUITY" in playlist.read_text()
    assert max(int(p.stem.rpartition("-")[2]) for p in folder.glob("*.ts")) >= 12


def test_mpeg_ts_over_udp_and_a_file_get_the_same(tmp_path: Path):
    with UdpReceiver(tmp_path / "received.ts") as receiver:
        outputs = [Address.parse(receiver.url), tmp_path / "a.mp4"]
        sink = LiveSink(outputs, info(), VideoSettings(preset="ultrafast"), has_sound=True)
        feed(sink, 60, sound=clicks(2.0), pace=2.0)
        assert sink.close(10.0)
        until(lambda: not receiver_grows(receiver), 3.0)
    over_udp, file = decode(tmp_path / "received.ts"), decode(tmp_path / "a.mp4")
    assert over_udp.numbers == file.numbers == list(range(60))
    assert np.abs(np.array(over_udp.sync) - np.array(file.sync)).max() < 0.03


def receiver_grows(receiver: UdpReceiver) -> bool:
    before = receiver.datagrams
    time.sleep(0.2)
    return receiver.datagrams != before


def test_a_bit_rate_is_held(tmp_path: Path):
    path = tmp_path / "a.ts"
    settings = VideoSettings(preset="ultrafast", bitrate=800_000)
    with UdpReceiver(tmp_path / "received.ts") as receiver:
        sink = LiveSink([Address.parse(receiver.url), path], info(), settings)
        assert sink.bitrate == 800_000
        # Far more than fits: noise, after a second of nearly nothing.
        feed(sink, 180, noise_from=30, pace=4.0)
        assert sink.close(10.0)
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.pts is not None]
    times = np.array([float(p.pts * p.time_base) for p in packets])
    bits = np.array([8 * p.size for p in packets])
    for start in np.arange(1.0, 4.0, 0.25):
        # A decoder's buffer of one second, filled at the bit rate, never runs dry: in any 2 s
        # there are 3 s worth of bits at most.
        window = bits[(times >= start) & (times < start + 2)].sum()
        assert window < 3 * 800_000 * 1.05
    late = bits[times >= 2.0].sum() / (times[-1] - 2.0)
    assert 0.6 * 800_000 < late < 1.3 * 800_000


def test_without_a_network_output_quality_is_constant(tmp_path: Path):
    sink = LiveSink([tmp_path / "a.mp4"], info(), CRISP)
    assert sink.bitrate is None
    feed(sink, 3)
    sink.close()


def test_a_recording_is_never_overwritten(tmp_path: Path):
    path = tmp_path / "a.mp4"
    for _ in range(2):
        sink = LiveSink([path], info(), CRISP)
        feed(sink, 10)
        assert sink.close(10.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "a.part2.mp4"]
    assert sink.status[0].path == tmp_path / "a.part2.mp4"
    sink = LiveSink([path], info(), CRISP, overwrite=True)
    feed(sink, 20)
    assert sink.close(10.0)
    assert decode(path).numbers == list(range(20))


@pytest.mark.parametrize("outputs", [[], ["a.mp4", "a.mp4"]])
def test_senseless_outputs_are_refused(tmp_path: Path, outputs: list[str]):
    with pytest.raises(SinkError):
        LiveSink([tmp_path / name for name in outputs], info())


def test_senseless_settings_are_refused(tmp_path: Path):
    for settings in (VideoSettings(codec="libx265"), VideoSettings(preset="warp")):
        with pytest.raises(SinkError, match=r"\. (Choose|Check)"):
            LiveSink([tmp_path / "a.mp4"], info(), settings)


def test_a_killed_process_leaves_a_file_that_plays(tmp_path: Path):
    path = tmp_path / "a.mp4"
    with child("record", str(path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"5 s\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    decoded = decode(path)
    assert len(decoded.numbers) >= 3 * FPS
    assert decoded.numbers == [n % 256 for n in range(len(decoded.numbers))]


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int):
    """A file system of its own that can be full, or skip."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("no file system can be mounted here (needs root)")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_touches_that_file_only_and_is_written_to_again(tmp_path: Path):
    disk = tmp_path / "disk"
    with small_disk(disk, 64):
        sink = LiveSink([disk / "a.mp4", tmp_path / "b.mp4"], info(), CRISP)
        feed(sink, 150, noise_from=0)
        assert until(lambda: all(s.sent > 300 for s in sink.status))
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        fed = 150
        while sink.status[0].state == "connected" and fed < 450:
            feed(sink, 10, first=fed, noise_from=0)
            fed += 10
        full, other = sink.status
        assert full.state == "waiting"
        assert full.last_error is not None
        assert "No space" in full.last_error
        assert (other.state, other.dropped) == ("connected", 0)
        ballast.unlink()
        began = time.monotonic()
        while not sink.status[0].is_connected and time.monotonic() - began < 5.0:
            feed(sink, 3, first=fed)
            fed += 3
        assert sink.status[0].is_connected
        feed(sink, 30, first=fed)
        assert sink.close(10.0)
        assert sink.status[0].path == disk / "a.part2.mp4"
        assert len(decode(disk / "a.part2.mp4").numbers) >= 30
        assert len(decode(disk / "a.mp4").numbers) >= 60
    assert len(decode(tmp_path / "b.mp4").numbers) == fed + 30


def child(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.media.live_feed", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


def test_writing_does_not_wait_and_the_interpreter_stays_free(tmp_path: Path):
    sink = LiveSink([tmp_path / "a.mp4"], info(fps=Fraction(FPS)), CRISP)
    with Heartbeat() as heart:
        longest = feed(sink, 90, pace=4.0)
        sink.close(10.0)
    assert longest < 0.25
    assert heart.longest_gap < 0.25
    assert sink.frames == 90
    assert sink.info.width == SIZE[0]
