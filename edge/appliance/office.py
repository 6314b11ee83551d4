"""Keeps the operator's side of a service going: its desk, its board, and the server before them.

Called by the service's thread. Whatever fails here, streams go on: a page that cannot be served is
tried again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge import __version__
from edge.appliance import machine
from edge.appliance.board import Board, lanes_of
from edge.appliance.changes import Changes
from edge.appliance.clerk import Clerk
from edge.appliance.desk import Desk
from edge.appliance.enrolling import Enrolling
from edge.appliance.jobs import Job, Jobs
from edge.appliance.journal import Secrets, event, place_of
from edge.appliance.news import News
from edge.appliance.packages import check_packages, has_webrtc
from edge.appliance.panic import PanicButton
from edge.appliance.service_config import ServiceConfig
from edge.appliance.stream import Stream
from edge.appliance.views import StatusView
from edge.config_api import Api
from edge.errors import PrivaedgeError

if TYPE_CHECKING:
    from edge.appliance.api_server import ApiServer

_log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5
"""How often the status is made anew."""
_RETRY_S: Final = 10.0


class Office:
    """The operator's side of one service."""

    def __init__(
        self,
        folder: Path,
        config: Path,
        secrets: Secrets,
        streams: Callable[[], Mapping[str, Stream]],
        environ: Mapping[str, str] = os.environ,
        *,
        reload: Callable[[], None],
    ) -> None:
        """folder: the service's state. config: its file. streams: those of now. reload: lets the
        service read its configuration again. Raises ConfigError."""
        self.folder = folder
        self._environ = environ
        self._secrets = secrets
        self._streams = streams
        self.news = News(secrets.hide)
        self.clerk = Clerk(folder / "audit", streams, environ)
        self.changes = Changes(
            folder, config, environ, record=lambda name, data: self.clerk.record(name, **data)
        )
        self.changes.on_candidate = reload
        self.jobs = Jobs(folder / "jobs", lambda: self._api.upload_minutes * 60, self._job_ended)
        self.enrolling = Enrolling(lambda: next(iter(self.changes.settings().values())))
        self.desk = Desk(
            panic=PanicButton(folder),
            news=self.news,
            changes=self.changes,
            clerk=self.clerk,
            jobs=self.jobs,
            enrolling=self.enrolling,
        )
        self._board = Board()
        self._began = time.time()
        self._looked = self._tried = self._kept = float("-inf")
        self._api = Api()
        self._served: Api | None = None
        self._server: ApiServer | None = None
        self._starter: threading.Thread | None = None
        self._opened = False
        logging.getLogger("edge.appliance").addHandler(self.news)

    @property
    def url(self) -> str | None:
        """Where the page is; None while it is not served."""
        return self._server.url if self._server is not None else None

    def follow(self, config: ServiceConfig) -> None:
        """Go by this configuration, which has just been taken."""
        if not self._opened:
            self._opened = True
            self.clerk.start(config.audit)
            panic = self.desk.panic.on
            self.clerk.note("start", version=__version__, panic=panic)
            if panic:
                event(_log, logging.WARNING, "panic", since="before the start")
        self.clerk.follow(config.audit)
        self.clerk.note(
            "config-taken",
            revision=self.changes.revision,
            streams={name: lanes_of(one.settings) for name, one in config.streams.items()},
        )
        if config.api != self._api:
            self._tried = float("-inf")
        self._api = config.api

    def tick(self, *, frozen: Iterable[str], ready: bool, refused: str | None) -> None:
        """Show how things are, and see that the page is served. The service's thread."""
        now = time.monotonic()
        self.desk.ticked = now
        self._see_to_server(now)
        if now - self._looked >= _LOOK_S:
            self._looked = now
            self.desk.show(self._status(frozen, ready, refused))
            self.enrolling.rest()

    def _status(self, frozen: Iterable[str], ready: bool, refused: str | None) -> StatusView:
        streams, hide = self._streams(), self._secrets.hide
        self.desk.outgoing = {name: stream.outgoing for name, stream in streams.items()}
        views = self._board.look(streams.values(), frozen)
        problems = [f"{view.name}: {problem}" for view in views for problem in view.problems]
        panic = self.desk.panic_view
        if self.clerk.problem is not None:
            problems.append(self.clerk.problem)
        return StatusView(
            version=__version__,
            at=round(time.time(), 3),
            uptime_s=round(time.time() - self._began, 1),
            ready=ready,
            healthy=ready and not problems,
            problems=tuple(hide(problem) for problem in problems),
            panic=panic,
            revision=self.changes.revision,
            refused=hide(refused) if refused else None,
            preview=self._api.preview,
            webrtc=self._api.preview and has_webrtc(),
            jobs=self._api.jobs,
            streams=views,
            machine=machine.look(),
            audit=self.clerk.view,
        )

    def close(self) -> None:
        """End the server, and write down that the service ends."""
        self._stop_server()
        self.jobs.close()
        self.enrolling.close()
        if self._opened:
            self.clerk.note("stop")
        self.clerk.close()
        logging.getLogger("edge.appliance").removeHandler(self.news)

    def _job_ended(self, job: Job) -> None:
        told = {"hidden": job.figures.get("hidden"), "masked": job.figures.get("frames_masked")}
        self.clerk.note("upload-over", job=job.id, state=job.state, **told)

    # -- the server --------------------------------------------------------------------------

    def _see_to_server(self, now: float) -> None:
        wanted = self._api if self._api.enabled else None
        if self._starter is not None and self._starter.is_alive():
            return
        alive = self._server is not None and self._server.alive
        if wanted == self._served and (wanted is None or alive):
            return
        if now - self._tried < _RETRY_S:
            return
        self._tried = now
        self._stop_server()
        self._served = wanted
        if wanted is not None:
            # Its packages take seconds to import; the service's thread has a watchdog to feed.
            self._starter = threading.Thread(
                target=self._start_server, args=(wanted,), name="api-start", daemon=True
            )
            self._starter.start()

    def _start_server(self, settings: Api) -> None:
        try:
            server = self._make_server(settings)
            server.start()
        except PrivaedgeError as error:
            event(_log, logging.ERROR, "api-failed", because=error)
        except Exception as error:  # noqa: BLE001 - streams go on without a page
            event(_log, logging.ERROR, "api-failed", error=place_of(error))
        else:
            self._server = server

    def _stop_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def _make_server(self, settings: Api) -> ApiServer:
        check_packages()
        from edge.appliance.api import Parts, create_app
        from edge.appliance.api_auth import Keyring, load_token
        from edge.appliance.api_pages import Pages
        from edge.appliance.api_server import ApiServer
        from edge.appliance.api_tls import tls_files

        token, made = load_token(self.folder, self._environ)
        if made:
            event(_log, logging.INFO, "token-made", show="privaedge token")
        keys = Keyring(token, settings.session_hours * 3600)
        parts = Parts(self.desk, settings, keys, Pages())
        return ApiServer(lambda: create_app(parts), settings, tls_files(settings, self.folder))
