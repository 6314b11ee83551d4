"""The config verbs: show, schema, check."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.cli_common import ConfigFile, Overrides, Profile, err, out, reported
from edge.errors import ExitCode

config_app = typer.Typer(no_args_is_help=True, help="Show and check settings.")


@config_app.command("show")
def config_show(
    profile: Profile = None, config: ConfigFile = None, overrides: Overrides = None
) -> None:
    """Print all settings as a run would use them, as YAML."""
    with reported():
        from edge.config_io import dump_yaml, load_config

        sys.stdout.write(dump_yaml(load_config(profile, config, overrides or ())))


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of config files, for editors."""
    from edge.config_schema import config_schema as schema

    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")


@config_app.command("check")
def config_check(
    files: Annotated[list[Path], typer.Argument(help="Config files to check.")],
) -> None:
    """Check config files; print every problem."""
    with reported():
        from edge.config_io import ConfigProblemsError, load_config
        from edge.errors import ConfigError

        failed = False
        for file in files:
            try:
                load_config(None, file)
                out.print(f"{file}: good", highlight=False)
            except ConfigProblemsError as error:
                failed = True
                for problem in error.problems:
                    err.print(problem, markup=False, highlight=False, soft_wrap=True)
            except ConfigError as error:
                failed = True
                err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(int(ExitCode.CONFIG if failed else ExitCode.OK))
