"""The servers of the live tests do what those tests take for granted."""

from __future__ import annotations

import itertools
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from tests.live import servers
from tests.live.pattern import TONE_S, Gray, moving_pattern, read_stamp
from tests.live.processes import ROOT
from tests.live.servers import (
    MuteServer,
    Publisher,
    Received,
    RefusingPort,
    RtmpServer,
    RtspServer,
    ServerError,
    UdpReceiver,
    Viewer,
    free_port,
    receive,
    receive_rtmp,
    require_nginx,
)

pytestmark = pytest.mark.timeout(60)

RATE = 30
LOOP_S = 2
SOON_S = 10.0
Start = Callable[[Path, str], Publisher]


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pattern that begins anew every two seconds."""
    return moving_pattern(tmp_path_factory.mktemp("short") / "clip.mp4", seconds=LOOP_S, key_s=0.5)


@pytest.fixture
def publish(tmp_path: Path) -> Iterator[Start]:
    """Starts publishers that end with the test."""
    started: list[Publisher] = []

    def start(clip: Path, url: str) -> Publisher:
        publisher = Publisher(clip, url, tmp_path / f"publisher-{len(started)}.log")
        started.append(publisher)
        publisher.start()
        return publisher

    yield start
    for publisher in started:
        publisher.kill()


def eventually(what: Callable[[], bool], within_s: float = SOON_S) -> bool:
    deadline = time.monotonic() + within_s
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def luma(frame: av.VideoFrame) -> Gray:
    return np.asarray(frame.to_ndarray(format="gray"), np.uint8)


def numbers(received: Sequence[Received]) -> list[int | None]:
    return [read_stamp(one.picture) for one in received if one.picture is not None]


def assert_consecutive(received: Sequence[Received], frames: int, rate: int = RATE) -> None:
    """One picture after the other, round the loop, at the clip's pace by their timestamps."""
    seen = numbers(received)
    assert None not in seen
    for before, after in itertools.pairwise(seen):
        assert before is not None
        assert after == (before + 1) % frames
    times = [one.pts for one in received if one.picture is not None]
    assert np.diff(times) == pytest.approx(1 / rate, abs=0.005)


def sound_lag_s(received: Sequence[Received]) -> float:
    """How much later the tones are than the pictures of whole seconds, less than half a second."""
    pictures = [one for one in received if one.picture is not None]
    stamps = zip(pictures, numbers(pictures), strict=True)
    flash = next(one.pts for one, number in stamps if number is not None and number % RATE == 0)
    sounds = [one for one in received if one.sound is not None]
    rate = sounds[0].sound_rate
    wave = np.concatenate([one.sound for one in sounds if one.sound is not None])
    loud = np.flatnonzero(np.abs(wave) > 0.2)
    begins = loud[np.diff(loud, prepend=-rate) > rate // 2]
    tone = sounds[0].pts + begins[begins > rate // 2][0] / rate
    return float((tone - flash + 0.5) % 1 - 0.5)


# --- ports ----------------------------------------------------------------------------------


def test_a_free_port_is_none_that_the_kernel_gives_to_clients() -> None:
    kernel = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not kernel.exists():
        pytest.skip("no /proc/sys/net/ipv4/ip_local_port_range")
    first, last = map(int, kernel.read_text().split())
    assert not first <= free_port() <= last


def test_a_refusing_port_refuses_and_nobody_else_gets_it() -> None:
    with RefusingPort() as port:
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port.port), timeout=2)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port.port))
    with MuteServer(port.port) as server:
        assert str(server.port) in port.url("key")


def test_a_mute_server_accepts_and_never_reads() -> None:
    with MuteServer() as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.3) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            with pytest.raises(TimeoutError):
                client.sendall(bytes(8 << 20))
        assert eventually(lambda: server.connections == 1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=2)


# --- RTMP -----------------------------------------------------------------------------------


def test_rtmp_viewers_get_what_is_published(
    rtmp_server: RtmpServer, short_clip: Path, publish: Start, tmp_path: Path
) -> None:
    with Viewer(rtmp_server.url("key"), tmp_path / "seen") as viewer:
        publish(short_clip, rtmp_server.url("key"))
        assert eventually(lambda: len(list(viewer.pictures())) >= 2 * RATE + 10)
        everything = list(viewer.received())
        assert_consecutive(everything, LOOP_S * RATE)
        assert abs(sound_lag_s(everything)) < 0.03
        assert eventually(lambda: len(rtmp_server.recordings("key")) == 1)
    hls = [one for one in receive(rtmp_server.hls_url("key"), 0.2) if one.picture is not None]
    assert_consecutive(hls, LOOP_S * RATE)
    rtmp_server.kill()
    with av.open(str(rtmp_server.recordings("key")[0])) as recorded:
        first = next(recorded.decode(video=0))
    assert read_stamp(luma(first)) == 0


