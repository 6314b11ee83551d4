"""What this machine has: processor, memory, GPU, inference runtimes. media/probe.py has the codecs.

Every probe looks, changes nothing, and never raises: what is absent is reported as absent. No
host name, user name, serial number or environment variable is read.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.inference.driver_ctypes import cuda_version, list_gpus

NVIDIA_SMI_TIMEOUT_S: Final = 5.0
_MIB: Final = 1 << 20

# Distribution → what it adds. Their presence is read from package metadata: importing some of
# them costs seconds and hundreds of MB.
OPTIONAL_PACKAGES: Final = {
    "scikit-image": "the demo's picture",
    "onnxruntime-gpu": "ONNX models on the GPU",
    "tensorrt": "TensorRT engines",
    "tensorrt-rtx": "TensorRT engines for RTX cards",
    "faster-whisper": "speech to text",
}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU. driver is the driver's version, or the CUDA version that it supports."""

    name: str
    driver: str
    memory_mib: int | None
    """None where the GPU shares the system's memory (Jetson)."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Hardware and operating system."""

    system: str
    python: str
    cpu: str
    cores: int
    usable_cores: float
    """What affinity and container limits leave of the cores; may be a fraction."""
    memory_mib: int
    """Physical memory, or the container's limit where that is lower."""
    board: str | None
    """Model name of a board with a device tree, such as a Jetson."""
    gpus: tuple[Gpu, ...]
    gpu_trouble: str | None
    """Why the GPU's driver did not answer, where there is one."""


@dataclass(frozen=True, slots=True)
class Inference:
    """Runtimes for models."""

    onnxruntime: str | None
    providers: tuple[str, ...]
    tensorrt: str | None
    """Version of TensorRT, or 'present' where it does not tell; None where absent."""


def probe_machine() -> Machine:
    """Look at the hardware and the operating system. Takes up to 5 s where a GPU driver hangs."""
    gpus, trouble = _gpus()
    return Machine(
        system=f"{_os_name()}, {platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        usable_cores=_usable_cores(),
        memory_mib=_memory_mib(),
        board=_board(),
        gpus=gpus,
        gpu_trouble=trouble,
    )


def probe_inference() -> Inference:
    """Import ONNX Runtime and look for TensorRT without importing it."""
    try:
        import onnxruntime

        version, providers = onnxruntime.__version__, tuple(onnxruntime.get_available_providers())
    except (ImportError, OSError):  # OSError: a shared library that it needs is missing
        version, providers = None, ()
    tensorrt = package_version("tensorrt") or package_version("tensorrt-rtx")
    if tensorrt is None and any(map(_importable, ("tensorrt", "tensorrt_rtx"))):
        tensorrt = "present"  # JetPack's Debian package may lack the metadata
    return Inference(version, providers, tensorrt)


def package_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip(" \0\n")
    except OSError:
        return ""


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown distribution")
    except OSError:
        return "unknown distribution"


def _cpu_model() -> str:
    match = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    if match:
        return match[1].strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> float:
    if hasattr(os, "sched_getaffinity"):
        cores = float(len(os.sched_getaffinity(0)))
    else:
        cores = float(os.cpu_count() or 1)
    # cgroup v2: "max 100000" or "150000 100000", microseconds of CPU time in each period
    quota = re.fullmatch(r"(\d+) (\d+)", _read("/sys/fs/cgroup/cpu.max"))
    if quota and int(quota[2]):
        cores = min(cores, int(quota[1]) / int(quota[2]))
    return round(cores, 2)


def _memory_mib() -> int:
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        memory = 0
    limit = _read("/sys/fs/cgroup/memory.max")
    if limit.isdecimal():
        memory = min(memory, int(limit))
    return memory // _MIB


def _board() -> str | None:
    board = _read("/proc/device-tree/model")
    release = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", _read("/etc/nv_tegra_release"))
    if release:
        board = f"{board} (L4T {release[1]}.{release[2]})"
    return board or None


def _gpus() -> tuple[tuple[Gpu, ...], str | None]:
    """Return the NVIDIA GPUs, and why the driver did not answer where it did not."""
    trouble = None
    if command := shutil.which("nvidia-smi"):
        gpus, trouble = _ask_nvidia_smi(command)
        if gpus:
            return gpus, None
    return _ask_libcuda(), trouble


def _ask_nvidia_smi(command: str) -> tuple[tuple[Gpu, ...], str | None]:
    query = "--query-gpu=name,driver_version,memory.total"
    try:
        result = subprocess.run(
            [command, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=NVIDIA_SMI_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return (), f"nvidia-smi did not answer within {NVIDIA_SMI_TIMEOUT_S:g} s"
    except OSError as error:
        return (), f"nvidia-smi does not start ({error.strerror})"
    if result.returncode:
        lines = (result.stdout + result.stderr).strip().splitlines() or ["no message"]
        return (), f"nvidia-smi failed: {lines[0][:200]}"
    return parse_nvidia_smi(result.stdout), None


def parse_nvidia_smi(csv: str) -> tuple[Gpu, ...]:
    """Parse 'name, driver version, memory in MiB' lines; memory may be [N/A]."""
    gpus = []
    for line in csv.splitlines():
        parts = [part.strip() for part in line.rsplit(",", 2)]
        if len(parts) == 3:
            gpus.append(Gpu(parts[0], parts[1], int(parts[2]) if parts[2].isdecimal() else None))
    return tuple(gpus)


def _ask_libcuda() -> tuple[Gpu, ...]:
    """Ask the CUDA driver itself: containers and Jetsons may lack nvidia-smi."""
    return tuple(
        Gpu(gpu.name, f"CUDA {cuda_version(gpu.version)}", gpu.memory // _MIB or None)
        for gpu in list_gpus()
    )
