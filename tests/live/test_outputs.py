"""The live sink against servers that are well, sick, dead, and come back."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.media import live_target
from edge.media.address import Address
from edge.media.codecs import VideoSettings
from edge.media.live_output import OutputStatus
from edge.media.live_sink import LiveSink
from tests.live.processes import ServerProcess, free_port
from tests.live.servers import (
    MuteServer,
    RefusingPort,
    RtmpServer,
    Viewer,
    receive,
    require_gstreamer,
)
from tests.media.clips import decode, read_number
from tests.media.live_feed import FPS, Heartbeat, feed, info, until

FAST = VideoSettings(preset="ultrafast", bitrate=1_000_000)
SECRET = "s3cr3t-k3y"
FREE_GIL_S = 0.5
"""A freeze by a server lasts for seconds; a busy machine alone makes gaps of tenths."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a mute server up sooner, so that the tests do not take as long."""
    monkeypatch.setattr(live_target, "IO_TIMEOUT_S", 1.5)


class OnAir:
    """A sink that is fed in real time by a thread."""

    def __init__(self, *urls: str | Path, **options) -> None:
        outputs = [Address.parse(url) if isinstance(url, str) else url for url in urls]
        self.sink = LiveSink(outputs, info(), FAST, **options)
        self.longest_write = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)

    def _feed(self) -> None:
        # Noise makes it as many bits as were asked for, so that buffers do fill up.
        self.longest_write = feed(self.sink, 10**6, noise_from=0, pace=1.0, until=self._end.is_set)

    def status(self, number: int = 0) -> OutputStatus:
        return self.sink.status[number]

    def connects(self, number: int = 0, timeout_s: float = 5.0) -> bool:
        return until(lambda: self.status(number).is_connected, timeout_s)

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.sink.close(0.5)


def test_rtmp_server_gets_a_stream_that_ingests_accept(rtmp_server: RtmpServer):
    with OnAir(rtmp_server.url(SECRET)) as air:
        assert air.connects()
        received = receive(rtmp_server.url(SECRET), 2.5)
        air.stop()
        assert air.sink.close(3.0)
        assert air.status().state == "closed"
    pictures = [one for one in received if one.picture is not None]
    numbers = [read_number(one.picture) for one in pictures]
    assert len(numbers) > 2 * FPS
    assert all((b - a) % 256 == 1 for a, b in pairwise(numbers))
    assert np.abs(np.diff([one.pts for one in pictures]) - 1 / FPS).max() < 0.003
    sounds = [one for one in received if one.sound is not None]
    assert sum(len(one.sound) for one in sounds) > 2 * 48_000
    assert {one.sound_rate for one in sounds} == {48_000}
    [recording] = rtmp_server.recordings(SECRET)
    assert recording.stat().st_size > 0


@pytest.mark.usefixtures("impatient")
def test_one_sick_server_touches_nobody_else(rtmp_server: RtmpServer, tmp_path: Path):
    file = tmp_path / "a.mp4"
    with RefusingPort() as refusing, MuteServer() as mute, Heartbeat() as heart:
        urls = [
            refusing.url(SECRET),
            mute.url(SECRET),
            f"rtmp://no-such-host.invalid/live/{SECRET}",
            f"rtsp://user:{SECRET}@127.0.0.1:{mute.port}/camera",
            f"rtsp://user:{SECRET}@127.0.0.1:{refusing.port}/camera",
        ]
        with OnAir(rtmp_server.url(), file, *urls) as air:
            assert air.connects(0)
            assert air.connects(1)
            time.sleep(2.5)  # the mute ones run into their time-outs
            states = air.sink.status
            air.stop()
            began = time.monotonic()
            assert not air.sink.close(1.0)
            assert time.monotonic() - began < 1.5
    assert air.longest_write < FREE_GIL_S
    assert heart.longest_gap < FREE_GIL_S
    good, sick = states[:2], states[2:]
    assert all(one.is_connected and one.dropped == 0 for one in good)
    for one in sick:
        assert one.connections == one.sent == 0
        assert one.dropped > 0
        assert one.last_error is not None
        assert SECRET not in repr(one)
        assert ". " in one.last_error
    numbers = decode(file).numbers
    assert numbers == [n % 256 for n in range(len(numbers))]
    assert len(numbers) == air.sink.frames


def test_a_server_that_comes_up_later_gets_the_stream_from_a_keyframe(rtmp_server: RtmpServer):
    rtmp_server.kill()
    with OnAir(rtmp_server.url()) as air:
        assert until(lambda: air.status().last_error is not None)
        assert "refused" in (air.status().last_error or "")
        rtmp_server.start()
        began = time.monotonic()
        # nginx refuses viewers until the publisher, who calls again after a pause, is there.
        assert receive(rtmp_server.url(), 0.5, again=True)
        assert time.monotonic() - began < 5.0


def test_a_killed_server_is_back_on_air_within_5_s(rtmp_server: RtmpServer, tmp_path: Path):
    with OnAir(rtmp_server.url(), tmp_path / "a.mp4") as air, Heartbeat() as heart:
        assert air.connects()
        rtmp_server.kill()
        assert until(lambda: not air.status().is_connected)
        time.sleep(2.0)
        rtmp_server.start()
        back = time.monotonic()
        with Viewer(rtmp_server.url(), tmp_path / "received") as viewer:
            assert until(lambda: any(viewer.pictures()), 5.0)
            first = next(viewer.pictures())
        assert first.arrived - back < 5.0
        assert air.status().connections == 2
        assert air.status(1).dropped == 0
    assert heart.longest_gap < FREE_GIL_S
    for recording in rtmp_server.recordings():
        times = decode(recording).times
        assert times == sorted(times)


