"""The GPU of this machine, as engines have to know it: asked of the CUDA driver itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from edge.inference.driver_ctypes import first_gpu


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
    if (found := first_gpu()) is None:
        return None
    name, (major, minor), version = found
    return GpuIdentity(name, f"sm_{major}{minor}", f"{version // 1000}.{version % 1000 // 10}")
