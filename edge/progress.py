"""What the command shows while it works, and afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from edge import fetch
from edge.catalogue import ModelEntry
from edge.errors import ExitCode
from edge.media.source import SourceInfo
from edge.model_store import ModelStatus
from edge.runner import Summary
from edge.stats import Stats

_REPORT_S = 5.0
"""How often a line is printed where there is no terminal to draw a bar on."""
_MAX_STRETCHES = 8


@contextmanager
def fetching(console: Console) -> Iterator[fetch.Progress]:
    """Show downloads while the block runs."""
    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn())
    hidden = not console.is_terminal  # where it would leave an empty line even without a task
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
        tasks: dict[str, object] = {}

        def report(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(escape(name), total=total)
                if not console.is_terminal:
                    console.print(f"fetching {name} …", markup=False, highlight=False)
            bars.update(tasks[name], completed=done, total=total)  # type: ignore[arg-type]

        yield report


class RunDisplay:
    """A progress bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total: int | None = None
        self._fps = 30.0
        self._reported = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            refresh_per_second=8,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, text="")

    @contextmanager
    def shown(self, info: SourceInfo, lanes: str) -> Iterator[None]:
        """Show the source, then progress while the block runs."""
        self._total = info.frame_count
        self._bar.update(self._task, total=self._total)
        length = f", {info.duration_s:.0f} s" if info.duration_s else ""
        self._console.print(
            f"{info.path.name}: {info.width}x{info.height}, {float(info.fps):.4g} fps, "
            f"{info.codec}{length}; {lanes}",
            markup=False,
            highlight=False,
        )
        with self._bar:
            yield

    def update(self, stats: Stats) -> None:
        """Take note of a frame that left."""
        now = time.monotonic()
        if self._console.is_terminal:
            if stats.frames_out % 8 == 0:
                self._bar.update(self._task, completed=stats.frames_out, text=_doing(stats))
        elif now - self._reported >= _REPORT_S:
            self._reported = now
            share = f"{100 * stats.frames_out / self._total:3.0f} % " if self._total else ""
            self._console.print(f"{share}{_doing(stats)}", markup=False, highlight=False)


def _doing(stats: Stats) -> str:
    masked = f", {stats.frames_masked} frames masked whole" if stats.frames_masked else ""
    return f"{stats.fps:.0f} fps, {_found(stats)} hidden{masked}"


def _found(stats: Stats) -> str:
    parts = [f"{n} {name if n != 1 else name.removesuffix('s')}" for name, n in stats.found.items()]
    return " and ".join(parts) or "nothing"


def print_summary(console: Console, summary: Summary, info: SourceInfo) -> None:
    """Say what came out, what was hidden, and what the user should know."""
    stats = summary.stats
    done = "done" if summary.complete else "interrupted; a playable part is kept"
    console.print(
        f"{done}: {summary.output} · {stats.frames_out} frames in {stats.seconds:.1f} s "
        f"({stats.fps:.0f} fps, {stats.fps / float(info.fps):.1f} × real time)",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"hidden: {_found(stats)} appearing in {stats.frames_with_regions} frames",
        markup=False,
        highlight=False,
    )
    for warning in summary.warnings:
        console.print(f"note: {warning}", markup=False, highlight=False, soft_wrap=True)
    if stats.frames_masked:
        console.print(
            f"[bold yellow]masked whole: {stats.frames_masked} frames could not be judged[/]"
        )
        for stretch in stats.stretches[:_MAX_STRETCHES]:
            console.print(
                f"  {stretch.start:.2f} s to {stretch.end:.2f} s ({', '.join(stretch.lanes)})"
            )
        if len(stats.stretches) > _MAX_STRETCHES:
            console.print(f"  and {len(stats.stretches) - _MAX_STRETCHES} more")
        for reason in stats.reasons:
            console.print(f"  because {reason}", markup=False, highlight=False)
    if summary.exit_code is not ExitCode.OK:
        console.print(f"exit code {int(summary.exit_code)}", style="dim")


def models_table(rows: Sequence[tuple[ModelEntry, ModelStatus]]) -> Table:
    """Return the catalogue as a table."""
    table = Table(box=None, pad_edge=False)
    for column in ("model", "task", "family", "licence", "size", "here"):
        table.add_column(column)
    for entry, status in rows:
        state = {"ok": "[green]yes", "missing": "no", "wrong hash": "[bold red]wrong hash"}
        if status.state == "missing" and not entry.fetchable:
            here = "no (put the file into a model folder)"
        else:
            here = state[status.state]
        size = f"{entry.size / 1e6:.1f} MB"
        table.add_row(entry.name, entry.task, entry.family, entry.licence, size, here)
    return table
