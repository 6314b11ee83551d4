"""The command with packets in its delay line, from a real RTSP camera that restarts."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.harness import film
from tests.live.servers import RtmpServer, RtspServer, require_gstreamer, require_nginx
from tests.live.stage import await_pictures, judge, privaedge
from tests.live.viewer import Viewer


def test_a_camera_that_restarts_is_decoded_twice_and_shown_right(
    tmp_path: Path, face_model: Path
) -> None:
    require_gstreamer()
    require_nginx()
    original = film(tmp_path / "astronaut.mp4")
    with (
        RtspServer(tmp_path / "rtsp", original) as camera,
        RtmpServer(tmp_path / "rtmp") as ingest,
        privaedge(
            tmp_path,
            face_model,
            camera.url,
            ingest.url(),
            options=["--set", "delay.storage=packets", "--stats", str(tmp_path / "stats.json")],
        ) as box,
        Viewer(ingest.url(), tmp_path / "seen") as viewer,
    ):
        await_pictures(viewer, 60)
        camera.kill()
        time.sleep(1.0)
        camera.start()
        back = time.monotonic()
        pictures = await_pictures(viewer, 60, after=back + 5)
        assert box.end() in (0, 7), box.says()[-1500:]
    before = [one for one in pictures if one.arrived < back - 1]
    after = [one for one in pictures if one.arrived > back + 5]
    assert judge(before, original).clear >= 10, box.says()[-1500:]
    assert judge(after, original).clear >= 10, box.says()[-1500:]
    assert not judge(pictures, original, every=2).faces
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert stats["stages"]["decode again"]["calls"] == stats["frames_out"]
    assert "delay line" not in stats["masked_by"]
