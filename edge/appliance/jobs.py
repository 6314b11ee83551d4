"""Files that operators upload to have them redacted: one at a time, the others wait.

What was uploaded lies in the service's state folder until it is done, and not a moment longer; a
power cut's remains are deleted at the next start. Results are kept for an hour.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import select
import shutil
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from edge.appliance.aside import end, start_aside
from edge.appliance.journal import event
from edge.appliance.state import make_folder
from edge.appliance.views import View
from edge.config import Settings

_log = logging.getLogger(__name__)

State = Literal["uploading", "waiting", "running", "done", "failed", "refused"]

MOST_WAITING: Final = 4
_MOST_KEPT: Final = 16
_KEPT_S: Final = 3600.0
_STALL_S: Final = 180.0
"""A job that tells of no progress for this long is ended; a model may have to be fetched first."""
_SPARE_BYTES: Final = 1 << 30
"""Room on the disk that uploads leave to recordings and the audit."""
_MODULE: Final = "edge.appliance.job_process"
_SOURCE, _RESULT = "upload", "result.mp4"


class JobView(View):
    """One upload."""

    id: str
    name: str = Field(description="What the uploader called it.")
    state: State
    progress: float | None = Field(description="0 to 1; null where its length is not known.")
    detail: str | None = Field(description="Why it failed or was refused.")
    frames: int | None = None
    frames_masked: int | None = Field(default=None, description="Frames that are masked whole.")
    hidden: dict[str, int] = Field(default={}, description="Things hidden, by lane.")
    muted_s: float | None = None
    damaged: bool = Field(default=False, description="The upload broke off or was unreadable.")
    size: int = Field(description="Bytes of the upload.")


class JobsFull(Exception):  # noqa: N818 - what happened, not a mistake
    """Too many wait, or the disk has no room. str() says which."""


@dataclass(slots=True)
class Job:
    """One upload on its way. Changed by one thread at a time."""

    id: str
    name: str
    folder: Path
    settings: Settings = field(repr=False)
    state: State = "uploading"
    progress: float | None = 0.0
    detail: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    over_at: float = 0.0

    @property
    def upload(self) -> Path:
        """Where its upload is put."""
        return self.folder / _SOURCE

    @property
    def result(self) -> Path:
        """Where its result is, once it is done."""
        return self.folder / _RESULT

    @property
    def view(self) -> JobView:
        """How it is."""
        return JobView(
            id=self.id, name=self.name, state=self.state, progress=self.progress,
            detail=self.detail, size=self.size, **self.figures,
        )  # fmt: skip


class Jobs:
    """All uploads of one service. Methods may be called from any thread."""

    def __init__(
        self, folder: Path, most_s: Callable[[], float], on_end: Callable[[Job], None]
    ) -> None:
        """folder: its own. most_s: seconds that an upload may last. on_end: told of each."""
        self._folder, self._most_s, self._on_end = folder, most_s, on_end
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._over = False
        self._process: subprocess.Popen[bytes] | None = None
        self._running: Job | None = None
        shutil.rmtree(folder, ignore_errors=True)
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def begin(self, name: str, settings: Settings, size: int) -> Job:
        """Make room for an upload. size: bytes it may have. Raises JobsFull, ConfigError."""
        make_folder(self._folder)
        with self._lock:
            self._tidy()
            busy = sum(j.state in ("uploading", "waiting", "running") for j in self._jobs.values())
            if busy >= MOST_WAITING:
                raise JobsFull(f"{busy} uploads wait already. Try again when one is done.")
            if shutil.disk_usage(self._folder).free < 3 * size + _SPARE_BYTES:
                raise JobsFull("The disk has no room for it. Free some space.")
            number = secrets.token_hex(8)
            job = Job(number, name, make_folder(self._folder / number), settings)
            self._jobs[number] = job
            return job

    def submit(self, job: Job) -> None:
        """The upload is complete."""
        with self._lock:
            job.size = job.upload.stat().st_size
            job.state = "waiting"
            self._news.notify()

    def get(self, number: str) -> Job | None:
        """Return a job."""
        with self._lock:
            self._tidy()
            return self._jobs.get(number)

    def all(self) -> list[Job]:
        """Return all, the newest first."""
        with self._lock:
            self._tidy()
            return list(reversed(self._jobs.values()))

    def remove(self, number: str) -> bool:
        """Forget a job and delete what there is of it; end it where it runs."""
        with self._lock:
            job = self._jobs.pop(number, None)
            if job is None:
                return False
            if job is self._running and self._process is not None:
                self._process.kill()
        shutil.rmtree(job.folder, ignore_errors=True)
        return True

    def close(self) -> None:
        """End what runs, and delete everything."""
        with self._lock:
            self._over = True
            if self._process is not None:
                self._process.kill()
            self._news.notify()
        self._thread.join(0.5)
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- its thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._lock:
                job = None
                while not self._over and (job := self._next()) is None:
                    self._news.wait(30.0)
                    self._tidy()
                if self._over or job is None:
                    return
                job.state, self._running = "running", job
            state: State = "failed"
            try:
                state = self._perform(job)
            finally:
                with contextlib.suppress(OSError):
                    job.upload.unlink(missing_ok=True)
                if state != "done":
                    shutil.rmtree(job.folder, ignore_errors=True)
                with self._lock:
                    self._running = self._process = None
                    job.state, job.over_at = state, time.monotonic()
                    gone = job.id not in self._jobs
                if gone:
                    shutil.rmtree(job.folder, ignore_errors=True)
                else:
                    self._on_end(job)

    def _next(self) -> Job | None:
        return next((job for job in self._jobs.values() if job.state == "waiting"), None)

    def _perform(self, job: Job) -> State:
        """Run a job; return how it ended. What was uploaded may still be there."""
        order = {
            "settings": job.settings.model_dump_json(),
            "source": str(job.upload),
            "output": str(job.result),
            "most_s": self._most_s(),
        }
        try:
            with start_aside(
                _MODULE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as process:
                with self._lock:
                    self._process = process
                assert process.stdin is not None
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.flush()
                try:
                    state = self._follow(job, process)
                finally:
                    end(process)
        except OSError as error:
            job.detail = f"It cannot be processed: {error.strerror}."
            return "failed"
        if state == "running":
            job.detail = "It ended before it was done. Try another file."
            event(_log, logging.WARNING, "job-failed", job=job.id)
            return "failed"
        return state

    def _follow(self, job: Job, process: subprocess.Popen[bytes]) -> State:
        """Return how it ended; running where it did not say."""
        state: State = "running"
        assert process.stdout is not None
        while select.select([process.stdout], [], [], _STALL_S)[0]:
            line = process.stdout.readline()
            if not line:
                break
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                if "progress" in told:
                    job.progress = told["progress"]
                elif "done" in told:
                    job.figures = told["done"]
                    job.progress, state = 1.0, "done"
                elif "error" in told:
                    job.detail = str(told["error"])
                    state = "refused" if told.get("refused") else "failed"
        return state

    def _tidy(self) -> None:
        """Delete results that nobody fetched; the lock is held."""
        now = time.monotonic()
        over = [job for job in self._jobs.values() if job.over_at]
        surplus = over[: max(0, len(over) - _MOST_KEPT)]
        for job in over:
            if now - job.over_at > _KEPT_S or job in surplus:
                del self._jobs[job.id]
                shutil.rmtree(job.folder, ignore_errors=True)
