"""A viewer in a process of its own: writes down every picture and sound that reaches it, and when.

In a process of its own since it must not compete with the code under test for the interpreter,
and since a viewer that hangs can then be killed.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from tests.live.processes import ROOT, ServerError

OPEN_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 3.0
_GRACE_S = OPEN_TIMEOUT_S + READ_TIMEOUT_S + 5.0
_RETRY_S = 0.1
_PROBE_US = 500_000
"""How much of the stream FFmpeg looks at before it shows anything; its own choice is 5 s."""


@dataclass(frozen=True)
class Received:
    """A picture or a block of sound, as a viewer got it.

    connection: counts the viewer's connections from 0. pts: seconds, that connection's own time.
    arrived: monotonic seconds (one clock for all processes of this machine).
    picture: (height, width) uint8 luma. sound: (samples,) float32, the mean of its channels.
    """

    connection: int
    pts: float
    arrived: float
    picture: NDArray[np.uint8] | None = None
    sound: NDArray[np.float32] | None = None
    sound_rate: int = 0


class Viewer:
    """Watches an address from now until `close`, and again when the stream breaks off.

    size: scale pictures down to (width, height); None keeps theirs.
    """

    def __init__(
        self, url: str, path: Path, *, size: tuple[int, int] | None = None, again: bool = True
    ) -> None:
        self.path = path
        self._log = path.with_suffix(".log")
        arguments = [str(path), f"{size[0]}x{size[1]}" if size else "same"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, *arguments, "again" if again else "once"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(url.encode() + b"\n")
        self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def watching(self) -> bool:
        """Whether it still looks."""
        return self._process.poll() is None

    def wait(self, timeout_s: float) -> None:
        """Until the stream ends (a viewer that does not look again), or this time has passed."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return

    def close(self) -> None:
        """Stop watching. What was received stays readable."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.kill()
        self._process.wait()

    def received(self) -> Iterator[Received]:
        """Everything received so far, read from the disk; also while it watches."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            while True:
                try:
                    yield Received(**pickle.load(file))
                except (EOFError, pickle.UnpicklingError):
                    return  # the end, or the place up to which the viewer has written

    def pictures(self) -> Iterator[Received]:
        """The pictures received so far."""
        return (one for one in self.received() if one.picture is not None)

    def sounds(self) -> Iterator[Received]:
        """The sound received so far."""
        return (one for one in self.received() if one.sound is not None)

    def trouble(self) -> str:
        """What went wrong on the way, one line for each failed connection."""
        return self._log.read_text(errors="replace").strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def receive(
    url: str, seconds: float, *, size: tuple[int, int] | None = None, again: bool = False
) -> list[Received]:
    """Watch an address that serves now: everything that came in `seconds` from its first picture.

    again: it may take a while until it serves. Ends early when the stream does, without `again`.
    Raises ServerError when no picture comes at all.
    """
    with TemporaryDirectory(prefix="viewer-") as folder:
        with Viewer(url, Path(folder, "received"), size=size, again=again) as viewer:
            limit = time.monotonic() + _GRACE_S
            while not any(viewer.pictures()) and viewer.watching and time.monotonic() < limit:
                viewer.wait(0.05)
            viewer.wait(seconds)
        everything = list(viewer.received())
        if not any(one.picture is not None for one in everything):
            raise ServerError(f"no picture came: {viewer.trouble() or 'the stream is silent'}")
        return everything


def receive_rtmp(url: str, seconds: float) -> list[tuple[float, NDArray[np.uint8]]]:
    """(pts in seconds, (height, width) uint8 luma) of the pictures of these seconds."""
    everything = receive(url, seconds)
    return [(one.pts, one.picture) for one in everything if one.picture is not None]


# --- the other process ----------------------------------------------------------------------


def _watch(url: str, connection: int, size: tuple[int, int] | None, out: Any) -> None:
    options = {"analyzeduration": str(_PROBE_US)}
    if url.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    with av.open(url, timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S), options=options) as source:
        streams = [*source.streams.video[:1], *source.streams.audio[:1]]
        for packet in source.demux(streams):
            arrived = time.monotonic()
            try:
                frames = packet.decode()
            except av.error.InvalidDataError as error:
                print(f"damaged: {error}", file=sys.stderr, flush=True)
                continue
            for frame in frames:
                if not isinstance(frame, av.VideoFrame | av.AudioFrame) or frame.pts is None:
                    continue
                one: dict[str, Any] = {
                    "connection": connection,
                    "pts": frame.time,
                    "arrived": arrived,
                }
                if isinstance(frame, av.VideoFrame):
                    width, height = size or (frame.width, frame.height)
                    one["picture"] = frame.reformat(width, height, "gray").to_ndarray()
                else:
                    samples = frame.to_ndarray().reshape(-1, frame.samples)
                    one["sound"] = samples.mean(axis=0, dtype=np.float32)
                    one["sound_rate"] = frame.sample_rate
                pickle.dump(one, out)
            out.flush()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def _main(path: Path, size: tuple[int, int] | None, again: bool) -> None:
    url = sys.stdin.readline().strip()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    connection = 0
    with path.open("wb") as out:
        while True:
            try:
                _watch(url, connection, size, out)
            except (av.error.FFmpegError, OSError, IndexError) as error:
                print(f"connection {connection}: {error}", file=sys.stderr, flush=True)
            if not again:
                return
            connection += 1
            time.sleep(_RETRY_S)


if __name__ == "__main__":
    _path, _size, _how = sys.argv[1:]
    _pixels = None if _size == "same" else _size.split("x")
    _main(
        Path(_path),
        None if _pixels is None else (int(_pixels[0]), int(_pixels[1])),
        _how == "again",
    )
