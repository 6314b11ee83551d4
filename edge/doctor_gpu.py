"""What `privaedge doctor` says of the GPU: what happened when it was tried just now."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from edge.doctor_report import LanePart
from edge.errors import PrivaedgeError
from edge.inference.choice import cuda_trouble
from edge.inference.cuda import Cuda
from edge.inference.eyes_proof import prove
from edge.inference.kernels import load_kernels
from edge.media.hardware_decoder import DecoderFailed
from edge.media.nvdec import OnGpu
from edge.media.nvdec_proof import prove as prove_nvdec
from edge.probe import Machine
from edge.redact.cuda_proof import open_redactor
from edge.redact.effects import RedactionStyle

_SIZE = (320, 180)
_RUNS_ON_GPU: Final = re.compile(
    r"(?:^|; )(?:\w+: )?(?:ONNX Runtime on the GPU|tensorrt\w* [\d.]+, )"
)
"""What choice.explain says of an engine on the GPU, perhaps of one part of several."""


def onnx_use(machine: Machine) -> str:
    """Return one line: whether ONNX Runtime computes on the GPU here, or why it does not."""
    if machine.gpu_trouble:
        return "no: the NVIDIA driver does not answer"
    if not machine.gpus:
        return "no: no NVIDIA GPU is here"
    trouble = cuda_trouble()
    return "yes: a test ran on it" if trouble is None else f"no: {trouble}"


def binding_use(machine: Machine) -> str:
    """Return one line: what the CUDA driver is called through, and what cannot be used for it."""
    if machine.gpu_trouble:
        return "none: the NVIDIA driver does not answer"
    if not machine.gpus:
        return "none: no NVIDIA GPU is here"
    try:
        cuda = Cuda()
    except PrivaedgeError as error:
        return f"none: {error}"
    return "; ".join((cuda.binding, *cuda.passed_over))


def device_use(device: str, parts: Iterable[LanePart]) -> str:
    """Return what the models of a profile run on. device: as runtime.device is set."""
    if device == "cpu":
        return "CPU (as set)"
    if device == "cuda":
        return "GPU (as set)"
    on_gpu = any(part.runs is not None and _RUNS_ON_GPU.search(part.runs) for part in parts)
    return "GPU" if on_gpu else "CPU"


def redaction_use(machine: Machine) -> str:
    """Return one line: what hides regions here, and whether runtime.device=cuda would start.

    Where a driver answers, the kernels that were exported for its GPU are loaded and compared with
    the CPU's redactor, as at the start of a stream.
    """
    if machine.gpu_trouble:
        return "CPU: the NVIDIA driver does not answer"
    if not machine.gpus:
        return "CPU: no NVIDIA GPU is here"
    try:
        open_redactor(RedactionStyle(), *_SIZE).close()
    except PrivaedgeError as error:
        return f"CPU: {error}"
    return "CPU; the GPU's kernels pass their self-test, runtime.device=cuda uses them"


def scaling_use(machine: Machine) -> str:
    """Return one line: what makes detectors' inputs of pictures, for models that run on the GPU.

    As redaction_use, for the kernels that such a model's first picture would try.
    """
    if machine.gpu_trouble:
        return "CPU: the NVIDIA driver does not answer"
    if not machine.gpus:
        return "CPU: no NVIDIA GPU is here"
    try:
        cuda = Cuda()
        prove(cuda, load_kernels(cuda.target))
    except PrivaedgeError as error:
        return f"CPU: {error}"
    return "the GPU's kernels pass their self-test, models on the GPU use them"


def frames_use(machine: Machine) -> str:
    """Return one line: where frames of a live source lie with runtime.device=cuda, by decoding a
    film made to try it."""
    if machine.gpu_trouble:
        return "host: the NVIDIA driver does not answer"
    if not machine.gpus:
        return "host: no NVIDIA GPU is here"
    try:
        cuda = Cuda()
        if cuda.integrated:
            return "memory that host and GPU share"
        prove_nvdec(OnGpu(cuda, load_kernels(cuda.target), hold_s=0.0))
    except PrivaedgeError as error:
        return f"host: {error}"
    except DecoderFailed as error:
        return f"host: NVDEC cannot be used: {error}"
    return "GPU: NVDEC decodes what it should, runtime.device=cuda leaves H.264 and H.265 there"
