"""Runs the API in a thread with an event loop of its own, beside the streams."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.appliance.api_guard import App
from edge.appliance.api_tls import context_of, fingerprint
from edge.appliance.journal import event, place_of
from edge.config_api import Api
from edge.errors import ConfigError

_log = logging.getLogger(__name__)

_HEADER_S: Final = 10.0
"""A client has this long to say what it wants."""
_KEEP_ALIVE_S: Final = 20
_MOST_CONNECTIONS: Final = 512
_HEADER_BYTES: Final = 16_384
_SOCKET_BACKLOG: Final = 128
_START_S: Final = 10.0
_STOP_S: Final = 1.5
"""Of the 10 s that systemd gives the service to end in; streams take 5 of them."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that lets go of a client which does not say in time what it wants."""

    _patience: asyncio.TimerHandle | None = None
    _upgraded = False

    def connection_made(self, transport: Any) -> None:
        """Start the clock."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop it once the request's head is there, and start it for the next one."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._rest()
        elif self._patience is None and not (self._upgraded or self.transport.is_closing()):
            self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self._wait(_KEEP_ALIVE_S + _HEADER_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._rest()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Leave the connection to the other protocol."""
        self._upgraded = True
        self._rest()
        super().handle_websocket_upgrade(event)

    def _wait(self, seconds: float = _HEADER_S) -> None:
        self._rest()
        self._patience = self.loop.call_later(seconds, self._give_up)

    def _rest(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


class ApiServer:
    """One listening socket and the thread that serves it."""

    def __init__(
        self,
        make: Callable[[], App],
        settings: Api,
        tls: tuple[Path, Path] | None,
    ) -> None:
        """make: called by the thread. Raises ConfigError where the address cannot be taken."""
        self._socket = _listen(settings)
        self.port: int = self._socket.getsockname()[1]
        self.url = _url(settings, self.port, secure=tls is not None)
        self._tls = tls
        self._make = make
        self._server: uvicorn.Server | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)

    def start(self) -> None:
        """Serve. Returns when the first request can come."""
        self._thread.start()
        self._up.wait(_START_S)
        event(
            _log,
            logging.INFO,
            "api",
            at=self.url,
            fingerprint=fingerprint(self._tls[0]) if self._tls else None,
        )

    def stop(self) -> None:
        """End; what is being answered has a moment left."""
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(_STOP_S)
        if self._server is not None:
            self._server.force_exit = True
        self._socket.close()

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - streams go on without a page
            event(_log, logging.ERROR, "api-failed", error=place_of(error))
        finally:
            self._up.set()

    async def _serve(self) -> None:
        # What it logs of requests and errors may hold anything; the app tells of errors itself.
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)
        config = uvicorn.Config(
            self._make(),
            http=PatientProtocol,
            ws="websockets-sansio",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            lifespan="on",
            limit_concurrency=_MOST_CONNECTIONS,
            backlog=_SOCKET_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=_HEADER_BYTES,
            ws_max_size=4096,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
        )
        config.load()
        if self._tls is not None:
            config.ssl = context_of(self._tls)
        self._server = _Quiet(config, self._up)
        await self._server.serve(sockets=[self._socket])


class _Quiet(uvicorn.Server):
    """A server that says when it serves."""

    def __init__(self, config: uvicorn.Config, up: threading.Event) -> None:
        super().__init__(config)
        self._announced = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._announced.set()


def _listen(settings: Api) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.bind else socket.AF_INET
    # The protocol is named since asyncio sets TCP_NODELAY only where it is: without, each answer
    # waits 40 ms between its head and its body for the client's delayed acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.bind, settings.port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"api.bind {settings.bind} port {settings.port} cannot be listened on: "
            f"{error.strerror}. Choose another api.port, or end what uses it."
        ) from None
    return listening


def _url(settings: Api, port: int, *, secure: bool) -> str:
    host = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
    return f"{'https' if secure else 'http'}://{host}:{port}/"
