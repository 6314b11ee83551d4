"""PyTorch and what is built on it: imported quietly and offline, graphs written as ONNX.

None of it is imported before a function here is called.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from edge.errors import ModelError
from export.family import Axis, Port

_QUIET: Final = {
    # Threads that wait by spinning stand in each other's way where there are few cores: a forward
    # pass on a busy machine took 4.3 s, in ONNX Runtime without spinning 0.2 s.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Ultralytics otherwise counts its users, looks for a newer release, and installs packages.
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}
"""Set before the first import, where the user has set nothing else."""
_MISSING: Final = re.compile(r"operator torchvision::(\w+) does not exist")
_MOST_OPERATORS: Final = 32
_libraries: list[Any] = []
"""Declarations last as long as these live."""


def load(name: str) -> ModuleType:
    """Import a framework (ultralytics, doctr, transformers), or one of its modules.

    Raises ModelError where it is installed and cannot be imported; ImportError where it is not.
    """
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _import_torchvision()
        try:
            return importlib.import_module(name)
        except ImportError:
            raise
        except Exception as error:  # whatever their modules do when they are imported
            raise ModelError(
                f"{name} cannot be imported ({type(error).__name__}: {_first_line(error)}). "
                "Install it anew: pip install 'privaedge[export]'."
            ) from error


def _import_torchvision() -> None:
    """Import torchvision, also beside a torch that its compiled operators do not fit.

    Its Python part registers shapes for operators of its compiled part, and fails where that could
    not be loaded: a build for CUDA beside a torch for the CPU, say. Nothing that is exported here
    uses them, so those that are missing are declared, without an implementation.
    """
    import torch

    declared: set[str] = set()
    while "torchvision" not in sys.modules:
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = _MISSING.search(str(error))
            if missing is None or missing[1] in declared or len(declared) == _MOST_OPERATORS:
                raise ModelError(
                    f"torchvision does not fit torch {torch.__version__} ({_first_line(error)}). "
                    "Install the pair that belongs together."
                ) from error
            declared.add(missing[1])
            make: Any = torch.library.Library
            library = make("torchvision", "FRAGMENT")
            library.define(f"{missing[1]}(Tensor unused) -> Tensor")
            _libraries.append(library)
            for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
                del sys.modules[name]


def write_onnx(
    module: Any,
    example: Sequence[Any],
    out: Path,
    *,
    inputs: Sequence[Port],
    outputs: Sequence[str],
    opset: int,
) -> None:
    """Trace a torch.nn.Module in evaluation mode into an ONNX file.

    example: one tensor for each input, whose free sides are of typical length. Traced and not
    captured: torch.export fixes sides that its guards see, needs twice the time, and leaves
    operators in training form that TensorRT refuses.
    """
    import torch

    free = {
        port.name: {at: side.name for at, side in enumerate(port.shape) if isinstance(side, Axis)}
        for port in inputs
    }
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing in general, and of this way to export
        torch.onnx.export(
            module.eval(),
            tuple(example),
            str(out),
            input_names=[port.name for port in inputs],
            output_names=list(outputs),
            dynamic_axes={name: axes for name, axes in free.items() if axes},
            opset_version=opset,
            dynamo=False,
        )


def state_dict(path: Path, name: str) -> Mapping[str, Any]:
    """Read the tensors of a .pt, .bin or .safetensors file; nothing in it is run.

    Raises ModelError where it holds anything else.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors: Any = load_file(str(path))
        else:
            tensors = torch.load(str(path), map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. Check it.") from error
    except Exception as error:  # pickle's, zip's, torch's
        raise ModelError(
            f"{name}: {path.name} holds more than tensors, or is damaged "
            f"({type(error).__name__}). Save its state_dict() anew."
        ) from error
    if not isinstance(tensors, Mapping) or not all(torch.is_tensor(v) for v in tensors.values()):
        raise ModelError(f"{name}: {path.name} is no table of tensors. Save a state_dict().")
    return tensors


def seed(number: int = 0) -> None:
    """Make what comes next the same every time."""
    import torch

    torch.manual_seed(number)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:160]
