"""What `privaedge doctor` says of hiding on the GPU: what happened when it was tried just now."""

from __future__ import annotations

from edge.errors import PrivaedgeError
from edge.probe import Machine
from edge.redact.cuda_proof import open_redactor
from edge.redact.effects import RedactionStyle

_SIZE = (320, 180)


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
