"""On air before the camera has ever been there: a slate, then the camera's pictures in its size."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge import live_runner, standby
from edge.face_model import FaceModel
from edge.lane_models import LaneModels
from edge.live_runner import LiveRun
from edge.media.address import Address
from edge.media.source import FileSource
from edge.standby import StandbyPicture
from edge.stats import Stats
from tests.harness import FPS, SIZE, Script, settings_with
from tests.live.servers import RtmpServer, RtspServer, require_gstreamer
from tests.live.stage import await_pictures, is_standby, judge, privaedge
from tests.live.viewer import Viewer

SLATE_S = 15.0
"""Starting Python and loading a model on a busy machine, and the few seconds that are asked for."""


@pytest.fixture
def late_camera(tmp_path: Path, clip: Path) -> Iterator[RtspServer]:
    """A camera that is not there yet: to be started by the test."""
    require_gstreamer()
    camera = RtspServer(tmp_path / "rtsp", clip)
    yield camera
    camera.kill()


def test_a_camera_that_comes_late_finds_the_stream_on_air(
    tmp_path: Path, face_model: Path, late_camera: RtspServer, rtmp_server: RtmpServer, clip: Path
) -> None:
    began = time.monotonic()
    copy = tmp_path / "copy.mp4"
    with (
        Viewer(rtmp_server.url(), tmp_path / "seen") as viewer,
        privaedge(tmp_path, face_model, late_camera.url, rtmp_server.url(), str(copy)) as box,
    ):
        waiting = await_pictures(viewer, 60)
        assert waiting[0].arrived - began < SLATE_S
        assert all(one.picture is not None and one.picture.shape == (720, 1280) for one in waiting)
        assert all(map(is_standby, waiting))
        rate = np.diff([one.arrived for one in waiting[30:]]).mean()
        assert rate == pytest.approx(1 / 30, rel=0.3)
        silence = list(viewer.sounds())
        assert silence, "platforms refuse a stream without sound"
        assert max(np.abs(one.sound).max() for one in silence if one.sound is not None) < 1e-3
        assert not copy.exists(), "a recording begins with what is to be recorded"
        late_camera.start()
        there = time.monotonic()
        pictures = await_pictures(viewer, 150, after=there + 4)
        assert box.end() in (0, 7)
        sounds = [one for one in viewer.sounds() if one.arrived > there + 6]
    own = [one for one in pictures if one.picture is not None and one.picture.shape[1] == SIZE[0]]
    assert len(own) > 100, "it does not follow to the camera's size"
    first = own[0].arrived
    assert first - there < 12, "2 s of delay, and the way"
    seen = judge(own, clip)
    assert seen.clear >= 15
    assert not seen.faces, "a face was seen"
    assert max(np.abs(one.sound).max() for one in sounds if one.sound is not None) > 0.05
    assert copy.exists()


@contextmanager
def running(run: LiveRun) -> Iterator[list[Stats]]:
    """Runs it in a thread, as a service's stream does."""
    done: list[Stats] = []

    def work() -> None:
        if run.connect(lambda _: None) is not None:
            done.append(run.execute())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield done
    finally:
        run.stop()
        thread.join(15)
        assert not thread.is_alive()


def test_a_camera_of_the_same_size_goes_on_in_the_same_connection(
    tmp_path: Path, late_camera: RtspServer, rtmp_server: RtmpServer, clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with FileSource(clip) as source:
        colour = source.info.colour
    made = StandbyPicture(*SIZE, fps=Fraction(FPS), colour=colour)
    monkeypatch.setattr(standby, "StandbyPicture", lambda: made)
    script = Script()
    models = LaneModels(face=FaceModel("scripted", "test", 0.3, script.detector))
    settings = settings_with("delay.seconds=2", "stabilization.lookahead_s=1.0",
                             "audio.enabled=false")  # fmt: skip
    url = Address.parse(rtmp_server.url())
    run = LiveRun(settings, Address.parse(late_camera.url), [url], models)
    with running(run) as done, Viewer(rtmp_server.url(), tmp_path / "seen") as viewer:
        await_pictures(viewer, 40)
        assert run.stats is not None
        assert run.stats.frames_out == 0
        late_camera.start()
        there = time.monotonic()
        pictures = await_pictures(viewer, 100, after=there + 6)
    [stats] = done
    assert stats.slates > 30
    assert stats.frames_out > 30
    assert len({one.connection for one in pictures}) == 1, "it broke off"
    assert all(b.pts > a.pts for a, b in pairwise(pictures))
    gaps = np.diff([one.pts for one in pictures])
    assert gaps.max() < 1.0, "the stream stood still"
    assert judge(pictures, clip).clear >= 10


def test_waiting_can_be_ended_at_any_time(tmp_path: Path, rtmp_server: RtmpServer) -> None:
    """Also while a connection is being made to somebody who does not answer."""
    source = Address.parse("rtsp://192.0.2.1/camera")  # TEST-NET-1: nobody is there
    url = Address.parse(rtmp_server.url())
    run = LiveRun(settings_with("audio.enabled=false"), source, [url], LaneModels())
    with running(run) as done:
        time.sleep(live_runner._STANDBY_S + 1.5)
        assert run.sink is not None, "it is not on air"
        began = time.monotonic()
        run.stop()
    assert not done
    assert time.monotonic() - began < 5
