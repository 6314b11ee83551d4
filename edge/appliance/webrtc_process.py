"""Sends outgoing pictures by WebRTC, as a program of its own: `python -m` this.

Encoding must not slow down the streams. One line of JSON a message on stdin, followed by `size`
bytes of an offer (SDP) or of a picture (planar RGB); one line of JSON a message on stdout: an
answer or an error for each offer, and the number of viewers of each stream whenever it changes.

It speaks to nobody who has not spoken first: of an offer, only keys are used, and never the
addresses in it. A browser is sent one address of this box, the one that its request reached, and
whoever knows the password in the answer may come there. No STUN or TURN server is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import sys
import time
from contextvars import ContextVar
from typing import Any, Final

import aioice.ice
import cv2
import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, MediaStreamError
from av import VideoFrame
from OpenSSL import SSL

from edge.appliance.aside import step_aside
from edge.frame import ByteArray

CONNECT_S: Final = 15.0
"""A browser has this long to come after its offer."""
LONGEST_S: Final = 600.0
"""After this time a viewer has to ask again, and to show that the session still holds."""
QUIET_S: Final = 8.0
"""Who has got a picture tells so by RTCP each second or so; who has not for this long is gone.
ICE would notice after 30 s, in which others find no room."""
_LOOK_S: Final = 1.0
_LINE_BYTES: Final = 65_536
_address: ContextVar[str] = ContextVar("address")


def only_address(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """Return the one address that the offer in hand may be answered with. Takes aioice's place
    in listing all of this machine's, which leaves out the loopback and opens every other one."""
    del use_ipv4, use_ipv6
    return [_address.get()]


class PlainContext(SSL.Context):
    """A context whose handshake calls nothing back.

    aiortc compares the certificate's fingerprint with the offer's by itself, and lets OpenSSL ask
    a Python function that always says yes. That function needs memory which is writable and
    executable, and the service's unit (MemoryDenyWriteExecute) gives nobody any. For the client of
    a handshake, as which this program always answers, VERIFY_NONE is the same: the other side has
    to show its certificate.
    """

    def set_verify(self, mode: int, callback: Any = None) -> None:
        """Ask for no function."""
        del mode, callback
        super().set_verify(SSL.VERIFY_NONE)


class Screen:
    """The newest picture of one stream, for all who watch it."""

    def __init__(self) -> None:
        self._yuv: ByteArray | None = None
        self._number = 0
        self._changed = asyncio.Condition()

    async def show(self, rgb: ByteArray) -> None:
        """Take a (3, height, width) uint8 picture; both even."""
        mixed = np.ascontiguousarray(rgb.transpose(1, 2, 0))
        async with self._changed:
            self._yuv = np.asarray(cv2.cvtColor(mixed, cv2.COLOR_RGB2YUV_I420), np.uint8)
            self._number += 1
            self._changed.notify_all()

    async def after(self, number: int) -> tuple[int, ByteArray]:
        """Wait for a picture later than the one with this number; return it with its own.

        (height * 3 / 2, width) uint8: I420, limited range, BT.601.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._number > number)
            assert self._yuv is not None
            return self._number, self._yuv


class Film(VideoStreamTrack):
    """What one viewer gets: each picture at most once, and none that is not the newest."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen
        self._number = 0
        self._began = time.monotonic()

    async def recv(self) -> VideoFrame:
        """Wait for the next picture."""
        if self.readyState != "live":
            raise MediaStreamError
        self._number, yuv = await self._screen.after(self._number)
        frame = VideoFrame.from_ndarray(yuv, format="yuv420p")
        frame.pts = round((time.monotonic() - self._began) * VIDEO_CLOCK_RATE)
        frame.time_base = VIDEO_TIME_BASE
        return frame


