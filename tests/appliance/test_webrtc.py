"""The moving picture of what leaves, by WebRTC: what is let in, what is sent, and to whom."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.appliance.box import Box
from tests.live.stage import Judged, judge
from tests.live.viewer import Received

pytest.importorskip("fastapi", reason="the API's packages are not installed: privaedge[api]")

from edge.appliance.webrtc import MOST_VIEWERS, problem_of

OFFER = "/api/v1/streams/front/preview/offer"
HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n"
LISTENING = f"{HEAD}{VIDEO}a=recvonly\r\n"


def test_an_offer_to_watch_is_taken() -> None:
    assert problem_of(LISTENING) is None


@pytest.mark.parametrize(
    "sdp",
    [
        "",
        "hello",
        HEAD,
        LISTENING.replace("\r\n", "\n"),
        f"{HEAD}{VIDEO}",  # sendrecv is what nothing means
        f"{HEAD}{VIDEO}a=sendrecv\r\n",
        f"{HEAD}{VIDEO}a=sendonly\r\n",
        f"{LISTENING}{VIDEO}a=recvonly\r\n",
        f"{LISTENING}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=recvonly\r\n",
        f"{LISTENING}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
        f"{HEAD}{VIDEO}a=recvonly\r\na=sendrecv\r\n",
    ],
)
def test_nobody_sends_us_anything(sdp: str) -> None:
    assert problem_of(sdp)


def test_only_who_may_watches(box: Box) -> None:
    body = {"sdp": LISTENING}
    assert box.ask("POST", OFFER, body, token=False).status in (401, 429)
    session, csrf = box.login()
    by_page = {"Cookie": session}
    assert box.ask("POST", OFFER, body, by_page, token=False).status == 403
    foreign = by_page | {"X-CSRF-Token": csrf, "Origin": "http://elsewhere.example"}
    assert box.ask("POST", OFFER, body, foreign, token=False).status == 403
    assert box.ask("POST", OFFER.replace("front", "other"), body).status == 404
    assert box.ask("POST", OFFER, {"sdp": f"{HEAD}{VIDEO}a=sendrecv\r\n"}).status == 422
    assert box.ask("POST", OFFER, {"sdp": "v" * 30_000}).status == 422


def test_without_its_package_nothing_else_changes(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.appliance.packages import has_webrtc

    assert box.status()["webrtc"] is has_webrtc()
    has_webrtc.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not has_webrtc()
    has_webrtc.cache_clear()


# --- with the package: a viewer that is another WebRTC stack's, and one that is this one's --------


class Watcher:
    """Watches by aiortc."""

    def __init__(self) -> None:
        self.pictures: list[Received] = []
        self.answer = ""
        self.connected = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self, box: Box) -> int:
        """Offer; return the HTTP status. Stands still for nobody else in this loop."""
        from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peer.addTransceiver("video", "recvonly")

        @self.peer.on("track")
        def begins(track: Any) -> None:
            self._tasks.append(asyncio.create_task(self._watch(track)))

        @self.peer.on("connectionstatechange")
        def changes() -> None:
            if self.peer.connectionState == "connected":
                self.connected.set()

        await self.peer.setLocalDescription(await self.peer.createOffer())
        said = await asyncio.to_thread(
            box.ask, "POST", OFFER, {"sdp": self.peer.localDescription.sdp}
        )
        if said.status == 200:
            self.answer = said.json["sdp"]
            await self.peer.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))
        return said.status

    async def _watch(self, track: Any) -> None:
        from aiortc.mediastreams import MediaStreamError

        try:
            while True:
                frame = await track.recv()
                luma = np.array(frame.to_ndarray(format="gray"), np.uint8)
                self.pictures.append(
                    Received(len(self.pictures), time.monotonic(), 0.0, picture=luma)
                )
        except MediaStreamError:
            return

    async def seen(self, count: int) -> list[Received]:
        """Wait for more pictures."""
        wanted = len(self.pictures) + count
        async with asyncio.timeout(40):
            while len(self.pictures) < wanted:
                await asyncio.sleep(0.05)
        return self.pictures[-count:]

    async def go(self) -> None:
        for task in self._tasks:  # aiortc ends no track of a peer that has not connected yet
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.peer.close()


async def comes_in(box: Box) -> Watcher:
    """Come as soon as there is room."""
    async with asyncio.timeout(25):
        while True:
            one = Watcher()
            if await one.come(box) == 200:
                return one
            await one.go()
            await asyncio.sleep(0.3)


def test_only_what_leaves_is_sent_and_to_a_few(box: Box, clip: Path) -> None:
    """With the face hidden, masked while the button is pressed, from the one address it came to."""
    pytest.importorskip("aiortc", reason="aiortc is not installed: privaedge[api]")
    box.await_on_air()

    async def watch() -> tuple[Judged, Judged]:
        first = await comes_in(box)
        found = [line.split() for line in first.answer.splitlines() if "a=candidate" in line]
        assert {one[4] for one in found} == {box.host}, "no other address of this machine is told"
        assert {one[7] for one in found} == {"host"}
        assert "a=sendonly" in first.answer
        usual = await first.seen(16)

        others = [Watcher() for _ in range(MOST_VIEWERS)]
        come = await asyncio.gather(*(one.come(box) for one in others))
        assert sorted(come) == [200] * (MOST_VIEWERS - 1) + [503]
        for one, status in zip(others, come, strict=True):
            if status == 200:
                await asyncio.wait_for(one.connected.wait(), 30)
            await one.go()
        another = await comes_in(box)
        await another.seen(1)
        await another.go()

        await asyncio.to_thread(box.ask, "POST", "/api/v1/panic")
        await first.seen(10)
        masked = await first.seen(5)
        await asyncio.to_thread(box.ask, "POST", "/api/v1/resume")
        await first.go()
        return judge(usual, clip, every=2), judge(masked, clip, every=1)

    try:
        usual, masked = asyncio.run(watch())
    finally:
        box.ask("POST", "/api/v1/resume")
    assert not usual.faces
    assert usual.clear >= 4
    assert masked.clear == 0


def children(process: int) -> dict[int, str]:
    """The programs that a process has started, by their ids."""
    found = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
    return found


def test_it_ends_with_its_service() -> None:
    pytest.importorskip("aiortc", reason="aiortc is not installed: privaedge[api]")
    with subprocess.Popen(
        [sys.executable, "-m", "edge.appliance.webrtc_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        offer = LISTENING.replace("VP8/90000", "VP8/90000\r\na=mid:0\r\na=setup:actpass")
        about = {"do": "offer", "id": 1, "stream": "front", "address": "127.0.0.1"}
        line = json.dumps({**about, "size": len(offer)})
        process.stdin.write(f"{line}\n{offer}".encode())
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdin.write(b'{"do": "picture", "stream": "front", "size": 99}\nhalf')
        process.stdin.close()
        assert process.wait(20) == 0


def test_a_process_that_dies_takes_nothing_with_it(box: Box) -> None:
    pytest.importorskip("aiortc", reason="aiortc is not installed: privaedge[api]")
    box.await_on_air()
    before = box.stream()

    async def watch() -> None:
        first = await comes_in(box)
        await first.seen(1)
        (mine,) = (id for id, name in children(box.process.pid).items() if "webrtc" in name)
        os.kill(mine, signal.SIGKILL)
        second = await comes_in(box)
        await second.seen(2)
        await second.go()
        await first.go()

    asyncio.run(watch())
    after = box.stream()
    assert after["frames_out"] > before["frames_out"]
    assert after["restarts"] == before["restarts"]
    assert "api-error" not in box.says()
