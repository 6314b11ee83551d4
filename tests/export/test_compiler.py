"""Building engines: what an engine is known by, and how TensorRT is asked for one."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest

from edge.inference.gpu import GpuIdentity
from edge.inference.manifest import load_manifest, read_vouched
from edge.inference.onnx import OnnxEngine
from tests.command import blind_yunet

pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
pytest.importorskip("skimage", reason="inputs are scikit-image's photographs (extra demo)")

from export import compiler
from export.compiler import Built, Flavour, Unbuildable
from export.exporter import Exporter
from export.families.yunet import YuNetPart
from export.family import Axis, Port
from export.rows import Row, Wish
from export.sources import own_source

ORIN = GpuIdentity("Orin", "sm_87", "12.6")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("export.steps.gpu_here", lambda: None)
    (tmp_path / "engines").mkdir()
    return tmp_path / "engines"


def export(folder, path, *targets, name="mine") -> list[Row]:
    rows: list[Row] = []
    exporter = Exporter(folder, tell=lambda _: None, report=rows.append)
    exporter.export(own_source(name, path, None), Wish("fp32", targets, inputs=2))
    return [row for row in rows if row.step.startswith("engine")]


def narrower(self, source) -> None:
    """The same part, for smaller pictures at most."""
    _init(self, source)
    sides = (Axis("height", 32, 96, 320), Axis("width", 32, 160, 640))
    self.inputs = (Port(self._input, (1, 3, *sides)),)


_init = YuNetPart.__init__


def test_an_engine_is_kept_for_what_it_was_built_of_and_for_nothing_else(
    folder, tmp_path, monkeypatch
):
    pytest.importorskip("tensorrt_rtx", reason="engines are built by tensorrt-rtx (extra engines)")
    model = blind_yunet(tmp_path / "mine.onnx")

    def state(*targets: str) -> list[str]:
        return [row.state for row in export(folder, model, *targets)]

    assert state("sm_89") == ["done"]
    assert state("sm_89", "sm_86") == ["kept", "done"]
    with monkeypatch.context() as patch:
        patch.setattr(YuNetPart, "__init__", narrower)
        assert state("sm_89") == ["done"], "other bounds make another engine"
        assert state("sm_89") == ["kept"]
    (installed,) = compiler.flavours()
    with monkeypatch.context() as patch:
        newer = Flavour(installed.name, "9.9", installed.ahead, installed.api)
        patch.setattr("export.compiler.flavours", lambda: [newer])
        assert state("sm_89") == ["done"], "another version of TensorRT does not load it"
    assert state("sm_89", "sm_86") == ["kept", "kept"]


class Trt:
    """TensorRT's module, as far as it is asked: it is for GPUs that are not here. Remembers how."""

    def __init__(self) -> None:
        self.bounds: dict[str, tuple[tuple[int, ...], ...]] = {}
        self.cleared: list[str] = []
        self.timings: list[bytes] = []
        self.plan: bytes | None = b"engine"
        self.unread: list[str] = []
        self.ILogger = type("ILogger", (), {"Severity": SimpleNamespace(ERROR=1)})
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=3)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.BuilderFlag = SimpleNamespace(TF32="tf32")

    def Builder(self, logger):  # noqa: N802 - TensorRT's own name
        self.logger = logger
        return self

    def create_network(self, flags):
        assert flags == 1 << 3, "the graph alone says what is FP16"
        return "network"

    def OnnxParser(self, network, logger):  # noqa: N802 - TensorRT's own name
        return SimpleNamespace(
            parse=lambda onnx: not self.unread,
            num_errors=len(self.unread),
            get_error=lambda at: SimpleNamespace(desc=lambda: self.unread[at]),
        )

    def create_builder_config(self):
        return SimpleNamespace(
            set_memory_pool_limit=lambda pool, size: None,
            clear_flag=self.cleared.append,
            add_optimization_profile=lambda profile: None,
            create_timing_cache=self.timings.append,
            set_timing_cache=lambda cache, ignore_mismatch: None,
            get_timing_cache=lambda: SimpleNamespace(
                serialize=lambda: b"timings of %d" % len(self.timings)
            ),
        )

    def create_optimization_profile(self):
        return SimpleNamespace(
            set_shape=lambda name, *bounds: self.bounds.__setitem__(name, bounds)
        )

    def build_serialized_network(self, network, config):
        if self.plan is None:
            self.logger.log(0, "Could not find any\nimplementation for node Conv_1")
            self.logger.log(3, "chatter")
        return self.plan