class Studio:
    """All screens and who watches them."""

    def __init__(self) -> None:
        self._screens: dict[str, Screen] = {}
        self._viewers: dict[RTCPeerConnection, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow(self, message: dict[str, Any], data: bytes) -> None:
        """Do what a message asks for. Returns soon."""
        if message["do"] == "offer":
            task = asyncio.create_task(self._serve(message, data.decode()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif screen := self._screens.get(message["stream"]):
            flat = np.frombuffer(data, np.uint8)
            await screen.show(flat.reshape(3, message["height"], message["width"]))

    async def _serve(self, message: dict[str, Any], sdp: str) -> None:
        """Answer an offer, and see the viewer off in the end."""
        stream = message["stream"]
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        there, gone = asyncio.Event(), asyncio.Event()

        @peer.on("connectionstatechange")
        def changed() -> None:
            if peer.connectionState != "connecting":
                there.set()
            if peer.connectionState in ("failed", "closed"):
                gone.set()

        film = Film(self._screens.setdefault(stream, Screen()))
        self._viewers[peer] = stream
        try:
            try:
                answer = await _answer(peer, film, sdp, message["address"])
            except Exception as error:  # noqa: BLE001 - what is wrong with an SDP has many names
                _say({"id": message["id"], "error": type(error).__name__})
                return
            self._tell(id=message["id"], sdp=answer)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(there.wait(), CONNECT_S)
                await asyncio.wait_for(_until_gone(peer, gone), LONGEST_S)
        finally:
            film.stop()
            await peer.close()
            del self._viewers[peer]
            if stream not in self._viewers.values():
                self._screens.pop(stream, None)
            self._tell()

    def _tell(self, **more: Any) -> None:
        streams = list(self._viewers.values())
        _say({"viewers": {stream: streams.count(stream) for stream in streams}, **more})


async def _answer(peer: RTCPeerConnection, film: Film, sdp: str, address: str) -> str:
    _address.set(address)
    await peer.setRemoteDescription(RTCSessionDescription(_without_addresses(sdp), "offer"))
    peer.addTrack(film)
    (transceiver,) = peer.getTransceivers()
    transceiver.direction = "sendonly"
    await peer.setLocalDescription(await peer.createAnswer())
    answer = str(peer.localDescription.sdp)
    # Passive is what an offer may ask for, and PlainContext must not be.
    if not _leads_only_to(answer, address) or "\r\na=setup:active\r\n" not in answer:
        raise ValueError
    return answer


async def _until_gone(peer: RTCPeerConnection, gone: asyncio.Event) -> None:
    """Wait until a viewer leaves, or is not heard of."""
    (sender,) = peer.getSenders()
    last, heard = None, time.monotonic()
    while not gone.is_set() and time.monotonic() - heard < QUIET_S:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(gone.wait(), _LOOK_S)
        stats = (await sender.getStats()).values()
        report = [one.timestamp for one in stats if one.type == "remote-inbound-rtp"]
        if report and report[0] != last:
            last, heard = report[0], time.monotonic()


def _without_addresses(sdp: str) -> str:
    """Leave out where a browser says it can be reached: it comes by itself, and nobody can let
    this box knock at other doors. Without an end of them, ICE waits for who comes."""
    left_out = ("a=candidate:", "a=end-of-candidates", "a=remote-candidates")
    return "".join(line for line in sdp.splitlines(keepends=True) if not line.startswith(left_out))


def _leads_only_to(answer: str, address: str) -> bool:
    found = [line.split()[4] for line in answer.splitlines() if line.startswith("a=candidate:")]
    wanted = ipaddress.ip_address(address)
    return bool(found) and all(ipaddress.ip_address(one) == wanted for one in found)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def run() -> None:
    """Follow messages until there are no more."""
    assert callable(aioice.ice.get_host_addresses)
    aioice.ice.get_host_addresses = only_address
    SSL.Context = PlainContext  # type: ignore[misc]
    reader = asyncio.StreamReader(_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    studio = Studio()
    try:
        while line := await reader.readline():
            message = json.loads(line)
            data = await reader.readexactly(int(message["size"]))
            await studio.follow(message, data)
    finally:
        # The service has gone. Nothing is kept here, so nobody is said goodbye to: a connection
        # that is half made, or an encoder's thread, could make that last for ever.
        os._exit(0)


def main() -> None:
    """Run as a program."""
    step_aside()
    cv2.setNumThreads(1)
    asyncio.run(run())


if __name__ == "__main__":
    main()
