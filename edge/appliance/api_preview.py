"""What leaves the box, as a moving picture in the operator's page.

By WebRTC for a few, where aiortc is installed. Else as Motion JPEG: every browser shows it without
a script, and a slow network only costs it pictures; each picture is encoded once for all who watch,
outside the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Final
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from edge.appliance.api_routes import ERRORS, Strict
from edge.appliance.desk import Desk
from edge.appliance.outgoing import Outgoing, Seen
from edge.appliance.packages import has_webrtc
from edge.appliance.webrtc import MOST_SDP, WebRtc, WebRtcError, problem_of
from edge.appliance.webrtc import MOST_VIEWERS as MOST_BY_WEBRTC
from edge.config_api import Api
from edge.frame import ByteArray

QUALITY: Final = 75
"""JPEG's. Of a picture 640 wide that makes about 40 kB, and nobody needs to read number plates."""
MOST_VIEWERS: Final = 24
_LOOK_S: Final = 0.03
_STILL_S: Final = 2.0
"""A picture that does not change is sent again after this time: who has gone is noticed then."""
_FIRST_S: Final = 3.0
"""How long one picture is waited for."""
_LONGEST_S: Final = 600.0
"""After this time a viewer has to ask again, and to show that the session still holds."""
_BOUNDARY: Final = "privaedge-picture"


class Film:
    """The outgoing pictures of one stream as JPEG."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._lock = asyncio.Lock()
        self._number = 0
        self._jpeg = b""

    async def pictures(self, seconds: float) -> AsyncIterator[bytes]:
        """Yield pictures as they leave, for so long."""
        ends = time.monotonic() + seconds
        last, sent = 0, 0.0
        with self._outgoing.watched():
            while (now := time.monotonic()) < ends:
                seen = self._outgoing.newest
                if seen is None or (seen.number == last and now - sent < _STILL_S):
                    await asyncio.sleep(_LOOK_S)
                    continue
                last, sent = seen.number, now
                yield await self._encoded(seen)

    async def _encoded(self, seen: Seen) -> bytes:
        async with self._lock:
            if self._number != seen.number:
                self._jpeg = await asyncio.to_thread(encode, seen.rgb)
                self._number = seen.number
            return self._jpeg


def encode(rgb: ByteArray) -> bytes:
    """Return a (3, height, width) uint8 picture as JPEG."""
    mixed = np.ascontiguousarray(rgb[::-1].transpose(1, 2, 0))
    _, data = cv2.imencode(".jpg", mixed, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return bytes(data)


class Offer(Strict):
    """What a browser's createOffer() gave, for one video that it only receives."""

    sdp: str = Field(min_length=1, max_length=MOST_SDP, description="RFC 8866.")


class Accepted(BaseModel):
    """What setRemoteDescription() takes, as the type `answer`."""

    sdp: str


def preview_router(desk: Desk, settings: Api, webrtc: WebRtc) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1/streams", tags=["preview"])
    films: WeakKeyDictionary[Outgoing, Film] = WeakKeyDictionary()
    viewers = 0

    def film_of(name: str) -> Film:
        outgoing = desk.outgoing.get(name) if settings.preview else None
        if outgoing is None:
            raise HTTPException(
                404, "There is no such stream, or api.preview is off. Look at /api/v1/status."
            )
        if outgoing not in films:
            films[outgoing] = Film(outgoing)
        return films[outgoing]

    async def parts(film: Film) -> AsyncIterator[bytes]:
        nonlocal viewers
        viewers += 1
        try:
            async for jpeg in film.pictures(_LONGEST_S):
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                yield f"{head}Content-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg + b"\r\n"
        finally:
            viewers -= 1

    @router.get(
        "/{name}/preview.mjpeg",
        summary="Watch what leaves",
        response_class=Response,
        responses={200: {"content": {"multipart/x-mixed-replace": {}}},
                   503: {"description": "Too many watch."}},
    )  # fmt: skip
    async def watch(name: Annotated[str, Path(max_length=64)]) -> Response:
        """What has left, masked pictures too, as Motion JPEG; ends after 10 minutes."""
        film = film_of(name)
        if viewers >= MOST_VIEWERS:
            raise HTTPException(503, "Too many watch. Close another page.")
        return StreamingResponse(
            parts(film),
            media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}",
            headers={"cache-control": "no-store"},
        )

    @router.get(
        "/{name}/preview.jpg",
        summary="See what leaves",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}},
                   503: {"description": "Nothing leaves at the moment."}},
    )  # fmt: skip
    async def see(name: Annotated[str, Path(max_length=64)]) -> Response:
        """The next picture that leaves."""
        async for jpeg in film_of(name).pictures(_FIRST_S):
            return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "no-store"})
        raise HTTPException(503, "No picture leaves at the moment. Look at /api/v1/status.")

    @router.post(
        "/{name}/preview/offer",
        summary="Watch what leaves by WebRTC",
        responses={422: ERRORS[422], 503: {"description": "Too many watch, or it does not work."}},
    )  # fmt: skip
    async def offer(
        request: Request, name: Annotated[str, Path(max_length=64)], body: Offer
    ) -> Accepted:
        """Answer an offer; ends after 10 minutes.

        The answer has one candidate, the address of this machine that the request came to. Those
        in the offer are not used: nothing is sent to who has not come with the answer's password.
        """
        film_of(name)
        if problem := problem_of(body.sdp):
            raise HTTPException(422, problem)
        if not has_webrtc():
            raise HTTPException(503, "aiortc is not installed. Watch preview.mjpeg instead.")
        if webrtc.viewers >= MOST_BY_WEBRTC:
            raise HTTPException(503, "Too many watch by WebRTC. Watch preview.mjpeg instead.")
        host = str(request.scope["server"][0]).partition("%")[0].removeprefix("::ffff:")
        try:
            return Accepted(sdp=await webrtc.answer(name, body.sdp, host))
        except WebRtcError as error:
            raise HTTPException(503, str(error)) from None

    return router
