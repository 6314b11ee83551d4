"""Lower precision, in the graph itself: FP16 by AutoCast, INT8 and FP8 by Q/DQ (NVIDIA ModelOpt).

TensorRT 11 knows no precision flags and no calibrators any more; the same graphs do for 10 and RTX.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.inference.manifest import Precision
from export.family import Part, Sample

CALIBRATION_INPUTS: Final = 24
"""Enough for each of the photographs that ship here in two or three variations; a histogram of all
activations takes a second for each of them."""
CALIBRATION: Final = "max"
"""Ranges are those that were seen. By entropy, which cuts off rare values, INT8 lost 13 points of
plates-own's plates where this loses none: what a detector is sure of is rare."""

Spared = Literal["none", "first", "ends"]
SPARED: Final[Mapping[Precision, tuple[Spared, ...]]] = {
    "fp16": ("none",),
    "int8": ("none", "first", "ends"),
    "fp8": ("none", "first", "ends"),
}
"""Which convolutions stay FP16 in a quantised graph, in the order in which they are tried: none;
the first, whose input has the widest range; that one and the last two before each output."""
_LAST: Final = 2


def lowered(
    model: onnx.ModelProto,
    part: Part,
    precision: Precision,
    samples: Sequence[Sample],
    name: str,
    *,
    spared: Spared = "none",
) -> onnx.ModelProto:
    """Return the graph in a precision below FP32; inputs and outputs keep their types.

    spared: convolutions that INT8 and FP8 leave in FP16.

    Raises ModelError where ModelOpt cannot do it, or there is nothing to calibrate with.
    """
    if not samples:
        raise ModelError(
            f"{name}: there is nothing to calibrate {precision} with. Name a folder with real "
            "inputs: --calibration DIR."
        )
    try:
        with _quiet(), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "fp32.onnx"
            _name_nodes(model)
            onnx.save_model(model, str(path))
            if precision == "fp16":
                return _autocast(path, part, samples)
            kept = [f"^{re.escape(one)}$" for one in _convolutions(model, spared)]
            return _quantised(path, precision, samples, [*part.keep_fp32, *kept])
    except Exception as error:  # ModelOpt, ONNX Runtime: any
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(
            f"{name} cannot be made {precision} by ModelOpt ({line}). Use a higher --precision."
        ) from error


def _autocast(path: Path, part: Part, samples: Sequence[Sample]) -> onnx.ModelProto:
    from modelopt.onnx.autocast import convert_to_mixed_precision

    feeds = path.with_suffix(".npz")
    np.savez(feeds, **samples[0].feeds)  # type: ignore[arg-type]
    model: onnx.ModelProto = convert_to_mixed_precision(
        str(path),
        low_precision_type="fp16",
        nodes_to_exclude=list(part.keep_fp32) or None,
        calibration_data=str(feeds),
        keep_io_types=True,
        providers=["cpu"],
    )
    return model


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give nodes without a name one: it is by names that they are left out."""
    taken = {node.name for node in model.graph.node}
    for at, node in enumerate(model.graph.node):
        if not node.name:
            node.name = f"{node.op_type}_{at}_unnamed"
            assert node.name not in taken


def _convolutions(model: onnx.ModelProto, spared: Spared) -> list[str]:
    """Return the names of a graph's convolutions that are spared."""
    if spared == "none":
        return []
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name for value in model.graph.input} - constants
    readers: dict[str, list[onnx.NodeProto]] = {}
    makers: dict[str, onnx.NodeProto] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
        for name in node.output:
            makers[name] = node
    found = _reached(inputs, lambda name: readers.get(name, []), lambda node: node.output, 1)
    if spared == "ends":
        outputs = {value.name for value in model.graph.output}
        found |= _reached(
            outputs,
            lambda name: [makers[name]] if name in makers else [],
            lambda node: node.input,
            _LAST,
        )
    return sorted(found)


def _reached(
    tensors: Iterable[str],
    neighbours: Callable[[str], Sequence[onnx.NodeProto]],
    onwards: Callable[[onnx.NodeProto], Sequence[str]],
    depth: int,
) -> set[str]:
    """Return the names of the first `depth` convolutions on each way from some tensors."""
    found: set[str] = set()
    seen: set[tuple[str, int]] = set()
    waiting = [(tensor, 0) for tensor in tensors]
    while waiting:
        tensor, passed = waiting.pop()
        if (tensor, passed) in seen:
            continue
        seen.add((tensor, passed))
        for node in neighbours(tensor):
            after = passed
            if node.op_type == "Conv":
                found.add(node.name)
                after += 1
            if after < depth:
                waiting += [(name, after) for name in onwards(node)]
    return found


def _quantised(
    path: Path, precision: Precision, samples: Sequence[Sample], kept: Sequence[str]
) -> onnx.ModelProto:
    from modelopt.onnx.quantization import quantize

    out = path.with_name("quantised.onnx")
    quantize(
        str(path),
        quantize_mode=precision,
        calibration_data_reader=Reader([sample.feeds for sample in samples]),
        calibration_method=CALIBRATION,
        calibration_eps=["cpu"],
        high_precision_dtype="fp16",
        nodes_to_exclude=list(kept) or None,
        output_path=str(out),
        log_level="ERROR",
    )
    return onnx.load_model(str(out))


class Reader:
    """Hands calibration inputs out one after the other, as ONNX Runtime's calibrator wants."""

    def __init__(self, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        self._feeds = list(feeds)
        self._next = iter(self._feeds)

    def get_next(self) -> Mapping[str, NDArray[Any]] | None:
        """Return the next input, None at the end."""
        return next(self._next, None)

    def rewind(self) -> None:
        """Begin anew."""
        self._next = iter(self._feeds)

    def get_first(self) -> Mapping[str, NDArray[Any]]:
        """Return the first input."""
        return self._feeds[0]

    def __iter__(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        return iter(self._feeds)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tools' remarks, which a user cannot act on, from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open(os.devnull, "w") as void, redirect_stdout(void), redirect_stderr(void):  # noqa: PTH123
                yield
    finally:
        logging.disable(before)
