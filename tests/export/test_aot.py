"""Every family's graph becomes an engine for three RTX generations, without any GPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from edge.catalogue import load_catalogue
from edge.errors import ModelError
from edge.inference.manifest import load_manifest, read_vouched
from edge.model_store import ModelStore
from tests.support import SHARED

pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
pytest.importorskip("tensorrt_rtx", reason="engines are built by tensorrt-rtx (extra engines)")
pytest.importorskip("skimage", reason="inputs are scikit-image's photographs (extra demo)")

from export import compiler, graph
from export.exporter import Exporter
from export.family import Axis, Part, Sample, Source
from export.material import Material
from export.precision import lowered
from export.registry import family_of, missing_modules, random_sources
from export.rows import Row, Wish
from export.sources import source_of

TARGETS = ("sm_86", "sm_89", "sm_120")
WHOLE_WAY = ("plates-own", "tagger-own")
GRAPHS = ("yunet-n", "centerface", "plate-hyperlpr", "plates-own", "mobilefacenet",
          "ppocr-v4-det", "ppocr-v4-rec", "ppocr-v4-cls", "silero-vad", "tagger-own", "lines-own",
          "yolo11n-random")  # fmt: skip
LARGE = ("yolov5n-random", "yolov8n-random", "yolo26n-random", "yolo11n-obb-random",
         "yolo26n-pose-random", "doctr-db-resnet50-random", "doctr-db-mobilenet-v3-large-random",
         "doctr-parseq-random", "doctr-crnn-mobilenet-v3-large-random", "deberta-v3-small-random",
         "whisper-tiny-random")  # fmt: skip
"""True architectures with random weights that take up to minutes each."""
ONNX_ONLY = ("moonshine-tiny-en-encoder", "moonshine-tiny-en-decoder")
INPUTS = 2
"""Parity on fifty inputs is benchmarks/export.py's: here it is the graphs that count."""


def source(name: str) -> Source:
    """A model by name, or skip."""
    store = ModelStore(load_catalogue(), extra_dirs=[SHARED / "models"])
    try:
        found = source_of(name, store)
    except ModelError as error:
        pytest.skip(f"no model {name}: {error}")
    if missing := missing_modules(family_of(found)):
        pytest.skip(f"{', '.join(missing)} is not installed (extra export)")
    return found


def run(name: str, folder: Path, precision: str) -> list[Row]:
    rows: list[Row] = []
    wish = Wish(precision, targets=TARGETS, inputs=INPUTS)
    Exporter(folder, tell=lambda _: None, report=rows.append).export(source(name), wish)
    return rows


def small(part: Part) -> list[Sample]:
    """One input for AutoCast to see what range values have: pictures need not be large."""
    shape = part.inputs[0].shape
    if len(part.inputs) > 1 or len(shape) != 4:
        return part.samples(Material(), 1)
    sides = [min(4 * s.least, s.most) if isinstance(s, Axis) else s for s in shape]
    noise = np.random.default_rng(0).normal(0, 1, sides).astype(np.float32)
    return [Sample({part.inputs[0].name: noise})]


def compile_in_fp16(name: str, folder: Path) -> None:
    if find_spec("modelopt") is None:
        pytest.skip("FP16 is made by nvidia-modelopt (extra engines)")
    found = source(name)
    flavour = compiler.flavour_for(TARGETS[0], None)
    for part in family_of(found).open(found):
        path = folder / f"{part.name or 'model'}.onnx"
        part.to_onnx(path)
        whole = graph.prepare(graph.load(path, name), part.inputs, part.metadata, name)
        half = lowered(whole, part, "fp16", small(part), name)
        assert TensorProto.FLOAT16 in {tensor.data_type for tensor in half.graph.initializer}
        sizes = set()
        for target in TARGETS:
            built = compiler.build(half.SerializeToString(), part.inputs, flavour, target)
            sizes.add(len(built.plan))
        assert min(sizes) > 1000


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_compiles_for_every_generation_in_fp16(name, tmp_path):
    compile_in_fp16(name, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")  # of frameworks that are not ours
@pytest.mark.parametrize("name", LARGE)
def test_a_large_graph_compiles_for_every_generation_in_fp16(name, tmp_path):
    compile_in_fp16(name, tmp_path)


def test_no_family_is_left_out():
    known = {name.removesuffix("-random") for name in (*GRAPHS, *LARGE)}
    bare = {one.name.removesuffix("-random") for one in random_sources()}
    assert bare <= known
    catalogue = load_catalogue()
    tried = {catalogue[name].family for name in (*GRAPHS, *ONNX_ONLY) if name in catalogue}
    assert {catalogue[name].family for name in catalogue.names()} == tried


@pytest.mark.parametrize("name", WHOLE_WAY)
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
