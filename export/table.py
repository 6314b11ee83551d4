"""Tables: what an export came to, what can be exported, and the figures of all models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from edge.inference.manifest import Check, Manifest
from edge.model_store import ModelStore
from export.registry import random_sources
from export.rows import Row
from export.sources import OWN, names


def summary(rows: Sequence[Row]) -> Table:
    """Return steps with errors and times."""
    table = Table(box=None, pad_edge=False)
    for column in ("model", "step", "", "error", "same answers", "accuracy", "seconds", "size"):
        table.add_column(column, justify="right" if column in ("seconds", "size") else "left")
    colours = {"gated": "yellow", "failed": "bold red", "left": "cyan", "kept": "dim"}
    for row in rows:
        colour = colours.get(row.state)
        state = f"[{colour}]{row.state}" if colour else row.state
        error, same, accuracy = figures(row.compared)
        size = f"{row.size / 1e6:.1f} MB" if row.size else ""
        weights = " (random weights)" if row.weights == "random" else ""
        table.add_row(
            row.model + weights, row.step, state, error, same, accuracy, f"{row.seconds:.1f}", size
        )
    return table


def figures(check: Check | None) -> tuple[str, str, str]:
    """Return error, share of same answers, and accuracy beside FP32's, as words."""
    if check is None:
        return "", "", ""
    accuracy = ""
    if check.accuracy is not None and check.accuracy_fp32 is not None:
        accuracy = f"{100 * check.accuracy:.1f} % ({100 * check.accuracy_fp32:.1f} %)"
    return f"{check.error:.1e}", f"{100 * check.agreement:.2f} %", accuracy


def listing(store: ModelStore, manifest: Manifest) -> list[dict[str, Any]]:
    """Return what can be exported, and what of it has been. Raises ModelError."""
    bare = {source.name: source for source in random_sources()}
    rows = []
    for name in names(store):
        if (source := bare.get(name)) is not None:
            family, weights, licence, here = source.family, "random", source.licence, "yes"
        elif name in store.catalogue:
            entry = store.catalogue[name]
            family, weights, licence = entry.family, "published", entry.licence
            here = "yes" if store.find(name) is not None else "no"
        else:
            family, weights, licence, here = OWN[name][0], "published", "Apache-2.0", "yes"
        rows.append({"model": name, "family": family, "weights": weights, "licence": licence,
                     "here": here, "exported": _exported(manifest, name)})  # fmt: skip
    known = {row["model"] for row in rows}
    for name in sorted({file.model for file in manifest.files} - known):
        file = next(manifest.of(name))
        rows.append({"model": name, "family": file.family, "weights": file.origin.weights,
                     "licence": file.origin.licence, "here": "yes",
                     "exported": _exported(manifest, name)})  # fmt: skip
    targets = ", ".join(target for kernel in manifest.kernels for target in kernel.targets)
    rows.append({"model": "kernels", "family": "CUDA kernels", "weights": "none",
                 "licence": "Apache-2.0", "here": "yes", "exported": targets})  # fmt: skip
    return rows


def _exported(manifest: Manifest, name: str) -> str:
    words = [
        f.precision if f.engine is None else f"{f.precision} {f.engine.target}"
        for f in manifest.of(name)
    ]
    return ", ".join(dict.fromkeys(words))
