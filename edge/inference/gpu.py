"""The GPU of this machine, as engines have to know it: asked of the CUDA driver itself."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Final

_MAJOR: Final = 75
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR of cuda.h; the next one is the minor number."""
_MINOR: Final = 76


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
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        major, minor, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
            return None
        calls = (
            cuda.cuDeviceGetName(name, len(name), device),
            cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device),
            cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device),
            cuda.cuDriverGetVersion(ctypes.byref(version)),
        )
    except (OSError, AttributeError):  # no such library, or one without these functions
        return None
    if any(calls):
        return None
    return GpuIdentity(
        name.value.decode("utf-8", "replace"),
        f"sm_{major.value}{minor.value}",
        f"{version.value // 1000}.{version.value % 1000 // 10}",
    )
