"""The service's side of pictures by WebRTC: starts the process that sends them, and feeds it.

Lives in the API's event loop. Whatever becomes of that process, streams and the rest of the API go
on: who watched sees Motion JPEG instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import json
import os
import re
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from typing import Any, Final

import numpy as np

from edge.appliance.aside import environment
from edge.appliance.desk import Desk
from edge.appliance.outgoing import Seen

MOST_VIEWERS: Final = 4
"""Each has an encoder of its own; others are sent Motion JPEG, which is encoded once for all."""
FPS: Final = 10.0
MOST_SDP: Final = 20_000
"""Characters of an offer. Chromium's for one video has about 6,000."""
_MODULE: Final = "edge.appliance.webrtc_process"
_ANSWER_S: Final = 20.0
"""The process has to start, on a machine whose streams come first."""
_IDLE_S: Final = 30.0
"""Without viewers for so long the process ends."""
_LOOK_S: Final = 0.02
_EVEN: Final = 2
_PIPE_BYTES: Final = 1 << 20
"""So that a picture, 0.7 MB at most, is handed over at once."""


class WebRtcError(Exception):
    """Why somebody cannot be sent pictures: `cause. Remedy.`"""


def problem_of(sdp: str) -> str | None:
    """Say what is wrong with an offer; None where it asks for one video, and sends nothing."""
    if not sdp.startswith("v=0\r\n"):
        return "this is no SDP. Send what createOffer() gave."
    lines = sdp.split("\r\n")
    kinds = [line.partition(" ")[0] for line in lines if line.startswith("m=")]
    ways = [line for line in lines if re.fullmatch("a=(sendrecv|sendonly|recvonly|inactive)", line)]
    if kinds != ["m=video"] or ways != ["a=recvonly"]:
        return "the offer is not for one video to be received. Ask for that, and for nothing else."
    return None


class WebRtc:
    """One process at most, and the pictures that it is sent."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._feeders: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._viewers: dict[str, int] = {}
        self._number = 0
        self._starting = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._used = 0.0

    @property
    def viewers(self) -> int:
        """How many watch, or are about to."""
        return sum(self._viewers.values()) + len(self._answers)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """See that the process ends, with the block at the latest."""
        rest = asyncio.create_task(self._rest())
        try:
            yield
        finally:
            rest.cancel()
            await self._end()

    async def answer(self, stream: str, sdp: str, address: str) -> str:
        """Return the answer (SDP) to an offer.

        address: of this machine, the one that the offer came to; pictures are sent from there
        only. Raises WebRtcError.
        """
        self._number += 1
        number = self._number
        waiting = self._answers[number] = asyncio.get_running_loop().create_future()
        self._used = time.monotonic()
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._start()
                about = {"do": "offer", "id": number, "stream": stream, "address": address}
                await self._write(about, sdp.encode())
                said = await waiting
        except (TimeoutError, OSError) as error:
            if isinstance(error, TimeoutError):  # it hangs; the next offer finds another one
                async with self._starting:
                    await self._end()
            raise WebRtcError(
                "WebRTC does not work at the moment. Watch preview.mjpeg instead."
            ) from None
        finally:
            self._answers.pop(number, None)
        if "sdp" not in said:
            raise WebRtcError("this offer cannot be answered. Watch preview.mjpeg instead.")
        return str(said["sdp"])

    async def _start(self) -> None:
        async with self._starting:
            if self._process is not None and self._process.returncode is None:
                return
            await self._end()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", _MODULE),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=environment(os.environ),
            )
            if (stdin := self._process.stdin) is not None:
                with contextlib.suppress(OSError):  # a smaller one only takes more turns
                    pipe = stdin.transport.get_extra_info("pipe")
                    fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            self._reader = asyncio.create_task(self._listen(self._process))

    async def _end(self) -> None:
        process, self._process = self._process, None
        tasks = [*self._feeders.values(), *([self._reader] if self._reader else [])]
        self._feeders, self._reader = {}, None
        self._viewers = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # it keeps nothing, and viewers notice
            await process.wait()

    async def _rest(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self.viewers:
                self._used = time.monotonic()
            elif self._process is not None and time.monotonic() - self._used > _IDLE_S:
                async with self._starting:
                    await self._end()

    # -- what the process says -------------------------------------------------------------------

    async def _listen(self, process: Process) -> None:
        """Hear the process until it ends."""
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                self._hear(json.loads(line))
        finally:
            self._viewers = {}
            for waiting in self._answers.values():
                if not waiting.done():
                    waiting.set_exception(BrokenPipeError())

    def _hear(self, message: dict[str, Any]) -> None:
        if "viewers" in message:
            self._viewers = message["viewers"]
            for stream in self._viewers.keys() - self._feeders.keys():
                self._feeders[stream] = task = asyncio.create_task(self._feed(stream))
                task.add_done_callback(functools.partial(self._fed, stream))
        # Who was waiting counts as a viewer from here on, and not as both.
        waiting = self._answers.pop(message.get("id", 0), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    # -- what it is shown ------------------------------------------------------------------------

    async def _feed(self, stream: str) -> None:
        """Show the process what leaves, as fast as it takes it, while somebody watches."""
        while stream in self._viewers and (outgoing := self._desk.outgoing.get(stream)):
            # A stream that was started anew has another one.
            with outgoing.watched():
                last, sent = 0, 0.0
                while stream in self._viewers and self._desk.outgoing.get(stream) is outgoing:
                    seen, now = outgoing.newest, time.monotonic()
                    if seen is None or seen.number == last or now - sent < 1 / FPS:
                        await asyncio.sleep(_LOOK_S)
                        continue
                    last, sent = seen.number, now
                    await self._picture(stream, seen)

    def _fed(self, stream: str, task: asyncio.Task[None]) -> None:
        if self._feeders.get(stream) is task:
            del self._feeders[stream]
        if not task.cancelled():
            task.exception()  # the process is gone, which its reader has told

    async def _picture(self, stream: str, seen: Seen) -> None:
        height, width = (n // _EVEN * _EVEN for n in seen.rgb.shape[1:])
        data = np.ascontiguousarray(seen.rgb[:, :height, :width]).data.cast("B")
        about = {"do": "picture", "stream": stream, "height": height, "width": width}
        await self._write(about, data)

    async def _write(self, about: dict[str, Any], data: bytes | memoryview) -> None:
        """Send a message, and wait until nearly all of it was taken: nothing piles up."""
        async with self._writing:
            process = self._process
            if process is None or process.stdin is None:
                raise BrokenPipeError
            process.stdin.write(json.dumps({**about, "size": len(data)}).encode() + b"\n")
            process.stdin.write(data)
            await process.stdin.drain()
