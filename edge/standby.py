"""What is on air before the source has ever been there: a slate, and silence.

There is no way for a source's picture through here, as none comes in.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from edge.clockwork import Backoff
from edge.errors import SourceError
from edge.frame import Picture
from edge.intake import StopFlag
from edge.media.address import Address
from edge.media.codecs import VideoSettings
from edge.media.encoders import PictureInfo
from edge.media.live_sink import LiveSink
from edge.media.normalise import ColourTags
from edge.media.slate import make_slate
from edge.stats import Stats

_BT709: Final = 1
_WAIT_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class StandbyPicture:
    """What pictures are like before it is known what the source's are like: 720p30."""

    width: int = 1280
    height: int = 720
    fps: Fraction = Fraction(30)
    pixel_format: str = "yuv420p"
    sample_aspect: Fraction = Fraction(1)
    colour: ColourTags = field(default_factory=lambda: ColourTags(_BT709, _BT709, _BT709))


def is_alike(a: PictureInfo, b: PictureInfo) -> bool:
    """Whether pictures of one kind can go on in a stream of the other."""
    return _look(a) == _look(b)


def _look(info: PictureInfo) -> tuple[object, ...]:
    return (
        (info.width, info.height, info.fps),
        (info.pixel_format, info.sample_aspect, info.colour),
    )


class Standby:
    """Sends a slate and silence. Belongs to one thread."""

    def __init__(
        self,
        outputs: Sequence[Address | Path],
        video: VideoSettings,
        *,
        has_sound: bool,
        on_frame: Callable[[Stats], None] | None = None,
        outgoing: Callable[[Picture, float], None] | None = None,
    ) -> None:
        """Call all outputs.

        has_sound: whether the source's may follow. on_frame, outgoing: told of every slate, as
        LivePipeline does. Raises SinkError.
        """
        self.info = StandbyPicture()
        self.stats = Stats()
        self.has_sound = has_sound
        self.sink = LiveSink(
            outputs, self.info, video, has_sound=has_sound, on_event=self.stats.note
        )
        self.epoch = time.monotonic()
        """When its stream time was 0, by the monotonic clock."""
        self._slate = make_slate(self.info, "no signal")
        self._on_frame, self._outgoing = on_frame, outgoing
        self._next = 0

    def send(self) -> None:
        """Wait until the next slate is due, and send it. Raises SinkError."""
        fps = float(self.info.fps)
        # What a stall has left out is not made up for.
        self._next = max(self._next, int((time.monotonic() - self.epoch) * fps))
        pts = self._next / fps
        self._next += 1
        time.sleep(max(0.0, self.epoch + pts - time.monotonic()))
        self.sink.write_frame(self._slate, pts)
        if self._outgoing is not None:
            self._outgoing(self._slate, pts)
        self.stats.slates += 1
        self.stats.pts_out = pts
        if self._on_frame is not None:
            self._on_frame(self.stats)


class Closeable(Protocol):
    """A connection."""

    def close(self) -> None:
        """End it."""


C = TypeVar("C", bound=Closeable)


class Caller(Generic[C]):
    """Connects in a thread of its own, again and again, until it worked or is not wanted more."""

    def __init__(self, connect: Callable[[], C], stopping: StopFlag) -> None:
        """connect: raises SourceError where nothing is there; other errors end the calling."""
        self._connect, self._stopping = connect, stopping
        self._given_up = False
        self._lock = threading.Lock()
        self._connection: C | None = None
        self._failure: BaseException | None = None
        self._reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._call, name="caller", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until it worked or failed once, or so long; return whether it has a connection."""
        until = time.monotonic() + seconds
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            if self._changed.wait(min(left, _WAIT_S)):
                break
        return self.done

    @property
    def done(self) -> bool:
        """Whether nothing more will come of waiting: connected, or failed for good."""
        return self._connection is not None or self._failure is not None

    def reasons(self) -> list[str]:
        """Return why it did not work, once for each attempt since the last call."""
        found = []
        while not self._reasons.empty():
            found.append(self._reasons.get())
        return found

    def take(self) -> C | None:
        """Return the connection, and call no more. Raises what ended the calling."""
        with self._lock:
            self._given_up = True
            connection, self._connection = self._connection, None
        if self._failure is not None:
            raise self._failure
        return connection

    def _call(self) -> None:
        backoff = Backoff()
        try:
            while not self._stopping.is_set() and not self._given_up:
                try:
                    connection = self._connect()
                except SourceError as error:
                    self._reasons.put(str(error))
                    self._changed.set()
                    self._stopping.wait(backoff.wait_s(random.random()))  # noqa: S311 - no secret
                    continue
                with self._lock:
                    wanted = not self._given_up
                    if wanted:
                        self._connection = connection
                if not wanted:
                    connection.close()
                return
        except BaseException as error:  # noqa: BLE001 - handed to who waits
            self._failure = error
        finally:
            self._changed.set()
