"""Which engine runs a model on this machine, and why: TensorRT's where the manifest vouches for one
that was checked on this GPU, else ONNX Runtime on the GPU where that works, else on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge.errors import ModelError
from edge.inference.bound import CudaMemory, Memory
from edge.inference.cuda import Cuda
from edge.inference.engine import Engine
from edge.inference.eyes import DeviceEngine, SightedEngine
from edge.inference.failover import EngineMaker
from edge.inference.frame_pool import leave_lost_gpu
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
    """What runs a model.

    engine: the manifest's file; None for ONNX Runtime. why: a clause. on_gpu: whether ONNX Runtime
    has the GPU.
    """

    engine: Exported | None
    why: str
    on_gpu: bool = False

    def __str__(self) -> str:
        if self.engine is None or self.engine.engine is None:
            return f"ONNX Runtime on the {'GPU' if self.on_gpu else 'CPU'}: {self.why}"
        facts = self.engine.engine
        return f"{facts.flavour} {facts.version}, {self.engine.precision}: {self.why}"


def choose(
    manifest: Manifest, sha256: str, part: str, gpu: GpuIdentity | None, device: str
) -> Choice:
    """Choose by what the manifest has of weights with this SHA-256, and what is installed.

    device: auto, cpu or cuda, as runtime.device is set. Raises ModelError, without a name, where it
    is cuda and the GPU cannot be used.
    """
    choice = _best(manifest, sha256, part, gpu, device)
    if device == "cuda" and choice.engine is None and not choice.on_gpu:
        raise ModelError(
            f"the GPU cannot run it, as runtime.device=cuda asks: {choice.why}. "
            "Set runtime.device to auto, and the CPU does."
        )
    return choice


def _best(
    manifest: Manifest, sha256: str, part: str, gpu: GpuIdentity | None, device: str
) -> Choice:
    engines = [
        file for file in manifest.files
        if file.kind == "engine" and file.origin.sha256 == sha256 and file.part == part
        and file.engine is not None
    ]  # fmt: skip
    if device == "cpu":
        return Choice(None, "runtime.device is cpu")
    if gpu is None:
        return Choice(None, "no NVIDIA GPU is here")
    reasons: dict[str, None] = {}
    if not engines:
        reasons["no engine was exported (privaedge export)"] = None
    for file in ranked(engines):
        if (reason := unfit(file, gpu)) is None:
            assert file.check is not None
            same = 100 * file.check.agreement
            return Choice(file, f"checked on this {gpu.name}, {same:.1f} % of answers the same")
        reasons[reason] = None
    trouble = cuda_trouble()
    if trouble is not None:
        reasons[trouble] = None
    return Choice(None, "; ".join(reasons), on_gpu=trouble is None)


def cuda_trouble() -> str | None:
    """Return why ONNX Runtime cannot use the GPU here, as a clause; None where it can."""
    from edge.inference.onnx_cuda_proof import cuda_trouble as ask  # needed with a GPU only

    return ask()


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

    data: the model as ONNX Runtime takes it. sha256: of its published file. Engines on the GPU go
    over to the CPU when they go on failing.

    Raises ModelError where the manifest is damaged, or an engine that it vouches for is not what is
    there: that is told of, never passed over; and where device is cuda and there is no way to use
    the GPU.
    """
    where = engines_dir() if folder is None else folder
    manifest = load_manifest(where)
    try:
        choice = choose(manifest, sha256, part, gpu_here(), device)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error

    def on_cpu() -> Engine:
        return OnnxEngine(data, name, threads=threads)

    if choice.engine is not None and choice.engine.engine is not None:
        on_gpu = _tensorrt(where, choice.engine, choice.engine.engine.flavour, data, name)
    elif choice.on_gpu:
        on_gpu = _onnx_cuda(where, data, name)
    else:
        return on_cpu
    return EngineMaker(on_gpu, on_cpu)


def _tensorrt(
    where: Path, file: Exported, flavour: str, data: bytes, name: str
) -> Callable[[], Engine]:
    from edge.inference.tensorrt import TensorRtEngine

    plan, metadata = read_vouched(where, file), OnnxEngine(data, name, threads=1).metadata
    return _sighted(
        where,
        lambda memory: TensorRtEngine(
            plan, name, flavour=flavour, metadata=metadata, memory=memory
        ),
    )


def _onnx_cuda(where: Path, data: bytes, name: str) -> Callable[[], Engine]:
    from edge.inference.onnx_cuda import OnnxCudaEngine

    return _sighted(where, lambda memory: OnnxCudaEngine(data, name, memory=memory))


def _sighted(where: Path, make: Callable[[Memory], DeviceEngine]) -> Callable[[], Engine]:
    """Return what makes engines with eyes. Each has a Cuda of its own, which alone knows its
    streams and events."""

    def build() -> Engine:
        leave_lost_gpu()
        cuda = Cuda()
        return SightedEngine(make(CudaMemory(cuda)), cuda, where)

    return build


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
