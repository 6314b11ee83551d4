"""Every light family's graph becomes an engine for three RTX generations, without any GPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from edge.catalogue import load_catalogue
from edge.errors import ModelError
from edge.inference.manifest import load_manifest, read_vouched
from edge.model_store import ModelStore
from tests.support import SHARED

pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
pytest.importorskip("tensorrt_rtx", reason="engines are built by tensorrt-rtx (extra engines)")

from export.exporter import Exporter
from export.rows import Row, Wish
from export.sources import source_of

TARGETS = ("sm_86", "sm_89", "sm_120")
ENGINES = ("yunet-n", "centerface", "plate-hyperlpr", "mobilefacenet", "ppocr-v4-det",
           "ppocr-v4-rec", "ppocr-v4-cls", "silero-vad", "tagger-own", "lines-own")  # fmt: skip
ONNX_ONLY = ("moonshine-tiny-en-encoder", "moonshine-tiny-en-decoder")
INPUTS = 4
"""Parity on fifty inputs is benchmarks/export.py's: here it is the graphs that count."""


def run(name: str, folder: Path, precision: str) -> list[Row]:
    store = ModelStore(load_catalogue(), extra_dirs=[SHARED / "models"])
    try:
        source = source_of(name, store)
    except ModelError as error:
        pytest.skip(f"no model {name}: {error}")
    rows: list[Row] = []
    wish = Wish(precision, targets=TARGETS, inputs=INPUTS)
    Exporter(folder, tell=lambda _: None, report=rows.append).export(source, wish)
    return rows


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_for_every_generation(name, tmp_path):
    if find_spec("modelopt") is None:
        pytest.skip("FP16 is made by nvidia-modelopt (extra engines)")
    rows = run(name, tmp_path, "fp16")
    states = {row.step: row.state for row in rows}
    assert all(states[f"engine {target}"] == "done" for target in TARGETS), rows
    engines = list(load_manifest(tmp_path).of(name, "engine"))
    assert {file.engine.target for file in engines if file.engine} == set(TARGETS)
    for file in engines:
        assert file.check is None, "no GPU has run it"
        assert len(read_vouched(tmp_path, file)) == file.size


@pytest.mark.parametrize("name", ONNX_ONLY)
def test_what_has_no_engine_says_why(name, tmp_path):
    rows = run(name, tmp_path, "fp32")
    left = [row for row in rows if row.step.startswith("engine")]
    assert len(left) == len(TARGETS)
    assert all(row.state == "left" and "com.microsoft" in row.note for row in left)