def test_rtmp_frozen_then_thawed(
    rtmp_server: RtmpServer, short_clip: Path, publish: Start, tmp_path: Path
) -> None:
    publisher = publish(short_clip, rtmp_server.url())
    with Viewer(rtmp_server.url(), tmp_path / "seen", size=(320, 180)) as viewer:
        assert eventually(lambda: next(viewer.pictures(), None) is not None)
        rtmp_server.freeze()
        with socket.create_connection(("127.0.0.1", rtmp_server.port), timeout=2) as client:
            client.settimeout(0.2)
            client.sendall(b"\x03" + bytes(1536))
            with pytest.raises(TimeoutError):
                client.recv(1)
        before = len(list(viewer.pictures()))
        time.sleep(0.2)
        assert len(list(viewer.pictures())) <= before + 1
        rtmp_server.thaw()
        assert eventually(lambda: len(list(viewer.pictures())) > before + 10)
        assert publisher.running
        assert {p.picture.shape for p in viewer.pictures() if p.picture is not None} == {(180, 320)}
        assert_consecutive(list(viewer.received()), LOOP_S * RATE)


def test_rtmp_killed_and_started_again_on_its_port(
    rtmp_server: RtmpServer, short_clip: Path, publish: Start, tmp_path: Path
) -> None:
    publisher = publish(short_clip, rtmp_server.url())
    with Viewer(rtmp_server.url(), tmp_path / "seen") as viewer:
        assert eventually(lambda: next(viewer.pictures(), None) is not None)
        rtmp_server.kill()
        assert not rtmp_server.running
        assert eventually(lambda: not publisher.running)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", rtmp_server.port), timeout=2)
        rtmp_server.start()
        publish(short_clip, rtmp_server.url())
        assert eventually(lambda: any(one.connection > 0 for one in viewer.pictures()))
    rtmp_server.stop()
    assert not rtmp_server.running


def test_rtmp_comes_up_where_another_refused(tmp_path: Path, publish: Start) -> None:
    require_nginx()
    with RefusingPort() as port:
        pass
    clip = moving_pattern(tmp_path / "clip.mp4", size=(160, 120), seconds=1, sound=False)
    with RtmpServer(tmp_path / "rtmp", port=port.port) as server:
        assert server.url("x") == port.url("x")
        publish(clip, port.url("x"))
        seen = receive_rtmp(port.url("x"), 0.5)
    assert all(picture.shape == (120, 160) for _, picture in seen)


def test_a_stream_that_nobody_sends_is_an_error(rtmp_server: RtmpServer) -> None:
    with RefusingPort() as port, pytest.raises(ServerError, match="no picture came"):
        receive(port.url(), 1)


# --- RTSP -----------------------------------------------------------------------------------


def test_rtsp_sends_a_film_without_end_in_real_time(tmp_path: Path, short_clip: Path) -> None:
    servers.require_gstreamer()
    with RtspServer(tmp_path / "rtsp", short_clip) as server:
        everything = receive(server.url, LOOP_S)
        assert server.epoch is not None
    assert_consecutive(everything, LOOP_S * RATE)
    pictures = [one for one in everything if one.picture is not None]
    assert len(pictures) >= 0.75 * LOOP_S * RATE
    number = numbers(pictures)[-1]
    assert number is not None
    late = (pictures[-1].arrived - server.epoch - number / RATE) % LOOP_S
    assert late < 0.5, "frame n leaves the camera at epoch + n / rate"
    assert abs(sound_lag_s(everything)) < TONE_S


def test_rtsp_asks_for_user_and_password(tmp_path: Path, small_pattern: Path) -> None:
    servers.require_gstreamer()
    secret = "p@ss/word"
    with RtspServer(tmp_path / "rtsp", small_pattern, user="guest", password=secret) as server:
        with pytest.raises(ServerError, match="401"):
            receive(server.anonymous_url, 1)
        assert numbers(receive(server.url, 0.3))
        assert secret not in Path(f"/proc/{server.pid}/cmdline").read_text()


