"""Which binding of the CUDA driver is used: pycuda where it is installed, else cuda-bindings, else
the driver by itself. PRIVAEDGE_CUDA_BINDING names one of them instead."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from edge.errors import ModelError
from edge.inference import driver_bindings, driver_ctypes, driver_pycuda
from edge.inference.driver import CudaError, Driver

ENVIRONMENT: Final = "PRIVAEDGE_CUDA_BINDING"
_DRIVERS: Final[dict[str, Callable[[], Driver]]] = {
    driver_pycuda.NAME: driver_pycuda.PycudaDriver,
    driver_bindings.NAME: driver_bindings.BindingsDriver,
    driver_ctypes.NAME: driver_ctypes.CtypesDriver,
}
"""In the order of choice. The last needs no package."""
_LAST: Final = driver_ctypes.NAME


@dataclass(frozen=True, slots=True)
class Opened:
    """A driver at work. passed_over: bindings that are installed and cannot be used, with why."""

    driver: Driver
    passed_over: tuple[str, ...] = ()


def open_driver() -> Opened:
    """Return the first binding that works, or the named one.

    Raises ModelError, one line with a remedy, where there is no driver, no GPU, or the named
    binding is missing or cannot be used.
    """
    if named := os.environ.get(ENVIRONMENT, ""):
        return _named(named)
    passed_over: list[str] = []
    for name, make in _DRIVERS.items():
        if name == _LAST:
            break
        if not _installed(name):
            continue
        try:
            return Opened(make(), tuple(passed_over))
        except Exception as error:  # noqa: BLE001 - a package that is broken, however, is passed over
            passed_over.append(f"{name} cannot be used: {_why(error)}")
    return Opened(on_library(), tuple(passed_over))


def on_library(*library: str) -> Driver:
    """Return the driver by itself, from a library of another name if one is given. Raises
    ModelError where there is no driver, or no GPU."""
    try:
        return driver_ctypes.CtypesDriver(*library)
    except CudaError as error:
        raise _no_gpu(error) from error


def _named(name: str) -> Opened:
    if name not in _DRIVERS:
        known = ", ".join(_DRIVERS)
        raise ModelError(f"{ENVIRONMENT} is none of {known}. Name one of them, or unset it.")
    if name == _LAST:
        return Opened(on_library())
    remedy = f"Install it, or unset {ENVIRONMENT}."
    if not _installed(name):
        raise ModelError(f"{name}, which {ENVIRONMENT} names, is not installed. {remedy}")
    try:
        return Opened(_DRIVERS[name]())
    except CudaError as error:
        raise _no_gpu(error) from error
    except Exception as error:
        raise ModelError(
            f"{name}, which {ENVIRONMENT} names, cannot be loaded: {_why(error)}. Build it for the "
            f"CUDA of the driver here, or unset {ENVIRONMENT}."
        ) from error


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _no_gpu(error: CudaError) -> ModelError:
    return ModelError(
        f"no NVIDIA GPU answers (CUDA error {error.number}). Install its driver, or set "
        "runtime.device to cpu."
    )


def _why(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
