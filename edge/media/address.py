"""Where a stream comes from or goes to, with its secrets kept out of every text made from it."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Final, Literal, Self
from urllib.parse import unquote

from edge.errors import ExitCode, PrivaedgeError

Kind = Literal["file", "hls-folder", "rtsp", "rtmp", "http", "hls", "udp", "srt", "v4l2"]

HDMI: Final = "hdmi"
"""Stands for the first capture device that has a signal."""

_MASK: Final = "***"
_KINDS: Final[dict[str, Kind]] = {
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "rtmp": "rtmp",
    "rtmps": "rtmp",
    "http": "http",
    "https": "http",
    "udp": "udp",
    "srt": "srt",
}
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ENCODE: Final = "Write @ as %40, : as %3A and / as %2F in a user name or password."


class AddressError(PrivaedgeError, ValueError):
    """An address that cannot be one, whatever is listening there. Never repeats the address."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed input or output. str() and repr() hold no secrets; `url` does."""

    kind: Kind
    scheme: str
    """Lower case; "file" for paths, "v4l2" for capture devices."""
    url: str = field(repr=False)
    """What FFmpeg is given: a path, "hdmi", or an address with its credentials and stream key."""
    safe: str
    """For people: credentials, stream keys (the last part of an RTMP path) and queries masked."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address from the command line or the configuration. Raises AddressError.

        A text without a scheme is a capture device (/dev/videoN, "hdmi"), a folder for HLS (a
        name ending in "/", or a playlist's ending in .m3u8) or a file. The disk is not looked at.
        """
        # No strip(): a file may be called " a.mp4", and no address has a blank at its end.
        if not text:
            raise AddressError("The address is empty. Give a file, a device or an address.")
        if any(ord(c) < 32 or ord(c) == 127 for c in text):
            raise AddressError("The address holds control characters. Check how it was copied.")
        match = _SCHEME.match(text)
        if match is None:
            return cls._from_path(text)
        scheme = match[1].lower()
        if scheme == "file":
            path = text[match.end() :]
            if not path.startswith("/"):
                raise AddressError("A file:// address needs a full path. Write file:///folder/…")
            return cls._from_path(unquote(path))
        if scheme not in _KINDS:
            raise AddressError(
                f"{scheme}:// is not known. Use rtsp, rtmp, http, https or udp, a file or a device."
            )
        if scheme == "srt" and not has_protocol("srt"):
            raise AddressError(
                "The FFmpeg in use has no SRT. Use RTSP, RTMP or MPEG-TS over UDP instead."
            )
        return cls._from_url(scheme, text[match.end() :])

    @classmethod
    def _from_path(cls, text: str) -> Self:
        if text == HDMI or re.fullmatch(r"/dev/(video\d+|v4l/by-(id|path)/.+)", text):
            return cls("v4l2", "v4l2", text, text)
        folder = text.endswith("/") or text.lower().endswith(".m3u8")
        return cls("hls-folder" if folder else "file", "file", text, text)

    @classmethod
    def _from_url(cls, scheme: str, rest: str) -> Self:
        if any(c.isspace() for c in rest):
            raise AddressError(f"A {scheme}:// address holds a blank. Write it as %20.")
        authority = re.split("[/?#]", rest, maxsplit=1)[0]
        tail = rest[len(authority) :].partition("#")[0]
        userinfo, at, host = authority.rpartition("@")
        _check_host(scheme, host)
        path, question, _ = tail.partition("?")
        kind = _KINDS[scheme]
        if kind == "rtmp" and not path.strip("/"):
            raise AddressError(f"A {scheme}:// address has no path. Write {scheme}://host/app/key.")
        if kind == "http" and path.lower().endswith((".m3u8", ".m3u")):
            kind = "hls"
        if "@" in path and not at and kind not in ("http", "hls"):
            raise AddressError(f"A {scheme}:// address has an @ behind the first /. {_ENCODE}")
        user = f"{_MASK}@" if userinfo else at
        if "@" in path and not at:
            host, path = _MASK, ""  # the host may be a user name, the path begin with a password
        query = f"?{_MASK}" if question else ""
        safe = f"{scheme}://{user}{host}{_masked_path(kind, path)}{query}"
        return cls(kind, scheme, f"{scheme}://{authority}{tail}", safe)

    @property
    def is_live(self) -> bool:
        """True where time does not wait: everything but files and folders."""
        return self.kind not in ("file", "hls-folder")

    @property
    def is_encrypted(self) -> bool:
        """True where the connection is TLS."""
        return self.scheme in ("rtsps", "rtmps", "https")

    def __str__(self) -> str:
        return self.safe


@functools.cache
def has_protocol(name: str) -> bool:
    """Whether the FFmpeg at hand speaks a protocol. Connects to nothing."""
    import av

    try:
        # An address without a host: whoever knows the protocol refuses it at once.
        av.open(f"{name}://", timeout=0.1).close()
    except av.ProtocolNotFoundError:
        return False
    except (av.FFmpegError, OSError, ValueError):
        return True
    return True


def _check_host(scheme: str, host: str) -> None:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^:\[\]]*)(?::(.*))?", host)
    if match is None:
        raise AddressError(f"A {scheme}:// address has no valid host. {_ENCODE}")
    name, port = match[1], match[2]
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise AddressError(f"A {scheme}:// address has no valid port. {_ENCODE}")
    if scheme == "udp" and port is None:
        raise AddressError("A udp:// address needs a port. Write udp://239.0.0.1:5000.")
    if not name and scheme not in ("udp", "srt"):
        raise AddressError(f"A {scheme}:// address has no host. Write {scheme}://host/…")


def _masked_path(kind: Kind, path: str) -> str:
    """Mask an RTMP path's last part, and any part that some cameras hide credentials in."""
    parts = path.split("/")
    if kind == "rtmp":
        last = max(i for i, part in enumerate(parts) if part)
        # All parts behind the application belong to the key of some services.
        first = min(2, last)
        parts = [_MASK if i >= first and part else part for i, part in enumerate(parts)]
    return "/".join(_MASK if "=" in part or "&" in part else part for part in parts)
