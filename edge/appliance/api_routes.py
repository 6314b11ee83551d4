"""Routes for sessions, status, health and the dump button."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from edge.appliance.api_auth import Keyring
from edge.appliance.api_guard import COOKIE, SECURE_COOKIE, cookie
from edge.appliance.desk import Desk
from edge.appliance.views import PanicView, StatusView
from edge.config_api import Api
from edge.errors import AuditError

STALE_S: Final = 5.0
"""The service's thread has not come by for this long: it stands still."""
_TOKEN_CHARS: Final = 512


class Problem(BaseModel):
    """An error: `cause. Remedy.`"""

    detail: str


def _described(text: str) -> dict[str, Any]:
    return {"model": Problem, "description": text}


Responses = dict[int | str, dict[str, Any]]
ERRORS: Final[Responses] = {
    400: _described("The request makes no sense."),
    401: _described("The token is missing or wrong."),
    403: _described("From another site, or without X-CSRF-Token."),
    404: _described("There is nothing here."),
    408: _described("The body came too slowly."),
    409: _described("Not in this state."),
    413: _described("The body is too large."),
    414: _described("The address is too long."),
    415: _described("Not a kind of file that can be taken."),
    421: _described("Another host was asked for."),
    422: _described("A value is wrong."),
    429: _described("Too many failed attempts, or too much at once."),
    503: _described("Not possible now."),
}


class Strict(BaseModel):
    """Base of what clients send."""

    model_config = ConfigDict(extra="forbid", strict=True)


Reason = Annotated[
    str | None,
    Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="For the record."),
]


class Login(Strict):
    """The token, once."""

    token: str = Field(min_length=1, max_length=_TOKEN_CHARS, repr=False)


class Resume(Strict):
    """Why the panic is over, for the record."""

    reason: Reason = None


class Session(BaseModel):
    """Who asks."""

    by: str = Field(description="token or session.")
    csrf: str | None = Field(
        description="What a session repeats in X-CSRF-Token; null for the token."
    )
    expires_s: float | None = Field(description="Seconds that a new session lasts.")


class Health(BaseModel):
    """Whether all is well."""

    status: str = Field(description="ok or failing.")
    problems: tuple[str, ...] = ()


def who(request: Request) -> str:
    """Say who asks, for the record: how they proved themselves, and from where."""
    by = "page" if getattr(request.state, "session", None) else "token"
    return f"{by} at {request.client.host if request.client else 'unknown'}"


def core_router(desk: Desk, settings: Api, keys: Keyring) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.post("/api/v1/login", tags=["session"], responses={422: ERRORS[422]})
    async def login(request: Request, response: Response, body: Login) -> Session:
        """Exchange the token for a session: a cookie that scripts cannot read."""
        if not keys.is_token(body.token):
            wait = request.app.state.gate.note_failure(request.scope)
            if wait:
                raise HTTPException(
                    429, "Too many failed attempts.", {"retry-after": f"{wait:.0f}"}
                )
            raise HTTPException(401, "The token is wrong.")
        value = keys.open_session()
        _set_cookie(request, response, value, round(keys.session_s))
        return Session(by="session", csrf=keys.csrf_of(value), expires_s=keys.session_s)

    @router.get("/api/v1/session", tags=["session"])
    async def session(request: Request) -> Session:
        """Say who asks. The page gets its CSRF value here after it was loaded again."""
        value = getattr(request.state, "session", None)
        if value is None:
            return Session(by="token", csrf=None, expires_s=None)
        return Session(by="session", csrf=keys.csrf_of(value), expires_s=None)

    @router.post("/api/v1/logout", tags=["session"], status_code=204)
    async def logout(request: Request, response: Response) -> None:
        """End the session."""
        value = cookie(request.scope)
        if value is not None:
            keys.end_session(value)
        _set_cookie(request, response, "", 0)

    @router.get("/api/v1/status", tags=["status"], response_model=StatusView,
                responses={503: ERRORS[503]})  # fmt: skip
    async def status() -> Any:
        """Everything about the service, at most a second old."""
        _ready(desk)
        return Response(desk.status_json, media_type="application/json")

    @router.get("/health", tags=["health"], responses={503: {"model": Health}})
    async def health() -> Any:
        """Whether frames move and every lane judges in time. 503 says what is wrong."""
        if _is_stale(desk):
            return _ill("the service stands still")
        view = desk.status
        if view is None:
            return _ill("the service starts")
        return Health(status="ok") if view.healthy else _ill(*view.problems)

    @router.get("/health/live", tags=["health"], responses={503: {"model": Health}})
    async def live() -> Any:
        """Whether the service's own thread moves. A restart mends it where it does not."""
        return _ill() if _is_stale(desk) else Health(status="ok")

    @router.get("/health/ready", tags=["health"], responses={503: {"model": Health}})
    async def ready() -> Any:
        """Whether every stream has been on air, or waits for its source."""
        view = desk.status
        good = view is not None and view.ready and not _is_stale(desk)
        return Health(status="ok") if good else _ill()

    @router.post("/api/v1/panic", tags=["panic"])
    async def panic(request: Request) -> PanicView:
        """Mask and mute everything that leaves from now on, what waits in the delay line too.

        Holds until it is resumed, also over a restart and a power cut.
        """
        desk.press_panic(who(request))
        await asyncio.to_thread(desk.keep_panic)
        return desk.panic_view

    @router.post("/api/v1/resume", tags=["panic"], responses={422: ERRORS[422], 503: ERRORS[503]})
    async def resume(request: Request, body: Resume | None = None) -> PanicView:
        """Let frames go as they are judged again."""
        reason = body.reason if body is not None else None
        try:
            await asyncio.to_thread(desk.resume, who(request), reason)
        except AuditError as error:
            raise HTTPException(503, f"{error} Everything stays masked.") from None
        except OSError:
            raise HTTPException(
                503, "The disk does not let go of the panic. Everything stays masked. Try again."
            ) from None
        return desk.panic_view

    return router


def metrics_router(desk: Desk) -> APIRouter:
    """Return the route that Prometheus asks."""
    from edge.appliance.metrics import CONTENT_TYPE, registry_of, scrape

    router = APIRouter()
    registry = registry_of(desk)

    @router.get(
        "/metrics",
        tags=["status"],
        response_class=PlainTextResponse,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Any:
        """What the service counts, for Prometheus."""
        return Response(scrape(registry), headers={"content-type": CONTENT_TYPE})

    return router


def _set_cookie(request: Request, response: Response, value: str, seconds: int) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE,
        value,
        max_age=seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def _ready(desk: Desk) -> None:
    if desk.status is None:
        raise HTTPException(503, "The service starts. Ask again in a moment.")


def _is_stale(desk: Desk) -> bool:
    return time.monotonic() - desk.ticked > STALE_S


def _ill(*problems: str) -> JSONResponse:
    return JSONResponse(Health(status="failing", problems=problems).model_dump(), 503)