@pytest.mark.usefixtures("impatient")
def test_a_frozen_server_is_back_on_air_within_5_s(rtmp_server: RtmpServer, tmp_path: Path):
    with OnAir(rtmp_server.url()) as air, Heartbeat() as heart:
        assert air.connects()
        rtmp_server.freeze()
        assert until(lambda: air.status().state in ("stalled", "waiting", "connecting"), 20.0)
        # On until the connection is given up and the server is called again, in vain.
        assert until(lambda: air.status().last_error is not None, 20.0)
        time.sleep(1.0)
        rtmp_server.thaw()
        back = time.monotonic()
        assert until(lambda: air.status().is_connected, 5.0)
        with Viewer(rtmp_server.url(), tmp_path / "received") as viewer:
            assert until(lambda: any(viewer.pictures()), 5.0)
            first = next(viewer.pictures())
        assert first.arrived - back < 5.0
    # Its thread says goodbye for seconds after it failed: nobody may wait for that.
    assert heart.longest_gap < FREE_GIL_S
    assert air.longest_write < FREE_GIL_S


def test_closing_while_a_server_is_frozen_neither_hangs_nor_freezes(rtmp_server: RtmpServer):
    with OnAir(rtmp_server.url()) as air, Heartbeat() as heart:
        assert air.connects()
        rtmp_server.freeze()
        assert until(lambda: air.status().state == "stalled", 20.0)
        air.stop()
        began = time.monotonic()
        assert not air.sink.close(0.5)
        assert time.monotonic() - began < 1.0
        rtmp_server.thaw()
        time.sleep(0.5)
    assert heart.longest_gap < FREE_GIL_S


def test_closing_before_a_mute_server_had_a_chance_does_not_freeze():
    with MuteServer() as mute, Heartbeat() as heart:
        sink = LiveSink([Address.parse(mute.url())], info(), FAST)
        feed(sink, 1)
        assert not sink.close(0.5)
        time.sleep(0.2)
    assert heart.longest_gap < FREE_GIL_S


def test_a_process_ends_at_once_and_says_no_secret(tmp_path: Path):
    with MuteServer() as mute, RefusingPort() as refusing:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.media.live_feed", "unreachable"),
                mute.url(SECRET),
                refusing.url(SECRET),
                f"rtmp://no-such-host.invalid/live/{SECRET}",
                f"rtsp://user:{SECRET}@127.0.0.1:{refusing.port}/camera",
                f"rtmps://127.0.0.1:{refusing.port}/live/{SECRET}?token={SECRET}",
                str(tmp_path / "a.mp4"),
            ],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert SECRET not in done.stdout
    assert done.stdout.count("OutputStatus(") == 6
    seconds = float(done.stdout.split("closed after ")[1].split()[0])
    assert seconds < 1.5


class RtspRecorder(ServerProcess):
    """GStreamer's RTSP server that takes what is published and writes it to a file."""

    SCRIPT = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
factory.set_launch(
    "( rtph264depay name=depay0 ! h264parse ! matroskamux name=mux ! filesink location="
    + sys.argv[2] + " rtpmp4gdepay name=depay1 ! aacparse ! mux. )"
)
server.get_mount_points().add_factory("/studio", factory)
server.attach(None)
GLib.MainLoop().run()
"""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "rtsp.log")
        self.path = folder / "recorded.mkv"
        self.port = free_port()

    def command(self) -> list[str]:
        require_gstreamer()
        return ["/usr/bin/python3", "-I", "-c", self.SCRIPT, str(self.port), str(self.path)]

    def is_ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True


def test_rtsp_server_gets_what_is_published(tmp_path: Path):
    require_gstreamer()
    with RtspRecorder(tmp_path) as recorder:
        with OnAir(f"rtsp://127.0.0.1:{recorder.port}/studio") as air:
            assert air.connects()
            time.sleep(2.0)
            air.stop()
            assert air.sink.close(3.0)
        until(lambda: recorder.path.exists() and recorder.path.stat().st_size > 0)
        time.sleep(0.3)
    decoded = decode(recorder.path)
    # Written by depayloaders that begin when they are ready.
    assert len(decoded.numbers) > FPS
    assert all((b - a) % 256 == 1 for a, b in pairwise(decoded.numbers))


@contextlib.contextmanager
def tls_in_front_of(port: int, folder: Path) -> Iterator[tuple[int, Path]]:
    """A TLS terminator with a certificate of its own; (its port, the certificate)."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl here to make a certificate with")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = f"{program} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", free_port()))
    open_ones: list[socket.socket] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                client = context.wrap_socket(plain, server_side=True)
                server = socket.create_connection(("127.0.0.1", port))
            except OSError:
                plain.close()
                continue
            open_ones.extend((client, server))
            for ends in ((client, server), (server, client)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], certificate
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(2.0)
        for one in open_ones:
            one.close()


def test_rtmps_is_for_servers_whose_certificate_is_trusted(rtmp_server: RtmpServer, tmp_path: Path):
    with tls_in_front_of(rtmp_server.port, tmp_path) as (port, certificate):
        url = f"rtmps://localhost:{port}/live/{SECRET}"
        with OnAir(url) as stranger:
            assert until(lambda: stranger.status().last_error is not None)
            assert stranger.status().connections == 0
            assert "certificate" in (stranger.status().last_error or "")
        assert rtmp_server.recordings(SECRET) == []
        with OnAir(url, ca_file=certificate) as known:
            assert known.connects()
            assert receive(rtmp_server.url(SECRET), 0.5)
        with OnAir(url.replace("localhost", "127.0.0.1"), ca_file=certificate) as wrong_name:
            time.sleep(1.0)
            assert wrong_name.status().connections == 0
