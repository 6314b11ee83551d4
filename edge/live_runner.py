"""From settings and addresses to a live stream: models, source, sink, slate, pipeline."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from edge.build import cadence, prepare_process, releaser, video_settings
from edge.clockwork import Backoff
from edge.config import Settings
from edge.errors import SourceError
from edge.frame import Frame
from edge.lane_models import LaneModels
from edge.lane_workers import lane_workers
from edge.listen_build import keeps_sound, listening, mouths
from edge.live import LivePipeline, Samples, StopFlag
from edge.media.address import Address
from edge.media.live import LiveConnection
from edge.media.live_sink import LiveSink
from edge.media.live_target import target_for
from edge.media.paced import PacedFile
from edge.media.picture import HostPicture
from edge.media.slate import fit, make_slate
from edge.media.sound import SoundDecoder
from edge.media.streams import StreamInfo
from edge.release import Releaser
from edge.stats import Stats

_log = logging.getLogger(__name__)

_LIVE_STALL_S = 2.0
"""A detector that is silent for this long is replaced; the picture is masked meanwhile."""
_CLOSE_S = 4.0
"""Time that outputs get to send what they have when the stream is ended."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Choices of one live run that are not settings of a stream.

    loop: a file begins anew at its end. rtsp_udp: media over UDP instead of TCP. audio: the ALSA
    device of a capture device. overwrite: replace output files. show_boxes: outline what is hidden.
    """

    loop: bool = False
    rtsp_udp: bool = False
    audio: str | None = None
    overwrite: bool = False
    show_boxes: bool = False


def check_outputs(outputs: Sequence[Address]) -> None:
    """Refuse, before anything runs, what can never be an output. Raises SinkError."""
    for output in outputs:
        target_for(output)


def changes_in_place(before: Settings, after: Settings) -> bool:
    """Whether a running stream can go over from one to the other without an interruption."""
    same_delay = before.delay_s == after.delay_s  # where it is null, others decide it
    return same_delay and _fixed(before) == _fixed(after)


def _fixed(settings: Settings) -> Settings:
    """The part of the settings that is fixed while a stream runs."""
    default = Settings()
    video = settings.video.model_copy(
        update={"models": default.video.models, "whitelist": default.video.whitelist}
    )
    free = ("profile", "scheduler", "stabilization", "blur", "models", "runtime")
    update = {name: getattr(default, name) for name in free}
    return settings.model_copy(update={**update, "video": video})


def _without_blur(settings: Settings) -> Settings:
    return settings.model_copy(update={"blur": Settings().blur})


def _patient(settings: Settings) -> Settings:
    """The same, with the patience that a live stream has with a detector."""
    stall_s = min(settings.delay.stall_timeout_s, _LIVE_STALL_S)
    return settings.model_copy(
        update={"delay": settings.delay.model_copy(update={"stall_timeout_s": stall_s})}
    )


class LiveRun:
    """One live stream. Create it, `connect` (waits for the source), `execute`."""

    def __init__(
        self,
        settings: Settings,
        source: Address,
        outputs: Sequence[Address],
        models: LaneModels,
        *,
        options: LiveOptions | None = None,
        on_frame: Callable[[Stats], None] | None = None,
    ) -> None:
        prepare_process()
        self._settings = settings
        self._source, self._outputs = source, outputs
        self._models = models
        self._options = options or LiveOptions()
        self._on_frame = on_frame
        self._stopping = StopFlag()
        self._first: LiveConnection | PacedFile | None = None
        self._pipeline: LivePipeline | None = None
        self._info: StreamInfo | None = None
        self.sink: LiveSink | None = None

    def connect(self, on_wait: Callable[[str], None]) -> StreamInfo | None:
        """Wait for the source, for as long as it takes. None where stopped before it came.

        The size of the outgoing picture is that of the first one; on_wait is told why nothing
        comes. A file that cannot be read raises SourceError: waiting will not mend it.
        """
        backoff = Backoff()
        while not self._stopping.is_set():
            try:
                self._first = self._open()
                return self._first.info
            except SourceError as error:
                if not self._source.is_live:
                    raise
                on_wait(str(error))
                self._stopping.wait(backoff.wait_s(random.random()))  # noqa: S311 - no secret
        return None

    def execute(self) -> Stats:
        """Run until stopped, or to the end of a file. Raises SinkError."""
        assert self._first is not None
        info, settings = self._first.info, self._settings
        self._info = info
        keep_sound = keeps_sound(settings, self._models)
        try:
            self.sink = LiveSink(
                [o if o.is_live or o.kind == "hls-folder" else Path(o.url) for o in self._outputs],
                info,
                video_settings(settings),
                has_sound=keep_sound and info.sound is not None,
                overwrite=self._options.overwrite,
                on_event=self._note,
            )
            self._pipeline = self._make_pipeline(self.sink, info, keep_sound=keep_sound)
            if self._stopping.is_set():
                self._pipeline.stop()
            return self._pipeline.run()
        finally:
            self.close()
            if self.sink is not None:
                self.sink.close(_CLOSE_S)

    def change(self, settings: Settings, models: LaneModels) -> None:
        """Go on with other settings: what `changes_in_place` allows. From any thread.

        Nothing is masked for it, and lanes that are replaced judge until the new ones do.
        """
        before, old_models = self._settings, self._models
        self._settings, self._models = settings, models
        pipeline, info = self._pipeline, self._info
        if pipeline is None or info is None:
            return  # it begins with the new ones
        if _without_blur(before) != _without_blur(settings) or models is not old_models:
            pipeline.change(
                lane_workers(_patient(settings), models, info.width, info.height), cadence(settings)
            )
        pipeline.change_releaser(self._releaser(info))

    def _note(self, text: str) -> None:
        if self._pipeline is not None:
            self._pipeline.stats.note(text)

    def _releaser(self, info: StreamInfo) -> Releaser:
        return releaser(
            self._settings, info.width, info.height, show_boxes=self._options.show_boxes
        )

    def _make_pipeline(self, sink: LiveSink, info: StreamInfo, *, keep_sound: bool) -> LivePipeline:
        settings = self._settings
        return LivePipeline(
            lambda: _Adapter(self._next(), info, keep_sound=keep_sound),
            sink,
            lane_workers(_patient(settings), self._models, info.width, info.height),
            self._releaser(info),
            slate=make_slate(info),
            size=(info.width, info.height),
            fps=float(info.fps),
            cadence=cadence(settings),
            delay_s=settings.delay_s,
            # Also where there is no sound now: the camera may come back with some.
            listen=listening(settings, self._models, live=True),
            mouths=mouths(settings, self._models),
            once=not self._source.is_live and not self._options.loop,
            on_frame=self._on_frame,
        )

    def close(self) -> None:
        """Let go of a source that was connected to and that `execute` has not taken."""
        first, self._first = self._first, None
        if first is not None:
            first.close()

    def stop(self) -> None:
        """End soon. May be called from a signal handler."""
        self._stopping.set()
        if self._pipeline is not None:
            self._pipeline.stop()

    def _next(self) -> LiveConnection | PacedFile:
        first, self._first = self._first, None
        return first or self._open()

    def _open(self) -> LiveConnection | PacedFile:
        if not self._source.is_live:
            return PacedFile(self._source.url, loop=self._options.loop)
        options = self._options
        return LiveConnection(self._source, udp=options.rtsp_udp, audio=options.audio)


class _Adapter:
    """Gives a connection's items as the live pipeline wants them: fitted pictures, samples."""

    def __init__(
        self, source: LiveConnection | PacedFile, info: StreamInfo, *, keep_sound: bool
    ) -> None:
        self._source, self._info = source, info
        sound = source.info.sound if keep_sound else None
        self._decoder = SoundDecoder(sound) if sound is not None else None

    @property
    def fps(self) -> float:
        """Announced frame rate."""
        return float(self._source.info.fps)

    def read(self) -> Iterator[Frame | tuple[float, Samples]]:
        """Yield frames of the output's size, and sound as samples."""
        for item in self._source.read():
            if isinstance(item, Frame):
                picture: Any = fit(cast(HostPicture, item.picture), self._info)
                yield replace(item, picture=picture)
            elif self._decoder is not None:
                yield from self._decoder.decode(item)

    def close(self) -> None:
        """End the connection."""
        self._source.close()
