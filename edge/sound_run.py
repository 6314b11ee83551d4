"""A file of sound to a file of sound: read, listened to, cleared, written.

The same listener and gate as in pipeline.py, without pictures.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge.config import Settings
from edge.errors import ConfigError, ExitCode
from edge.lane_models import LaneModels
from edge.lanes.worker import LaneEvent
from edge.listen_build import listening
from edge.media.sound_file import SoundFileSink, SoundFileSource
from edge.stats import StageTime, Stats

_log = logging.getLogger(__name__)

_WAIT_S: Final = 0.1
_LEAVE_S: Final = 2.0


@dataclass(slots=True)
class SoundSummary:
    """How a run went."""

    output: Path
    complete: bool
    models: dict[str, str]
    stats: Stats
    warnings: list[str] = field(default_factory=list)
    damaged: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """What the command returns: the first of these that holds."""
        if not self.complete:
            return ExitCode.INTERRUPTED
        if self.stats.muted_s:
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


class SoundRun:
    """One file of sound. Create it (which checks everything), `execute` it once."""

    def __init__(
        self,
        settings: Settings,
        source: str | Path,
        output: str | Path,
        models: LaneModels,
        *,
        overwrite: bool = False,
        on_sound: Callable[[Stats], None] | None = None,
    ) -> None:
        """Open source and output. Raises SourceError, SinkError, ConfigError."""
        make = listening(settings, models, live=False)
        if make is None:
            raise ConfigError(
                "nothing listens: audio.enabled is false, so all words would stay. "
                "Set it to true: --set audio.enabled=true."
            )
        self._models, self._on_sound = models, on_sound
        self._changed = threading.Condition()
        self._reading = True
        self._stopping = self._abandoned = False
        self._failure: BaseException | None = None
        self.stats = Stats()
        self.source = SoundFileSource(source)
        try:
            self._sink = SoundFileSink(Path(output), self.source.info, overwrite=overwrite)
            try:
                self._listening = make(self._changed, self._note)
            except BaseException:
                self._sink.abort()
                raise
        except BaseException:
            self.source.close()
            raise

    def stop(self) -> None:
        """End early, with a playable file. A second call drops what still waits for a verdict."""
        self._abandoned = self._stopping
        self._stopping = True

    def execute(self) -> SoundSummary:
        """Run to the end. Raises SourceError or SinkError; nothing is left under the final name."""
        reader = threading.Thread(target=self._read, name="reader", daemon=True)
        self._listening.start()
        reader.start()
        try:
            self._write()
            self._abandoned = True
            reader.join()
            if self._failure is not None:
                raise self._failure
            output = self._sink.interrupt() if self._stopping else self._sink.finish()
        except BaseException:
            self._abandoned = True
            reader.join()
            self._sink.abort()
            raise
        finally:
            worker = self._listening.worker
            worker.stop()
            worker.join(_LEAVE_S)
            self.source.close()
            self._close_books()
        summary = SoundSummary(output, not self._stopping, self._models.names, self.stats)
        if summary.complete and self.source.damage:
            summary.damaged = True
            summary.warnings.append(
                f"the source is damaged: {self.source.damage} packets of sound could not be read"
            )
        return summary

    def _read(self) -> None:
        try:
            for block in self.source.read():
                if self._stopping:
                    break
                self._listening.take(block, lambda: self._abandoned)
        except BaseException as error:  # noqa: BLE001 - handed to the writer's thread
            self._failure = error
        finally:
            self._listening.end(lambda: self._abandoned)
            with self._changed:
                self._reading = False
                self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                cleared = self._listening.release()
                if not cleared:
                    over = not self._reading and not self._listening.waiting
                    if over or self._abandoned or self._failure is not None:
                        return
                    self._changed.wait(_WAIT_S)
            for one in cleared:
                with self.stats.timed("encode"):
                    self._sink.write_samples(one.samples, one.pts)
                self.stats.count_sound(one)
                self.stats.pts_out = one.pts + one.samples.shape[1] / one.rate
            if cleared and self._on_sound is not None:
                self.stats.found = {"speech": self._listening.worker.found}
                self._on_sound(self.stats)
            self._listening.leave(self.stats.pts_out)
            self._listening.worker.check()

    def _note(self, event: LaneEvent) -> None:
        self.stats.note(f"{event.lane}: {event.reason}")

    def _close_books(self) -> None:
        worker, stats = self._listening.worker, self.stats
        stats.seconds = time.perf_counter() - stats.started
        stats.looks = worker.looks
        stats.found = {worker.name: worker.found}
        stats.stages[f"listen: {worker.name}"] = StageTime(
            worker.tasks, worker.busy_s, worker.cpu_s
        )
