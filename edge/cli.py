"""The privaedge command: one function a verb, each thin."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console

from edge import __version__
from edge.errors import ExitCode, PrivaedgeError

app = typer.Typer(
    name="privaedge",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Make faces in video unrecognisable. A frame that has not been judged never leaves.

    **Start here:** `privaedge run holiday.mp4 holiday-safe.mp4`

    Exit codes: 0 done · 2 wrong usage · 3 input · 4 output · 5 configuration · 6 model ·
    7 done, but a stretch was masked whole · 8 done, but the source was damaged ·
    130 interrupted, a playable part was kept.
    """,
)
models_app = typer.Typer(no_args_is_help=True, help="List, fetch and verify model files.")
config_app = typer.Typer(no_args_is_help=True, help="Show and check settings.")
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")

_out = Console()
_err = Console(stderr=True)

Profile = Annotated[
    str | None,
    typer.Option(
        "--profile", "-p", help="balanced (default), high_privacy, performance or streaming."
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file merged over the profile.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, such as blur.type=solid. May be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def _version(wanted: bool) -> None:
    if wanted:
        _out.print(f"privaedge {__version__}")
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
            help="A file such as out.mp4; rtmp(s)://, rtsp:// or udp://; a folder (ending in /) "
            "for HLS."
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
    with _reported(debug):
        from edge import progress
        from edge.config_io import load_config
        from edge.media.address import Address
        from edge.media.opening import local_path
        from edge.media.output import check_output
        from edge.runner import Run, RunOptions, load_face_model

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
        # Before a model is fetched: a wrong name should not cost a download.
        check_output(Path(output), local_path(source), overwrite=force)
        if save_debug_frames is not None:
            _err.print(
                f"WARNING: every frame is stored UNREDACTED in {save_debug_frames}. "
                "Delete that folder when you are done.",
                style="bold red",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        with progress.fetching(console) as fetching:
            model = load_face_model(settings, fetching)
        options = RunOptions(force, show_boxes, save_debug_frames)
        display = progress.RunDisplay(console)
        job = Run(settings, source, output, model, options=options, on_frame=display.update)
        with display.shown(job.source.info, model.name if model else None), _ended_by(job.stop):
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
    with _reported(debug):
        from edge.cli_serve import check_streams, serve_streams

        if check:
            _out.print(check_streams(config), markup=False, highlight=False, soft_wrap=True)
            return
        raise typer.Exit(int(serve_streams(config, debug=debug)))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has, and what each profile would use on it."""
    with _reported():
        from edge.doctor import collect, load_profiles
        from edge.doctor_report import render

        report = collect(load_profiles())
        if as_json:
            _out.print_json(data=report.as_dict())
        else:
            _out.print(render(report))
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
    with _reported():
        from edge import progress
        from edge.config_io import load_config
        from edge.demo import before_after, make_clip
        from edge.runner import Run, RunOptions, load_face_model

        settings = load_config(profile, None, overrides or ())
        clip, result = folder / "clip.mp4", folder / "clip-redacted.mp4"
        make_clip(clip)
        with progress.fetching(_err) as fetching:
            model = load_face_model(settings, fetching)
        display = progress.RunDisplay(_err)
        job = Run(
            settings,
            clip,
            result,
            model,
            options=RunOptions(overwrite=True),
            on_frame=display.update,
        )
        with display.shown(job.source.info, model.name if model else None), _ended_by(job.stop):
            summary = job.execute()
        progress.print_summary(_err, summary, job.source.info)
        if summary.complete:
            picture = before_after(clip, result, folder / "before-after.png")
            _out.print(f"Before and after: [bold]{picture}")
            _out.print(f"Your turn: privaedge run YOUR-CLIP.mp4 {folder}/mine.mp4")
        raise typer.Exit(int(summary.exit_code))


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """List every model of the catalogue, and whether it is on this machine."""
    with _reported():
        from edge.progress import models_table

        store = _store()
        rows = [(store.catalogue[name], store.status(name)) for name in store.catalogue.names()]
        if as_json:
            _out.print_json(data=[
                {"name": s.name, "task": e.task, "family": e.family, "licence": e.licence,
                 "sha256": e.sha256, "state": s.state, "path": str(s.path) if s.path else None}
                for e, s in rows
            ])  # fmt: skip
        else:
            _out.print(models_table(rows))


@models_app.command("fetch")
def models_fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models to fetch; without, the face models.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Fetch again, replacing a file with a wrong hash.")
    ] = False,
) -> None:
    """Fetch models into the cache, verified; afterwards everything works offline."""
    with _reported():
        from edge import progress
        from edge.config import Settings

        store = _store()
        with progress.fetching(_err) as fetching:
            if names:
                paths = [store.fetch(name, fetching, force=force) for name in names]
            else:
                preference = Settings().video.models.face.model
                paths = [store.resolve(preference, True, fetching).path]
        for path in paths:
            _out.print(str(path), soft_wrap=True, highlight=False)


@models_app.command("verify")
def models_verify() -> None:
    """Check the SHA-256 of every model on this machine."""
    with _reported():
        store = _store()
        wrong = 0
        for name in store.catalogue.names():
            status = store.status(name)
            wrong += status.state == "wrong hash"
            _out.print(f"{status.state:>10}  {name}  {status.path or ''}", soft_wrap=True)
        if wrong:
            _err.print("Replace them: privaedge models fetch NAME --force")
            raise typer.Exit(int(ExitCode.MODEL))


@config_app.command("show")
def config_show(
    profile: Profile = None, config: ConfigFile = None, overrides: Overrides = None
) -> None:
    """Print all settings as a run would use them, as YAML."""
    with _reported():
        from edge.config_io import dump_yaml, load_config

        sys.stdout.write(dump_yaml(load_config(profile, config, overrides or ())))


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of config files, for editors."""
    from edge.config import config_schema as schema

    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")


@config_app.command("check")
def config_check(
    files: Annotated[list[Path], typer.Argument(help="Config files to check.")],
) -> None:
    """Check config files; print every problem."""
    with _reported():
        from edge.config_io import ConfigProblemsError, load_config
        from edge.errors import ConfigError

        failed = False
        for file in files:
            try:
                load_config(None, file)
                _out.print(f"{file}: good", highlight=False)
            except ConfigProblemsError as error:
                failed = True
                for problem in error.problems:
                    _err.print(problem, markup=False, highlight=False, soft_wrap=True)
            except ConfigError as error:
                failed = True
                _err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(int(ExitCode.CONFIG if failed else ExitCode.OK))


def _store() -> Any:
    from edge.config import Settings
    from edge.model_store import store_of

    return store_of(Settings())


def _write_json(path: Path, data: dict[str, Any]) -> None:
    from edge.errors import SinkError

    try:
        path.write_text(json.dumps(data, indent=1) + "\n")
    except OSError as error:
        raise SinkError(
            f"figures cannot be written to {path}: {error.strerror}. Choose another --stats file."
        ) from error


@contextmanager
def _reported(debug: bool = False) -> Any:
    """Turn errors into one line and an exit code."""
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(relativeCreated)8d %(name)s %(message)s")
    else:
        logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        yield
    except PrivaedgeError as error:
        if debug:
            raise
        _err.print(f"privaedge: {error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(int(error.exit_code)) from None
    except KeyboardInterrupt:
        _err.print("privaedge: interrupted")
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None


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
    app()


if __name__ == "__main__":
    main()
