"""From settings and addresses to a live stream: models, source, sink, slate, pipeline."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from edge.build import cadence, prepare_process, releaser, video_settings
from edge.config import Settings
from edge.dump import DumpSwitch
from edge.frame import Frame, Picture
from edge.frame_build import frames_on_gpu, pinned_pictures
from edge.intake import Samples, StopFlag
from edge.lane_models import LaneModels
from edge.lane_workers import lane_workers
from edge.listen_build import keeps_sound, listening, mouths
from edge.live import LivePipeline
from edge.media.address import Address
from edge.media.live import LiveConnection
from edge.media.live_sink import LiveSink
from edge.media.live_target import target_for
from edge.media.paced import PacedFile
from edge.media.pinned import PinnedPictures
from edge.media.replay import Changed
from edge.media.slate import fit, make_slate
from edge.media.sound import SoundDecoder
from edge.media.streams import AnyPicture, StreamInfo
from edge.release import Releaser
from edge.standby import Caller, Standby, is_alike
from edge.stats import Stats

_log = logging.getLogger(__name__)

_LIVE_STALL_S = 2.0
"""A detector that is silent for this long is replaced; the picture is masked meanwhile."""
_STANDBY_S = 5.0
"""A source that is there answers in this time; for one that does not, a slate goes on air."""
_POLL_S = 0.05
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
    if "cuda" in (before.runtime.device, after.runtime.device):
        return False  # a GPU proves itself when a stream starts, where its failure ends that start
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


def _is_watched(output: Address) -> bool:
    """Whether somebody may watch it now. To others a time in which nothing came is of no use."""
    return output.is_live or output.kind == "hls-folder"


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
        dump: DumpSwitch | None = None,
        outgoing: Callable[[Picture, float], None] | None = None,
    ) -> None:
        """dump, outgoing: see LivePipeline."""
        prepare_process()
        self._settings = settings
        self._source, self._outputs = source, outputs
        self._models = models
        self._options = options or LiveOptions()
        self._on_frame = on_frame
        self._dump, self._outgoing = dump, outgoing
        self._stopping = StopFlag()
        self._first: LiveConnection | PacedFile | None = None
        self._pipeline: LivePipeline | None = None
        self._info: StreamInfo | None = None
        self._pinned: PinnedPictures | None = None
        self._standby: Standby | None = None
        self.sink: LiveSink | None = None
        """What is sent to, once it runs, or while it waits."""

    def connect(self, on_wait: Callable[[str], None]) -> StreamInfo | None:
        """Wait for the source, for as long as it takes. None where stopped before it came.

        The size of the outgoing picture is that of the first one; on_wait is told why nothing
        comes. Meanwhile a slate is on air. A file that cannot be read raises SourceError: waiting
        will not mend it. Raises SinkError.
        """
        if not self._source.is_live:
            self._first = self._open()
            return self._first.info
        caller = Caller(self._open, self._stopping)
        patient_until = time.monotonic() + _STANDBY_S
        try:
            while not self._stopping.is_set() and not caller.done:
                for reason in caller.reasons():
                    patient_until = 0.0
                    on_wait(reason)
                    if self._standby is not None:
                        self._standby.stats.note(f"source: {reason}")
                if self._standby is not None:
                    self._standby.send()
                elif time.monotonic() >= patient_until:
                    self._stand_by()
                else:
                    caller.wait(_POLL_S)
        finally:
            self._first = caller.take()
        if self._first is None:
            self.close()
            return None
        return self._first.info

    def _stand_by(self) -> None:
        """Go on air without a source, where somebody may watch: files begin with the source."""
        outputs = [one for one in self._outputs if _is_watched(one)]
        if not outputs:
            self._stopping.wait(_POLL_S)
            return
        self._standby = Standby(
            outputs,
            video_settings(self._settings),
            has_sound=keeps_sound(self._settings, self._models),
            on_frame=self._on_frame,
            outgoing=self._outgoing,
        )
        self.sink = self._standby.sink

    def execute(self) -> Stats:
        """Run until stopped, or to the end of a file. Raises SinkError."""
        assert self._first is not None
        info, settings = self._first.info, self._settings
        self._info = info
        keep_sound = keeps_sound(settings, self._models)
        try:
            epoch = self._begin_sink(info, has_sound=keep_sound and info.sound is not None)
            assert self.sink is not None
            pipeline = self._make_pipeline(self.sink, info, keep_sound=keep_sound, epoch=epoch)
            self._pinned = pinned_pictures(settings, info, settings.delay_s)
            if self._standby is not None:
                pipeline.stats.slates = self._standby.stats.slates
                for reason in self._standby.stats.reasons:
                    pipeline.stats.note(reason)
            self._pipeline = pipeline
            if self._stopping.is_set():
                self._pipeline.stop()
            return self._pipeline.run()
        finally:
            self.close()

    def _begin_sink(self, info: StreamInfo, *, has_sound: bool) -> float | None:
        """Open the outputs; return the epoch that goes with them, None: now.

        What the standby sends to goes on, if the source's pictures fit into it; else it is ended
        and called again, since few servers follow another size amid a stream.
        """
        standby, outputs = self._standby, self._outputs
        if standby is not None:
            same = is_alike(standby.info, info) and standby.has_sound == has_sound
            if same and all(map(_is_watched, outputs)):
                return standby.epoch - self._settings.delay_s
            standby.sink.close(_CLOSE_S)
        self.sink = LiveSink(
            [one if _is_watched(one) else Path(one.url) for one in outputs],
            info,
            video_settings(self._settings),
            has_sound=has_sound,
            overwrite=self._options.overwrite,
            on_gpu=info.on_gpu,
            on_event=self._note,
        )
        return None if standby is None else time.monotonic() - self._settings.delay_s

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

    def _make_pipeline(
        self, sink: LiveSink, info: StreamInfo, *, keep_sound: bool, epoch: float | None
    ) -> LivePipeline:
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
            dump=self._dump,
            outgoing=self._outgoing,
            epoch=epoch,
        )

    @property
    def info(self) -> StreamInfo | None:
        """What the source is like; None before it runs."""
        return self._info

    @property
    def stats(self) -> Stats | None:
        """What it has done so far; None before it runs."""
        if self._pipeline is not None:
            return self._pipeline.stats
        return self._standby.stats if self._standby is not None else None

    def close(self) -> None:
        """End what `execute` has not: the source that was connected to, and what is sent to."""
        first, self._first = self._first, None
        if first is not None:
            first.close()
        if self.sink is not None:
            self.sink.close(_CLOSE_S)
        if self._pinned is not None:
            self._pinned.close()

    def stop(self) -> None:
        """End soon. May be called from a signal handler."""
        self._stopping.set()
        if self._pipeline is not None:
            self._pipeline.stop()

    def _next(self) -> LiveConnection | PacedFile:
        first, self._first = self._first, None
        source = first or self._open()
        if self._pinned is not None:
            source.make_pictures(self._pinned.before)
        return source

    def _open(self) -> LiveConnection | PacedFile:
        keep_packets = self._settings.delay.storage == "packets"
        if not self._source.is_live:
            return PacedFile(self._source.url, self._options.loop, keep_packets=keep_packets)
        options = self._options
        return LiveConnection(
            self._source, udp=options.rtsp_udp, audio=options.audio, keep_packets=keep_packets,
            on_gpu=frames_on_gpu(self._settings),
        )  # fmt: skip


class _Adapter:
    """Gives a connection's items as the live pipeline wants them: fitted pictures, samples."""

    def __init__(
        self, source: LiveConnection | PacedFile, info: StreamInfo, *, keep_sound: bool
    ) -> None:
        self._source, self._info = source, info
        sound = source.info.sound if keep_sound else None
        self._decoder = SoundDecoder(sound, creeps=True) if sound is not None else None

    @property
    def fps(self) -> float:
        """Announced frame rate."""
        return float(self._source.info.fps)

    def read(self) -> Iterator[Frame | tuple[float, Samples]]:
        """Yield frames of the output's size, and sound as samples."""
        for item in self._source.read():
            if isinstance(item, Frame):
                picture: Any = fit(cast(AnyPicture, item.picture), self._info)
                kept = item.kept and Changed(item.kept, lambda one: fit(one, self._info))
                yield replace(item, picture=picture, kept=kept)
            elif self._decoder is not None:
                yield from self._decoder.decode(item)

    def close(self) -> None:
        """End the connection."""
        self._source.close()
