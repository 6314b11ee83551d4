"""Lower precision, in the graph itself: FP16 by AutoCast, INT8 and FP8 by Q/DQ (NVIDIA ModelOpt).

TensorRT 11 knows no precision flags and no calibrators any more; the same graphs do for 10 and RTX.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.inference.manifest import Precision
from export.family import Part, Sample

CALIBRATION_INPUTS: Final = 24
"""Enough for each of the photographs that ship here in two or three variations; a histogram of all
activations takes a second for each of them."""


def lowered(
    model: onnx.ModelProto, part: Part, precision: Precision, samples: Sequence[Sample], name: str
) -> onnx.ModelProto:
    """Return the graph in a precision below FP32; inputs and outputs keep their types.

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
            onnx.save_model(model, str(path))
            if precision == "fp16":
                return _autocast(path, part, samples)
            return _quantised(path, part, precision, samples)
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


def _quantised(
    path: Path, part: Part, precision: Precision, samples: Sequence[Sample]
) -> onnx.ModelProto:
    from modelopt.onnx.quantization import quantize

    out = path.with_name("quantised.onnx")
    quantize(
        str(path),
        quantize_mode=precision,
        calibration_data_reader=Reader([sample.feeds for sample in samples]),
        calibration_method="max" if precision == "fp8" else "entropy",
        calibration_eps=["cpu"],
        high_precision_dtype="fp16",
        nodes_to_exclude=list(part.keep_fp32) or None,
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
