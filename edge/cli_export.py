"""The export verb: models to ONNX, checked, then to engines, checked again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from edge.cli_common import Json, err, out, reported
from edge.errors import ConfigError, ExitCode, ModelError

if TYPE_CHECKING:
    from edge.inference.manifest import Manifest
    from edge.model_store import ModelStore
    from export.family import Source
    from export.material import Material
    from export.rows import Row, Wish

_CALIBRATION: Final = "calibration"
"""Folder below the engines' one: pictures and sound to use where --calibration names no other."""
_KERNELS: Final = "kernels"
"""What to export by that name: no model, but the CUDA kernels of the redactor."""


def export(  # noqa: PLR0917 - typer's way
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Names from --list, or files of your own; without, all models whose weights are "
            "here. kernels: the CUDA kernels, for all usual GPUs or each --target.",
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            help="fp32, fp16, int8 or fp8. Where one costs more than a point of accuracy, the next "
            "higher one is taken.",
        ),
    ] = "fp16",
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="GPU to build for: auto (the one here) or sm_86, sm_89, sm_120, … ahead of time. "
            "May be repeated.",
        ),
    ] = None,
    verify_only: Annotated[
        bool, typer.Option("--verify-only", help="Check what was exported; build nothing.")
    ] = False,
    left: Annotated[
        bool,
        typer.Option(
            "--left", help="Build for the GPU here what was exported on a machine without it."
        ),
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List what can be exported.")] = False,
    family: Annotated[
        str | None, typer.Option("--family", help="Of a file of your own: yolo-pt, whisper, …")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", help="What to call a file of your own in settings.")
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Let a .pt file run its own code while it is read, where nothing less will do. "
            "Only for files whose origin you know.",
        ),
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="DIR",
            help="Real pictures, films and sound to compare and calibrate with, at best the "
            "camera's own. A labels.json beside pictures makes accuracy measurable.",
        ),
    ] = None,
    inputs: Annotated[
        int, typer.Option("--inputs", min=1, max=1000, help="Real inputs to compare on.")
    ] = 50,
    as_json: Json = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Turn models into ONNX and TensorRT engines that the runtime trusts.

    Every step is checked: ONNX against the original, lower precision and engines against ONNX.
    What passes goes into the engines folder with a manifest; the runtime loads nothing else from
    there. What fails leaves what was there before. Without a GPU it goes as far as it can, and says
    what is left for the device.
    """
    with reported(debug):
        from edge.config import Settings
        from edge.inference.manifest import PRECISIONS, engines_dir
        from edge.model_store import store_of
        from export.rows import Wish

        if precision not in PRECISIONS:
            raise ConfigError(f"{precision} is no precision. Use one of {', '.join(PRECISIONS)}.")
        store = store_of(Settings())
        if list_:
            _print_list(store, as_json)
            return
        if left:
            code = _finish(store, calibration, as_json)
            raise typer.Exit(int(code))
        folder = engines_dir()
        if models == [_KERNELS]:
            _export_kernels(folder, _targets(target), as_json)
            return
        wish = Wish(precision, _targets(target), _material(calibration, folder), inputs)
        sources = _sources(models or (), family, name, store, trust=trust)
        rows, failures = _run([(s, wish) for s in sources], folder, verify_only=verify_only)
        _print_rows(rows, failures, folder, as_json)
        failed = failures or any(row.state == "failed" for row in rows)
        raise typer.Exit(int(ExitCode.MODEL if failed else ExitCode.OK))


def _export_kernels(folder: Path, targets: tuple[str, ...], as_json: bool) -> None:
    """Compile the CUDA kernels and let the manifest vouch for them. Raises ModelError."""
    from export.kernels import export_kernels

    try:
        records = export_kernels(folder, targets)
    except OSError as error:
        raise ModelError(
            f"the kernels cannot be written to {folder}: {error.strerror}. Set PRIVAEDGE_ENGINES "
            "to a folder that can be written to."
        ) from error
    if as_json:
        out.print_json(
            data={"folder": str(folder), "kernels": [record.model_dump() for record in records]}
        )
        return
    for record in records:
        words = f"kernels · {', '.join(record.targets)} · {record.format} by {record.compiler}"
        out.print(f"{words}, {record.size / 1e3:.0f} kB", highlight=False, soft_wrap=True)


def _targets(stated: list[str] | None) -> tuple[str, ...]:
    """Return named targets; none for what is here. Raises ConfigError."""
    found = [word.strip().lower() for item in stated or () for word in item.split(",")]
    for word in found:
        if word != "auto" and not (word.startswith("sm_") and word[3:].isdecimal()):
            raise ConfigError(f"{word} is no target. Use auto, or the like of sm_87 or sm_89.")
    return tuple(dict.fromkeys(word for word in found if word != "auto"))


def _sources(
    models: list[str] | tuple[str, ...],
    family: str | None,
    name: str | None,
    store: ModelStore,
    *,
    trust: bool = False,
) -> list[Source]:
    from edge import progress
    from export.sources import here, own_source, source_of

    files = [m for m in models if _is_file(m)]
    if files and len(models) > 1 and name is not None:
        raise ConfigError("--as names one file. Export files of your own one at a time.")
    if (family is not None or name is not None or trust) and not files:
        raise ConfigError(
            "--family, --as and --trust are for a file of your own. Name that file, too."
        )
    with progress.fetching(err) as fetching:
        if not models:
            return [source_of(one, store, fetching) for one in here(store)]
        return [
            own_source(_name_of(Path(one), name, store), Path(one), family, trust=trust)
            if one in files
            else source_of(one, store, fetching)
            for one in models
        ]


def _is_file(model: str) -> bool:
    return "/" in model or Path(model).suffix in (".onnx", ".pt", ".pth", ".ort")


def _name_of(path: Path, stated: str | None, store: ModelStore) -> str:
    import re

    name = stated or re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise ConfigError(f"{name!r} is no name. Use small letters, digits and dashes with --as.")
    if name in store.catalogue:
        raise ConfigError(f"{name} is in the catalogue. Choose another name with --as.")
    return name


def _run(
    work: list[tuple[Source, Wish]], folder: Path, *, verify_only: bool
) -> tuple[list[Row], dict[str, ModelError]]:
    """Export one after the other; one that fails does not keep the others from it."""
    from export.exporter import Exporter

    rows: list[Row] = []
    failures: dict[str, ModelError] = {}
    with _Display(err) as display:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ModelError(
                f"{folder} cannot be made: {error.strerror}. Set PRIVAEDGE_ENGINES to a folder "
                "that can be written to."
            ) from error

        def report(row: Row) -> None:
            rows.append(row)
            display.done(row)

        exporter = Exporter(folder, tell=display.tell, report=report)
        for source, wish in work:
            try:
                step = exporter.verify if verify_only else exporter.export
                step(source, wish)
            except ModelError as error:
                failures[source.name] = error
                display.failed(source.name, error)
    return rows, failures


def _material(stated: Path | None, folder: Path) -> Material:
    """Return what to compare on: a folder that was named, the engines' own, else what ships."""
    from export.material import Material

    own = folder / _CALIBRATION
    return Material(own if stated is None and own.is_dir() else stated)


