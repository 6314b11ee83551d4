"""The service as systemd runs it: a real process, real servers, a real notify socket."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.appliance.service import Service
from edge.appliance.watchdog import Notifier
from edge.errors import ConfigError, ExitCode, ModelError
from edge.media.live_sink import LiveSink
from tests.appliance.manager import Manager
from tests.command import command_line, environment
from tests.live.servers import MuteServer, RtmpServer, RtspServer
from tests.live.stage import await_pictures, judge
from tests.live.viewer import Viewer

BOOT_S = 30.0
DRAIN_S = 5.0
KEY = "k3y-of-the-stream"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify") as manager:
        yield manager


@pytest.fixture
def mute() -> Iterator[MuteServer]:
    server = MuteServer()
    yield server
    server.close()


class Process:
    """`privaedge serve` in a process of its own."""

    def __init__(self, folder: Path, more: Mapping[str, str]) -> None:
        self.config = folder / "privaedge.yaml"
        self.log = folder / "service.log"
        self.started = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command_line("serve", "--config", self.config),
                env=environment(folder / "cache") | {"JOURNAL_STREAM": "9:1"} | dict(more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def says(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, words: str, timeout_s: float) -> None:
        eventually(lambda: words in self.says(), timeout_s, self.says)

    def write(self, text: str) -> None:
        """Replace the configuration as an editor does."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.config)

    def end(self) -> float:
        """SIGTERM; return how long it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        took = time.monotonic() - began
        assert code == 0, self.says()[-2000:]
        return took


@contextmanager
def serving(folder: Path, text: str, **more: str) -> Iterator[Process]:
    (folder / "privaedge.yaml").write_text(text)
    service = Process(folder, more)
    try:
        yield service
    finally:
        service.process.kill()
        service.process.wait()


def eventually(
    condition: Callable[[], Any], timeout_s: float, said: Callable[[], str] = lambda: ""
) -> None:
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, said()[-3000:]
        time.sleep(0.05)


def stream(
    name: str, source: str | Path, output: str | Path, model: Path, delay_s: float = 2.0
) -> str:
    return f"""
  {name}:
    source: {source}
    outputs: ['{output}']
    settings:
      video: {{models: {{face: {{model: '{model}', input_size: 640}},
        plate: {{enabled: false}}, text: {{enabled: false}}}}}}
      audio: {{enabled: false}}
      stabilization: {{lookahead_s: {delay_s - 0.6}}}
      scheduler: {{target_fps: 4}}
      delay: {{seconds: {delay_s}}}
