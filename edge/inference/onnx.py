"""Models in ONNX Runtime on the CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

# Nothing leaves the box but the stream: the wheel's telemetry is off before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from edge.errors import InferenceError, ModelError
from edge.inference.engine import Tensors, TensorSpec

_LOG_FATAL = 4
"""ONNX Runtime's severity: its warnings are about graph details that a user cannot act on, and
its errors come back as exceptions, or as a session without the provider that was asked for."""
ort.set_default_logger_severity(_LOG_FATAL)
_SHRINK_S = 20.0
"""How often an arena is shrunk. It costs what mapping its memory anew costs: measured at every
tenth run, it was below the noise."""
_REMEDY = (
    "Use another file, or fetch a model of the catalogue again: privaedge models fetch NAME --force"
)
_DTYPES = {
    f"tensor({theirs})": np.dtype(ours)
    for theirs, ours in (
        ("float", "f4"), ("float16", "f2"), ("double", "f8"), ("bool", "?"),
        ("int8", "i1"), ("int16", "i2"), ("int32", "i4"), ("int64", "i8"),
        ("uint8", "u1"), ("uint16", "u2"), ("uint32", "u4"), ("uint64", "u8"),
    )
}  # fmt: skip
"""ONNX Runtime's names of tensor types."""


class OnnxEngine:
    """An ONNX model in memory. Implements edge.inference.engine.Engine."""

    def __init__(self, model: bytes, name: str, *, threads: int = 1) -> None:
        """Load a model. Raises ModelError when the bytes are no usable ONNX model.

        threads: of one run. 1 leaves the other cores to the decoder and encoder; measured on two
        cores it also costs the least CPU time in all.
        """
        self._session = open_session(
            model, name, session_options(threads), ["CPUExecutionProvider"]
        )
        self.name = name
        self.input_specs = specs(self._session.get_inputs())
        self.output_specs = specs(self._session.get_outputs())
        self.inputs = tuple(spec.name for spec in self.input_specs)
        self.outputs = tuple(spec.name for spec in self.output_specs)
        self.metadata = stated(self._session)
        self._shrunk = time.monotonic()

    def run(self, feeds: Tensors) -> Tensors:
        """Run once. Raises InferenceError when it fails or an output is not finite."""
        try:
            values = self._session.run(self.outputs, dict(feeds), self._run_options())
        except Exception as error:
            raise InferenceError(f"model {self.name} failed: {first_line(error)}") from error
        return finite(self.name, dict(zip(self.outputs, values, strict=True)))

    def _run_options(self) -> ort.RunOptions | None:
        """Now and then, let the arena give back after the run what the largest input needed."""
        now = time.monotonic()
        if now - self._shrunk < _SHRINK_S:
            return None
        self._shrunk = now
        options = ort.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options


def session_options(threads: int) -> ort.SessionOptions:
    """Return what all sessions have in common. threads: of one run."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL
    # With the arena a run reuses its memory: half the CPU time and a third of the resident
    # set of one that asks the system for every tensor anew (measured on YuNet).
    options.enable_cpu_mem_arena = True
    # A memory plan is kept for every shape that ever came, for good: lines of text have
    # hundreds of widths. Without plans 200 of them take 126 MB instead of 335, PP-OCR's
    # detector at 960x544 84 instead of 162, and no run becomes slower.
    options.enable_mem_pattern = False
    # A worker that spins while it waits takes a core from the encoder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def open_session(
    model: bytes,
    name: str,
    options: ort.SessionOptions,
    providers: Sequence[Any],
    *,
    remedy: str = _REMEDY,
) -> ort.InferenceSession:
    """Open a session. Raises ModelError, with the remedy, where ONNX Runtime refuses; it does not
    try again with other providers, of which it would only print a line."""
    try:
        return ort.InferenceSession(model, options, providers=providers, enable_fallback=0)
    except Exception as error:
        raise ModelError(
            f"model {name} cannot be loaded by ONNX Runtime {ort.__version__} "
            f"({first_line(error)}). {remedy}"
        ) from error


def stated(session: ort.InferenceSession) -> Mapping[str, str]:
    """Return what whoever exported the model wrote into it."""
    return MappingProxyType(dict(session.get_modelmeta().custom_metadata_map))


def finite(name: str, results: Tensors) -> Tensors:
    """Return the results. Raises InferenceError where one holds NaN or infinity."""
    for key, value in results.items():
        if not np.isfinite(value).all():
            raise InferenceError(f"model {name} gave NaN or infinity in output {key}")
    return results


def specs(arguments: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """Read ONNX Runtime's NodeArg; a free axis is there a name, None or a negative number."""
    return tuple(
        TensorSpec(
            argument.name,
            _DTYPES.get(argument.type),
            tuple(
                side if isinstance(side, int) and side >= 0 else None
                for side in argument.shape or ()
            ),
        )
        for argument in arguments
    )


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
