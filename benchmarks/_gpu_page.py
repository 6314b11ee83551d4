"""The tables of a GPU's benchmark as a page in Markdown, with what they were measured on."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.table import Table

from edge.inference.cuda import Cuda
from edge.probe import probe_machine

_PACKAGES = ("onnxruntime-gpu", "onnxruntime", "tensorrt", "tensorrt-rtx", "av", "numpy")


def facts(cuda: Cuda, compiler: str) -> list[tuple[str, str]]:
    """Return what a figure is worth nothing without: hardware, drivers, versions, the date."""
    machine = probe_machine()
    found = [("date", datetime.datetime.now(datetime.UTC).strftime("%d %B %Y").lstrip("0"))]
    for gpu in machine.gpus[:1]:
        memory = f"{gpu.memory_mib:,} MiB" if gpu.memory_mib else "the system's memory"
        found.append(("GPU", f"{gpu.name}, {cuda.target}, {memory}; driver {gpu.driver}"))
    found += [
        ("machine", f"{machine.cpu}, {machine.system}"),
        ("kernels", f"compiled by {compiler}, called through {cuda.binding}"),
    ]
    packages = []
    for name in _PACKAGES:
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return [*found, ("packages", ", ".join(packages))]


def page(title: str, known: Sequence[tuple[str, str]], tables: Sequence[Table],
         notes: Sequence[str]) -> str:  # fmt: skip
    """Return a page of Markdown: what was measured on, tables under their titles, notes."""
    parts = [f"## {title}", _rows(("", ""), known)]
    for table in tables:
        rows = list(zip(*([str(cell) for cell in column.cells] for column in table.columns),
                        strict=True))  # fmt: skip
        heads = [str(column.header) for column in table.columns]
        parts += [f"**{table.title}**", _rows(heads, rows, [c.justify for c in table.columns])]
    parts += [f"- left out: {note}" for note in notes]
    return "\n\n".join(parts) + "\n"


def _rows(heads: Sequence[str], rows: Sequence[Sequence[Any]], justify: Sequence[str] = ()) -> str:
    rule = ["---:" if side == "right" else "---" for side in justify] or ["---"] * len(heads)
    lines = [heads, rule, *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
