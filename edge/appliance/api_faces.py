"""Routes for enrolled people, and for the models that are at hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from edge.appliance.api_routes import ERRORS, Responses, Strict, who
from edge.appliance.desk import Desk
from edge.appliance.enrolling import EnrolError
from edge.errors import AuditError, ConfigError, PrivaedgeError
from edge.model_store import store_of
from edge.people import People
from edge.people_store import PeopleStore

SHOT_BYTES: Final = 12_000_000
_KINDS: Final = ("image/jpeg", "image/png", "image/webp")
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "One photograph.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _KINDS},
    }
}
_LETTER: Final = r"[A-Za-z0-9\u00c0-\uffef]"
Name = Annotated[
    str,
    Path(
        min_length=1,
        max_length=64,
        pattern=rf"^{_LETTER}([A-Za-z0-9\u00c0-\uffef ._-]*{_LETTER})?$",
        description="What the person is called.",
    ),
]
T = TypeVar("T")


class PersonView(BaseModel):
    """One enrolled person: never a picture, never the numbers that tell them apart."""

    name: str
    shots: int
    likeness: float = Field(description="How alike the shots are, mean cosine.")
    threshold: float = Field(description="Cosine from which a face is taken for them.")


class Faces(BaseModel):
    """Who may stay visible where video.whitelist.enabled says so."""

    people: list[PersonView]
    model: str | None
    shown_by: list[str] = Field(description="Streams that show enrolled people.")


class ShotView(BaseModel):
    """What was made of one shot."""

    accepted: bool
    problem: str | None = Field(description="Why it was refused.")
    face_px: int
    good: int = Field(description="Accepted shots so far.")
    wanted: int


class Enrol(Strict):
    """replace: forget what is stored under that name."""

    replace: bool = False


class Enrolled(BaseModel):
    """Who was enrolled."""

    name: str
    shots: int
    likeness: float
    alike: str | None = Field(description="Somebody enrolled who looks alike: both may be hidden.")


class ModelView(BaseModel):
    """One model of the catalogue."""

    name: str
    task: str
    family: str
    licence: str
    state: str
    used_by: list[str] = Field(description="Streams and lanes, as stream/lane.")


_TROUBLE: Final[Responses] = {code: ERRORS[code] for code in (422, 503)}


def faces_router(desk: Desk) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/api/v1/faces", tags=["faces"], responses={503: ERRORS[503]})
    async def faces() -> Faces:
        """Everybody who is enrolled."""
        people = await _slow(PeopleStore().load)
        members = people.members if people is not None else ()
        settings = await _slow(desk.changes.settings)
        return Faces(
            people=[
                PersonView(
                    name=one.name,
                    shots=one.shots,
                    likeness=round(one.likeness, 3),
                    threshold=round(one.threshold, 3),
                )
                for one in members
            ],
            model=people.model if people is not None and members else None,
            shown_by=[name for name, one in settings.items() if one.video.whitelist.enabled],
        )

    @router.post(
        "/api/v1/faces/{name}/shots", tags=["faces"], openapi_extra=_BODY,
        responses={**_TROUBLE, 413: ERRORS[413], 415: ERRORS[415]},
    )  # fmt: skip
    async def shot(request: Request, name: Name) -> ShotView:
        """Judge a shot for an enrolment: taken, or refused with the reason."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _KINDS:
            raise HTTPException(415, f"Send one photograph as {', '.join(_KINDS)}.")
        data = await request.body()
        if not data:
            raise HTTPException(422, "There is no photograph in it.")
        answer = await _ask(desk, {"do": "shot", "name": name}, data)
        return ShotView(**answer)

    @router.delete("/api/v1/faces/{name}/shots", tags=["faces"], status_code=204,
                   responses=_TROUBLE)  # fmt: skip
    async def forget_shots(name: Name) -> None:
        """Forget the shots of an enrolment that is under way."""
        await _ask(desk, {"do": "forget", "name": name})

    @router.post(
        "/api/v1/faces/{name}", tags=["faces"], status_code=201,
        responses={**_TROUBLE, 409: ERRORS[409]},
    )  # fmt: skip
    async def enrol(request: Request, name: Name, body: Enrol | None = None) -> Enrolled:
        """Enrol somebody from the shots that were taken: from now on they may stay visible."""
        await _recorded(desk, "enrol", who(request))
        replace = body is not None and body.replace
        answer = await _ask(desk, {"do": "enrol", "name": name, "replace": replace})
        if answer.get("few"):
            raise HTTPException(
                409,
                f"{answer['good']} shots are good, and {answer['wanted']} are needed. Add some.",
            )
        return Enrolled(**answer)

    @router.delete("/api/v1/faces/{name}", tags=["faces"], status_code=204,
                   responses={**_TROUBLE, 404: ERRORS[404]})  # fmt: skip
    async def remove(request: Request, name: Name) -> None:
        """Forget somebody, for good."""

        def change(people: People | None) -> People:
            return (people or People("", "")).without(name)

        people = await _slow(PeopleStore().load)
        if people is None or name not in people.names:
            raise HTTPException(404, "Nobody of that name is enrolled.")
        await _recorded(desk, "unenrol", who(request))
        await _slow(lambda: PeopleStore().update(change))

    @router.get("/api/v1/models", tags=["status"], responses={503: ERRORS[503]})
    async def models() -> list[ModelView]:
        """Every model of the catalogue, whether it is here, and what uses it."""
        view = desk.status
        used: dict[str, list[str]] = {}
        for stream in view.streams if view is not None else ():
            for lane in stream.lanes:
                if lane.model is not None:
                    used.setdefault(lane.model, []).append(f"{stream.name}/{lane.name}")

        def look() -> list[ModelView]:
            settings = desk.changes.settings()
            store = store_of(next(iter(settings.values())))
            return [
                ModelView(
                    name=name,
                    task=str(store.catalogue[name].task),
                    family=str(store.catalogue[name].family),
                    licence=str(store.catalogue[name].licence),
                    state=str(store.status(name).state),
                    used_by=used.get(name, []),
                )
                for name in store.catalogue.names()
            ]

        return await _slow(look)

    return router


async def _ask(desk: Desk, request: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
    try:
        return await asyncio.to_thread(desk.enrolling.ask, request, data)
    except EnrolError as error:
        text = str(error)
        raise HTTPException(422, text[:1].upper() + text[1:]) from None
    except PrivaedgeError as error:
        raise HTTPException(503, str(error)) from None


async def _recorded(desk: Desk, name: str, by: str) -> None:
    """Record who did something to whom is enrolled, without their name. 503 where that fails."""
    try:
        await asyncio.to_thread(lambda: desk.clerk.record(name, by=by))
    except AuditError as error:
        raise HTTPException(503, f"{error} What cannot be recorded is not done.") from None


async def _slow(look: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(look)
    except (ConfigError, PrivaedgeError) as error:
        raise HTTPException(503, str(error)) from None
