"""Routes for settings: look, change, history, undo, and the switch of each lane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field, JsonValue
from starlette.exceptions import HTTPException

from edge.appliance.api_routes import ERRORS, Reason, Responses, Strict, who
from edge.appliance.changes import BusyError, Change, Outcome, RefusedError, Revision
from edge.appliance.desk import Desk
from edge.config import Settings
from edge.config_io import ConfigProblemsError
from edge.config_schema import config_schema
from edge.errors import AuditError, ConfigError

_MOST_KEYS: Final = 100
_SETTING: Final = r"^[a-z][a-z0-9_.]{0,80}$"
_STREAM: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"
_LANE: Final = r"^[a-z][a-z0-9_-]{0,31}$"

Key = Annotated[str, Field(pattern=_SETTING)]
StreamName = Annotated[str, Field(pattern=_STREAM)]


class StreamSettings(BaseModel):
    """The settings of one stream."""

    settings: Settings
    changed: dict[str, Any] = Field(description="What operators changed, by dotted path.")


class Configuration(BaseModel):
    """The settings of all streams."""

    revision: int = Field(description="Number of the last change.")
    can_undo: int | None = Field(description="The revision that an undo would take back.")
    streams: dict[str, StreamSettings]


class Patch(Strict):
    """What to change. A value that is null is the value null; `reset` goes back to the file's."""

    streams: dict[StreamName, Annotated[dict[Key, JsonValue], Field(max_length=_MOST_KEYS)]] = (
        Field(
            default={},
            max_length=32,
            description="By stream, values by the dotted path of a setting, such as blur.type.",
        )
    )
    reset: dict[StreamName, Annotated[list[Key], Field(max_length=_MOST_KEYS)]] = Field(
        default={}, max_length=32, description="By stream, settings that go back to the file's."
    )
    reason: Reason = None


class Undo(Strict):
    """Why, where that is needed: undoing may switch a lane off."""

    reason: Reason = None


class Switch(Strict):
    """On or off. Off needs a reason, which is recorded."""

    on: bool
    reason: Reason = None
    stream: StreamName | None = Field(default=None, description="null: every stream.")


class Changed(BaseModel):
    """How a change went."""

    revision: int
    changes: Sequence[Change]
    interrupts: Sequence[str] = Field(description="Streams that are begun anew for it.")
    applied: bool = Field(description="False while models are still being loaded for it.")


_CHANGING: Final[Responses] = {code: ERRORS[code] for code in (409, 413, 422, 503)}


def config_router(desk: Desk) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["settings"])
    changes = desk.changes

    @router.get("/api/v1/config", responses={503: ERRORS[503]})
    async def config() -> Configuration:
        """The settings of every stream, as they are in force or about to be."""
        try:
            found = await asyncio.to_thread(changes.settings)
        except ConfigError as error:
            raise HTTPException(503, str(error)) from None
        overlay = changes.overlay
        return Configuration(
            revision=changes.revision,
            can_undo=changes.can_undo,
            streams={
                name: StreamSettings(settings=one, changed=dict(overlay.get(name, {})))
                for name, one in found.items()
            },
        )

    @router.get("/api/v1/config/schema")
    async def schema() -> dict[str, Any]:
        """JSON Schema of a stream's settings: kinds, bounds and what each one does."""
        return config_schema()

    @router.patch("/api/v1/config", responses=_CHANGING)
    async def patch(request: Request, body: Patch) -> Changed:
        """Change settings. All of it is taken, or nothing."""
        return await _make(
            lambda: changes.change(body.streams, body.reset, who(request), body.reason)
        )

    @router.get("/api/v1/config/history")
    async def history() -> list[Revision]:
        """The last changes, the newest first."""
        return list(changes.history)

    @router.post("/api/v1/config/undo", responses=_CHANGING)
    async def undo(request: Request, body: Undo | None = None) -> Changed:
        """Take back the last change that was not taken back."""
        return await _make(lambda: changes.undo(who(request), body.reason if body else None))

    @router.post("/api/v1/filters/{lane}", responses={**_CHANGING, 404: ERRORS[404]})
    async def switch(
        request: Request, lane: Annotated[str, Path(pattern=_LANE)], body: Switch
    ) -> Changed:
        """Switch a lane on or off: faces, plates, text, speech, or an own detector's."""
        return await _make(
            lambda: changes.switch(lane, body.on, body.stream, who(request), body.reason)
        )

    return router


async def _make(change: Callable[[], Outcome]) -> Changed:
    try:
        made = await asyncio.to_thread(change)
    except BusyError:
        raise HTTPException(409, "Another change is being made. Try again in a moment.") from None
    except ConfigProblemsError as error:
        raise HTTPException(422, " ".join(error.problems)) from None
    except (RefusedError, ConfigError) as error:
        raise HTTPException(422, str(error)) from None
    except AuditError as error:
        raise HTTPException(503, f"{error} What cannot be recorded is not done.") \
            from None  # fmt: skip
    return Changed(
        revision=made.revision,
        changes=made.changes,
        interrupts=made.interrupts,
        applied=made.applied,
    )
