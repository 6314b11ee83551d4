"""The accuracy gate from end to end: what costs too much is not taken, and the table says so."""

from __future__ import annotations

import io
import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from rich.console import Console

from edge.errors import ModelError
from edge.inference.manifest import load_manifest
from tests.command import blind_yunet, invoke

pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
pytest.importorskip("skimage", reason="inputs are scikit-image's photographs (extra demo)")

from export.exporter import Exporter
from export.rows import Row, Wish
from export.sources import own_source
from export.steps import HIGHER
from export.table import summary


def seeing(model: onnx.ModelProto) -> onnx.ModelProto:
    """A network like it, with a face in every cell: what a broken quantisation may do."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    scores = {o.name for o in changed.graph.output if o.name.startswith(("cls", "obj"))}
    for node in changed.graph.node:
        for at, name in enumerate(node.output):
            if name in scores:
                node.output[at] = f"{name}_before"
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    changed.graph.initializer.append(one)
    changed.graph.node.extend(
        helper.make_node("Add", [f"{name}_before", "one"], [name]) for name in sorted(scores)
    )
    return changed


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setattr("export.steps.gpu_here", lambda: None)
    (tmp_path / "engines").mkdir()
    return tmp_path / "engines"


@pytest.fixture
def broken(monkeypatch) -> set[str]:
    """Precisions that lose too much; the others keep the graph as it is."""
    precisions: set[str] = set()

    def lowered(model, part, precision, samples, name, spared="none"):
        assert samples
        lost = {precision, f"{precision} {spared}"} & precisions
        return seeing(model) if lost else model

    monkeypatch.setattr("export.steps.lowered", lowered)
    monkeypatch.setattr("export.steps.Steps._can", lambda self, module: True)
    return precisions


def export(folder, path, precision) -> list[Row]:
    rows: list[Row] = []
    exporter = Exporter(folder, tell=lambda _: None, report=rows.append)
    exporter.export(own_source("mine", path, None), Wish(precision, inputs=4))
    return rows


@pytest.mark.parametrize(
    ("wished", "bad", "taken"),
    [
        ("int8", set(), "int8"),
        ("int8", {"int8"}, "fp16"),
        ("fp8", {"fp8"}, "fp16"),
        ("int8", {"int8", "fp16"}, None),
        ("fp16", {"fp16"}, None),
    ],
)
def test_the_next_higher_precision_that_passes_is_taken(
    folder, broken, tmp_path, wished, bad, taken
):
    broken |= bad
    rows = export(folder, blind_yunet(tmp_path / "mine.onnx"), wished)
    gated = [row for row in rows if row.state == "gated"]
    assert {row.step for row in gated} == bad
    for row in gated:
        assert row.note.endswith(f"{HIGHER[row.step]} is taken instead")
        assert row.compared is not None
        assert row.compared.agreement == 0
    kept = {file.precision for file in load_manifest(folder).files}
    assert kept == {"fp32"} | ({taken} if taken else set())


@pytest.mark.parametrize(
    ("bad", "note"),
    [
        (set(), ""),
        ({"int8 none"}, "its first layer stays FP16"),
        ({"int8 none", "int8 first"}, "its first and last layers stay FP16"),
    ],
)
def test_layers_are_spared_before_a_precision_is_given_up(folder, broken, tmp_path, bad, note):
    broken |= bad
    rows = export(folder, blind_yunet(tmp_path / "mine.onnx"), "int8")
    (row,) = [row for row in rows if row.step == "int8"]
    assert (row.state, row.note) == ("done", note)


@pytest.mark.parametrize("damage", ["no operator", "no graph"])
def test_what_onnx_runtime_does_not_load_is_refused_like_what_loses_too_much(
    folder, monkeypatch, tmp_path, damage
):
    def lowered(model, part, precision, samples, name, spared="none"):
        if precision == "fp16":
            return model
        changed = onnx.ModelProto()
        if damage == "no operator":
            changed.CopyFrom(model)
            changed.graph.node[0].op_type = "Unheard"
        return changed

    monkeypatch.setattr("export.steps.lowered", lowered)
    monkeypatch.setattr("export.steps.Steps._can", lambda self, module: True)
    rows = export(folder, blind_yunet(tmp_path / "mine.onnx"), "fp8")
    (row,) = [row for row in rows if row.step == "fp8"]
    assert row.state == "gated"
    assert row.compared is not None
    assert (row.compared.agreement, row.compared.error) == (0, float("inf"))
    assert {file.precision for file in load_manifest(folder).files} == {"fp32", "fp16"}


def test_the_table_shows_what_was_refused(folder, broken, tmp_path):
    broken.add("int8")
    rows = export(folder, blind_yunet(tmp_path / "mine.onnx"), "int8")
    shown = io.StringIO()
    Console(width=120, file=shown).print(summary(rows))
    (line,) = [line for line in shown.getvalue().splitlines() if "int8" in line]
    assert "gated" in line
    assert "0.00 %" in line


def test_the_command_says_so_and_succeeds(folder, broken, tmp_path):
    broken.add("int8")
    path = blind_yunet(tmp_path / "mine.onnx")
    done = invoke("export", path, "--precision=int8", "--inputs=2")
    assert done.code == 0
    assert "fp16 is taken instead" in done.err
    assert "gated" in done.out


def test_verifying_refuses_what_would_not_pass_any_more(folder, broken, tmp_path):
    path = blind_yunet(tmp_path / "mine.onnx")
    export(folder, path, "int8")
    done = invoke("export", path, "--verify-only", "--inputs=2", "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert [row["step"] for row in said["steps"]] == ["verify fp32", "verify int8"]
    assert all(row["check"]["agreement"] == 1 for row in said["steps"])
    before = load_manifest(folder)

    # The same bytes, vouched for, that answer otherwise: as after a change of the runtime.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.detection.DetectorPart.agreement", _half)
        exporter = Exporter(folder, tell=lambda _: None, report=lambda _: None)
        with pytest.raises(ModelError, match=r"50\.0 % of .* the same"):
            exporter.verify(own_source("mine", path, None), Wish(inputs=2))
    assert load_manifest(folder) == before


def _half(self, wanted, got, sample):
    from export.family import Tally

    return Tally(1, 2)
