"""What does export cost each model, and how exact is what it makes?

One line for each network, with the error of each step (the largest difference from the framework
that it came from, as a share of the output's largest value), the share of the task's answers that
are the same (boxes, characters, words, decisions), the seconds that it took, and whether the
accuracy gate took it. Hides: of labelled boxes, those of which three quarters lie under one
detection. Engines are compiled by tensorrt-rtx ahead of time, without a GPU, of what the gate took.

Architectures whose weights need a hub have random ones: their graphs are compared like all others,
in FP32 and FP16. What INT8 loses with random weights says nothing of trained ones.

--film measures what a precision hides over all frames of a film whose FILM.json labels them, by
each detector alone and frame by frame: what the tracker makes up for is not counted.

examples:
  python -m benchmarks.export --all --precision fp16 int8 fp8 --material pictures/ --markdown
  python -m benchmarks.export yunet-n centerface --precision int8 fp8 --film clip.mp4
  python -m benchmarks.export --json
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._common import emit, main, parser
from benchmarks._export_film import Hidden, hidden_in
from edge.config import Settings
from edge.errors import PrivaedgeError
from edge.inference.manifest import PRECISIONS, Check, Precision
from edge.model_store import store_of
from export.exporter import Exporter
from export.family import Source
from export.material import Material
from export.registry import random_sources
from export.rows import INPUTS, Row, Wish
from export.sources import here, source_of

TARGETS = ("sm_86", "sm_89", "sm_120")


@dataclass(frozen=True)
class Step:
    """What came of one step."""

    state: str
    seconds: float
    check: Check | None = None
    note: str = ""


@dataclass
class Line:
    """What is known of one network.

    steps: by name; of a precision that was tried with several layers spared, what came last.
    engines: by precision and target. hidden: of a film, by precision.
    """

    weights: str
    steps: dict[str, Step] = field(default_factory=dict)
    engines: dict[str, dict[str, Step]] = field(default_factory=dict)
    hidden: dict[str, Hidden] = field(default_factory=dict)
    failure: str = ""


class Measurement:
    """Exports models into a folder of their own; each precision is asked for by itself."""

    def __init__(self, folder: Path, wish: Wish, film: Path | None, say: Console) -> None:
        """wish: what to compare on. film: labelled, to be looked for hidden boxes in."""
        self.lines: dict[str, Line] = {}
        self._folder, self._wish, self._film, self._say = folder, wish, film, say
        self._precision: Precision = "fp32"
        """Of the graph that the next engine is built of."""

    def run(self, source: Source, precisions: list[Precision]) -> None:
        """Export one model in each precision. One that fails is told of in its line."""
        if source.weights == "random":
            precisions = [one for one in precisions if one == "fp16"] or ["fp32"]
        for precision in precisions:
            wish = Wish(precision, TARGETS, self._wish.material, self._wish.inputs)
            self._precision = "fp32"
            exporter = Exporter(self._folder, tell=lambda _: None, report=self._take)
            try:
                exporter.export(source, wish)
            except PrivaedgeError as error:
                self.lines.setdefault(source.name, Line(source.weights)).failure = str(error)
                self._say.print(f"  FAILED: {error}", markup=False, highlight=False)
        if self._film is not None and source.weights != "random":
            for name, hidden in hidden_in(
                self._film, self._folder, source, self._say.print
            ).items():
                self.lines[name].hidden = hidden

    def _take(self, row: Row) -> None:
        line = self.lines.setdefault(row.model, Line(row.weights))
        step = Step(row.state, row.seconds, row.compared, row.note)
        if row.step == "onnx":
            self._precision = "fp32"  # a source's next part
        if row.step.startswith("engine"):
            target = row.step.removeprefix("engine").strip()
            line.engines.setdefault(self._precision, {}).setdefault(target, step)
        else:
            line.steps.setdefault(row.step, step)
            if row.step in PRECISIONS and row.state != "gated":
                self._precision = row.step  # type: ignore[assignment]
        words = f"  {row.model} · {row.step} · {row.state} in {row.seconds:.1f} s"
        if row.state != "kept":
            self._say.print(words, markup=False, highlight=False, soft_wrap=True)


def columns(precisions: list[Precision], *, film: bool) -> list[str]:
    """Return the table's heads."""
    upper = [precision.upper() for precision in precisions]
    return ["network", "inputs", "ONNX", *upper, *(["hides in the film"] if film else []),
            "engines"]  # fmt: skip


