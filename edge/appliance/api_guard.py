"""What every request has to pass before anything looks at what it asks for. Plain ASGI.

From the outside in: headers that every answer carries; the host that was asked for (against DNS
rebinding), where a browser says the request comes from, and odd paths; size and speed of the body;
the token or the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import re
import socket
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

from edge.appliance.api_auth import FailureLimit, Keyring

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE: Final = "privaedge_session"
SECURE_COOKIE: Final = "__Host-privaedge_session"
"""With TLS. A browser takes it over TLS only, for this host and the whole of it."""
CSRF_HEADER: Final = b"x-csrf-token"
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PLAIN_PATH: Final = re.compile(rb"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_HIDDEN: Final = re.compile(rb"(?i)%(2f|5c|2e|00)")
"""Slashes, dots and ends that are written so that they are overlooked."""
_MOST_PATH: Final = 1024
_MOST_QUERY: Final = 2048
_SECRET_KEYS: Final = frozenset({"token", "access_token", "api_key", "apikey", "key", "password"})

HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        b"media-src 'self' blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=(), payment=(), usb=()"),
)
_TRANSPORT: Final = (b"strict-transport-security", b"max-age=31536000")
_NO_STORE: Final = (b"cache-control", b"no-store")


def header(scope: Scope, name: bytes) -> str | None:
    """Return a request's header; None where it is missing or given twice."""
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else None


def cookie(scope: Scope) -> str | None:
    """Return the session's cookie; None where there is none, or two."""
    wanted = SECURE_COOKIE if scope["scheme"] in ("https", "wss") else COOKIE
    pairs = (part.strip().partition("=") for part in (header(scope, b"cookie") or "").split(";"))
    found = [value for name, _, value in pairs if name == wanted]
    return found[0] if len(found) == 1 else None


async def refuse(
    scope: Scope, receive: Receive, send: Send, status: int, detail: str, **more: str
) -> None:
    """Answer with an error, and take no more of what the client sends."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4000 + status, "reason": detail[:100]})
        return
    body = json.dumps({"detail": detail}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((key.replace("_", "-").encode(), value.encode()) for key, value in more.items()),
    ]
    if status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class Headers:
    """Adds what every answer carries."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                headers += HEADERS
                if scope["scheme"] == "https":
                    headers.append(_TRANSPORT)
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append(_NO_STORE)
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, add if scope["type"] == "http" else send)


class Places:
    """Refuses requests for another host, from another site, or to a path that makes no sense."""

    def __init__(self, app: App, hosts: Collection[str]) -> None:
        """hosts: names under which this machine is reached, beside IP addresses."""
        self._app = app
        own = socket.gethostname().lower()
        self._hosts = {"localhost", own, f"{own.partition('.')[0]}.local", *hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 4xx."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = self._problem(scope)
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, receive, send, *problem)

    def _problem(self, scope: Scope) -> tuple[int, str] | None:
        host = header(scope, b"host")
        if host is None or not self._is_ours(host):
            return 421, "This host is not served here. Add its name to api.hosts."
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        if len(raw) > _MOST_PATH or len(scope["query_string"]) > _MOST_QUERY:
            return 414, "The address is too long."
        if not _PLAIN_PATH.fullmatch(raw) or _HIDDEN.search(raw) or _is_tricky(scope["path"]):
            return 404, "There is nothing here."
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if any(key.lower() in _SECRET_KEYS for key, _ in query):
            return 400, "A secret in an address ends in logs. Send it in the Authorization header."
        changes = scope["type"] == "websocket" or scope["method"] not in _READING
        if changes and not self._is_own_site(scope, host):
            return 403, "Requests from other sites are refused."
        return None

    def _is_ours(self, host: str) -> bool:
        name, port = _split(host)
        if name is None or not (port == "" or port.isdecimal()):
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.rstrip(".") in self._hosts
        # A name that was rebound is a name; whoever types the address means this machine.
        return True

    def _is_own_site(self, scope: Scope, host: str) -> bool:
        """Whether no browser says that another site sends this."""
        if header(scope, b"sec-fetch-site") not in (None, "same-origin", "none"):
            return False
        origins = [value for key, value in scope["headers"] if key == b"origin"]
        if not origins:
            return True
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        return [one.decode("latin-1").lower() for one in origins] == [f"{scheme}://{host.lower()}"]


def _split(host: str) -> tuple[str | None, str]:
    """Return the name, without brackets, and the port of a Host header."""
    if host.startswith("["):
        name, closed, rest = host[1:].partition("]")
        return (name if closed and rest[:1] in ("", ":") else None), rest[1:]
    name, _, port = host.lower().partition(":")
    return name or None, port


