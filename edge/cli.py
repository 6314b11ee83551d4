"""The privaedge command: one function a verb, each thin."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console

from edge import __version__
from edge.cli_audit import audit_app
from edge.cli_common import ConfigFile, Json, Overrides, Profile, err, out, reported
from edge.cli_config import config_app
from edge.cli_export import export
from edge.cli_faces import faces_app
from edge.cli_models import models_app
from edge.errors import ExitCode

app = typer.Typer(
    name="privaedge",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Hide faces, plates and private words. A frame that has not been judged never leaves.

    **Start here:** `privaedge run holiday.mp4 holiday-safe.mp4`

    Exit codes: 0 done · 2 wrong usage · 3 input · 4 output · 5 configuration · 6 model ·
    7 done, but a stretch was masked whole · 8 done, but the source was damaged ·
    130 interrupted, a playable part was kept.
    """,
)
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")
app.add_typer(faces_app, name="faces")
app.add_typer(audit_app, name="audit")
app.command("export")(export)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"privaedge {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(  # noqa: PLR0917 - typer's way
    source: Annotated[
        str,
        typer.Argument(
            help="A video file of any kind that FFmpeg reads; rtsp://, rtmp://, http(s):// or "
            "udp:// (MPEG-TS); /dev/videoN, or hdmi for the first capture device with a signal."
        ),
    ],
    output: Annotated[
        str,
        typer.Argument(
            help="A file such as out.mp4, or out.wav for sound only; rtmp(s)://, rtsp:// or "
            "udp://; a folder (ending in /) for HLS."
        ),
    ],
    profile: Profile = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace OUTPUT if it exists.")
    ] = False,
    show_boxes: Annotated[
        bool, typer.Option("--show-boxes", help="Outline what was hidden.")
    ] = False,
    save_debug_frames: Annotated[
        Path | None,
        typer.Option(
            "--save-debug-frames",
            metavar="DIR",
            help="DANGER: store every frame UNREDACTED in DIR, with the boxes found.",
        ),
    ] = None,
    stats: Annotated[
        Path | None, typer.Option("--stats", metavar="FILE", help="Write figures as JSON.")
    ] = None,
    more_outputs: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", help="Live: one more output. May be repeated."),
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Treat a file as a camera: paced, with deadlines.")
    ] = False,
    loop: Annotated[
        bool, typer.Option("--loop", help="With a file: begin anew at its end, in real time.")
    ] = False,
    rtsp_udp: Annotated[
        bool, typer.Option("--rtsp-udp", help="Take RTSP media over UDP instead of TCP.")
    ] = False,
    audio: Annotated[
        str | None,
        typer.Option("--audio", help="ALSA device of a capture device, such as hw:1, or none."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Log what happens inside; show tracebacks.")
    ] = False,
) -> None:
    """Redact SOURCE into OUTPUT.

    Live (a camera or network source, a network output, --realtime): every frame leaves
    delay.seconds after it came, masked whole where it could not be judged by then; a lost source
    becomes a slate and is connected to again, for ever. Ctrl-C ends it.

    Files:

    OUTPUT appears under its name only when it is complete. Ctrl-C ends early and leaves a playable
    file beside it (out.partial.mp4 for out.mp4); a second Ctrl-C does so at once.
    """
    with reported(debug):
        from edge import progress
        from edge.config_io import load_config
        from edge.lane_models import load_lane_models
        from edge.media.address import Address
        from edge.media.codecs import is_sound_file
        from edge.media.opening import local_path
        from edge.media.output import check_output
        from edge.runner import Run, RunOptions, listened_to

        settings = load_config(profile, config, overrides or ())
        console = Console(stderr=True, quiet=quiet)
        origin = Address.parse(source)
        targets = [Address.parse(one) for one in (output, *(more_outputs or ()))]
        if (
            realtime
            or loop
            or origin.is_live
            or len(targets) > 1
            or any(one.kind != "file" for one in targets)
        ):
            from edge.cli_live import LiveChoices, run_live

            choices = LiveChoices(force, show_boxes, loop, rtsp_udp, audio, stats)
            with _ended_by_stop() as ended:
                code = run_live(settings, origin, targets, choices, console=console, on_stop=ended)
            raise typer.Exit(int(code))
        if is_sound_file(output):
            from edge.cli_sound import run_sound

            code = run_sound(
                settings, source, Path(output), console,
                overwrite=force, stats=stats, ended_by=_ended_by,
            )  # fmt: skip
            raise typer.Exit(int(code))
        # Before a model is fetched: a wrong name should not cost a download.
        check_output(Path(output), local_path(source), overwrite=force)
        if save_debug_frames is not None:
            err.print(
                f"WARNING: every frame is stored UNREDACTED in {save_debug_frames}. "
                "Delete that folder when you are done.",
                style="bold red",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        with progress.fetching(console) as fetching:
            models = load_lane_models(listened_to(settings, source), fetching)
        options = RunOptions(force, show_boxes, save_debug_frames)
        display = progress.RunDisplay(console)
        job = Run(settings, source, output, models, options=options, on_frame=display.update)
        with display.shown(job.source.info, str(models)), _ended_by(job.stop):
            summary = job.execute()
        if stats is not None:
            _write_json(stats, summary.as_dict())
        progress.print_summary(console, summary, job.source.info)
        raise typer.Exit(int(summary.exit_code))


@app.command()
def serve(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The service's YAML: streams by name.")
    ] = Path("/etc/privaedge/privaedge.yaml"),
    check: Annotated[
        bool, typer.Option("--check", help="Check the file, say what is in it, and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log what happens inside.")] = False,
) -> None:
    """Run streams unattended, as a service: each is started again whatever ends it.

    SIGHUP, or a change of the file, reloads: streams that changed restart, the others go on, and a
    file with a mistake changes nothing. SIGTERM ends within 5 seconds. Under systemd it tells when
    it is ready, and its watchdog is fed only while pictures of every stream leave.
    """
    with reported(debug):
        from edge.cli_serve import check_streams, serve_streams

        if check:
            out.print(check_streams(config), markup=False, highlight=False, soft_wrap=True)
            return
        raise typer.Exit(int(serve_streams(config, debug=debug)))


