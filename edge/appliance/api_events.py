"""The web socket on which the page follows what happens: the status every second, and events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Final

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from edge.appliance.desk import Desk

TICK_S: Final = 0.25
_STATUS_TICKS: Final = 4
_BEHIND: Final = 16
"""Messages that a reader may be behind before it is let go of."""
MOST_READERS: Final = 64
TOO_MANY: Final = 1013
"""Try again later, RFC 6455's registry."""


class Broadcaster:
    """Writes each message once and hands it to every reader. Lives in the API's event loop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._readers: set[asyncio.Queue[str | None]] = set()
        self._seen = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Broadcast until the end of the block."""
        task = asyncio.create_task(self._broadcast())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def readers(self) -> int:
        """How many listen."""
        return len(self._readers)

    @contextlib.contextmanager
    def reader(self) -> Iterator[asyncio.Queue[str | None]]:
        """Return a queue of messages; None in it: too far behind."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        queue.put_nowait(self._status())
        if past := self._events(0)[0]:
            queue.put_nowait(past)
        self._readers.add(queue)
        try:
            yield queue
        finally:
            self._readers.discard(queue)

    async def _broadcast(self) -> None:
        ticks, panicking = 0, False
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            text, self._seen = self._events(self._seen)
            if text and self._readers:
                self._send(text)
            pressed = self._desk.panic.on != panicking
            panicking = self._desk.panic.on
            if self._readers and (ticks % _STATUS_TICKS == 0 or pressed):
                self._send(self._status())

    def _status(self) -> str:
        return f'{{"type":"status","status":{self._desk.status_json.decode()}}}'

    def _events(self, after: int) -> tuple[str, int]:
        items = self._desk.news.since(after)
        if not items:
            return "", after
        told = [item.model_dump() for item in items]
        return json.dumps({"type": "events", "events": told}), items[-1].number

    def _send(self, text: str) -> None:
        for queue in tuple(self._readers):
            if queue.qsize() < _BEHIND:
                queue.put_nowait(text)
            else:
                queue.put_nowait(None)
                self._readers.discard(queue)


def events_router(broadcaster: Broadcaster) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.websocket("/api/v1/events")
    async def events(socket: WebSocket) -> None:
        """Tell what happens; what the client says is not listened to."""
        if broadcaster.readers >= MOST_READERS:
            await socket.close(TOO_MANY)
            return
        await socket.accept()
        with broadcaster.reader() as queue:
            listener = asyncio.create_task(_until_gone(socket))
            try:
                # It may go while it is told something.
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                    await _follow(socket, queue, listener)
            finally:
                listener.cancel()

    return router


async def _follow(
    socket: WebSocket, queue: asyncio.Queue[str | None], listener: asyncio.Task[None]
) -> None:
    while not listener.done():
        waiting = asyncio.create_task(queue.get())
        done, _ = await asyncio.wait({waiting, listener}, return_when=asyncio.FIRST_COMPLETED)
        if waiting not in done:
            waiting.cancel()
            return
        text = waiting.result()
        if text is None:
            await socket.close(TOO_MANY)
            return
        await socket.send_text(text)


async def _until_gone(socket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.receive_text()
