"""The API's application: routes inside, what every request has to pass around them.

    Shield ─► Headers ─► Places ─► Gate ─► Bodies ─► FastAPI routes ─► Desk

Needs `pip install 'privaedge[api]'`; nothing else of the service imports this at its top.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from edge import __version__
from edge.appliance.api_auth import Keyring
from edge.appliance.api_config import config_router
from edge.appliance.api_events import Broadcaster, events_router
from edge.appliance.api_faces import SHOT_BYTES, faces_router
from edge.appliance.api_guard import (
    App,
    Bodies,
    Gate,
    Headers,
    Places,
    Receive,
    Scope,
    Send,
    refuse,
)
from edge.appliance.api_jobs import ROUTE as UPLOADS
from edge.appliance.api_jobs import jobs_router
from edge.appliance.api_pages import Pages
from edge.appliance.api_preview import preview_router
from edge.appliance.api_routes import ERRORS, core_router, metrics_router
from edge.appliance.desk import Desk
from edge.appliance.journal import event, place_of
from edge.appliance.webrtc import WebRtc
from edge.config_api import Api

_log = logging.getLogger(__name__)

BODY_BYTES: Final = 65_536
"""Of a request that uploads nothing."""
LOGIN: Final = "/api/v1/login"
_SHOTS: Final = re.compile(r"/api/v1/faces/[^/]+/shots")
_DESCRIPTION: Final = """\
The operator's side of a privaedge service. Every request carries the token
(`Authorization: Bearer …`) or the cookie of a session; requests of a session that change something
repeat its second value in `X-CSRF-Token`. Errors are `{"detail": "cause. Remedy."}`."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of."""

    desk: Desk
    settings: Api
    keys: Keyring
    pages: Pages


def create_app(parts: Parts) -> App:
    """Return the whole application."""
    desk, settings, keys = parts.desk, parts.settings, parts.keys
    broadcaster, webrtc = Broadcaster(desk), WebRtc(desk)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        async with broadcaster.running(), webrtc.running():
            yield

    api = FastAPI(
        title="privaedge",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,  # its page takes scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        lifespan=running,
        redirect_slashes=False,
        responses={code: ERRORS[code] for code in (400, 401, 403, 404, 408, 413, 414, 421, 429)},
    )
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _told)
    api.include_router(core_router(desk, settings, keys))
    api.include_router(config_router(desk))
    api.include_router(faces_router(desk))
    api.include_router(jobs_router(desk, settings))
    api.include_router(metrics_router(desk))
    api.include_router(events_router(broadcaster))
    api.include_router(preview_router(desk, settings, webrtc))

    @api.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    @api.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Any:
        return parts.pages.answer(request)

    def is_public(scope: Scope) -> bool:
        path, method = scope["path"], scope.get("method")
        if path == LOGIN:
            return method == "POST"
        if method not in ("GET", "HEAD"):
            return False
        health = path in ("/health/live", "/health/ready")
        return path in parts.pages or (health and settings.open_health)

    def failed(address: str) -> None:
        event(_log, logging.WARNING, "wrong-token", client=address)

    def limit_of(scope: Scope) -> int:
        if scope["method"] == "POST" and scope["path"] == UPLOADS:
            return settings.upload_mb * 1_000_000
        if scope["method"] == "POST" and _SHOTS.fullmatch(scope["path"]):
            return SHOT_BYTES
        return BODY_BYTES

    gate = Gate(Bodies(api, limit_of), keys, is_public, on_failure=failed)
    api.state.gate = gate
    return Shield(Headers(Places(gate, settings.hosts)))


class Shield:
    """Answers where the application failed, and logs where, never what was being asked."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        began = False

        async def watch(message: Any) -> None:
            nonlocal began
            began = began or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:  # noqa: BLE001 - whatever it is, its message may be private
            event(_log, logging.ERROR, "api-error", error=place_of(error))
            if scope["type"] == "http" and not began:
                await refuse(
                    scope, receive, send, 500, "This failed. The service's log says where."
                )


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Say what is wrong in a request, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    problems = [
        {"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors()
    ]
    text = "; ".join(f"{one['where']}: {one['what']}" for one in problems[:5])
    return JSONResponse({"detail": f"The request is wrong: {text}."}, 422)


async def _told(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = {404: "There is nothing here.", 405: "This cannot be done here."}.get(
        error.status_code, str(error.detail)
    )
    if error.detail not in ("Not Found", "Method Not Allowed"):
        detail = str(error.detail)
    return JSONResponse({"detail": detail}, error.status_code, headers=dict(error.headers or {}))
