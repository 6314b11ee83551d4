"""Routes for uploads that are to be redacted."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path as File
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from edge.appliance.api_routes import ERRORS, who
from edge.appliance.desk import Desk
from edge.appliance.jobs import Job, JobsFull, JobView
from edge.config_api import Api
from edge.errors import ConfigError

ROUTE: Final = "/api/v1/process"
_CHUNK: Final = 1 << 20
_LEAST: Final = 64
"""Bytes of a file that could be a video."""
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The file itself.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

Name = Annotated[
    str,
    Query(
        max_length=100, pattern=r"^[^\x00-\x1f\x7f/\\]+$", description="What to call it.",
    ),
]  # fmt: skip
JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


def jobs_router(desk: Desk, settings: Api) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["files"])
    jobs = desk.jobs
    limit = settings.upload_mb * 1_000_000

    @router.post(
        ROUTE,
        status_code=202,
        openapi_extra=_BODY,
        responses={code: ERRORS[code] for code in (404, 408, 409, 413, 422, 429, 503)},
    )
    async def upload(
        request: Request,
        name: Name = "video",
        stream: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")] = None,
    ) -> JobView:
        """Upload a video to have it redacted, as a stream of this service is."""
        if not settings.jobs:
            raise HTTPException(404, "Uploads are switched off (api.jobs).")
        try:
            known = await asyncio.to_thread(desk.changes.settings)
        except ConfigError as error:
            raise HTTPException(503, str(error)) from None
        chosen = stream or next(iter(known))
        if chosen not in known:
            raise HTTPException(422, "There is no such stream. See /api/v1/status.")
        announced = request.headers.get("content-length")
        try:
            job = await asyncio.to_thread(
                jobs.begin, name, known[chosen], int(announced) if announced else limit
            )
        except JobsFull as error:
            raise HTTPException(429, str(error), {"retry-after": "30"}) from None
        except ConfigError as error:
            raise HTTPException(503, str(error)) from None
        try:
            await _receive(request, job)
        except BaseException as error:
            await asyncio.shield(asyncio.to_thread(jobs.remove, job.id))
            if isinstance(error, OSError):
                raise HTTPException(503, "The disk does not take it. Free some space.") from None
            raise
        await asyncio.to_thread(jobs.submit, job)
        desk.clerk.note("upload", by=who(request), job=job.id, bytes=job.size)
        return job.view

    @router.get(ROUTE)
    async def all_jobs() -> list[JobView]:
        """All uploads, the newest first. Results are kept for an hour."""
        return [job.view for job in jobs.all()]

    @router.get(ROUTE + "/{job}", responses={404: ERRORS[404], 422: ERRORS[422]})
    async def one(job: JobId) -> JobView:
        """How far one is."""
        return _found(job).view

    @router.get(
        ROUTE + "/{job}/result",
        responses={
            200: {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}},
            404: ERRORS[404],
            409: ERRORS[409],
            422: ERRORS[422],
        },
        response_class=FileResponse,
    )
    async def result(job: JobId) -> Any:
        """The redacted video."""
        found = _found(job)
        if found.state != "done":
            raise HTTPException(409, f"It is {found.state}.")
        return FileResponse(found.result, media_type="video/mp4", filename=f"{found.id}.mp4")

    @router.delete(
        ROUTE + "/{job}", status_code=204, responses={404: ERRORS[404], 422: ERRORS[422]}
    )
    async def remove(request: Request, job: JobId) -> None:
        """Delete an upload and its result."""
        if not await asyncio.to_thread(jobs.remove, job):
            raise HTTPException(404, "There is no such upload.")
        desk.clerk.note("upload-deleted", by=who(request), job=job)

    def _found(number: str) -> Job:
        job = jobs.get(number)
        if job is None:
            raise HTTPException(404, "There is no such upload.")
        return job

    return router


async def _receive(request: Request, job: Job) -> None:
    """Write the body to the disk, without ever holding more than a piece of it."""
    waiting = bytearray()
    size = 0
    await asyncio.to_thread(_create, job.upload)
    try:
        async for chunk in request.stream():
            waiting += chunk
            size += len(chunk)
            if len(waiting) >= _CHUNK:
                piece, waiting = bytes(waiting), bytearray()
                await asyncio.to_thread(_append, job.upload, piece)
    except ClientDisconnect:
        raise HTTPException(400, "The upload broke off.") from None
    if size < _LEAST:
        raise HTTPException(422, "The body is no video. Send the file itself.")
    await asyncio.to_thread(_append, job.upload, bytes(waiting))


def _create(path: File) -> None:
    path.touch(mode=0o600)


def _append(path: File, data: bytes) -> None:
    if shutil.disk_usage(path.parent).free < 2 * len(data):
        raise OSError
    with path.open("ab") as file:
        file.write(data)
