"""How FFmpeg opens an address of a network, and what its errors mean there."""

from __future__ import annotations

import errno
import ssl
from pathlib import Path
from typing import Final

import av

from edge.media.address import Address

OPEN_S: Final = 5.0
"""Least time for each of the two steps of opening: connecting, and reading what there is."""
_PROBE_S: Final = 1.0
"""How long to look for streams that nothing announces; the platforms send sound at once."""
_SOCKET_BYTES: Final = 4 << 20
"""A keyframe at 20 Mbit/s and more; the kernel gives less where net.core.rmem_max says so."""
SILENT: Final = "it does not answer"

# What an address may lead to. Without `file`, a playlist or redirect cannot read local files.
_TCP: Final = "tcp,tls,crypto"
_WHITELIST: Final = {
    "rtsp": f"rtsp,rtp,srtp,udp,http,https,{_TCP}",
    "rtmp": f"rtmp,rtmps,rtmpt,rtmpts,ffrtmphttp,http,https,{_TCP}",
    "http": f"http,https,httpproxy,data,{_TCP}",
    "hls": f"http,https,httpproxy,data,{_TCP}",
    "udp": "udp",
    "srt": "srt",
}


def network_options(
    address: Address, timeout_s: float, udp: bool, ca_file: Path | None
) -> tuple[tuple[float, float], dict[str, str]]:
    """Return time-outs (opening, reading) in seconds and FFmpeg's options for an address."""
    micros = str(round(max(timeout_s, OPEN_S) * 1e6))
    options = {
        "protocol_whitelist": _WHITELIST[address.kind],
        "analyzeduration": str(round(_PROBE_S * 1e6)),
    }
    if address.kind == "rtsp":
        options |= {
            "rtsp_transport": "udp" if udp else "tcp",
            "allowed_media_types": "video+audio",
            "timeout": micros,
            "buffer_size": str(_SOCKET_BYTES),
        }
    elif address.kind == "rtmp":
        options |= {"rtmp_live": "live", "rw_timeout": micros}
    elif address.kind == "udp":
        options |= {"overrun_nonfatal": "1", "buffer_size": str(_SOCKET_BYTES), "timeout": micros}
    else:
        options |= {"rw_timeout": micros}
    if address.is_encrypted and (address.kind != "rtsp" or ca_file is not None):
        authorities = ca_file or ssl.get_default_verify_paths().cafile
        options["tls_verify"] = "1"
        if authorities is not None:
            options["ca_file"] = str(authorities)
    return (max(OPEN_S, timeout_s), timeout_s), options


def cause_of(error: Exception) -> str:
    """Return what went wrong, as a clause without the address."""
    match error:
        case av.error.ExitError() | TimeoutError():  # ExitError: our own time-out
            return SILENT
        case ConnectionRefusedError():
            return "nothing listens there"
        case av.error.PermissionError():
            return "it is refused"
        case av.FFmpegError() if error.errno == errno.EIO:
            return "the connection failed"  # a name that is not known, too
        case av.FFmpegError() if error.strerror:
            return error.strerror[0].lower() + error.strerror[1:]
    return "FFmpeg refuses it"


def remedy_for(error: Exception) -> str:
    """Return what somebody can do about it, as a sentence."""
    match error:
        case av.HTTPUnauthorizedError() | av.HTTPForbiddenError():
            return "Check user name and password."
        case av.error.PermissionError():
            return "Check that something is published there, and who may watch."
        case av.HTTPNotFoundError() | av.error.FileNotFoundError():
            return "Check the path."
    return "Check that it is there, its name and port, and the way to it."
