"""Sessions of ONNX Runtime on the GPU, or none.

ONNX Runtime goes over to the CPU without a word where its CUDA provider does not load: a session
counts only once it says itself that the provider is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import onnxruntime as ort

from edge.errors import ModelError
from edge.inference.onnx import first_line, open_session, session_options

PROVIDER: Final = "CUDAExecutionProvider"
NOT_INSTALLED: Final = "onnxruntime-gpu is not installed"
CPU: Final = "CPUExecutionProvider"
OVERWRITTEN: Final = "onnxruntime was installed over onnxruntime-gpu"
"""Both bring the same module, and the one that is installed last has it."""
REMEDY: Final = (
    "Run `pip uninstall -y onnxruntime onnxruntime-gpu` and `pip install "
    "'onnxruntime-gpu[cuda,cudnn]'`, or set runtime.device to cpu."
)
_OPTIONS: Final = {
    "device_id": "0",
    # Grows by what is asked for: doubling takes up to twice the memory, which lanes and streams
    # share.
    "arena_extend_strategy": "kSameAsRequested",
    # A search times all algorithms for every shape that comes, for seconds, and may choose others
    # the next time: the same film would not give the same result.
    "cudnn_conv_algo_search": "HEURISTIC",
    # Ten bits of mantissa instead of 23: no manifest states what that costs a model.
    "use_tf32": "0",
}
"""gpu_mem_limit is not set: what does not fit raises, and the lane goes over to the CPU."""


def why_not_installed() -> str | None:
    """Return why the ONNX Runtime that is installed was not built with its CUDA provider, as a
    clause; None where it was."""
    if PROVIDER in ort.get_available_providers():
        return None
    try:
        version("onnxruntime-gpu")
    except PackageNotFoundError:
        return NOT_INSTALLED
    return OVERWRITTEN


def open_on_gpu(model: bytes, name: str, stream: int, *, graph: bool) -> ort.InferenceSession:
    """Open a session whose kernels run on a stream of the first GPU; what it has none for runs on
    the CPU.

    Raises ModelError, with a remedy, where the model cannot be loaded or the provider is missing.
    """
    if (missing := why_not_installed()) is not None:
        raise ModelError(f"{name}: {missing}. {REMEDY}")
    _preload()
    wanted = _OPTIONS | {
        "user_compute_stream": str(stream),
        "enable_cuda_graph": str(int(graph)),
    }
    remedy = "End other programs that use the GPU, or set runtime.device to cpu."
    session = open_session(
        model, name, session_options(1), [(PROVIDER, wanted), CPU], remedy=remedy
    )
    if session.get_providers()[:1] != [PROVIDER]:
        raise ModelError(
            f"{name}: ONNX Runtime's CUDA provider does not load ({why_not_loaded()}). {REMEDY}"
        )
    if not hasattr(session, "get_input_memory_infos"):
        raise ModelError(
            f"{name}: ONNX Runtime {ort.__version__} is too old for a GPU. Install "
            "onnxruntime-gpu 1.23 or newer, or set runtime.device to cpu."
        )
    return session


def why_not_loaded() -> str:
    """Return the loader's reason for which ONNX Runtime's CUDA provider is not there: a clause.

    To be asked after a session was opened that should have had it.
    """
    folder = Path(ort.__file__).parent / "capi"
    try:
        # Not before ONNX Runtime has tried itself: its constructor looks for the host.
        ctypes.CDLL(str(folder / "libonnxruntime_providers_cuda.so"))
    except OSError as error:
        return first_line(error)
    built_for = getattr(ort, "cuda_version", "") or "an unknown version"
    return f"all its libraries are there; it is built for CUDA {built_for}: is the driver older?"


@cache
def _preload() -> None:
    """Load CUDA and cuDNN from NVIDIA's wheels where those are installed: the loader does not look
    there. What is missing is printed by it, and told of by `why_not_loaded`."""
    if not hasattr(ort, "preload_dlls"):
        return
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
        contextlib.suppress(Exception),
    ):
        warnings.simplefilter("ignore")
        ort.preload_dlls(directory="")