def _is_tricky(path: str) -> bool:
    parts = path.split("/")
    odd = any(ord(c) < 32 or ord(c) == 127 or c == "\\" for c in path)
    return odd or "//" in path or any(part in (".", "..") for part in parts)


class Bodies:
    """Refuses bodies that are too large, or that come too slowly to be meant."""

    GRACE_S: Final = 10.0
    LEAST_BYTES_PER_S: Final = 20_000

    def __init__(self, app: App, limit: Callable[[Scope], int]) -> None:
        """limit: bytes that a request's body may have."""
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 4xx."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope)
        announced = header(scope, b"content-length")
        if announced is not None and (not announced.isdecimal() or int(announced) > limit):
            await refuse(scope, receive, send, 413, f"The body may have {limit} bytes at most.")
            return
        body = _Body(receive, limit, self.GRACE_S, self.LEAST_BYTES_PER_S)
        began = False

        async def watch(message: Message) -> None:
            nonlocal began
            if body.refusal is None or began:
                began = True
                await send(message)

        # Whatever the application makes of a body that was refused is not sent.
        with contextlib.suppress(BodyRefused):
            await self._app(scope, body.receive, watch)
        if body.refusal is not None and not began:
            await refuse(scope, receive, send, body.refusal.status, body.refusal.detail)


class BodyRefused(Exception):  # noqa: N818 - what happened, not a mistake
    """A body is too large or too slow."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class _Body:
    def __init__(self, receive: Receive, limit: int, grace_s: float, least: int) -> None:
        self._receive, self._limit = receive, limit
        self._grace_s, self._least = grace_s, least
        self._began: float | None = None
        self._got = 0
        self._over = False
        self.refusal: BodyRefused | None = None

    async def receive(self) -> Message:
        if self.refusal is not None:
            raise self.refusal
        if self._over:
            return await self._receive()  # waits for the client to go
        self._began = self._began or time.monotonic()
        left = self._began + self._grace_s + self._got / self._least - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.01, left))
        except TimeoutError:
            raise self._refused(408, "The body came too slowly.") from None
        if message["type"] == "http.request":
            self._got += len(message.get("body", b""))
            self._over = not message.get("more_body", False)
            if self._got > self._limit:
                raise self._refused(413, f"The body may have {self._limit} bytes at most.")
        return message

    def _refused(self, status: int, detail: str) -> BodyRefused:
        self.refusal = BodyRefused(status, detail)
        return self.refusal


class Gate:
    """Lets in who has the token or a session; others see what is public."""

    def __init__(
        self,
        app: App,
        keys: Keyring,
        is_public: Callable[[Scope], bool],
        *,
        on_failure: Callable[[str], None],
    ) -> None:
        """on_failure: told the address of who sent a wrong token or session."""
        self._app, self._keys, self._is_public = app, keys, is_public
        self._on_failure = on_failure
        self.limit = FailureLimit()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401, 403 or 429."""
        if scope["type"] not in ("http", "websocket") or self._is_public(scope):
            await self._app(scope, receive, send)
            return
        sent = header(scope, b"authorization")
        session = cookie(scope)
        if sent is not None:
            scheme, _, token = sent.partition(" ")
            if scheme.lower() == "bearer" and self._keys.is_token(token.strip()):
                await self._app(scope, receive, send)
                return
        elif session is not None and self._keys.is_session(session):
            if self._is_meant(scope, session):
                scope["state"] = {**scope.get("state", {}), "session": session}
                await self._app(scope, receive, send)
            else:
                await refuse(scope, receive, send, 403, "The X-CSRF-Token header is missing.")
            return
        given = sent is not None or session is not None
        await self.fail(scope, receive, send, given=given)

    def _is_meant(self, scope: Scope, session: str) -> bool:
        """Whether a session's own page made this request."""
        if scope["type"] == "websocket":
            return header(scope, b"origin") is not None  # which Places has compared
        if scope["method"] in _READING:
            return True
        return self._keys.is_csrf(session, header(scope, CSRF_HEADER) or "")

    def note_failure(self, scope: Scope, *, given: bool = True) -> float:
        """Note a missing or wrong token; return 0, or the seconds that its sender has to wait."""
        client = scope.get("client")
        address = client[0] if client else ""
        wait = self.limit.fail(address)
        if given:
            self._on_failure(address)
        return wait

    async def fail(self, scope: Scope, receive: Receive, send: Send, *, given: bool = True) -> None:
        """Answer that the token is missing or wrong, or that it was wrong too often."""
        wait = self.note_failure(scope, given=given)
        if wait:
            await refuse(
                scope, receive, send, 429, "Too many failed attempts.", retry_after=f"{wait:.0f}"
            )
            return
        await refuse(
            scope,
            receive,
            send,
            401,
            "The token is wrong." if given else "The token is missing.",
            www_authenticate='Bearer realm="privaedge"',
        )
