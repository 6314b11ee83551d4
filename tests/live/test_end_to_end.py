"""The command from a real RTSP camera to a real RTMP server, while one of the two misbehaves.

Judged by what a viewer behind the RTMP server receives: the camera films a known photograph, so it
is known for every picture which frame of the film it is, and where the face is in it.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tests.harness import film
from tests.live.servers import MuteServer, RefusingPort, RtmpServer, RtspServer
from tests.live.stage import await_pictures, judge, judge_file, privaedge
from tests.live.viewer import Viewer

SECRET = "k3y-of-the-stream"


def test_a_camera_is_streamed_without_faces_or_secrets(
    tmp_path: Path, face_model: Path, camera: RtspServer, ingest: RtmpServer, clip: Path
) -> None:
    copy = tmp_path / "copy.mp4"
    with (
        privaedge(tmp_path, face_model, camera.url, ingest.url(SECRET), str(copy)) as box,
        Viewer(ingest.url(SECRET), tmp_path / "seen") as viewer,
    ):
        pictures = await_pictures(viewer, 120)
        assert box.end() in (0, 7)
        sounds = list(viewer.sounds())
    seen = judge(pictures, clip)
    assert seen.clear >= 20
    assert not seen.faces
    assert sounds
    assert not judge_file(copy, clip).faces
    assert "s3cret" not in box.says()
    assert SECRET not in box.says()


@pytest.mark.parametrize("fault", ["killed", "stopped"])
def test_a_lost_camera_becomes_a_slate_and_comes_back(
    fault: str, tmp_path: Path, face_model: Path, camera: RtspServer, ingest: RtmpServer,
    clip: Path,
) -> None:  # fmt: skip
    with (
        privaedge(tmp_path, face_model, camera.url, ingest.url()) as box,
        Viewer(ingest.url(), tmp_path / "seen") as viewer,
    ):
        await_pictures(viewer, 60)
        if fault == "killed":
            camera.kill()
        else:
            camera.freeze()
        lost = time.monotonic()
        time.sleep(9.0)
        if fault == "killed":
            camera.start()
        else:
            camera.thaw()
        back = time.monotonic()
        pictures = await_pictures(viewer, 250, after=lost + 3)
        pictures = await_pictures(viewer, 100, after=back + 6)
        box.end()
    during = [one for one in pictures if lost + 5 < one.arrived < back]
    after = [one for one in pictures if one.arrived > back + 6]
    assert len(during) >= 30, "the outgoing stream stood still"
    assert judge(during, clip).clear == 0
    assert judge(after, clip).clear >= 10, box.says()[-1500:]
    assert not judge(pictures, clip, every=2).faces


@pytest.mark.parametrize("fault", ["killed", "stopped"])
def test_a_lost_ingest_gets_the_stream_again(
    fault: str, tmp_path: Path, face_model: Path, camera: RtspServer, ingest: RtmpServer,
    clip: Path,
) -> None:  # fmt: skip
    with (
        privaedge(tmp_path, face_model, camera.url, ingest.url()) as box,
        Viewer(ingest.url(), tmp_path / "seen") as viewer,
    ):
        await_pictures(viewer, 40)
        if fault == "killed":
            ingest.kill()
        else:
            ingest.freeze()
        time.sleep(6.0)
        if fault == "killed":
            ingest.start()
        else:
            ingest.thaw()
        back = time.monotonic()
        pictures = await_pictures(viewer, 100, after=back + 5)
        assert box.process.poll() is None
        box.end()
    assert judge(pictures[-100:], clip).clear >= 10, box.says()[-1500:]
    assert not judge(pictures, clip, every=2).faces


def test_camera_and_ingest_lost_at_once_are_both_found_again(
    tmp_path: Path, face_model: Path, camera: RtspServer, ingest: RtmpServer, clip: Path
) -> None:
    with (
        privaedge(tmp_path, face_model, camera.url, ingest.url()) as box,
        Viewer(ingest.url(), tmp_path / "seen") as viewer,
    ):
        await_pictures(viewer, 40)
        camera.freeze()
        ingest.kill()
        time.sleep(6.0)
        camera.thaw()
        ingest.start()
        back = time.monotonic()
        pictures = await_pictures(viewer, 100, after=back + 6)
        assert box.process.poll() is None
        box.end()
    assert judge(pictures[-100:], clip).clear >= 10, box.says()[-1500:]
    assert not judge(pictures, clip, every=2).faces


def test_a_camera_that_comes_back_in_another_size_is_shown_in_the_first(
    tmp_path: Path, face_model: Path, camera: RtspServer, ingest: RtmpServer, clip: Path
) -> None:
    larger = film(tmp_path / "larger.mp4", scale=1.5)
    with (
        privaedge(tmp_path, face_model, camera.url, ingest.url()) as box,
        Viewer(ingest.url(), tmp_path / "seen") as viewer,
    ):
        await_pictures(viewer, 40)
        camera.restart(larger)
        back = time.monotonic()
        pictures = await_pictures(viewer, 100, after=back + 6)
        box.end()
    assert judge(pictures[-100:], clip).clear >= 10, box.says()[-1500:]
    assert not judge(pictures, clip, every=2).faces
    assert len({one.connection for one in pictures}) == 1


def test_dead_outputs_do_not_touch_a_living_one(
    tmp_path: Path, face_model: Path, camera: RtspServer, ingest: RtmpServer, clip: Path
) -> None:
    mute, closed = MuteServer(), RefusingPort()
    nowhere = "rtmp://no-such-host.invalid/live/x"
    try:
        outputs = (ingest.url(), mute.url(), closed.url(), nowhere)
        with (
            privaedge(tmp_path, face_model, camera.url, *outputs) as box,
            Viewer(ingest.url(), tmp_path / "seen") as viewer,
        ):
            pictures = await_pictures(viewer, 150)
            began = time.monotonic()
            box.end()
            assert time.monotonic() - began < 15
    finally:
        mute.close()
        closed.close()
    seen = judge(pictures, clip)
    assert seen.clear >= 20
    assert not seen.faces
    gaps = np.diff([one.arrived for one in pictures[20:]])
    assert gaps.max() < 2.0
