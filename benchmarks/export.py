"""What does export cost each model, and how exact is what it makes?

One line for each network: the error of its ONNX file against the framework that it came from (the
largest difference, as a share of the output's largest value), the share of the task's answers that
are the same (boxes, characters, words, decisions), what lower precision does to both, whether the
accuracy gate took it, and the seconds in which tensorrt-rtx compiles it ahead of time for each
target, without a GPU. Accuracy is what is found of labelled boxes, in brackets that of FP32.

examples:
  python -m benchmarks.export --all --markdown
  python -m benchmarks.export yunet-n centerface --precision fp16 int8 fp8 --material pictures/
  python -m benchmarks.export --json
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._common import emit, main, parser
from edge.config import Settings
from edge.errors import ModelError
from edge.inference.manifest import PRECISIONS, Check
from edge.model_store import store_of
from export.exporter import Exporter
from export.material import Material
from export.registry import random_sources
from export.rows import INPUTS, Row, Wish
from export.sources import here, source_of
from export.table import figures

TARGETS = ("sm_86", "sm_89", "sm_120")


@dataclass
class Line:
    """What is known of one network. seconds: by step."""

    weights: str
    check: Check | None = None
    lower: dict[str, tuple[str, Check | None]] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failure: str = ""


def measure(
    names: list[str], precisions: list[str], material: Material, inputs: int, say: Console
) -> dict[str, Line]:
    """Export models into a folder of their own; each precision is asked for by itself."""
    store = store_of(Settings())
    lines: dict[str, Line] = {}

    def take(row: Row) -> None:
        line = lines.setdefault(row.model, Line(row.weights))
        if row.state != "kept":
            line.seconds[row.step] = row.seconds
        if row.step == "verify fp32":
            line.check = row.compared
        elif row.step in PRECISIONS:
            if row.state == "gated" or row.step not in line.lower:
                line.lower[row.step] = (row.state, row.compared)
        elif row.step.startswith("engine"):
            target = row.step.removeprefix("engine").strip()
            line.engines[target] = f"{row.seconds:.1f}" if row.state == "done" else row.state
            if row.state in ("left", "failed"):
                line.failure = row.note

    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for precision in precisions:
                say.print(f"{name}: {precision}", highlight=False)
                targets = TARGETS if precision == precisions[0] else ()
                wish = Wish(precision, targets, material, inputs)  # type: ignore[arg-type]
                exporter = Exporter(Path(folder), tell=lambda _: None, report=take)
                try:
                    exporter.export(source_of(name, store), wish)
                except ModelError as error:
                    lines.setdefault(name, Line("")).failure = str(error)
    return lines


def cells(name: str, line: Line, precisions: list[str]) -> list[str]:
    """Return one row: name, ONNX, each precision, engines, seconds."""
    error, same, accuracy = figures(line.check)
    row = [name + (" (random weights)" if line.weights == "random" else ""), error, same, accuracy]
    for precision in precisions:
        state, check = line.lower.get(precision, ("", None))
        error, same, accuracy = figures(check)
        words = " · ".join(w for w in (error, same, accuracy) if w)
        row.append(f"{words} · refused by the gate" if state == "gated" else words or "–")
    built = [line.engines.get(target, "–") for target in TARGETS]
    shown = " ".join(built) if any(b[0].isdigit() for b in built) else line.failure[:60] or "–"
    made = sum(line.seconds.get(step, 0.0) for step in ("onnx", "verify fp32"))
    return [*row, shown, f"{made:.1f}"]


def columns(precisions: list[str]) -> list[str]:
    """Return the table's heads."""
    return ["model", "ONNX error", "same answers", "accuracy", *precisions,
            f"AOT s ({', '.join(TARGETS)})", "ONNX s"]  # fmt: skip


def as_markdown(head: list[str], rows: list[list[str]]) -> str:
    """Return a table for a README."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def command(argv: list[str]) -> int:
    """Run the benchmark; see the module's docstring."""
    args = parser("export", __doc__)
    args.add_argument("models", nargs="*", help="default: all whose weights are on this machine")
    args.add_argument(
        "--all", action="store_true", help="besides them, every architecture with random weights"
    )
    args.add_argument("--precision", nargs="+", choices=PRECISIONS[1:], default=["fp16"])
    args.add_argument("--material", type=Path, help="folder of pictures and sound")
    args.add_argument("--inputs", type=int, default=INPUTS)
    args.add_argument("--markdown", action="store_true", help="print Markdown")
    args.add_argument("--json", action="store_true", help="print JSON")
    given = args.parse_args(argv)
    say = Console(stderr=True)
    names = list(given.models or here(store_of(Settings())))
    if given.all:
        names += [one.name for one in random_sources()]
    lines = measure(names, given.precision, Material(given.material), given.inputs, say)
    head = columns(given.precision)
    rows = [cells(name, line, given.precision) for name, line in lines.items()]
    if given.markdown:
        print(as_markdown(head, rows))
    else:
        table = Table(*head, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        emit({name: _plain(line) for name, line in lines.items()}, [table], as_json=given.json)
    return 0


def _plain(line: Line) -> dict[str, Any]:
    return {
        "weights": line.weights,
        "fp32": line.check.model_dump() if line.check else None,
        "lower": {p: {"state": s, "check": c.model_dump() if c else None}
                  for p, (s, c) in line.lower.items()},
        "engines": line.engines, "seconds": line.seconds, "failure": line.failure,
    }  # fmt: skip


if __name__ == "__main__":
    main(command)
