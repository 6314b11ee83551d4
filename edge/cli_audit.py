"""The audit verbs: verify, export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli_common import Json, err, out, reported
from edge.errors import AuditError, ExitCode

if TYPE_CHECKING:
    from edge.appliance.audit_record import Record
    from edge.appliance.audit_verify import Report

audit_app = typer.Typer(
    no_args_is_help=True,
    help="Check and export the signed record of what a service and its operators did.",
)

Folder = Annotated[
    Path | None,
    typer.Argument(help="The audit's folder; without, that of the service with --config."),
]
Config = Annotated[
    Path, typer.Option("--config", "-c", help="The service's YAML, whose audit is meant.")
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", help="Public key that was noted elsewhere: 64 digits, or a file with them."
    ),
]
_CONFIG = Path("/etc/privaedge/privaedge.yaml")


@audit_app.command("verify")
def audit_verify(
    folder: Folder = None, config: Config = _CONFIG, key: Key = None, as_json: Json = False
) -> None:
    """Check every record: signatures, order, and that none is missing.

    Exit codes: 0 whole · 8 cut off at its end, as by a power cut · 3 tampered with. Without --key
    the folder vouches for itself: note its key elsewhere.
    """
    with reported():
        report, own = _verify(folder, config, key)
        if as_json:
            out.print_json(data=_as_dict(report, own))
        else:
            _print(report, own, noted=key is not None)
        _exit(report)


@audit_app.command("export")
def audit_export(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; it must not exist.")
    ],
    folder: Folder = None,
    config: Config = _CONFIG,
    key: Key = None,
) -> None:
    """Write all good records into one file of JSON lines, and check them on the way."""
    with reported():
        try:
            file = output.open("x", encoding="ascii")
        except OSError as error:
            raise AuditError(
                f"{output} cannot be written: {error.strerror}. Choose another file."
            ) from None
        with file:

            def write(record: Record) -> None:
                file.write(json.dumps(_plain(record), sort_keys=True, separators=(",", ":")) + "\n")

            try:
                report, own = _verify(folder, config, key, write)
            except BaseException:
                output.unlink(missing_ok=True)
                raise
        _print(report, own, noted=key is not None)
        _exit(report)


def _plain(record: Record) -> dict[str, object]:
    return {
        "v": 1,
        "seq": record.seq,
        "at": record.at,
        "event": record.event,
        "data": dict(record.data),
        "prev": record.prev,
        "sig": record.sig,
    }


def _verify(
    folder: Path | None,
    config: Path,
    key: str | None,
    on_record: Callable[[Record], None] | None = None,
) -> tuple[Report, str]:
    from edge.appliance.audit_files import load_public, parse_public, public_text
    from edge.appliance.audit_verify import verify
    from edge.appliance.state import state_folder

    where = folder or state_folder(config) / "audit"
    noted = None
    if key is not None:
        path = Path(key)
        noted = parse_public(path.read_text() if path.is_file() else key)
    return verify(where, noted, on_record), public_text(load_public(where))


def _print(report: Report, own: str, *, noted: bool) -> None:
    told = {
        "whole": "whole",
        "cut": f"cut off at its end ({report.torn_bytes} bytes), as by a power cut",
        "tampered": f"TAMPERED WITH: {report.problem}",
    }[report.state]
    lines = [
        f"{report.folder}: {told}",
        f"{report.records} good records in {report.files} files, number {report.first} to "
        f"{report.last.seq}, {report.begun} to {report.ended}",
        f"last hash {report.last.hash}",
        f"public key {own}",
    ]
    if report.recovered:
        numbers = ", ".join(map(str, report.recovered[:20]))
        lines.append(
            f"power was lost before record {numbers}; nothing that was vouched for is gone"
        )
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if not noted:
        err.print("The key was not compared with one noted elsewhere (--key).")


def _as_dict(report: Report, own: str) -> dict[str, object]:
    return {
        "state": report.state,
        "problem": report.problem,
        "records": report.records,
        "files": report.files,
        "first": report.first,
        "last": report.last.seq,
        "last_hash": report.last.hash,
        "from": report.begun,
        "to": report.ended,
        "recovered": report.recovered,
        "torn_bytes": report.torn_bytes,
        "public_key": own,
    }


def _exit(report: Report) -> None:
    if report.problem is not None:
        raise AuditError(
            f"the audit was tampered with: {report.problem}. Keep the folder as it is and find out "
            "who could write to it."
        )
    if report.state == "cut":
        raise typer.Exit(int(ExitCode.DAMAGED))
