"""Where a live output goes, as FFmpeg's fifo muxer is told: muxer, address, options."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.errors import SinkError
from edge.media.address import Address
from edge.media.codecs import container_for
from edge.media.output import check_output

IO_TIMEOUT_S = 5.0
"""A server that takes nothing for this long is given up, and called again."""
SEGMENT_S = 2
"""Length of an HLS segment: one keyframe interval."""
SEGMENTS = 6
"""Segments in the playlist; older ones are deleted."""
_SEND_BUFFER_S = 0.5
_LEAST_SEND_BUFFER = 128 << 10
"""Bytes. The kernel's own choice grows to megabytes: tens of seconds of delay, unnoticed."""
_TS_DATAGRAM = 1316  # seven packets of 188 bytes: the most that fits into an Ethernet frame
# A fragment begins at each keyframe and is complete in itself; nothing waits for the end.
_FRAGMENTS = "+frag_keyframe+empty_moov+default_base_moof"
_FILE_OPTIONS: dict[str, dict[str, str]] = {
    "mp4": {"movflags": _FRAGMENTS},
    "mov": {"movflags": _FRAGMENTS},
    "matroska": {"cluster_time_limit": "2000"},
    "flv": {"flvflags": "+no_duration_filesize"},
    "mpegts": {},
}


@dataclass(frozen=True, slots=True)
class Target:
    """One destination, before anything is opened. str() holds no secrets."""

    safe: str
    muxer: str
    url: str = field(repr=False)
    options: Mapping[str, str] = field(repr=False)
    path: Path | None = None
    """The file or the playlist, where the target is on a disk."""
    is_network: bool = True
    overwrite: bool = False

    def __str__(self) -> str:
        return self.safe

    @property
    def is_file(self) -> bool:
        """True for one file that grows."""
        return self.path is not None and self.muxer != "hls"

    @property
    def has_one_header(self) -> bool:
        """True where another encoder's header cannot follow amid the stream, but in a new file."""
        return self.muxer in ("mp4", "mov", "matroska")

    def place(self) -> tuple[str, Path | None]:
        """Return what to open now: (address for FFmpeg, path on disk).

        A file that exists is never continued, and not replaced unless that was asked for: the
        next free name of NAME.part2.EXT and so on is taken, so that a box that starts again after
        a power cut goes on recording. A folder for HLS is made. Raises OSError.
        """
        if self.path is None:
            return self.url, None
        if self.muxer == "hls":
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return str(self.path), self.path
        path, number = self.path, 1
        while path.exists() and not (self.overwrite and number == 1):
            number += 1
            path = self.path.with_name(f"{self.path.stem}.part{number}{self.path.suffix}")
        # "file:" keeps a name with a colon from being taken for a protocol.
        return f"file:{path}", path


def target_for(
    output: Address | Path,
    *,
    bitrate: int = 0,
    overwrite: bool = False,
    ca_file: Path | None = None,
) -> Target:
    """Choose muxer and options for an output. Raises SinkError where it cannot be one.

    bitrate: bits per second of what will be sent, for the size of buffers; 0: unknown.
    overwrite: replace a file that exists. ca_file: certificates that rtmps:// trusts instead of
    the system's.
    """
    address = output if isinstance(output, Address) else Address.parse(str(output))
    match address.kind:
        case "rtmp":
            options = _network(address, bitrate, ca_file) | {"flvflags": "+no_duration_filesize"}
            return Target(address.safe, "flv", address.url, options)
        case "rtsp":
            micros = str(round(IO_TIMEOUT_S * 1e6))
            options = {"rtsp_transport": "tcp", "timeout": micros}
            return Target(address.safe, "rtsp", address.url, options)
        case "udp":
            url = address.url
            if "pkt_size=" not in url:
                url += f"{'&' if '?' in url else '?'}pkt_size={_TS_DATAGRAM}"
            return Target(address.safe, "mpegts", url, {"flush_packets": "1"})
        case "hls-folder":
            return _hls(address)
        case "file":
            return _file(address, overwrite)
        case _:
            raise SinkError(
                f"{address.safe} cannot be an output. Use rtmp://, rtmps://, rtsp://, udp://, a "
                f"folder or .m3u8 for HLS, or a file."
            )


def escaped(options: Mapping[str, str]) -> str:
    """Write options as one string for the fifo muxer, which parses it with av_get_token."""
    return ":".join(f"{key}={_escape(value)}" for key, value in options.items())


def _escape(value: str) -> str:
    return "".join(f"\\{c}" if c in "\\':= \t\n" else c for c in value)


def _network(address: Address, bitrate: int, ca_file: Path | None) -> dict[str, str]:
    options = {
        "rw_timeout": str(round(IO_TIMEOUT_S * 1e6)),
        "send_buffer_size": str(max(_LEAST_SEND_BUFFER, round(bitrate / 8 * _SEND_BUFFER_S))),
    }
    if address.is_encrypted:
        options["tls_verify"] = "1"
        trusted = ca_file or ssl.get_default_verify_paths().cafile
        if trusted is not None:
            options["ca_file"] = str(trusted)
    return options


def _hls(address: Address) -> Target:
    path = Path(address.url)
    if path.suffix.lower() != ".m3u8":
        path = path / "index.m3u8"
    if path.parent.exists() and not path.parent.is_dir():
        raise SinkError(f"{path.parent} is not a folder. Give another one for HLS.")
    if "%" in str(path):
        # FFmpeg puts numbers and dates there, and has no way to write the sign itself.
        raise SinkError(f"{path} holds a %. Give a name without it for HLS.")
    segments = f"{path.with_suffix('')}-%d.ts"
    options = {
        "hls_time": str(SEGMENT_S),
        "hls_list_size": str(SEGMENTS),
        # A player never sees half a file, and a restart goes on where the list ends.
        "hls_flags": "+delete_segments+append_list+temp_file+independent_segments",
        "hls_segment_filename": segments,
    }
    return Target(str(path), "hls", str(path), options, path, is_network=False)


def _file(address: Address, overwrite: bool) -> Target:
    path = Path(address.url)
    container = container_for(path)
    options = _FILE_OPTIONS.get(container.muxer)
    if options is None:
        raise SinkError(
            f"{path}: {path.suffix} does not take H.264, which live output is. "
            f"Use .mp4, .mkv, .mov, .ts or .flv."
        )
    check_output(path, None, overwrite=overwrite or path.is_file())
    # Out of our buffer with each fragment, so that a crash of ours loses what is newer only.
    options = {**options, "flush_packets": "1"}
    target = Target(
        str(path), container.muxer, "", options, path, is_network=False, overwrite=overwrite
    )
    if not os.access(path.parent, os.W_OK):
        raise SinkError(f"{path.parent} cannot be written to. Choose another folder.")
    return target
