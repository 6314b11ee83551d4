"""From settings and two file names to a finished run: models, pipeline, summary."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2

from edge.build import cadence, prepare_process, releaser, video_settings
from edge.config import Settings
from edge.detection import FloatArray
from edge.errors import ExitCode, SinkError
from edge.frame import Frame
from edge.frame_build import pinned_pictures
from edge.lane_models import LaneModels
from edge.lane_workers import lane_workers
from edge.listen_build import keeps_sound, listening, mouths, speech_settings
from edge.media.codecs import AudioPolicy
from edge.media.sink import FileSink
from edge.media.sound import SoundDecoder, own_layout
from edge.media.source import FileSource
from edge.media.streams import SoundPacket
from edge.pipeline import MAX_LINE_FRAMES, Pipeline, SoundCheck
from edge.release import draw_boxes
from edge.sound import SoundBlock
from edge.stats import RECOGNISER, Stats

_SPARE_S: Final = 2.0
"""Pictures held beside what waits for words: a file's sound may lie behind its pictures."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Choices of one run that are not settings of a stream."""

    overwrite: bool = False
    show_boxes: bool = False
    debug_frames: Path | None = None
    """Folder in which looked-at frames are stored, NOT redacted."""


def listened_to(settings: Settings, source: str | Path) -> Settings:
    """The settings that this file's models are loaded with: where it has no sound, nobody has to
    listen, and nothing is fetched for it. Raises SourceError."""
    with FileSource(source) as file:
        if file.info.sound is not None:
            return settings
    return settings.model_copy(
        update={"audio": settings.audio.model_copy(update={"enabled": False})}
    )


@dataclass(slots=True)
class Summary:
    """How a run went."""

    output: Path
    complete: bool
    """False where it was interrupted: the output is playable and has its partial name."""
    models: dict[str, str]
    """The model of each lane that was on."""
    stats: Stats
    warnings: list[str] = field(default_factory=list)
    damaged: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """What the command returns: the first of these that holds."""
        if not self.complete:
            return ExitCode.INTERRUPTED
        if self.stats.frames_masked or self.stats.muted_s:
            return ExitCode.MASKED
        return ExitCode.DAMAGED if self.damaged else ExitCode.OK

    def as_dict(self) -> dict[str, Any]:
        """Return all as plain data, for JSON."""
        return {
            "output": str(self.output),
            "complete": self.complete,
            "models": self.models,
            "exit_code": int(self.exit_code),
            "warnings": self.warnings,
            **self.stats.as_dict(),
        }