def _finish(store: ModelStore, calibration: Path | None, as_json: bool) -> ExitCode:
    """Build engines for the GPU here, of the models and precisions that the manifest has."""
    from edge.inference.gpu import gpu_here
    from edge.inference.manifest import engines_dir, load_manifest, unfinished
    from export.rows import Wish

    folder, gpu = engines_dir(), gpu_here()
    if gpu is None:
        out.print("no NVIDIA GPU is here: there is nothing to build")
        return ExitCode.OK
    material = _material(calibration, folder)
    manifest, work = _undamaged(load_manifest(folder), folder), []
    for model, precision in unfinished(manifest, gpu.target, gpu.driver).items():
        source = _left_source(model, manifest, folder, store)
        if source is None:
            err.print(
                f"{model} · left: its weights are not here, and its family cannot be checked "
                "without them. Export it on this machine.",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip
            continue
        work.append((source, Wish(precision, material=material)))
    rows, failures = _run(work, folder, verify_only=False)
    _print_rows(rows, failures, folder, as_json)
    return ExitCode.MODEL if failures else ExitCode.OK


def _undamaged(manifest: Manifest, folder: Path) -> Manifest:
    """Return a manifest without engines that are not what it vouches for; tell of those."""
    from edge.inference.manifest import read_vouched

    good = []
    for file in manifest.files:
        try:
            if file.kind == "engine":
                read_vouched(folder, file)
            good.append(file)
        except ModelError as error:
            err.print(f"{error} This is done now.", markup=False, highlight=False, soft_wrap=True)
    return manifest.model_copy(update={"files": tuple(good)})


def _left_source(model: str, manifest: Manifest, folder: Path, store: ModelStore) -> Source | None:
    """Return what to build an engine from; None for a user's weights that only torch can read.

    Weights of the user's own are elsewhere: the ONNX file that was made of them stands for them.
    Raises ModelError.
    """
    from export.registry import family
    from export.sources import names, source_of, vouched_source

    if model in names(store):
        return source_of(model, store)
    graphs = [file for file in manifest.of(model, "onnx") if file.precision == "fp32"]
    if len(graphs) != 1:
        return None
    source = vouched_source(graphs[0], folder)
    return source if family(graphs[0].family).can_load(source) else None


class _Display:
    """What is being done, on one line of a terminal; what came of it, on one line each."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("starting") if console.is_terminal else None

    def __enter__(self) -> _Display:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, what: str) -> None:
        if self._status is not None:
            self._status.update(what)

    def done(self, row: Row) -> None:
        note = f": {row.note}" if row.note else ""
        self._line(f"{row.model} · {row.step} · {row.state} in {row.seconds:.1f} s{note}")

    def failed(self, name: str, error: ModelError) -> None:
        self._line(f"{name} · FAILED: {error}")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_rows(
    rows: list[Row], failures: dict[str, ModelError], folder: Path, as_json: bool
) -> None:
    if as_json:
        out.print_json(data={"folder": str(folder), "steps": [_plain(row) for row in rows],
                             "failed": {k: str(v) for k, v in failures.items()}})  # fmt: skip
        return
    from export.table import summary

    if rows:
        out.print(summary(rows))
    for name, error in failures.items():
        err.print(f"privaedge: {name}: {error}" if not str(error).startswith(name) else
                  f"privaedge: {error}", markup=False, highlight=False, soft_wrap=True)  # fmt: skip


def _plain(row: Row) -> dict[str, Any]:
    check = row.compared.model_dump() if row.compared else None
    return {"model": row.model, "weights": row.weights, "step": row.step, "state": row.state,
            "seconds": row.seconds, "note": row.note, "size": row.size, "check": check}  # fmt: skip


def _print_list(store: ModelStore, as_json: bool) -> None:
    from edge.inference.manifest import engines_dir, load_manifest
    from export.table import listing

    manifest = load_manifest(engines_dir())
    rows = listing(store, manifest)
    if as_json:
        out.print_json(data=rows)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("model", "family", "weights", "licence", "here", "exported"):
        # A name that is cut off cannot be typed.
        table.add_column(column, no_wrap=column in ("model", "family"), overflow="fold")
    for row in rows:
        table.add_row(*(str(row[key]) for key in row))
    out.print(table)
