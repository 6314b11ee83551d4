"""From the dump button to what a viewer gets: a whole service, a real viewer, real time."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.appliance.box import Box, boxed
from tests.harness import fine_detail
from tests.live.servers import UdpReceiver, free_port
from tests.live.viewer import Received, Viewer

pytest.importorskip("fastapi", reason="the API's packages are not installed: privaedge[api]")

DETAIL = 11.0
"""Between the standard deviations of fine detail of this film: 15 as it is, 7 masked."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, clip: Path, blind_model: Path) -> Iterator[
    tuple[Box, Viewer]
]:  # fmt: skip
    """A service that sends over UDP to a viewer. Its detector sees no face: nothing is hidden."""
    folder = tmp_path_factory.mktemp("panic")
    port = free_port(socket.SOCK_DGRAM)
    output = f"udp://127.0.0.1:{port}?pkt_size=1316"
    with (
        boxed(folder, clip, blind_model, output=output) as box,
        Viewer(f"udp://127.0.0.1:{port}", folder / "seen") as viewer,
    ):
        box.await_on_air()
        yield box, viewer


def masked(picture: Received) -> bool:
    assert picture.picture is not None
    return float(np.std(fine_detail(picture.picture))) < DETAIL


def pictures(viewer: Viewer, after: float, count: int) -> list[Received]:
    give_up = time.monotonic() + 30
    while True:
        found = [one for one in viewer.pictures() if one.arrived > after]
        if len(found) >= count:
            return found
        assert time.monotonic() < give_up, viewer.trouble()
        time.sleep(0.1)


def test_from_panic_to_the_first_masked_picture(shown: tuple[Box, Viewer]) -> None:
    box, viewer = shown
    seen = pictures(viewer, time.monotonic(), 10)
    give_up = time.monotonic() + 30
    while any(masked(one) for one in seen):  # slates at first, and what a busy machine judges late
        assert time.monotonic() < give_up
        seen = pictures(viewer, time.monotonic(), 10)
    began = time.monotonic()
    answer = box.ask("POST", "/api/v1/panic")
    assert answer.status == 200
    assert answer.json["on"]
    assert answer.json["durable"]
    after = pictures(viewer, began, 40)
    hidden = [masked(one) for one in after]
    first = hidden.index(True)
    assert all(hidden[first:]), "what waited in the delay line is masked, and all that follows"
    # Its time at the sink is measured by benchmarks/panic.py; this machine runs other tests.
    assert after[first].arrived - began < 2.0
    assert after[first].connection == seen[-1].connection, "the viewer stays"
    sound = [one for one in viewer.sounds() if one.arrived > after[first].arrived + 0.5]
    assert sound
    assert max(float(np.abs(one.sound).max()) for one in sound if one.sound is not None) < 0.01
    status = box.status()
    assert status["panic"]["on"]
    assert status["streams"][0]["masked_by"]["panic"] >= 20

    began = time.monotonic()
    assert box.ask("POST", "/api/v1/resume", {"reason": "a test"}).status == 200
    after = pictures(viewer, began, 60)
    assert sum(not masked(one) for one in after) > 20
    assert not box.status()["panic"]["on"]


def test_panic_outlives_kills(tmp_path: Path, clip: Path, blind_model: Path) -> None:
    with UdpReceiver(tmp_path / "out.ts") as receiver:
        with boxed(tmp_path, clip, blind_model, output=receiver.url) as box:
            assert box.ask("POST", "/api/v1/panic").json["durable"]
            token = box.token
        # That was SIGKILL. What is sent from here on is masked from its first picture.
        with boxed(tmp_path, clip, blind_model, output=receiver.url) as box:
            assert box.token == token
            box.await_on_air()
            assert box.status()["panic"]["on"]
            view = box.stream()
            assert view["frames_out"] > 0
            assert view["frames_masked"] == view["frames_out"]
            assert box.ask("POST", "/api/v1/resume").json["on"] is False
            assert not (box.state / "panic.json").exists()