class Run:
    """One file to one file. Create it (which checks everything), `execute` it once."""

    def __init__(
        self,
        settings: Settings,
        source: str | Path,
        output: str | Path,
        models: LaneModels,
        *,
        options: RunOptions | None = None,
        on_frame: Callable[[Stats], None] | None = None,
    ) -> None:
        """Open source and output. Raises SourceError or SinkError."""
        options = options or RunOptions()
        prepare_process()
        self._models = models
        self._decoder: SoundDecoder | None = None
        self._debug = DebugFrames(options.debug_frames) if options.debug_frames else None
        self.source = FileSource(source, keep_packets=settings.delay.storage == "packets")
        try:
            self._sink = FileSink(
                output,
                self.source.info,
                video_settings(settings),
                self._sound_policy(settings),
                overwrite=options.overwrite,
            )
        except BaseException:
            self.source.close()
            raise
        try:
            self.pipeline = self._build(settings, options, on_frame)
        except BaseException:
            self._sink.abort()
            self.source.close()
            raise
        self._stopped = False

    def _build(
        self,
        settings: Settings,
        options: RunOptions,
        on_frame: Callable[[Stats], None] | None,
    ) -> Pipeline:
        info = self.source.info
        check = self._sound_check(settings)
        delay_s, most = line_length(settings, float(info.fps), check)
        pipeline = Pipeline(
            self.source,
            self._sink,
            lane_workers(settings, self._models, info.width, info.height),
            releaser(settings, info.width, info.height, show_boxes=options.show_boxes),
            size=(info.width, info.height),
            cadence=cadence(settings),
            delay_s=delay_s,
            max_frames=most,
            sound=check,
            on_frame=on_frame,
            on_look=self._debug.save if self._debug else None,
        )
        self._pinned = pinned_pictures(settings, info, delay_s, most)
        if self._pinned is not None:
            self.source.make_pictures(self._pinned.before)
        return pipeline

    def _sound_policy(self, settings: Settings) -> AudioPolicy:
        if self._models.speech is not None:
            return AudioPolicy.SAMPLES
        return AudioPolicy.KEEP if keeps_sound(settings, self._models) else AudioPolicy.DROP

    def _sound_check(self, settings: Settings) -> SoundCheck | None:
        sound = self.source.info.sound
        make = listening(settings, self._models, live=False)
        if sound is None or make is None:
            return None
        self._decoder = SoundDecoder(sound, rate=sound.rate, layout=own_layout(sound))
        return SoundCheck(partial(_blocks, self._decoder), make, mouths(settings, self._models))

    def stop(self) -> None:
        """End early, with a playable file. A second call drops what still waits for a verdict."""
        if self._stopped:
            self.pipeline.abandon()
        self._stopped = True
        self.pipeline.stop()

    def execute(self) -> Summary:
        """Run to the end. Raises SourceError or SinkError; nothing is left under the final name."""
        try:
            stats = self.pipeline.run()
            output = self._sink.interrupt() if self._stopped else self._sink.finish()
        except BaseException:
            self._sink.abort()
            raise
        finally:
            self.source.close()
            if self._pinned is not None:
                self._pinned.close()
        summary = Summary(output, not self._stopped, self._models.names, stats)
        self._judge_source(summary)
        return summary

    def _judge_source(self, summary: Summary) -> None:
        source, warn = self.source, summary.warnings.append
        for note in source.notes:
            warn(note)
        for stream in source.info.dropped:
            warn(f"not passed on: {stream}")
        if source.repaired:
            warn(f"{source.repaired} timestamps were missing or out of order and were repaired")
        for note in self._models.notes:
            warn(note)
        if self._models.face is None:
            warn("faces are visible (video.models.face.enabled is false)")
        failures = summary.stats.failures.get(RECOGNISER, 0)
        if failures:
            warn(f"the face recogniser failed in {failures} looks: enrolled people were hidden")
        if self._sink.sound != "none" and self._models.speech is None:
            warn("sound was passed on unheard (audio.enabled listens for private words, "
                 "audio.without_lane: drop removes it)")  # fmt: skip
        if not summary.complete:
            return
        if source.damage or source.concealed:
            summary.damaged = True
            warn(f"the source is damaged: {source.damage} packets could not be read, "
                 f"{source.concealed} frames are incomplete")  # fmt: skip
        if source.truncated:
            summary.damaged = True
            warn("the source ends before the length that it announces: it was cut off")
        sound_damage = self._sink.sound_damage + (self._decoder.damage if self._decoder else 0)
        if sound_damage:
            summary.damaged = True
            warn(f"{sound_damage} packets of sound could not be decoded")


def line_length(settings: Settings, fps: float, check: SoundCheck | None) -> tuple[float, int]:
    """Return for how many seconds, and how many frames, a file's delay line has to have room."""
    wait_s = speech_settings(settings, live=False).lag_s if check and check.mouths else 0.0
    delay_s = max(settings.picture_delay_s, settings.text_delay_s, wait_s + _SPARE_S)
    return delay_s, max(MAX_LINE_FRAMES, math.ceil(fps * (wait_s + _SPARE_S)))


def _blocks(decoder: SoundDecoder, item: SoundPacket | None) -> list[SoundBlock]:
    return [SoundBlock(pts, samples, decoder.rate) for pts, samples in decoder.decode(item)]


class DebugFrames:
    """Stores frames as they came in, with the boxes that were found. The opposite of privacy."""

    def __init__(self, folder: Path) -> None:
        """Create the folder, readable by its owner only. Raises SinkError."""
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(
                f"the folder for debug frames {folder} cannot be made: {error.strerror}. "
                f"Choose another one."
            ) from error

    def save(self, frame: Frame, boxes: FloatArray, tracks: Sequence[int]) -> None:
        """Store one frame as JPEG. Raises SinkError."""
        picture = frame.picture
        rgb = picture.shrink(picture.width, picture.height)
        bgr = rgb[::-1].transpose(1, 2, 0).copy()
        draw_boxes(bgr, boxes, tracks)
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        path = self._folder / f"{frame.frame_id:08d}.jpg"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
                os.fchmod(f.fileno(), 0o600)  # also where an earlier run left one that others read
                f.write(data)
        except OSError as error:
            raise SinkError(
                f"debug frame {path} cannot be written: {error.strerror}. "
                f"Free some space, or leave out --save-debug-frames."
            ) from error
