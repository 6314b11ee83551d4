"""Who may use the API: the token, sessions of the page, and how often one may be wrong.

One token opens everything. A program sends it with each request (`Authorization: Bearer …`); the
page exchanges it once for a session cookie that scripts cannot read, and repeats a second value
(CSRF) in a header of each request that changes something: a foreign page can make a browser send
the cookie, but not that header.

Sessions are signed, not stored, so that they outlive a restart of the service: whoever has the
panic button before them must not be asked for a token first. Another token ends them all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import math
import os
import secrets
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from edge.appliance.state import make_folder, write_whole
from edge.errors import ConfigError

CREDENTIAL: Final = "privaedge-api-token"
"""Name of the systemd credential that takes the place of the token that is made."""
FILE: Final = "api-token"
MIN_TOKEN: Final = 24
"""Letters of a token that somebody chose: 24 random ones of 64 have 144 bits."""
_MOST_TOKEN: Final = 512
_TOKEN_BYTES: Final = 32
_NONCE_BYTES: Final = 16
_MAC_BYTES: Final = 32
_REMEMBERED: Final = 1024
"""Addresses, or ended sessions, that are remembered: the newest."""
FAILURES: Final = 10
"""Wrong tokens that one address may send at once."""
FORGIVEN_S: Final = 6.0
"""Seconds after which one of them is forgotten."""


def load_token(folder: Path, environ: Mapping[str, str] = os.environ) -> tuple[str, bool]:
    """Return the token, and whether it was made just now.

    From systemd's credential where there is one, else from the state folder, where the first call
    makes it. Raises ConfigError.
    """
    if credentials := environ.get("CREDENTIALS_DIRECTORY"):
        given = Path(credentials) / CREDENTIAL
        if given.exists():
            return _read(given), False
    path = folder / FILE
    if path.exists():
        return _read(path), False
    return renew_token(folder), True


def renew_token(folder: Path) -> str:
    """Make another token, which ends all sessions once the service knows. Raises ConfigError."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    path = make_folder(folder) / FILE
    try:
        write_whole(path, f"{token}\n".encode())
    except OSError as error:
        raise ConfigError(
            f"the API's token cannot be written to {path}: {error.strerror}. Free some space."
        ) from None
    return token


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(
            f"the API's token {path} cannot be read: {error.strerror}. Let this user read it."
        ) from None
    except ValueError:
        text = ""
    if not MIN_TOKEN <= len(text) <= _MOST_TOKEN or not text.isprintable() or " " in text:
        raise ConfigError(
            f"the API's token {path} is not {MIN_TOKEN} to {_MOST_TOKEN} letters. "
            "Delete the file: another one is made at the next start."
        )
    return text


class Keyring:
    """Tells right tokens and sessions from wrong ones, in a time that does not tell anything."""

    def __init__(
        self, token: str, session_s: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._digest = _sha256(token.encode())
        self._session_key = hmac.digest(token.encode(), b"privaedge session", "sha256")
        self._csrf_key = hmac.digest(token.encode(), b"privaedge csrf", "sha256")
        self.session_s = session_s
        self._clock = clock
        self._ended: OrderedDict[bytes, float] = OrderedDict()

    def is_token(self, text: str) -> bool:
        """Whether this is the token."""
        # Digests have one length, so that not even that of the token shows.
        return hmac.compare_digest(_sha256(text.encode("utf-8", "replace")), self._digest)

    def open_session(self) -> str:
        """Return a new session's cookie."""
        expires = struct.pack(">d", self._clock() + self.session_s)
        body = expires + secrets.token_bytes(_NONCE_BYTES)
        return _text(body + hmac.digest(self._session_key, body, "sha256"))

    def is_session(self, cookie: str) -> bool:
        """Whether this is the cookie of a session that has not ended."""
        raw = _bytes(cookie)
        if raw is None or len(raw) != 8 + _NONCE_BYTES + _MAC_BYTES:
            return False
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, hmac.digest(self._session_key, body, "sha256")):
            return False
        expires = struct.unpack(">d", body[:8])[0]
        return math.isfinite(expires) and self._clock() < expires and mac not in self._ended

    def end_session(self, cookie: str) -> None:
        """Let a session count no longer."""
        raw = _bytes(cookie)
        if raw is not None and self.is_session(cookie):
            self._ended[raw[-_MAC_BYTES:]] = self._clock()
            while len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)

    def csrf_of(self, cookie: str) -> str:
        """Return the second value of a session."""
        return _text(hmac.digest(self._csrf_key, cookie.encode(), "sha256"))

    def is_csrf(self, cookie: str, value: str) -> bool:
        """Whether a value is the second one of a session."""
        return hmac.compare_digest(self.csrf_of(cookie).encode(), value.encode("utf-8", "replace"))


class FailureLimit:
    """Counts failures by address: a bucket of FAILURES that refills one by one.

    Only failures are slowed down. Who has the token is never locked out by others who have not:
    behind a proxy all have one address, and one of them may need the panic button.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def fail(self, address: str) -> float:
        """Note a failure. Return 0, or the seconds to wait where there were too many."""
        now, key = self._clock(), _network(address)
        left, at = self._seen.get(key, (float(FAILURES), now))
        left = min(float(FAILURES), left + (now - at) / FORGIVEN_S)
        wait = 0.0 if left >= 1 else (1 - left) * FORGIVEN_S
        self._seen[key] = (max(0.0, left - 1) if wait == 0 else left, now)
        self._seen.move_to_end(key)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return wait


def _network(address: str) -> str:
    """Whom an address belongs to: with IPv6, one household has 2^64 of them."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes | None:
    if len(text) > 200 or not text.isascii():
        return None
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
