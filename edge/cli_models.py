"""The models verbs: list, fetch, verify."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edge.cli_common import Json, Profile, err, out, reported
from edge.errors import ExitCode

models_app = typer.Typer(no_args_is_help=True, help="List, fetch and verify model files.")


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """List every model of the catalogue, and whether it is on this machine."""
    with reported():
        from edge.progress import models_table

        store = _store()
        rows = [(store.catalogue[name], store.status(name)) for name in store.catalogue.names()]
        if as_json:
            out.print_json(data=[
                {"name": s.name, "task": e.task, "family": e.family, "licence": e.licence,
                 "sha256": e.sha256, "state": s.state, "path": str(s.path) if s.path else None}
                for e, s in rows
            ])  # fmt: skip
        else:
            out.print(models_table(rows))


@models_app.command("fetch")
def models_fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Models of the catalogue, or a speech model such as moonshine-tiny-en; without, "
            "all that a run needs."
        ),
    ] = None,
    profile: Profile = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Fetch again, replacing a file with a wrong hash.")
    ] = False,
) -> None:
    """Fetch models into the cache, verified; afterwards everything works offline."""
    with reported():
        from edge import progress
        from edge.config_io import load_config
        from edge.model_store import store_of
        from edge.needed_models import fetch_needed, files_of

        settings = load_config(profile)
        store, notes = store_of(settings), list[str]()
        with progress.fetching(err) as fetching:
            if names:
                files = [file for name in names for file in files_of(name, store)]
                paths = [store.fetch(file, fetching, force=force) for file in files]
            else:
                paths, notes = fetch_needed(settings, store, fetching)
        for note in notes:
            err.print(f"note: {note}", soft_wrap=True, highlight=False, markup=False)
        for path in paths:
            out.print(str(path), soft_wrap=True, highlight=False)


@models_app.command("verify")
def models_verify() -> None:
    """Check the SHA-256 of every model on this machine."""
    with reported():
        store = _store()
        wrong = 0
        for name in store.catalogue.names():
            status = store.status(name)
            wrong += status.state == "wrong hash"
            out.print(f"{status.state:>10}  {name}  {status.path or ''}", soft_wrap=True)
        if wrong:
            err.print("Replace them: privaedge models fetch NAME --force")
            raise typer.Exit(int(ExitCode.MODEL))


def _store() -> Any:
    from edge.config import Settings
    from edge.model_store import store_of

    return store_of(Settings())
