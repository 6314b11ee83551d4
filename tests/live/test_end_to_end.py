"""The command from a real RTSP camera to a real RTMP server, while one of the two misbehaves.

Judged by what a viewer behind the RTMP server receives: the camera films a known photograph, so it
is known for every picture which frame of the film it is, and where the face is in it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.command import FACES_ONLY, environment
from tests.harness import SIZE, decode, film, fine_detail, likeness, true_face
from tests.live.servers import (
    MuteServer,
    RefusingPort,
    RtmpServer,
    RtspServer,
    require_gstreamer,
    require_nginx,
)
from tests.live.viewer import Received, Viewer

READY_S = 40.0
SECRET = "k3y-of-the-stream"


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("film") / "astronaut.mp4")


@pytest.fixture
def camera(tmp_path: Path, astronaut: Path) -> Iterator[RtspServer]:
    require_gstreamer()
    with RtspServer(tmp_path / "rtsp", astronaut, user="anna", password="s3cret") as server:
        yield server


@pytest.fixture
def ingest(tmp_path: Path) -> Iterator[RtmpServer]:
    require_nginx()
    with RtmpServer(tmp_path / "rtmp") as server:
        yield server


@dataclass
class Box:
    process: subprocess.Popen[bytes]
    log: Path

    def says(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()


@contextmanager
def privaedge(tmp_path: Path, model: Path, source: str, *outputs: str) -> Iterator[Box]:
    """The command in a process of its own, in which nothing else is on the disk but the model."""
    log = tmp_path / "privaedge.log"
    more = [part for output in outputs[1:] for part in ("--output", output)]
    command = ["run", source, outputs[0], *more, "--set", f"video.models.face.model={model}",
               "--set", "video.models.face.input_size=640", *FACES_ONLY]  # fmt: skip
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", *command],
            env=environment(tmp_path / "cache"),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield Box(process, log)
    finally:
        process.kill()
        process.wait()


def await_pictures(viewer: Viewer, n: int, after: float = 0.0) -> list[Received]:
    """Wait until a viewer has so many pictures that arrived after a moment; return all."""
    give_up = time.monotonic() + READY_S
    while time.monotonic() < give_up:
        pictures = list(viewer.pictures())
        if sum(one.arrived > after for one in pictures) >= n:
            return pictures
        time.sleep(0.5)
    raise AssertionError(f"no picture came: {viewer.trouble()[-500:]}")


@dataclass(frozen=True)
class Judged:
    """What is in the pictures: film frames with the face hidden, masked or slate, a face seen."""

    clear: int
    blank: int
    faces: list[int]


def judge(pictures: list[Received], original: Path, every: int = 3) -> Judged:
    details = [fine_detail(luma) for luma in decode(original)]
    clear = blank = 0
    faces = []
    for one in pictures[::every]:
        assert one.picture is not None
        assert one.picture.shape == (SIZE[1], SIZE[0])
        mine = fine_detail(one.picture)
        alike = [likeness(detail, mine) for detail in details]
        n = int(np.argmax(alike))
        if alike[n] < 0.3:
            blank += 1
            continue
        clear += 1
        x1, y1, x2, y2 = true_face(n)[0].astype(int)
        if likeness(details[n][y1:y2, x1:x2], mine[y1:y2, x1:x2]) > 0.4:
            faces.append(n)
    return Judged(clear, blank, faces)


def test_a_camera_is_streamed_without_faces_or_secrets(
    tmp_path: Path, face_model: Path, camera: RtspServer, ingest: RtmpServer, astronaut: Path
) -> None:
    copy = tmp_path / "copy.mp4"
    with (
        privaedge(tmp_path, face_model, camera.url, ingest.url(SECRET), str(copy)) as box,
        Viewer(ingest.url(SECRET), tmp_path / "seen") as viewer,
    ):
        pictures = await_pictures(viewer, 120)
        assert box.end() in (0, 7)
        sounds = list(viewer.sounds())
    seen = judge(pictures, astronaut)
    assert seen.clear >= 20
    assert not seen.faces
    assert sounds
    assert not judge_file(copy, astronaut).faces
    assert "s3cret" not in box.says()
    assert SECRET not in box.says()


def judge_file(path: Path, original: Path) -> Judged:
    return judge([Received(0, 0.0, 0.0, picture=luma) for luma in decode(path)], original, every=9)


@pytest.mark.parametrize("fault", ["killed", "stopped"])
def test_a_lost_camera_becomes_a_slate_and_comes_back(
    fault: str, tmp_path: Path, face_model: Path, camera: RtspServer, ingest: RtmpServer,
    astronaut: Path,
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
    assert judge(during, astronaut).clear == 0
    assert judge(after, astronaut).clear >= 10, box.says()[-1500:]
    assert not judge(pictures, astronaut, every=2).faces


@pytest.mark.parametrize("fault", ["killed", "stopped"])
def test_a_lost_ingest_gets_the_stream_again(
    fault: str, tmp_path: Path, face_model: Path, camera: RtspServer, ingest: RtmpServer,
    astronaut: Path,
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
    assert judge(pictures[-100:], astronaut).clear >= 10, box.says()[-1500:]
    assert not judge(pictures, astronaut, every=2).faces


def test_dead_outputs_do_not_touch_a_living_one(
    tmp_path: Path, face_model: Path, camera: RtspServer, ingest: RtmpServer, astronaut: Path
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
    seen = judge(pictures, astronaut)
    assert seen.clear >= 20
    assert not seen.faces
    gaps = np.diff([one.arrived for one in pictures[20:]])
    assert gaps.max() < 2.0