@pytest.fixture
def orin(folder, monkeypatch) -> Trt:
    """A Jetson: TensorRT itself, for the GPU here alone. The graph answers for the engine."""
    trt = Trt()
    flavour = Flavour("tensorrt", "10.3.0", (), trt)
    monkeypatch.setattr("export.compiler.flavours", lambda: [flavour])
    monkeypatch.setattr("export.steps.gpu_here", lambda: ORIN)

    def engine(plan, name, *, flavour, metadata=None):
        assert plan == trt.plan
        (graph,) = load_manifest(folder).of(name, "onnx")
        return OnnxEngine(read_vouched(folder, graph), name)

    monkeypatch.setattr("edge.inference.tensorrt.TensorRtEngine", engine)
    return trt


def test_a_jetson_takes_up_in_the_next_build_what_it_measured(folder, tmp_path, orin):
    states = []
    for name in ("mine", "another"):
        (tmp_path / name).mkdir()
        (row,) = export(folder, blind_yunet(tmp_path / name / "model.onnx"), name=name)
        states.append((row.step, row.state))
    # Both graphs are one, and so is their engine.
    assert states == [("engine sm_87", "done"), ("engine sm_87", "kept")]
    assert orin.timings == [b""]
    (tmp_path / "narrow").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(YuNetPart, "__init__", narrower)
        export(folder, blind_yunet(tmp_path / "narrow" / "model.onnx"), name="narrow")
    assert orin.timings == [b"", b"timings of 1"]
    engines = list(load_manifest(folder).of("narrow", "engine"))
    assert [(f.engine.flavour, f.engine.driver) for f in engines if f.engine] == [
        ("tensorrt", "12.6")
    ]


def test_a_new_driver_builds_anew(folder, tmp_path, orin, monkeypatch):
    path = blind_yunet(tmp_path / "mine.onnx")
    assert [row.state for row in export(folder, path)] == ["done"]
    assert [row.state for row in export(folder, path)] == ["kept"]
    monkeypatch.setattr("export.steps.gpu_here", lambda: GpuIdentity("Orin", "sm_87", "12.8"))
    assert [row.state for row in export(folder, path)] == ["done"]
    assert orin.timings == [b"", b""], "tactics of another driver are none"


def test_bounds_go_into_the_profile_and_fp32_stays_fp32(orin):
    batch = Axis("batch", 1, 4, 16)
    ports = (Port("pictures", (batch, 3, 32, 128)), Port("fixed", (1, 2)))
    (flavour,) = compiler.flavours()
    made = compiler.build(b"graph", ports, flavour, "sm_87")
    assert isinstance(made, Built)
    assert made.plan == b"engine"
    assert orin.bounds == {"pictures": ((1, 3, 32, 128), (4, 3, 32, 128), (16, 3, 32, 128))}
    assert orin.cleared == ["tf32"]


def test_what_tensorrt_says_is_one_line_with_what_is_left(orin):
    (flavour,) = compiler.flavours()
    orin.plan = None
    with pytest.raises(Unbuildable) as caught, warnings.catch_warnings():
        compiler.build(b"graph", (), flavour, "sm_87")
    said = str(caught.value)
    assert "Could not find any implementation for node Conv_1" in said
    assert "ONNX Runtime" in said
    assert "chatter" not in said
    assert "\n" not in said
    orin.unread = ["no importer for operator Odd"]
    with pytest.raises(Unbuildable, match=r"cannot read the graph \(no importer for operator Odd"):
        compiler.build(b"graph", (), flavour, "sm_87")
