"""One destination of a live output: keeps calling it, for ever, and says how it is doing."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av

from edge.media.fifo import FifoConnection
from edge.media.fragments import cut_damaged_end
from edge.media.live_encoder import LiveEncoder
from edge.media.live_packets import TICKS_PER_S, EncodedPacket, PacketQueue
from edge.media.live_target import Target

State = Literal["connecting", "connected", "stalled", "waiting", "closed"]

FIRST_RETRY_S = 0.2
LONGEST_RETRY_S = 1.5
"""With the keyframe that is at hand at once, a server is on air well within 5 s of its return."""
STALLED_AFTER_S = 1.0
"""An output that has taken nothing for this long is said to be stalled."""
_POLL_S = 0.1
_TIDY_EVERY_S = 5.0
"""A power cut costs a file no more than this and one fragment."""
_LEAST_FREE_BYTES = 16 << 20
"""With less the file system is full again at once; a new part is not begun."""
_STEADY_S = 10.0
"""A connection that held this long makes the next retry a quick one again."""

_RENEW_FLV_AFTER_S = 20 * 24 * 3600
"""FLV counts milliseconds in 31 bits (24.8 days): a connection is begun anew before that."""

_CAUSES: dict[int, str] = {
    errno.ECONNREFUSED: "The connection is refused. Check that the server runs, and its port.",
    errno.ETIMEDOUT: "The server does not answer or takes no data. Check server and network.",
    errno.ENETUNREACH: "The network cannot be reached. Check the cable and the route.",
    errno.EHOSTUNREACH: "The host cannot be reached. Check the cable and the route.",
    errno.EPIPE: "The server closed the connection. Check the server, and the stream key.",
    errno.ECONNRESET: "The server closed the connection. Check the server, and the stream key.",
    errno.EIO: "The server cannot be reached or closed the connection. Check name and network.",
    errno.ENOSPC: "No space is left on the disk. Free some; writing goes on by itself.",
    errno.EDQUOT: "The disk quota is used up. Free some; writing goes on by itself.",
    errno.EFBIG: "The file grew over the file size limit. Raise it.",
    errno.EACCES: "Permission is denied. Check the rights of the user that privaedge runs as.",
    errno.EROFS: "The disk is read-only. Choose another one.",
    errno.ENOENT: "The folder is not there. Create it, or check that the disk is mounted.",
}


@dataclass(frozen=True, slots=True)
class OutputStatus:
    """How one output is doing. Holds no secrets."""

    name: str
    """The address with its secrets masked, or the path that was asked for."""
    state: State
    connections: int
    """How often it was connected, or a file begun."""
    sent: int
    """Packets that were taken by the output."""
    dropped: int
    """Packets that it never got."""
    last_error: str | None
    """Why it was lost last, `cause. Remedy.`; None where it never was."""
    path: Path | None
    """What is being written on a disk."""

    @property
    def is_connected(self) -> bool:
        """True while packets are taken."""
        return self.state == "connected"


class LiveOutput:
    """A queue and a thread that empties it into one target, which may fail as it likes."""

    def __init__(self, target: Target, encoder: LiveEncoder, limit_s: float) -> None:
        """Start. limit_s: how far the target may fall behind before packets are dropped."""
        self._target = target
        self._encoder = encoder
        self._queue = PacketQueue(limit_s)
        self._random = random.Random()  # noqa: S311 (spreads retries, protects nothing)
        self._state: State = "connecting"
        self._writing_since: float | None = None
        self._connections = 0
        self._sent = 0
        self._unconfirmed = 0
        """Packets handed to a connection of which nobody knows yet whether it will come about."""
        self._last_error: str | None = None
        self._path: Path | None = None
        self._retry_s = FIRST_RETRY_S
        self._over = threading.Event()
        """Nothing will follow, or nobody cares any more."""
        self._abandoned = threading.Event()
        self._failed: list[tuple[FifoConnection, Path | None]] = []
        self._thread = threading.Thread(target=self._run, name=f"output {target}", daemon=True)
        self._thread.start()

    @property
    def status(self) -> OutputStatus:
        """How it is doing now."""
        state = self._state
        since = self._writing_since
        waits = since is not None and time.monotonic() - since > STALLED_AFTER_S
        if state == "connected" and waits:
            state = "stalled"
        return OutputStatus(
            name=str(self._target),
            state=state,
            connections=self._connections,
            sent=self._sent,
            dropped=self._queue.dropped,
            last_error=self._last_error,
            path=self._path,
        )

    def put(self, packet: EncodedPacket) -> None:
        """Queue a packet. Never blocks, never raises."""
        self._queue.put(packet)

    def dump(self) -> None:
        """Forget what is queued: the next keyframe is what is sent next."""
        self._queue.dump()

    def end(self) -> None:
        """Say that nothing will follow; what is queued is still sent."""
        self._queue.end()
        self._over.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until all is sent and closed; after that leave the rest to a daemon thread.

        Returns whether everything was sent.
        """
        self._thread.join(max(0.0, timeout_s))
        if self._thread.is_alive():
            self._abandoned.set()
            self._over.set()
        return self._state == "closed"

    def _run(self) -> None:
        while not self._is_over():
            self._discard_failed()
            self._state = "connecting"
            self._unconfirmed = 0
            began = time.monotonic()
            try:
                done = self._connect_and_send()
            except (av.FFmpegError, OSError, ValueError) as error:
                self._last_error = explain(error, self._target)
            except Exception as error:  # noqa: BLE001 (a traceback would show the address)
                self._last_error = f"{type(error).__name__} in the output. Report this."
            else:
                if not done:
                    continue
                self._state = "closed"
                break
            self._state = "waiting"
            self._queue.pause(undelivered=self._unconfirmed > 0)
            if time.monotonic() - began > _STEADY_S:
                self._retry_s = FIRST_RETRY_S
            self._over.wait(self._retry_s * self._random.uniform(0.5, 1.0))
            self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
        while self._failed:
            # As a daemon: whoever closes the sink does not wait for this.
            self._discard_failed()
            time.sleep(_POLL_S)

    def _is_over(self) -> bool:
        return self._abandoned.is_set() or self._queue.is_finished

    def _discard_failed(self) -> None:
        running = []
        for connection, path in self._failed:
            if not connection.try_discard():
                running.append((connection, path))
            elif path is not None and self._target.muxer in ("mp4", "mov"):
                with contextlib.suppress(OSError):
                    cut_damaged_end(path)
        self._failed = running

    def _connect_and_send(self) -> bool:
        """Send until the end (True), or until a new connection is due (False)."""
        _check_space(self._target)
        self._queue.restart()
        first = None
        while first is None:
            if self._is_over():
                return False
            first = self._queue.get(_POLL_S)
        url, path = self._target.place()
        connection = FifoConnection(
            url, self._target.muxer, dict(self._target.options), self._encoder, first
        )
        try:
            self._path = path
            ended = self._send(connection, first)
            if self._abandoned.is_set() or (
                self._target.is_network and not connection.is_connected
            ):
                raise TimeoutError(errno.ETIMEDOUT, "abandoned")
            # Everything was taken without delay up to here, so that the little that FFmpeg's
            # thread still has, and the trailer, will be too.
            connection.close()
            self._confirm()
        except BaseException:
            self._failed.append((connection, path))
            if path is not None and self._target.is_file:
                _remove_if_empty(path)
            raise
        return ended

    def _send(self, connection: FifoConnection, first: EncodedPacket) -> bool:
        """Send until the end (True), or to a keyframe that belongs to a new connection (False)."""
        packet: EncodedPacket | None = first
        tidied = time.monotonic()
        base = first.dts
        last = base + _RENEW_FLV_AFTER_S * TICKS_PER_S if self._target.muxer == "flv" else math.inf
        while not self._abandoned.is_set():
            if packet is not None and packet.is_key:
                replaced = packet.epoch != first.epoch and self._target.has_one_header
                if packet.dts > last or replaced:
                    return False
            if packet is not None and packet.dts >= base:
                self._writing_since = time.monotonic()
                try:
                    connection.write(packet)
                finally:
                    self._writing_since = None
                self._unconfirmed += 1
                if connection.is_connected:
                    self._confirm()
            if self._queue.is_finished:
                return True
            if time.monotonic() - tidied > _TIDY_EVERY_S:
                tidied = time.monotonic()
                self._discard_failed()
                if self._target.is_file:
                    _sync(self._path)
            packet = self._queue.get(_POLL_S)
        return True

    def _confirm(self) -> None:
        if self._state == "connecting":
            self._state = "connected"
            self._connections += 1
        self._sent += self._unconfirmed
        self._unconfirmed = 0


def explain(error: Exception, target: Target) -> str:
    """Say what went wrong as `cause. Remedy.`, without the address that the error names."""
    number = getattr(error, "errno", None)
    if number == errno.EIO and "tls_verify" in target.options:
        return (
            "The server cannot be reached, or its certificate is not trusted. "
            "Check the host's name and its certificate."
        )
    if number == errno.EIO and not target.is_network:
        return "The disk does not work. Check it, or write to another one."
    known = _CAUSES.get(number) if isinstance(number, int) else None
    if known is not None:
        return known
    said = getattr(error, "strerror", None) or type(error).__name__
    return f"{said}. Check the address and the server."


def _check_space(target: Target) -> None:
    if target.path is None:
        return
    folder = target.path.parent
    if not folder.exists():
        return
    system = os.statvfs(folder)
    if system.f_bavail * system.f_frsize < _LEAST_FREE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _remove_if_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.stat().st_size == 0:
            path.unlink()


def _sync(path: Path | None) -> None:
    """Bring a file to the disk; only this output's thread waits for it."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
