"""Which engine runs a model on this machine, and why: TensorRT's where the manifest vouches for one
that was checked on this GPU, ONNX Runtime otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge.errors import ModelError
from edge.inference.engine import Engine
from edge.inference.gpu import GpuIdentity, gpu_here
from edge.inference.manifest import (
    Exported,
    Manifest,
    engines_dir,
    load_manifest,
    ranked,
    read_vouched,
)
from edge.inference.onnx import OnnxEngine


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs a model. engine: the manifest's file; None for ONNX Runtime. why: a clause."""

    engine: Exported | None
    why: str

    def __str__(self) -> str:
        if self.engine is None or self.engine.engine is None:
            return f"ONNX Runtime on the CPU: {self.why}"
        facts = self.engine.engine
        return f"{facts.flavour} {facts.version}, {self.engine.precision}: {self.why}"


def choose(
    manifest: Manifest, sha256: str, part: str, gpu: GpuIdentity | None, device: str
) -> Choice:
    """Choose by what the manifest has of weights with this SHA-256. Pure but for the versions of
    installed packages.

    device: auto, cpu or cuda, as runtime.device is set; cuda is auto here.
    """
    engines = [
        file for file in manifest.files
        if file.kind == "engine" and file.origin.sha256 == sha256 and file.part == part
        and file.engine is not None
    ]  # fmt: skip
    if device == "cpu":
        return Choice(None, "runtime.device is cpu")
    if gpu is None:
        return Choice(None, "no NVIDIA GPU is here")
    if not engines:
        return Choice(None, "no engine was exported (privaedge export)")
    reasons: dict[str, None] = {}
    for file in ranked(engines):
        if (reason := unfit(file, gpu)) is None:
            assert file.check is not None
            same = 100 * file.check.agreement
            return Choice(file, f"checked on this {gpu.name}, {same:.1f} % of answers the same")
        reasons[reason] = None
    return Choice(None, "; ".join(reasons))


def unfit(file: Exported, gpu: GpuIdentity) -> str | None:
    """Return why an engine cannot be used on a GPU; None where it can."""
    facts = file.engine
    if facts is None:
        return "it is no engine"
    if facts.target != gpu.target:
        return f"the engine is for {facts.target}, this GPU is {gpu.target}"
    if (here := installed(facts.flavour)) != facts.version:
        return f"it was built by {facts.flavour} {facts.version}, here is {here or 'none'}"
    if file.check is None or facts.driver is None:
        return "it has not been checked on this machine yet (privaedge export --left)"
    if facts.driver != gpu.driver:
        return f"the driver changed from {facts.driver} to {gpu.driver} (privaedge export --left)"
    if file.origin.weights == "random":
        return "its weights are random"
    return None


def installed(flavour: str) -> str | None:
    """Return the version of an installed TensorRT without loading it."""
    for name in (flavour, flavour.replace("_", "-")):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def engine_maker(
    data: bytes,
    name: str,
    sha256: str,
    *,
    device: str,
    threads: int,
    part: str = "",
    folder: Path | None = None,
) -> Callable[[], Engine]:
    """Return what makes engines of a model, one for each lane.

    data: the model as ONNX Runtime takes it. sha256: of its published file. Raises ModelError where
    the manifest is damaged, or an engine that it vouches for is not what is there: that is told of,
    never passed over.
    """
    where = engines_dir() if folder is None else folder
    choice = choose(load_manifest(where), sha256, part, gpu_here(), device)
    if choice.engine is None or choice.engine.engine is None:
        return lambda: OnnxEngine(data, name, threads=threads)
    from edge.inference.tensorrt import TensorRtEngine

    plan, flavour = read_vouched(where, choice.engine), choice.engine.engine.flavour
    metadata = OnnxEngine(data, name, threads=1).metadata
    return lambda: TensorRtEngine(plan, name, flavour=flavour, metadata=metadata)


def explain(sha256: str, device: str = "auto", part: str = "", folder: Path | None = None) -> str:
    """Say in one line which engine runs a model with these weights here, and why."""
    where = engines_dir() if folder is None else folder
    try:
        choice = choose(load_manifest(where), sha256, part, gpu_here(), device)
        if choice.engine is not None:
            read_vouched(where, choice.engine)
    except ModelError as error:
        return f"nothing: {error}"
    return str(choice)


def explain_exported(name: str, device: str = "auto", folder: Path | None = None) -> str | None:
    """Say which engine runs each part of a model that was exported under a name, and why.

    None where the manifest has no such model, or cannot be read: loading it tells of that.
    """
    where = engines_dir() if folder is None else folder
    try:
        graphs = {f.part: f for f in load_manifest(where).of(name, "onnx")}
    except ModelError:
        return None
    words = [
        (part, explain(file.origin.sha256, device, part, where)) for part, file in graphs.items()
    ]
    return "; ".join(f"{part}: {why}" if part else why for part, why in words) or None
