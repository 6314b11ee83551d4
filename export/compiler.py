"""ONNX to an engine, by TensorRT or TensorRT for RTX: one code path for both, versions 10 and 11.

Networks are strongly typed: precision is in the graph (export/precision.py). TensorRT compiles for
the GPU at hand. TensorRT for RTX compiles ahead of time for a named one too, without any GPU.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal

from edge.errors import ModelError
from edge.inference.gpu import GpuIdentity
from export.family import Axis, Port

FlavourName = Literal["tensorrt", "tensorrt_rtx"]
_WORKSPACE: Final = 1 << 30
"""Bytes that tactics may use while they run: all of an 8 GB Orin Nano that streams leave over."""
_MESSAGES: Final = 3
"""Of TensorRT's, how many an error quotes at most."""


@dataclass(frozen=True, slots=True)
class Flavour:
    """One installed TensorRT."""

    name: FlavourName
    version: str
    ahead: tuple[str, ...]
    """Targets that it compiles for without the GPU at hand."""
    api: Any
    """The module."""


@dataclass(frozen=True, slots=True)
class Built:
    """A serialised engine, the seconds it took, and what the next build of the like can reuse."""

    plan: bytes
    seconds: float
    timing_cache: bytes


class Unbuildable(ModelError):  # noqa: N818 - it is told as a reason, not only as an error
    """TensorRT cannot build a graph."""


def flavours() -> list[Flavour]:
    """Return what is installed: TensorRT itself first, which builds what fits its GPU best."""
    found = []
    names: tuple[FlavourName, ...] = ("tensorrt", "tensorrt_rtx")
    for name in names:
        try:
            api = import_module(name)
            if not hasattr(api, "Builder"):
                continue  # a stub package that could not fetch its libraries
        except Exception:  # noqa: BLE001, S112 - a broken installation is one that is not there
            continue
        known = getattr(api, "ComputeCapability", None)
        members = known.__members__ if known is not None else {}
        ahead = tuple(f"sm_{n.removeprefix('SM')}" for n in members if n.startswith("SM"))
        found.append(Flavour(name, str(api.__version__), ahead, api))
    return found


def flavour_for(target: str, gpu: GpuIdentity | None) -> Flavour:
    """Return what can compile for a target here. Raises Unbuildable with what is missing."""
    installed = flavours()
    for flavour in installed:
        on_it = gpu is not None and gpu.target == target
        if target in flavour.ahead or (on_it and flavour.name == "tensorrt"):
            return flavour
    if not installed:
        raise Unbuildable(
            "no TensorRT is installed. On a Jetson it comes with JetPack; elsewhere: "
            "pip install 'privaedge[engines]'."
        )
    ahead = ", ".join(sorted({t for f in installed for t in f.ahead})) or "none"
    raise Unbuildable(
        f"an engine for {target} has to be built on such a GPU with TensorRT: ahead of time it can "
        f"be done for {ahead}. Run `privaedge export` on the device."
    )


def build(
    onnx: bytes, ports: Sequence[Port], flavour: Flavour, target: str, timing_cache: bytes = b""
) -> Built:
    """Compile an ONNX file. Raises Unbuildable with TensorRT's own words."""
    trt = flavour.api
    messages: list[str] = []
    logger = _logger(trt, messages)
    started = time.monotonic()
    builder = trt.Builder(logger)
    if builder is None:
        raise Unbuildable(_told("TensorRT does not start", messages))
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        messages += [parser.get_error(at).desc() for at in range(parser.num_errors)]
        raise Unbuildable(_told("TensorRT cannot read the graph", messages))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE)
    if (tf32 := getattr(trt.BuilderFlag, "TF32", None)) is not None:
        config.clear_flag(tf32)  # FP32 in the graph means FP32
    _bound(builder, config, ports)
    if target in flavour.ahead:
        config.num_compute_capabilities = 1
        capability = getattr(trt.ComputeCapability, f"SM{target.removeprefix('sm_')}")
        config.set_compute_capability(capability, 0)
    with warnings.catch_warnings():
        # TensorRT for RTX compiles at load time and has no timings to keep; it warns of that.
        warnings.simplefilter("ignore", DeprecationWarning)
        if flavour.name == "tensorrt":
            config.set_timing_cache(config.create_timing_cache(timing_cache), False)
        plan = builder.build_serialized_network(network, config)
        kept = config.get_timing_cache() if flavour.name == "tensorrt" else None
    if plan is None:
        raise Unbuildable(_told("TensorRT cannot build an engine of the graph", messages))
    cache = bytes(kept.serialize()) if kept is not None else b""
    return Built(bytes(plan), time.monotonic() - started, cache)


def _bound(builder: Any, config: Any, ports: Sequence[Port]) -> None:
    if not any(isinstance(side, Axis) for port in ports for side in port.shape):
        return
    profile = builder.create_optimization_profile()
    for port in ports:
        if any(isinstance(side, Axis) for side in port.shape):
            bounds = (port.sides("least"), port.sides("usual"), port.sides("most"))
            profile.set_shape(port.name, *bounds)
    config.add_optimization_profile(profile)


def _logger(trt: Any, messages: list[str]) -> Any:
    """Return a logger that keeps errors for the exception and prints nothing."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.ERROR):
                messages.append(message)

    return Logger()


def _told(cause: str, messages: Sequence[str]) -> str:
    # TensorRT repeats itself; the first messages name the node.
    said = list(dict.fromkeys(" ".join(m.split()) for m in messages))[:_MESSAGES]
    words = " | ".join(m[:200] for m in said) or "it does not say why"
    return f"{cause} ({words}). The ONNX file stays usable by ONNX Runtime."
