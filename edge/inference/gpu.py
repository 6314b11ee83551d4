"""The GPU of this machine, as engines have to know it: asked of the CUDA driver itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from edge.inference.driver_ctypes import cuda_version, list_gpus


@dataclass(frozen=True, slots=True)
class GpuIdentity:
    """What an engine that was built on a GPU holds for.

    target: sm_89 for compute capability 8.9. driver: the CUDA version that the driver supports.
    """

    name: str
    target: str
    driver: str


@cache
def gpu_here() -> GpuIdentity | None:
    """Return the first GPU; None where there is no NVIDIA driver or no GPU. Opens no context."""
    for gpu in list_gpus():
        major, minor = gpu.capability
        return GpuIdentity(gpu.name, f"sm_{major}{minor}", cuda_version(gpu.version))
    return None
