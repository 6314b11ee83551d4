"""What the command's verbs share: consoles, options, and how errors are told."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from edge.errors import ExitCode, PrivaedgeError

out = Console()
err = Console(stderr=True)

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


@contextmanager
def reported(debug: bool = False) -> Any:
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
        err.print(f"privaedge: {error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(int(error.exit_code)) from None
    except KeyboardInterrupt:
        err.print("privaedge: interrupted")
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
