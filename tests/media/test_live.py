"""Live sources against real servers on loopback: what comes, when, in sync, and how it ends."""

from __future__ import annotations

import contextlib
import functools
import gc
import http.server
import shutil
import ssl
import subprocess
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.errors import SourceError
from edge.frame import Frame
from edge.media.address import Address
from edge.media.live import LiveConnection, SourceLost
from edge.media.paced import PacedFile
from edge.media.sound import LIVE_RATE, SoundDecoder
from edge.media.streams import SoundPacket
from tests.live.pattern import moving_pattern, read_stamp
from tests.live.servers import (
    MuteServer,
    Publisher,
    RefusingPort,
    RtmpServer,
    RtspServer,
    free_port,
    require_gstreamer,
    require_nginx,
)
from tests.media.clips import Sound, make_clip, read_number

RATE = 30
SECRET = "s3cret:@"
TIMEOUT_S = 1.0
NOTICED_S = 1.0
"""What two busy cores may add to a time-out."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return moving_pattern(path, size=(320, 240), rate=RATE, seconds=16)


@pytest.fixture(scope="module")
def other_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "other.mp4"
    return moving_pattern(path, size=(480, 272), rate=25, seconds=16, sound=False)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Iterator[RtspServer]:
    require_gstreamer()
    folder = tmp_path_factory.mktemp("camera")
    with RtspServer(folder, film, user="admin", password=SECRET) as server:
        yield server


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Iterator[RtmpServer]:
    """nginx with the film published as "key"."""
    require_nginx()
    folder = tmp_path_factory.mktemp("rtmp")
    with RtmpServer(folder) as server, Publisher(film, server.url("key"), folder / "publisher.log"):
        yield server


def connect(url: str, **options) -> LiveConnection:
    return LiveConnection(Address.parse(url), timeout_s=TIMEOUT_S, **options)


def take(source: LiveConnection | PacedFile, seconds: float):
    """Frames as (item, arrival), and packets of sound, of the first `seconds`."""
    frames, sound = [], []
    for item in source.read():
        if isinstance(item, Frame):
            frames.append((item, time.monotonic()))
            if item.pts >= seconds:
                break
        else:
            sound.append(item)
    return frames, sound


def ending(source: LiveConnection, cause) -> tuple[str, float]:
    """Read, let `cause` happen after a few frames: how it ended and after how many seconds."""
    caused, loss = None, None
    try:
        for item in source.read():
            if caused is None and isinstance(item, Frame) and item.frame_id == 5:
                cause()
                caused = time.monotonic()
    except SourceLost as error:
        loss = error
    after = time.monotonic()
    assert caused is not None
    assert SECRET not in "".join(traceback.format_exception(loss)) + repr(source)
    return loss.reason if loss else "ended", after - caused


def check_film(frames) -> list[int]:
    """Every frame once, in order, each where its number says."""
    numbers = [read_stamp(frame.picture.luma) for frame, _ in frames]
    assert None not in numbers
    assert set(np.diff(numbers) % (16 * RATE)) == {1}, "every frame once and in order"
    assert [frame.frame_id for frame, _ in frames] == list(range(len(frames)))
    assert frames[0][0].pts == pytest.approx(0, abs=0.002)
    spacing = np.diff([frame.pts for frame, _ in frames])
    assert spacing == pytest.approx(1 / RATE, abs=0.002)
    return numbers


def check_sync(frames, sound: list[SoundPacket], decoder: SoundDecoder) -> None:
    """The tone begins with the frame whose number is a multiple of the rate."""
    blocks = [block for packet in sound for block in decoder.decode(packet)]
    assert decoder.damage == 0
    for (at, samples), (after, _) in pairwise(blocks):
        assert after - at == pytest.approx(samples.shape[1] / LIVE_RATE, abs=1e-6)
    track = np.concatenate([samples for _, samples in blocks], axis=1)
    assert track.dtype == np.float32
    assert track.shape[0] == 2
    loud = np.abs(track[0]) > 0.1
    # Quiet for half a second before: a beginning, not a passage through zero.
    quiet = LIVE_RATE // 2
    starts = [i for i in np.flatnonzero(loud) if i >= quiet and not loud[i - quiet : i].any()]
    heard = [blocks[0][0] + i / LIVE_RATE for i in starts]
    seen = [frame.pts for frame, _ in frames if read_stamp(frame.picture.luma) % RATE == 0]
    pairs = [(h, s) for h in heard for s in seen if abs(h - s) < 0.5]
    assert pairs, (heard, seen)
    for h, s in pairs:
        assert h == pytest.approx(s, abs=1 / RATE)


# RTSP


@pytest.mark.parametrize("udp", [False, True])
def test_rtsp(camera, udp):
    with connect(camera.url, udp=udp) as source:
        info = source.info
        assert (info.width, info.height, info.codec) == (320, 240, "h264")
        assert info.fps == RATE
        assert info.has_sound
        assert info.duration_s is None
        frames, sound = take(source, 2.2)
        decoder = SoundDecoder(info.sound)
    numbers = check_film(frames)
    check_sync(frames, sound, decoder)
    # Frame n was filmed n / RATE after the camera's epoch.
    film_s = 16.0
    late = [
        (at - camera.epoch - number / RATE) % film_s
        for (_, at), number in zip(frames, numbers, strict=True)
    ]
    assert np.median(late) < 0.15, "the live edge, not what was sent while probing"
    assert source.damage == source.repaired == source.concealed == 0


def test_rtsp_secrets_never_show(camera, capfd):
    assert "s3cret" in camera.url
    for url in (camera.url.replace("s3cret", "wr0ng-s3cret"), camera.url + "/nope"):
        with pytest.raises(SourceError) as caught:
            connect(url)
        error = caught.value
        assert "***@127.0.0.1" in str(error)
        shown = "".join(traceback.format_exception(error)) + repr(error.__context__)
        assert "s3cret" not in shown
        assert not isinstance(error, SourceLost)
    with pytest.raises(SourceError, match=r"401.*\. Check user name and password\."):
        connect(camera.anonymous_url)
    with connect(camera.url) as source:
        assert "s3cret" not in repr(source) + repr(source.info) + repr(source.address)
    out, err = capfd.readouterr()
    assert "s3cret" not in out + err


@pytest.mark.parametrize("udp", [False, True])
def test_rtsp_frozen_is_noticed(camera, udp):
    source = connect(camera.url, udp=udp)
    try:
        reason, after = ending(source, camera.freeze)
    finally:
        camera.thaw()
        source.close()
    assert reason == "it does not answer"
    assert after < TIMEOUT_S + NOTICED_S


def test_close_from_another_thread_does_not_wait_for_a_frozen_server(camera):
    source = connect(camera.url)
    ended = threading.Event()
    running = threading.Event()

    def read() -> None:
        for _ in source.read():
            running.set()
        ended.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert running.wait(5)
    try:
        camera.freeze()
        time.sleep(0.2)
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 0.2
        assert ended.wait(TIMEOUT_S + NOTICED_S), "the reader ends, without an error"
    finally:
        camera.thaw()


def test_rtsp_killed_and_back_with_another_size(camera, other_film, film):
    source = connect(camera.url)
    reason, after = ending(source, camera.kill)
    source.close()
    assert reason == "ended"
    assert after < NOTICED_S
    with pytest.raises(SourceError, match=r"nothing listens there\. Check"):
        connect(camera.url)
    try:
        camera.change(other_film)
        camera.start()
        with connect(camera.url) as source:
            assert (source.info.width, source.info.height) == (480, 272)
            assert source.info.fps == 25
            assert not source.info.has_sound
            frames, sound = take(source, 0.5)
        assert len(frames) > 10
        assert not sound
    finally:
        camera.restart(film)


# RTMP and HLS


def test_rtmp(platform):
    with connect(platform.url("key")) as source:
        frames, sound = take(source, 2.2)
        assert "key" not in str(source.address) + repr(source) + repr(source.info)
        decoder = SoundDecoder(source.info.sound)
    check_film(frames)
    check_sync(frames, sound, decoder)
    lag = [at - frame.pts for frame, at in frames]
    assert max(lag) - min(lag) < 0.3, "no burst"


def test_rtmp_nobody_publishes(platform):
    with pytest.raises(SourceError, match=r"live/\*\*\* cannot be opened") as caught:
        connect(platform.url("nobody"))
    assert "nobody" not in str(caught.value)


def test_rtmp_frozen_is_noticed(platform):
    source = connect(platform.url("key"))
    try:
        reason, after = ending(source, platform.freeze)
    finally:
        platform.thaw()
        source.close()
    assert reason == "it does not answer"
    assert after < TIMEOUT_S + NOTICED_S


def test_hls_comes_in_real_time(platform):
    with connect(platform.hls_url("key")) as source:
        assert source.address.kind == "hls"
        assert "hls" in source.info.container
        began = time.monotonic()
        frames, sound = take(source, 2.5)
        assert time.monotonic() - began == pytest.approx(2.5, abs=0.5)
        decoder = SoundDecoder(source.info.sound)
    check_film(frames)
    check_sync(frames, sound, decoder)


@pytest.mark.parametrize("server", [RefusingPort, MuteServer])
def test_servers_that_are_none(server, monkeypatch):
    for module in ("live", "network"):
        monkeypatch.setattr(f"edge.media.{module}.OPEN_S", 1.0)
    with server() as nobody:
        began = time.monotonic()
        with pytest.raises(SourceError) as caught:
            connect(nobody.url("s3cret"))
        assert time.monotonic() - began < 2.5
    assert "s3cret" not in str(caught.value) + repr(caught.value.__context__)


def test_a_name_that_does_not_exist():
    with pytest.raises(SourceError, match=r"camera\.invalid/x cannot be opened: the connection"):
        connect("rtsp://camera.invalid/x")


# HTTP


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Say nothing of a client that refuses a certificate, or leaves."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[QuietServer]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(folder))
    with QuietServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def web(tmp_path):
    with serving(tmp_path) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_a_file_over_http_comes_in_real_time_and_ends(tmp_path, web):
    make_clip(tmp_path / "a.mp4", frames=25, sound=Sound(duration_s=1))
    with connect(f"{web}/a.mp4") as source:
        began = time.monotonic()
        frames = [item for item in source.read() if isinstance(item, Frame)]
        assert time.monotonic() - began == pytest.approx(0.96, abs=0.3)
    assert [read_number(frame.picture.luma) for frame in frames] == list(range(25))


def test_http_errors_say_what_to_do(web):
    with pytest.raises(SourceError, match=r"404.*\. Check the path\."):
        connect(f"{web}/none.mp4")


def test_a_playlist_from_the_network_cannot_read_local_files(tmp_path, web):
    clip = make_clip(tmp_path / "a.ts", frames=10)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{}\n#EXT-X-ENDLIST\n"
    (tmp_path / "x.m3u8").write_text(playlist.format(clip))
    with pytest.raises(SourceError):
        connect(f"{web}/x.m3u8")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
def test_certificates_are_verified(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    make += ["-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate), *subject]
    subprocess.run(make, check=True, capture_output=True, timeout=30)
    make_clip(tmp_path / "a.mp4", frames=10)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(tmp_path) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = f"https://127.0.0.1:{server.server_port}/a.mp4?token=s3cret"
        with pytest.raises(SourceError) as caught:
            connect(url)
        assert "s3cret" not in str(caught.value)
        with connect(url, ca_file=certificate) as source:
            assert source.info.width == 64


# MPEG-TS over UDP


def test_udp_and_a_sender_that_comes_back_with_another_size(tmp_path, film, other_film):
    url = f"udp://127.0.0.1:{free_port()}"
    sender = Publisher(film, f"{url}?pkt_size=1316", tmp_path / "1.log")
    other = Publisher(other_film, f"{url}?pkt_size=1316", tmp_path / "2.log")
    with sender, other:
        other.kill()
        with connect(url) as source:
            frames, sound = take(source, 1.4)
            decoder = SoundDecoder(source.info.sound)
        check_film(frames)
        check_sync(frames, sound, decoder)
        with LiveConnection(Address.parse(url)) as source:
            reason, _ = ending(source, lambda: (sender.kill(), other.start()))
        assert reason == "size changed"


def test_udp_sender_killed(tmp_path, film):
    url = f"udp://127.0.0.1:{free_port()}"
    with (
        Publisher(film, f"{url}?pkt_size=1316", tmp_path / "1.log") as sender,
        connect(url) as source,
    ):
        reason, after = ending(source, sender.kill)
    assert reason == "it does not answer"
    assert after < TIMEOUT_S + NOTICED_S


def test_nobody_sends(monkeypatch):
    for module in ("live", "network"):
        monkeypatch.setattr(f"edge.media.{module}.OPEN_S", 1.0)
    with pytest.raises(SourceError, match="does not answer"):
        connect(f"udp://127.0.0.1:{free_port()}")


# Files in real time


def test_a_paced_file(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", frames=25, sound=Sound(duration_s=1))
    with PacedFile(clip) as source:
        began = time.monotonic()
        late = [time.monotonic() - began - item.pts for item in source.read()]
        assert source.passes == 1
    assert min(late) > -0.05, "nothing before its time"
    assert np.median(late) < 0.1


def test_a_looped_file_leaves_no_decoder_behind(tmp_path):
    """Each of them keeps every picture that was ever in use at a time."""
    clip = make_clip(tmp_path / "a.mp4", frames=5)

    def alive() -> Counter[str]:
        return Counter(type(thing).__name__ for thing in gc.get_objects())

    gc.collect()
    before = alive()
    gc.disable()
    try:
        with PacedFile(clip, loop=True) as source:
            for _ in source.read():
                if source.passes == 6:
                    break
            more = alive() - before
        assert more["SideDataContainer"] <= 2
        assert more["VideoFrame"] <= 4
    finally:
        gc.enable()


def test_a_looped_file_goes_on_in_time(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", frames=10, sound=Sound(duration_s=0.4))
    frames, blocks = [], []
    with PacedFile(clip, loop=True) as source:
        decoder = SoundDecoder(source.info.sound)
        for item in source.read():
            if isinstance(item, Frame):
                frames.append(item)
                if source.passes == 3:
                    break
            else:
                blocks += decoder.decode(item)
    assert [frame.frame_id for frame in frames] == list(range(31))
    assert [read_number(frame.picture.luma) for frame in frames] == [*range(10)] * 3 + [0]
    base = source.info.time_base
    assert [frame.ticks * base for frame in frames] == [
        pytest.approx(frame.pts) for frame in frames
    ]
    steps = np.diff([frame.pts for frame in frames])
    assert steps.min() == pytest.approx(0.04)
    assert steps.max() < 0.12, "sound outlasts the picture by an encoder's frame or two"
    ends = [at + samples.shape[1] / LIVE_RATE for at, samples in blocks]
    starts = [at for at, _ in blocks]
    assert all(b - a > -1e-6 for a, b in zip(ends, starts[1:], strict=False)), "no overlap"
    assert decoder.damage == 0


def test_a_paced_file_ends_at_once_when_closed(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", frames=3, fps=Fraction(1, 5))
    source = PacedFile(clip)
    threading.Timer(0.3, source.close).start()
    began = time.monotonic()
    assert len(list(source.read())) == 1
    assert time.monotonic() - began < 1


def test_a_looped_file_that_is_replaced_by_another(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", frames=5)
    with PacedFile(clip, loop=True) as source:
        items = source.read()
        next(items)
        make_clip(tmp_path / "b.mp4", frames=5, size=(128, 96)).replace(clip)
        with pytest.raises(SourceLost) as caught:
            list(items)
    assert caught.value.reason == "size changed"
