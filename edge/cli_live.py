"""The run verb for live streams: what it shows, and how it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from edge import progress
from edge.config import Settings
from edge.errors import ExitCode, SinkError
from edge.lane_models import load_lane_models
from edge.listen_build import keeps_sound
from edge.live_runner import LiveOptions, LiveRun
from edge.media.address import Address
from edge.media.output import check_output
from edge.stats import Stats

_STATUS_S = 5.0


@dataclass(frozen=True, slots=True)
class LiveChoices:
    """Options of the command that a live run knows."""

    force: bool
    show_boxes: bool
    loop: bool
    rtsp_udp: bool
    audio: str | None
    stats: Path | None


def run_live(
    settings: Settings,
    source: Address,
    outputs: Sequence[Address],
    choices: LiveChoices,
    *,
    console: Console,
    on_stop: Callable[[Callable[[], None]], None],
) -> ExitCode:
    """Run a live stream until it is stopped. Raises PrivaedgeError."""
    for output in outputs:
        if output.kind == "file":
            origin = None if source.is_live else Path(source.url)
            check_output(Path(output.url), origin, overwrite=choices.force)
    with progress.fetching(console) as fetching:
        models = load_lane_models(settings, fetching, may_be_deaf=True)
    status = _Status(console)
    run = LiveRun(
        settings,
        source,
        outputs,
        models,
        options=LiveOptions(
            loop=choices.loop,
            rtsp_udp=choices.rtsp_udp,
            audio=choices.audio,
            overwrite=choices.force,
            show_boxes=choices.show_boxes,
        ),
        on_frame=status.update,
    )
    on_stop(run.stop)
    info = run.connect(status.say)
    if info is None:
        return ExitCode.INTERRUPTED
    status.say(
        f"{source}: {info.width}x{info.height}, {float(info.fps):.4g} fps, {info.codec}; "
        f"{models}; to {', '.join(map(str, outputs))}"
    )
    for note in models.notes:
        status.say(f"note: {note}")
    unheard = models.speech is None and keeps_sound(settings, models)
    if unheard and info.sound is not None:
        status.say(
            "note: sound is passed on unheard (audio.enabled listens for private words, "
            "audio.without_lane: drop mutes it)"
        )
    stats = run.execute()
    status.say(_line(stats))
    for reason in stats.reasons:
        status.say(f"  because {reason}")
    if choices.stats is not None:
        try:
            choices.stats.write_text(json.dumps(stats.as_dict(), indent=1) + "\n")
        except OSError as error:
            raise SinkError(
                f"figures cannot be written to {choices.stats}: {error.strerror}. "
                f"Choose another --stats file."
            ) from error
    return ExitCode.MASKED if stats.frames_masked or stats.muted_s else ExitCode.OK


class _Status:
    """A line every few seconds, and whatever is worth a line of its own."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ""
        self._reported = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line, unless it is the same as the last one."""
        if text != self._said:
            self._said = text
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def update(self, stats: Stats) -> None:
        """Take note of a frame that left."""
        now = time.monotonic()
        if now - self._reported >= _STATUS_S:
            self._reported = now
            self.say(_line(stats))


def _line(stats: Stats) -> str:
    return (
        f"{stats.pts_out:.0f} s: {stats.frames_out} frames out, {stats.frames_masked} masked, "
        f"{stats.frames_dropped} dropped, {stats.slates} slates, "
        f"{sum(stats.found.values())} things hidden"
    )