"""


def blind(name: str, source: str | Path, output: str | Path, model: Path) -> str:
    """A stream whose pictures do not matter, with a short delay."""
    return stream(name, source, output, model, delay_s=0.7)


def longest_gap(viewer: Viewer, after: float) -> float:
    arrived = [one.arrived for one in viewer.pictures() if one.arrived > after]
    return float(np.diff([after, *arrived, time.monotonic()]).max())


def test_two_streams_live_through_bad_and_good_reloads(
    tmp_path: Path, face_model: Path, camera: RtspServer, ingest: RtmpServer, manager: Manager,
    clip: Path,
) -> None:  # fmt: skip
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "key").write_text(f"{KEY}\n")
    base = ingest.url("").rstrip("/")
    front = stream("front", camera.url, f"{base}/${{credential:key}}", face_model)
    yard = stream("yard", clip, ingest.url("yard"), face_model)
    moved = stream("yard", clip, ingest.url("moved"), face_model)
    more = manager.environment() | {"CREDENTIALS_DIRECTORY": str(credentials)}
    with (
        serving(tmp_path, f"streams:\n{front}{yard}", **more) as service,
        Viewer(ingest.url(KEY), tmp_path / "seen-front") as at_front,
        Viewer(ingest.url("yard"), tmp_path / "seen-yard") as at_yard,
    ):
        first = await_pictures(at_front, 1)[0].arrived
        assert first - service.started < 10, "the first frame came late"
        await_pictures(at_yard, 1)
        manager.wait("READY=1", 5)
        manager.wait("WATCHDOG=1", 5)

        # A file with a mistake, by SIGHUP and by its change, leaves everything as it is.
        service.write(f"streams:\n{front}{yard.replace('source:', 'sorce:')}")
        service.process.send_signal(signal.SIGHUP)
        service.wait_for("config-refused", 5)
        refused = time.monotonic()
        line = next(one for one in service.says().splitlines() if "config-refused" in one)
        assert line.startswith("<4>")
        assert "Did you mean source?" in line
        eventually(lambda: "refused" in manager.status, 5)
        await_pictures(at_front, 25, after=refused)
        await_pictures(at_yard, 25, after=refused)
        assert longest_gap(at_front, refused) < 1.5
        assert longest_gap(at_yard, refused) < 1.5

        # Another output for one stream: that one goes there, the other notices nothing.
        changed = time.monotonic()
        service.write(f"streams:\n{front}{moved}")
        service.process.send_signal(signal.SIGHUP)
        with Viewer(ingest.url("moved"), tmp_path / "seen-moved") as at_moved:
            await_pictures(at_moved, 40, after=changed)
            assert longest_gap(at_front, changed) < 1.5
            assert not judge(list(at_moved.pictures()), clip).faces
        assert "changed=yard" in service.says()
        manager.wait("READY=1", 5, after=changed)
        assert service.says().count("event=connected stream=front") == 1
        assert service.says().count("event=connected stream=yard") == 2
        pictures = list(at_front.pictures())
        assert {one.connection for one in pictures} == {pictures[0].connection}

        assert service.end() < DRAIN_S
        manager.wait("STOPPING=1", 1)
    seen = judge(pictures, clip)
    assert seen.clear >= 20
    assert not seen.faces
    for secret in ("s3cret", KEY):
        assert secret not in service.says()
        assert secret not in manager.status
    pings = manager.times("WATCHDOG=1")
    assert np.diff(pings).max() < 2.0, "the watchdog would have fired"


def test_other_settings_come_into_force_without_a_gap(
    tmp_path: Path, face_model: Path, manager: Manager, ingest: RtmpServer, clip: Path
) -> None:
    """How faces are hidden and how often they are looked for changes while the stream runs."""
    before = stream("yard", clip, ingest.url("yard"), face_model)
    after = before.replace("target_fps: 4", "target_fps: 6, max_fps: 12").replace(
        "      delay:", "      blur: {type: solid, watermark: true}\n      delay:"
    )
    with (
        serving(tmp_path, f"streams:\n{before}", **manager.environment()) as service,
        Viewer(ingest.url("yard"), tmp_path / "seen") as viewer,
    ):
        await_pictures(viewer, 10)
        changed = time.monotonic()
        service.write(f"streams:\n{after}")
        service.process.send_signal(signal.SIGHUP)
        service.wait_for("adjusted=yard", 10)
        await_pictures(viewer, 60, after=changed)
        assert longest_gap(viewer, changed) < 1.5
        assert service.end() < DRAIN_S
        pictures = list(viewer.pictures())
    assert service.says().count("event=connected stream=yard") == 1
    assert {one.connection for one in pictures} == {pictures[0].connection}
    seen = judge(pictures, clip)
    assert not seen.faces
    assert seen.clear >= 20


def test_streams_come_go_and_wait_without_touching_others(
    tmp_path: Path, blind_model: Path, manager: Manager, mute: MuteServer, clip: Path
) -> None:
    """A camera that is not there yet is no reason not to be ready, nor is a server that is mute."""
    outputs = f"{tmp_path}/steady.mp4', '{mute.url()}"
    steady = blind("steady", clip, outputs, blind_model)
    absent = blind("absent", "rtsp://anna:pa55@127.0.0.1:9/x", tmp_path / "a.mp4", blind_model)
    other = blind("other", clip, f"{tmp_path}/hls/", blind_model)
    with serving(tmp_path, f"streams:\n{steady}{absent}", **manager.environment()) as service:
        manager.wait("READY=1", BOOT_S)
        manager.wait("WATCHDOG=1", 10)
        eventually(lambda: "absent: waiting" in manager.status, 5)
        eventually(lambda: "steady: on air" in manager.status, 10)
        service.write(f"streams:\n{steady}{other}")  # no SIGHUP: the file is watched
        service.wait_for("removed=absent", 5)
        eventually((tmp_path / "hls/index.m3u8").exists, 15, service.says)
        eventually(lambda: "absent" not in manager.status, 5)
        assert "steady: on air" in manager.status
        assert service.end() < DRAIN_S
    assert service.says().count("event=connected stream=steady") == 1
    assert "pa55" not in service.says()
    assert (tmp_path / "steady.mp4").stat().st_size > 10_000


def test_a_service_that_cannot_work_says_so_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, "streams: {front: {source: hdmi}}") as service:
        assert service.process.wait(BOOT_S) == ExitCode.CONFIG
    assert service.says().count("\n") == 1
    assert "streams.front.outputs" in service.says()


# --- in this process, where faults can be planted -----------------------------------------------


@contextmanager
def running(folder: Path, text: str, manager: Manager) -> Iterator[Service]:
    path = folder / "privaedge.yaml"
    path.write_text(text)
    service = Service(path, notifier=Notifier.from_environment(manager.environment()))
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        thread.join(10)
        assert not thread.is_alive()
        for one in service.streams.values():
            one.join(5)


def test_a_deadlock_in_one_stream_ends_the_pings(
    tmp_path: Path, blind_model: Path, manager: Manager, clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    held = threading.Event()
    released = threading.Event()
    write = LiveSink.write_frame

    def stuck(self: LiveSink, picture: Any, pts_s: float) -> None:
        if held.is_set() and threading.current_thread().name == "stream-front":
            released.wait()
        write(self, picture, pts_s)

    monkeypatch.setattr(LiveSink, "write_frame", stuck)
    monkeypatch.setattr("edge.appliance.stream.SEND_S", 1.0)
    front = blind("front", clip, tmp_path / "front.mp4", blind_model)
    yard = blind("yard", clip, tmp_path / "yard.mp4", blind_model)
    with running(tmp_path, f"streams:\n{front}{yard}", manager) as service:
        ready = manager.wait("READY=1", BOOT_S)
        manager.wait("WATCHDOG=1", 5, after=ready + 0.5)
        held.set()
        planted = time.monotonic()
        eventually(lambda: "front: frozen" in manager.status, 10)
        assert "yard: on air" in manager.status
        time.sleep(1.0)
        late = [at for at in manager.times("WATCHDOG=1") if at > planted + 1.5]
        assert not late, "pings without pictures"
        assert service.streams["yard"].state == "on air"
        held.clear()
        released.set()
        manager.wait("WATCHDOG=1", 5, after=time.monotonic())


def test_a_stream_that_throws_is_started_again(
    tmp_path: Path, blind_model: Path, manager: Manager, clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    faults = [RuntimeError("private words"), MemoryError(), OSError("disk")]
    write = LiveSink.write_frame

    def failing(self: LiveSink, picture: Any, pts_s: float) -> None:
        if faults and threading.current_thread().name == "stream-front":
            raise faults.pop()
        write(self, picture, pts_s)

    monkeypatch.setattr(LiveSink, "write_frame", failing)
    config = blind("front", clip, f"{tmp_path}/hls/", blind_model)
    with running(tmp_path, f"streams:\n{config}", manager) as service:
        manager.wait("READY=1", BOOT_S)
        eventually(lambda: not faults and service.streams["front"].state == "on air", 25)
        assert service.streams["front"].runs == 4
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("intake") == 1, "a run that failed has left threads behind"
        assert "private" not in manager.status


def test_what_is_wrong_at_boot_is_raised_and_at_reload_is_not(
    tmp_path: Path, blind_model: Path, manager: Manager, clip: Path
) -> None:
    path = tmp_path / "privaedge.yaml"
    with pytest.raises(ConfigError, match="does not exist"):
        Service(path, notifier=Notifier(None)).run()
    good = blind("front", clip, f"{tmp_path}/hls/", blind_model)
    missing = blind("front", clip, f"{tmp_path}/hls/", tmp_path / "missing.onnx")
    path.write_text(f"streams:\n{missing}")
    with pytest.raises(ModelError, match="missing"):
        Service(path, notifier=Notifier(None)).run()
    with running(tmp_path, f"streams:\n{good}", manager) as service:
        manager.wait("READY=1", BOOT_S)
        before = service.streams["front"]
        path.write_text(f"streams:\n{missing}")
        service.reload()
        eventually(lambda: "refused" in service.status, 10)
        path.unlink()
        service.reload()
        eventually(lambda: "does not exist" in service.status, 10)
        assert service.streams == {"front": before}
        assert before.runs == 1
        path.write_text(f"streams:\n{good}")
        eventually(lambda: "refused" not in service.status, 10)
        assert before.runs == 1