def test_rtsp_frozen_thawed_killed_and_back_with_another_size(
    rtsp_server: RtspServer, small_pattern: Path, tmp_path: Path
) -> None:
    port = rtsp_server.port
    with Viewer(rtsp_server.url, tmp_path / "seen") as viewer:
        assert eventually(lambda: next(viewer.pictures(), None) is not None)
        rtsp_server.freeze()
        # Longer than a viewer waits for data would cost the suite 3 s: shorter must do no harm.
        time.sleep(0.5)
        before = len(list(viewer.pictures()))
        rtsp_server.thaw()
        assert eventually(lambda: len(list(viewer.pictures())) > before + 10)
        assert {one.connection for one in viewer.pictures()} == {0}
        rtsp_server.restart(small_pattern)
        assert rtsp_server.port == port
        assert eventually(lambda: any(one.connection > 0 for one in viewer.pictures()))
        shapes = [p.picture.shape for p in viewer.pictures() if p.picture is not None]
    assert [shape for shape, _ in itertools.groupby(shapes)] == [(360, 640), (240, 320)]


def test_rtsp_over_udp(rtsp_server: RtspServer) -> None:
    options = {"rtsp_transport": "udp", "analyzeduration": "300000"}
    with av.open(rtsp_server.url, timeout=(5.0, 3.0), options=options) as source:
        frames = itertools.islice(source.decode(video=0), 10)
        seen = [read_stamp(luma(frame)) for frame in frames]
    assert len(set(seen)) == 10


# --- UDP ------------------------------------------------------------------------------------


def test_udp_receiver_writes_down_what_comes(
    tmp_path: Path, short_clip: Path, publish: Start
) -> None:
    with UdpReceiver(tmp_path / "udp.ts") as receiver:
        publisher = publish(short_clip, receiver.url)
        assert eventually(lambda: receiver.path.stat().st_size > 60_000)
        publisher.kill()
    assert receiver.datagrams * 1316 >= receiver.path.stat().st_size
    with av.open(str(receiver.path)) as received:
        first = next(received.decode(video=0))
    assert read_stamp(luma(first)) == 0


# --- what is left behind --------------------------------------------------------------------

_DOOMED = """
import os, signal, sys
from pathlib import Path
from tests.live.pattern import moving_pattern
from tests.live.servers import RtmpServer, RtspServer, Viewer
folder = Path(sys.argv[1])
clip = moving_pattern(folder / "clip.mp4", size=(160, 120), seconds=1, sound=False)
rtmp, rtsp = RtmpServer(folder / "rtmp"), RtspServer(folder / "rtsp", clip)
rtmp.start(), rtsp.start()
viewer = Viewer(rtmp.url(), folder / "seen")
rtsp.freeze()
print(rtmp.pid, rtsp.pid, viewer.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_nothing_outlives_a_test_that_is_killed(tmp_path: Path) -> None:
    require_nginx()
    servers.require_gstreamer()
    doomed = subprocess.run(
        [sys.executable, "-c", _DOOMED, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SOON_S * 2,
    )
    assert doomed.returncode == -signal.SIGKILL, doomed.stderr
    children = [int(pid) for pid in doomed.stdout.split()]
    assert len(children) == 3
    assert eventually(lambda: not any(_is_alive(pid) for pid in children))


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    require_nginx()
    with MuteServer() as taken:
        server = RtmpServer(tmp_path / "rtmp", port=taken.port)
        with pytest.raises(ServerError, match="Address already in use"):
            server.start()
    assert not server.running


def test_a_missing_server_is_a_skip_that_names_its_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(servers, "_MODULE_FOLDERS", (tmp_path,))
    monkeypatch.setattr(servers, "_SYSTEM_PYTHON", tmp_path / "python3")
    for cached in (servers._nginx, servers._gstreamer_trouble):
        cached.cache_clear()
    try:
        with pytest.raises(pytest.skip.Exception, match="libnginx-mod-rtmp"):
            require_nginx()
        with pytest.raises(pytest.skip.Exception, match=r"gir1\.2-gst-rtsp-server-1\.0"):
            servers.require_gstreamer()
    finally:
        for cached in (servers._nginx, servers._gstreamer_trouble):
            cached.cache_clear()


def test_packages_are_found_at_once_where_they_are_installed() -> None:
    require_nginx()
    servers.require_gstreamer()
    script = ROOT / ".ci" / "packages.sh"
    if shutil.which("dpkg-query") is None or not script.exists():
        pytest.skip("not a checkout on Debian: no dpkg-query, or no .ci/packages.sh")
    done = subprocess.run([str(script)], capture_output=True, text=True, timeout=SOON_S)
    assert (done.returncode, done.stdout) == (0, "")
