"""The steps for one part of one source: ONNX → verify → precision → gate → engine → verify."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any, Final

import onnx

from edge.errors import InferenceError, ModelError
from edge.inference.engine import Tensors
from edge.inference.gpu import GpuIdentity, gpu_here
from edge.inference.manifest import (
    Check,
    EngineFacts,
    Exported,
    Precision,
    load_manifest,
    read_vouched,
)
from edge.inference.onnx import OnnxEngine
from export import compiler, graph
from export.cache import Cache, key_of, own_code
from export.checks import MOST_FALL, Answers, Compared, compare, insist_equal, references
from export.compiler import Unbuildable
from export.family import Family, Part, Sample, Source
from export.place import place
from export.precision import CALIBRATION, CALIBRATION_INPUTS, SPARED, Spared, lowered
from export.records import Graph, describe, digest, versions
from export.rows import Report, Row, State, Tell, Wish

HIGHER: Final[dict[Precision, Precision]] = {"int8": "fp16", "fp8": "fp16", "fp16": "fp32"}
"""What is taken where a precision fails its gate."""
_STAY: Final[dict[Spared, str]] = {
    "none": "",
    "first": "its first layer stays FP16",
    "ends": "its first and last layers stay FP16",
}


class Steps:
    """The steps for one part of one source. `export` and `verify` raise ModelError and OSError."""

    def __init__(
        self,
        folder: Path,
        cache: Cache,
        source: Source,
        family: Family,
        part: Part,
        *,
        wish: Wish,
        tell: Tell,
        report: Report,
    ) -> None:
        """folder: of exported files. tell: what is being done now. report: what came of it."""
        self._folder, self._cache = folder, cache
        self._source, self._family, self._part, self._wish = source, family, part, wish
        self._name = f"{source.name}-{part.name}" if part.name else source.name
        self._tell_all, self._report_all = tell, report
        self._digest = source.sha256
        self._samples: list[Sample] | None = None
        self._samples_digest = ""
        self._wanted: Answers | None = None

    # -- what is asked for ---------------------------------------------------------------------

    def export(self) -> None:
        """Go from the source to engines."""
        whole = self._fp32()
        chosen = self._lower(whole)
        if self._source.stands_for is None:  # else what is there says more than can be seen here
            self._keep(whole)
            if chosen is not whole:
                self._keep(chosen)
        for target in self._targets():
            self._engine(chosen, target)

    def verify(self) -> None:
        """Compare what is there again."""
        found = [
            f for f in load_manifest(self._folder).of(self._source.name)
            if f.part == self._part.name and f.origin.sha256 == self._digest
        ]  # fmt: skip
        if not found:
            raise ModelError(
                f"{self._name} has not been exported yet, or from other weights. "
                f"Run `privaedge export {self._source.name}`."
            )
        for exported in found:
            started = monotonic()
            data = read_vouched(self._folder, exported)
            step = f"verify {exported.precision}"
            if exported.kind == "engine":
                self._verify_engine(exported, data, started)
                continue
            compared = self._run(data)
            if exported.precision == "fp32":
                insist_equal(compared, self._part, self._name)
            elif compared.fall > MOST_FALL:
                raise ModelError(f"{self._name}: {_fell(exported.precision, compared)}. Export it "
                                 "again.")  # fmt: skip
            check = compared.check(self._framework(), self._tolerance(exported.precision))
            self._tell_row(step, "done", started, check=check, size=len(data))

    # -- the steps -----------------------------------------------------------------------------

    def _fp32(self) -> Graph:
        """ONNX, verified against the source framework."""
        part, started = self._part, monotonic()
        shape = repr((part.inputs, part.opset, sorted(part.metadata.items())))
        tools = versions("onnx", "onnxslim", *self._family.requires)
        key = key_of("onnx", self._digest, part.name, shape, tools, own_code())
        state: State = "kept"
        if (cached := self._cache.get(key)) is not None:
            data = cached[0]
        elif not self._can("onnxslim"):
            data = self._made_elsewhere("fp32", "onnxslim")
        else:
            self._tell("ONNX")
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                part.to_onnx(path)
                model = graph.load(path, self._name)
            model = graph.prepare(model, part.inputs, part.metadata, self._name)
            data, state = bytes(model.SerializeToString()), "done"
            self._cache.put(key, data, {})
        self._tell_row("onnx", state, started, size=len(data))
        started = monotonic()
        compared, state = self._compared(data)
        insist_equal(compared, part, self._name)
        check = compared.check(self._framework(), part.tolerance)
        self._tell_row("verify fp32", state, started, check=check)
        return Graph("fp32", data, check)

    def _lower(self, whole: Graph) -> Graph:
        """The precision that is wished for, or the next higher one that passes the gate."""
        precision: Precision = self._wish.precision
        while precision not in self._part.precisions and precision in HIGHER:
            precision = HIGHER[precision]
        while precision != "fp32":
            started = monotonic()
            for spared in SPARED[precision]:
                data, state = self._lowered(whole, precision, spared)
                self._tell(f"comparing {precision}")
                compared, seen = self._compared(data, lowered=True)
                after: State = "done" if "done" in (state, seen) else "kept"
                check = compared.check(self._framework(), None)
                if compared.fall <= MOST_FALL:
                    note = _STAY[spared]
                    size = len(data)
                    self._tell_row(precision, after, started, note=note, check=check, size=size)
                    return Graph(precision, data, check)
            higher = HIGHER[precision]
            note = f"{_fell(precision, compared)}; {higher} is taken instead"
            self._tell_row(precision, "gated", started, note=note, check=check)
            precision = higher
        return whole

    def _lowered(self, whole: Graph, precision: Precision, spared: Spared) -> tuple[bytes, State]:
        count = 1 if precision == "fp16" else CALIBRATION_INPUTS
        # Labelled inputs come first: calibration sees some of all.
        samples = self._inputs()[:: max(1, len(self._inputs()) // count)][:count]
        tools = versions("nvidia-modelopt", "onnx", "onnxruntime")
        how = (tuple(self._part.keep_fp32), spared, CALIBRATION, self._wish.material.origin)
        key = key_of(precision, whole.sha256, digest(samples), how, tools)
        if (cached := self._cache.get(key)) is not None:
            return cached[0], "kept"
        if not self._can("modelopt"):
            return self._made_elsewhere(precision, "nvidia-modelopt"), "kept"
        self._tell(precision)
        model = onnx.load_model_from_string(whole.data)
        result = lowered(model, self._part, precision, samples, self._name, spared=spared)
        data = bytes(result.SerializeToString())
        self._cache.put(key, data, {})
        return data, "done"

    def _can(self, module: str) -> bool:
        """Whether a graph can be made here: its tool is installed and the weights are here."""
        return self._source.stands_for is None and find_spec(module) is not None

    def _made_elsewhere(self, precision: Precision, tool: str) -> bytes:
        """Return a graph that was exported where the tool for it is, and came with the folder.

        Raises ModelError where there is none.
        """
        for file in load_manifest(self._folder).of(self._source.name, "onnx"):
            mine = file.part == self._part.name and file.origin.sha256 == self._digest
            if mine and file.precision == precision:
                return read_vouched(self._folder, file)
        raise ModelError(
            f"{self._name}: {precision} needs {tool}. Install it: pip install 'privaedge[engines]',"
            " or copy the engines folder from a machine where it was exported."
        )

    def _engine(self, chosen: Graph, target: str) -> None:
        """Compile, compare where the GPU is here, and put it in place."""
        part, step, started = self._part, f"engine {target}", monotonic()
        model = onnx.load_model_from_string(chosen.data)
        if (reason := part.no_engine or graph.obstacle(model)) is not None:
            self._tell_row(step, "left", started, note=reason)
            return
        gpu = gpu_here()
        try:
            flavour = compiler.flavour_for(target, gpu)
        except Unbuildable as error:
            self._tell_row(step, "left", started, note=str(error))
            return
        self._tell(f"engine for {target}")
        driver = gpu.driver if gpu is not None and gpu.target == target else ""
        ports = repr(part.inputs)
        key = key_of("engine", chosen.sha256, flavour.name, flavour.version, target, driver, ports)
        timings = key_of("timings", flavour.name, flavour.version, target, driver)
        state: State = "kept"
        if (cached := self._cache.get(key)) is None:
            before = self._cache.get(timings)
            try:
                built = compiler.build(
                    chosen.data, part.inputs, flavour, target, before[0] if before else b""
                )
            except Unbuildable as error:
                self._tell_row(step, "failed", started, note=str(error))
                return
            plan, state = built.plan, "done"
            self._cache.put(key, plan, {"seconds": built.seconds})
            if built.timing_cache:
                self._cache.put(timings, built.timing_cache, {})
        else:
            plan = cached[0]
        facts = EngineFacts(flavour=flavour.name, version=flavour.version, target=target)
        check = None
        if gpu is not None and gpu.target == target:
            check, facts = self._on_gpu(chosen.precision, plan, facts, gpu)
        self._keep(chosen, plan=plan, engine=facts, check=check)
        note = "" if check else f"not run yet: needs a {target} GPU; checked there before use"
        self._tell_row(step, state, started, note=note, check=check, size=len(plan))

    def _on_gpu(
        self, precision: Precision, plan: bytes, facts: EngineFacts, gpu: GpuIdentity
    ) -> tuple[Check, EngineFacts]:
        from edge.inference.tensorrt import TensorRtEngine

        self._tell(f"comparing the engine on {gpu.name}")
        engine = TensorRtEngine(plan, self._name, flavour=facts.flavour)
        compared = self._run_engine(engine.run)
        if compared.fall > MOST_FALL:
            raise ModelError(
                f"{self._name}: the engine for {facts.target} answers otherwise than the ONNX file "
                f"it was built from: {_fell(precision, compared)}. Nothing was replaced; "
                "use a higher --precision."
            )
        check = compared.check(self._framework(), self._tolerance(precision))
        return check, facts.model_copy(update={"gpu": gpu.name, "driver": gpu.driver})

    def _verify_engine(self, exported: Exported, plan: bytes, started: float) -> None:
        facts, gpu = exported.engine, gpu_here()
        assert facts is not None
        step = f"verify {facts.target}"
        if gpu is None or gpu.target != facts.target:
            self._tell_row(step, "left", started, note=f"needs a {facts.target} GPU")
            return
        here = next((f for f in compiler.flavours() if f.name == facts.flavour), None)
        if here is None or here.version != facts.version:
            other = f"{facts.flavour} {here.version}" if here else f"no {facts.flavour}"
            note = f"built by {facts.flavour} {facts.version}, here is {other}: export it again"
            self._tell_row(step, "left", started, note=note)
            return
        check, facts = self._on_gpu(exported.precision, plan, facts, gpu)
        proven = exported.model_copy(update={"check": check, "engine": facts})
        place(self._folder, proven, plan)
        self._tell_row(step, "done", started, check=check, size=len(plan))

    # -- parts of steps ------------------------------------------------------------------------

    def _targets(self) -> tuple[str, ...]:
        if self._wish.targets:
            return self._wish.targets
        gpu = gpu_here()
        if gpu is not None:
            return (gpu.target,)
        note = "no GPU is here: run `privaedge export` on the device, or name a --target"
        self._tell_row("engine", "left", monotonic(), note=self._part.no_engine or note)
        return ()

    def _inputs(self) -> list[Sample]:
        if self._samples is None:
            self._tell("reading inputs")
            self._samples = self._part.samples(self._wish.material, self._wish.inputs)
            if not self._samples:
                raise ModelError(
                    f"{self._name}: there is no input to compare on. Name a folder with real ones: "
                    "--calibration DIR."
                )
            self._samples_digest = digest(self._samples)
        return self._samples

    def _answers(self) -> Answers:
        if self._wanted is None:
            samples = self._inputs()
            self._tell("running the original")
            try:
                self._wanted = references(self._part, samples)
            except InferenceError as error:
                raise ModelError(f"{self._name}: the original fails: {error}") from error
        return self._wanted

    def _compared(self, data: bytes, *, lowered: bool = False) -> tuple[Compared, State]:
        """Compare an ONNX file with the original, or remember what came of it.

        lowered: one that does not even load is wrong in all that it answers, and no error.
        """
        self._inputs()
        tools = versions("onnxruntime", *self._family.requires)
        key = key_of(
            "verify", self._digest, self._part.name, data, self._samples_digest, tools, own_code()
        )
        if (cached := self._cache.get(key)) is not None:
            return Compared(**cached[1]["compared"]), "kept"
        compared = self._run(data, lowered=lowered)
        facts = {name: getattr(compared, name) for name in Compared.__slots__}
        self._cache.put(key, b"", {"compared": facts})
        return compared, "done"

    def _run(self, data: bytes, *, lowered: bool = False) -> Compared:
        self._answers()  # before it is said to be comparing
        self._tell("comparing")
        try:
            run = OnnxEngine(data, self._name, threads=0).run
        except ModelError:
            if not lowered:
                raise
            run = _unloadable
        return self._run_engine(run)

    def _run_engine(self, run: Any) -> Compared:
        return compare(self._part, self._inputs(), self._answers(), run)

    def _framework(self) -> str:
        tools = versions(*(self._family.requires or ("onnxruntime",)))
        words = ", ".join(f"{name} {number}" for name, number in tools.items())
        return f"{words}; {self._wish.material.origin}"

    def _tolerance(self, precision: Precision) -> float | None:
        return self._part.tolerance if precision == "fp32" else None

    def _keep(
        self,
        made: Graph,
        *,
        plan: bytes | None = None,
        engine: EngineFacts | None = None,
        check: Check | None = None,
    ) -> None:
        """Put a file in place and have the manifest vouch for it."""
        data = made.data if plan is None else plan
        record = describe(
            self._source, self._family, self._part, made, data=data, engine=engine, check=check
        )
        place(self._folder, record, data)

    def _tell(self, what: str) -> None:
        self._tell_all(f"{self._name}: {what}")

    def _tell_row(
        self,
        step: str,
        state: State,
        started: float,
        *,
        note: str = "",
        check: Check | None = None,
        size: int = 0,
    ) -> None:
        seconds = monotonic() - started
        weights = self._source.weights
        self._report_all(Row(self._name, weights, step, state, seconds, note, check, size))


def _unloadable(feeds: Tensors) -> Tensors:
    raise InferenceError("ONNX Runtime does not load it")


def _fell(precision: str, compared: Compared) -> str:
    if compared.accuracy is not None and compared.accuracy_before is not None:
        before, after = 100 * compared.accuracy_before, 100 * compared.accuracy
        return f"{precision} finds {after:.1f} % of what is labelled, FP32 {before:.1f} %"
    return f"{precision} gives {100 * compared.agreement:.1f} % of FP32's answers"
