"""The run verb for files of sound: what it shows, and how it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from edge import progress
from edge.build import prepare_process
from edge.config import Settings
from edge.errors import ExitCode, SinkError
from edge.lane_models import load_lane_models
from edge.media.opening import local_path
from edge.media.output import check_output
from edge.sound_run import SoundRun
from edge.stats import Stats

_REPORT_S = 10.0


def run_sound(
    settings: Settings,
    source: str,
    output: Path,
    console: Console,
    *,
    overwrite: bool,
    stats: Path | None,
    ended_by: Callable[[Callable[[], None]], AbstractContextManager[Any]],
) -> ExitCode:
    """Make the private words of a file inaudible. Raises PrivaedgeError."""
    # Before a model is fetched: a wrong name should not cost a download.
    check_output(output, local_path(source), overwrite=overwrite)
    prepare_process()
    quiet = settings.video.model_copy(update={"models": _no_pictures(settings)})
    with progress.fetching(console) as fetching:
        models = load_lane_models(settings.model_copy(update={"video": quiet}), fetching)
    display = _Display(console)
    run = SoundRun(settings, source, output, models, overwrite=overwrite, on_sound=display.update)
    info = run.source.info
    length = f", {info.duration_s:.0f} s" if info.duration_s else ""
    display.total = info.duration_s
    _say(
        console, f"{info.path.name}: {info.codec}, {info.rate} Hz, {info.layout}{length}; {models}"
    )
    with display.bar, ended_by(run.stop):
        summary = run.execute()
    figures = summary.stats
    done = "done" if summary.complete else "interrupted; a playable part is kept"
    speed = figures.pts_out / figures.seconds if figures.seconds else 0.0
    _say(console, f"{done}: {summary.output} · {figures.pts_out:.1f} s of sound in "
                  f"{figures.seconds:.1f} s ({speed:.1f} × real time)")  # fmt: skip
    _say(console, f"hidden: {sum(figures.found.values())} private stretches, "
                  f"{figures.spoken_s:.1f} s of sound")  # fmt: skip
    for warning in summary.warnings:
        _say(console, f"note: {warning}")
    if figures.muted_s:
        _say(console, f"muted: {figures.muted_s:.1f} s that could not be judged")
        for reason in figures.reasons:
            _say(console, f"  because {reason}")
    if stats is not None:
        try:
            stats.write_text(json.dumps(summary.as_dict(), indent=1) + "\n")
        except OSError as error:
            raise SinkError(
                f"figures cannot be written to {stats}: {error.strerror}. "
                f"Choose another --stats file."
            ) from error
    if summary.exit_code is not ExitCode.OK:
        console.print(f"exit code {int(summary.exit_code)}", style="dim")
    return summary.exit_code


def _no_pictures(settings: Settings) -> Any:
    models = settings.video.models
    off = {
        name: getattr(models, name).model_copy(update={"enabled": False})
        for name in ("face", "plate", "text")
    }
    return models.model_copy(update={**off, "own": ()})


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Display:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.total: float | None = None
        self._reported = time.monotonic()
        self.bar = Progress(
            BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(compact=True),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self.bar.add_task("", total=None, text="")

    def update(self, stats: Stats) -> None:
        """Take note of sound that left."""
        found = f"{sum(stats.found.values())} stretches hidden"
        if self._console.is_terminal:
            self.bar.update(self._task, total=self.total, completed=stats.pts_out, text=found)
        elif time.monotonic() - self._reported >= _REPORT_S:
            self._reported = time.monotonic()
            share = f"{100 * stats.pts_out / self.total:3.0f} % " if self.total else ""
            _say(self._console, f"{share}{found}")