def cells(name: str, line: Line, precisions: list[Precision], *, film: bool) -> list[str]:
    """Return one row of the table."""
    made, verified = line.steps.get("onnx"), line.steps.get("verify fp32")
    check = verified.check if verified else None
    row = [
        name.replace("-random", " *random*"),
        str(check.inputs) if check else "–",
        _step(verified, plus=made.seconds if made else 0.0) if check else line.failure or "–",
        *(_step(line.steps.get(precision)) for precision in precisions),
    ]
    if film:
        row.append(", ".join(f"{p} {hidden}" for p, hidden in line.hidden.items()) or "–")
    return [*row, _engines(line)]


def _step(step: Step | None, plus: float = 0.0) -> str:
    if step is None:
        return "–"
    words = []
    if (check := step.check) is not None:
        error = "exact" if check.error == 0 else f"{check.error:.1e}"
        words = [error, f"{100 * check.agreement:.2f} %".replace(".00", "")]
        if check.accuracy is not None:
            words.append(f"hides {100 * check.accuracy:.1f} %")
    words.append(f"{step.seconds + plus:.1f} s")
    if step.state == "gated":
        words[-1] += "; refused"
    elif step.note:
        words[-1] += f"; {step.note}"
    return ", ".join(words)


def _engines(line: Line) -> str:
    words = []
    for precision, built in line.engines.items():
        done = {target: step for target, step in built.items() if step.state in ("done", "kept")}
        if done:
            times = " ".join(f"{step.seconds:.1f}" for step in done.values())
            lacking = [target for target in TARGETS if target not in done]
            without = f", none for {', '.join(lacking)}" if lacking else ""
            words.append(f"{precision} {times} s{without}")
        else:
            notes = {step.note for step in built.values()}
            words.append(f"none: {'; '.join(sorted(notes))}")
    return "; ".join(dict.fromkeys(words)) or "–"


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
    args.add_argument("--material", type=Path, help="folder of pictures, films and sound")
    args.add_argument("--film", type=Path, help="a film with its labels beside it")
    args.add_argument("--inputs", type=int, default=INPUTS)
    args.add_argument("--markdown", action="store_true", help="print Markdown")
    args.add_argument("--json", action="store_true", help="print JSON")
    given = args.parse_args(argv)
    say, store, started = Console(stderr=True), store_of(Settings()), time.monotonic()
    names = list(given.models or here(store))
    if given.all:
        names += [one.name for one in random_sources() if one.name not in names]
    with tempfile.TemporaryDirectory() as folder:
        wish = Wish(material=Material(given.material), inputs=given.inputs)
        measurement = Measurement(Path(folder), wish, given.film, say)
        for at, name in enumerate(names, 1):
            minutes = (time.monotonic() - started) / 60
            say.print(f"{at} of {len(names)}, {minutes:.1f} min: {name}", highlight=False)
            before = set(measurement.lines)
            measurement.run(source_of(name, store), given.precision)
            for new, line in measurement.lines.items():
                if new not in before:  # so that a run that is broken off has not been for nothing
                    row = cells(new, line, given.precision, film=given.film is not None)
                    say.print(" | ".join(row), markup=False, highlight=False, soft_wrap=True)
    lines, film = measurement.lines, given.film is not None
    head = columns(given.precision, film=film)
    rows = [cells(name, line, given.precision, film=film) for name, line in lines.items()]
    if given.markdown:
        print(as_markdown(head, rows))
    else:
        table = Table(*head, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        emit({name: _plain(line) for name, line in lines.items()}, [table], as_json=given.json)
    return 0


def _plain(line: Line) -> dict[str, Any]:
    def plain(step: Step) -> dict[str, Any]:
        check = step.check.model_dump() if step.check else None
        return {"state": step.state, "seconds": step.seconds, "note": step.note, "check": check}

    return {
        "weights": line.weights,
        "steps": {name: plain(step) for name, step in line.steps.items()},
        "engines": {p: {target: plain(step) for target, step in built.items()}
                    for p, built in line.engines.items()},
        "film": {p: {"boxes": hidden.of, "hidden": hidden.right}
                 for p, hidden in line.hidden.items()},
        "failure": line.failure,
    }  # fmt: skip


if __name__ == "__main__":
    main(command)