@app.command()
def token(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The service's YAML: whose token it is.")
    ] = Path("/etc/privaedge/privaedge.yaml"),
    new: Annotated[
        bool, typer.Option("--new", help="Make another one; the service takes it when restarted.")
    ] = False,
) -> None:
    """Print the token that opens the service's page and API; make it where there is none."""
    with reported():
        from edge.appliance.api_auth import load_token, renew_token
        from edge.appliance.state import state_folder

        folder = state_folder(config)
        text = renew_token(folder) if new else load_token(folder)[0]
        out.print(text, markup=False, highlight=False, soft_wrap=True)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has, and what each profile would use on it."""
    with reported():
        from edge.doctor import collect, load_profiles
        from edge.doctor_report import render

        report = collect(load_profiles())
        if as_json:
            out.print_json(data=report.as_dict())
        else:
            out.print(render(report))
        raise typer.Exit(int(ExitCode.OK if report.healthy else ExitCode.MODEL))


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where the clip, the result and the picture go.")
    ] = Path("demo"),
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Make a clip of a public-domain photograph, redact it, and show before and after."""
    with reported():
        from edge import progress
        from edge.config_io import load_config
        from edge.demo import before_after, make_clip
        from edge.lane_models import load_lane_models
        from edge.runner import Run, RunOptions, listened_to

        settings = load_config(profile, None, overrides or ())
        clip, result = folder / "clip.mp4", folder / "clip-redacted.mp4"
        make_clip(clip)
        with progress.fetching(err) as fetching:
            models = load_lane_models(listened_to(settings, clip), fetching)
        display = progress.RunDisplay(err)
        job = Run(
            settings,
            clip,
            result,
            models,
            options=RunOptions(overwrite=True),
            on_frame=display.update,
        )
        with display.shown(job.source.info, str(models)), _ended_by(job.stop):
            summary = job.execute()
        progress.print_summary(err, summary, job.source.info)
        if summary.complete:
            picture = before_after(clip, result, folder / "before-after.png")
            out.print(f"Before and after: [bold]{picture}")
            out.print(f"Your turn: privaedge run YOUR-CLIP.mp4 {folder}/mine.mp4")
        raise typer.Exit(int(summary.exit_code))


def _write_json(path: Path, data: dict[str, Any]) -> None:
    from edge.errors import SinkError

    try:
        path.write_text(json.dumps(data, indent=1) + "\n")
    except OSError as error:
        raise SinkError(
            f"figures cannot be written to {path}: {error.strerror}. Choose another --stats file."
        ) from error


@contextmanager
def _ended_by(stop: Callable[[], None]) -> Any:
    """Let Ctrl-C and SIGTERM end a run in order."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop()

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _ended_by_stop() -> Any:
    """Give what a live run registers its stop with; Ctrl-C and SIGTERM call it."""
    stops: list[Callable[[], None]] = []

    def stop() -> None:
        for one in stops:
            one()

    with _ended_by(stop):
        yield stops.append


def main() -> None:
    """Entry point of the command."""
    try:
        app()
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise


def _leave(code: int) -> None:
    """End at once where a thread is still inside a detector that never answered: the libraries'
    own end would abort the process, and its exit code would be lost."""
    if any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
