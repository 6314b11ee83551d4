"""A camera whose clock is off: nothing grows, nothing starves, and lips stay in sync.

Far more than any crystal is off, so that minutes show what else takes hours. Pictures carry their
number, and a tone begins with every whole second of the film, so that a viewer behind the RTMP
server can tell how far picture and sound are apart.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from edge.lane_models import LaneModels
from edge.live_runner import LiveRun
from edge.media.address import Address
from tests.harness import settings_with
from tests.live.pattern import moving_pattern, read_stamp
from tests.live.servers import RtmpServer, RtspServer, require_gstreamer
from tests.live.stage import await_pictures
from tests.live.test_standby import running
from tests.live.viewer import Received, Viewer

FPS = 15
FRAME_S = 1 / 30
"""What a frame is where sync is asked for to one: the pattern has fewer and small ones, so that a
busy machine keeps up."""
SECONDS = 60.0
OFF = 0.0015
"""Share by which the camera's clock is off: 90 ms in a minute, 15 times what a bad crystal is."""


def onsets(sounds: list[Received]) -> np.ndarray:
    """When tones begin, by the stream's own time."""
    rate = sounds[0].sound_rate
    begins, quiet_since = [], -1.0
    for one in sounds:
        assert one.sound is not None
        for at in np.flatnonzero(np.abs(one.sound) > 0.15):
            time_s = one.pts + at / rate
            if time_s - quiet_since > 0.3:
                begins.append(time_s)
            quiet_since = time_s
    return np.array(begins[1:])  # the first may have been cut


def lips(pictures: list[Received], sounds: list[Received]) -> np.ndarray:
    """Seconds by which each tone comes after its picture."""
    marks = []
    for one in pictures:
        assert one.picture is not None
        number = read_stamp(one.picture)
        if number is not None and number % FPS == 0:
            marks.append(one.pts)
    assert len(marks) > 10
    times = np.array(marks)
    found = [at - times[np.abs(times - at).argmin()] for at in onsets(sounds)]
    return np.array([late for late in found if abs(late) < 0.4])


@pytest.mark.parametrize("off", [-OFF, OFF])
def test_a_camera_whose_clock_is_off_stays_in_time_and_in_sync(
    off: float, tmp_path: Path, rtmp_server: RtmpServer
) -> None:
    require_gstreamer()
    pattern = moving_pattern(tmp_path / "pattern.mp4", size=(320, 192), rate=FPS)
    camera = RtspServer(tmp_path / "rtsp", pattern, second_s=1 + off)
    settings = settings_with("audio.enabled=false", "delay.seconds=1",
                             "stabilization.lookahead_s=0.2", "video.models.face.enabled=false",
                             "video.models.plate.enabled=false", "video.models.text.enabled=false",
                             )  # fmt: skip
    url = Address.parse(rtmp_server.url())
    run = LiveRun(settings, Address.parse(camera.url), [url], LaneModels())
    with camera, running(run) as done, Viewer(rtmp_server.url(), tmp_path / "seen") as viewer:
        began = time.monotonic()
        await_pictures(viewer, 30)
        time.sleep(SECONDS - (time.monotonic() - began))
        everything = list(viewer.received())
    [stats] = done
    pictures = [one for one in everything if one.picture is not None]
    sounds = [one for one in everything if one.sound is not None]
    assert {one.connection for one in pictures} == {pictures[0].connection}
    late = lips(pictures, sounds)
    print(
        f"off {off * 1e6:+.0f} ppm: lips {late.min() * 1e3:.1f} to {late.max() * 1e3:.1f} ms, "
        f"clock {stats.drift_ppm:.0f} ppm, sound {stats.sound_shift_s * 1e3:.1f} ms, "
        f"jumps {stats.sound_jumps}, dropped {stats.frames_dropped}, slates {stats.slates}"
    )
    assert len(late) > SECONDS / 2
    assert np.abs(late).max() < FRAME_S
    assert stats.sound_jumps == 0
    # Most of what the camera's clock was off by; a little is always still to come.
    assert 0.3 < stats.sound_shift_s / (off * SECONDS) < 1.2
    # What a viewer sees is as old at the end as it was at the beginning.
    ages = np.array([one.arrived - one.pts for one in pictures])
    assert np.median(ages[-75:]) - np.median(ages[150:225]) == pytest.approx(0, abs=FRAME_S)
    # A tone every second, and no silence or second tone from a cut within.
    steps = np.diff(onsets(sounds))
    assert np.abs(steps - (1 + off)).max() < 0.012
