"""Devices to run the shipped kernels on: this CPU, and a GPU where there is one.

On the CPU, kernels.cu is compiled by g++ with cuda_on_cpu.h into a library that answers as libcuda
does (driver_on_cpu.cpp), so that everything above it is the code that runs with a GPU. Packages
that bind libcuda find it by name, once a process: ON_CPU is the library that lies in their way.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis.vendor.pretty import RepresentationPrinter

from edge.errors import ModelError
from edge.frame import Planes
from edge.inference.bound import CudaMemory
from edge.inference.cuda import Cuda
from edge.inference.gpu import gpu_here
from edge.inference.kernels import HEADERS, SOURCE, sources
from edge.inference.picture import DevicePicture

_HERE = Path(__file__).resolve().parent
# Contraction would round otherwise than a GPU does; longjmp to another stack is meant.
_FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-ffp-contract=off", "-U_FORTIFY_SOURCE",
          "-Wall", "-Wextra")  # fmt: skip
ON_CPU = "PRIVAEDGE_TEST_CUDA"
"""Variable of the environment: the emulated libcuda.so.1 that this process finds by that name."""
if ON_CPU in os.environ:
    # pycuda refers to all of libcuda; what is not emulated is missing when it is called.
    sys.setdlopenflags(os.RTLD_LAZY)
SANITISE = ("-fsanitize=address", "-fno-omit-frame-pointer", "-g")


@dataclass(frozen=True)
class Device:
    """A device, its kernels, and the library behind it where that is the CPU's."""

    cuda: Cuda
    image: bytes
    emulator: ctypes.CDLL | None = None

    @property
    def is_cpu(self) -> bool:
        """Whether it is one on the CPU, be it one that a whole process takes for its GPU: all that
        is queued is done at once, and times say nothing."""
        return self.emulator is not None or ON_CPU in os.environ

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        """Without the kernels: hypothesis refuses to print as much of an example."""
        printer.text(f"Device({self.cuda.target}, emulated={self.is_cpu})")


def build(folder: Path, changes: Mapping[str, str] | None = None, *flags: str) -> Path:
    """Compile the shipped sources, with parts replaced, or skip. Every change must apply once."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("kernels cannot be run on the CPU: g++ is missing")
    texts = sources()
    for old, new in (changes or {}).items():
        assert sum(text.count(old) for text in texts.values()) == 1, old
        texts = {name: text.replace(old, new) for name, text in texts.items()}
    for name in (SOURCE, *HEADERS):
        (folder / name).write_text(texts[name])
    library = folder / "libcuda_on_cpu.so"
    subprocess.run(
        [compiler, *_FLAGS, *flags, f'-DKERNELS="{folder / SOURCE}"', f"-I{_HERE}",
         "-o", library, _HERE / "driver_on_cpu.cpp"],
        check=True, timeout=120,
    )  # fmt: skip
    return library


@cache
def shipped() -> Path:
    """The library of the sources as they are, compiled once a session."""
    if found := os.environ.get(ON_CPU):
        return Path(found)
    folder = Path(tempfile.mkdtemp(prefix="privaedge-cuda-on-cpu-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build(folder)


def separate(folder: Path) -> Path:
    """A library with a context of its own, of which a folder has one, and a process several."""
    if ON_CPU in os.environ:
        return shipped()
    library = folder / "libcuda_apart.so"
    if not library.exists():  # it may be at work: never written over
        shutil.copy(shipped(), library)
    return library


def opened(library: Path) -> Cuda:
    """The driver that a library is, by the binding that is under test where there is one."""
    return Cuda() if str(library) == os.environ.get(ON_CPU) else Cuda(str(library))


def emulated(library: Path, *, descending: bool = False, integrated: bool = False) -> Device:
    """A device on the CPU whose threads run first to last, or last to first."""
    api = ctypes.CDLL(str(library))
    api.run_descending(int(descending))
    api.pretend_integrated(int(integrated))
    return Device(opened(library), b"\0", api)


@cache
def real() -> Device:
    """The GPU, with kernels compiled for it, or skip."""
    if gpu_here() is None:
        pytest.skip("no NVIDIA GPU is here")
    from export.kernels import compile_kernels

    cuda = Cuda()
    try:
        (compiled,) = compile_kernels((cuda.target,))
    except ModelError as error:
        if ON_CPU in os.environ:  # which has its own
            return Device(cuda, b"\0")
        pytest.skip(str(error))
    return Device(cuda, compiled.data)


def onnx_memory(device: Device) -> CudaMemory:
    """Where ONNX Runtime computes for a device, or skip: a CPU's memory is the CPU's."""
    if device.is_cpu:
        return CudaMemory(device.cuda, device_type="cpu")
    from edge.inference.onnx_cuda_proof import cuda_trouble

    if (trouble := cuda_trouble()) is not None:
        pytest.skip(f"ONNX Runtime cannot use the GPU: {trouble}")
    return CudaMemory(device.cuda)


@pytest.fixture(
    scope="session",
    params=["cpu", "cpu-backwards-integrated", pytest.param("gpu", marks=pytest.mark.gpu)],
)
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Each device in turn."""
    if request.param == "gpu":
        yield real()
        return
    backwards = "backwards" in request.param
    yield emulated(shipped(), descending=backwards, integrated=backwards)


class Resident:
    """Planes copied into the device's memory, in rows of a given pitch, and back."""

    def __init__(self, device: Device, planes: Planes, *, padding: int = 6) -> None:
        self._device, self.planes = device, planes
        self._host: list[np.ndarray] = []
        self.addresses: list[int] = []
        cuda = device.cuda
        cuda.enter()
        for plane in (planes.y, *planes.chroma):
            rows = plane.reshape(len(plane), -1)
            held = np.full((len(rows), rows.shape[1] + padding), 0xEE, np.uint8)
            held[:, : rows.shape[1]] = rows
            self._host.append(held)
            self.addresses.append(cuda.allocate(held.nbytes))
        stream = cuda.stream()
        for held, address in zip(self._host, self.addresses, strict=True):
            cuda.upload(address, held.ctypes.data, held.nbytes, stream)
        cuda.wait(stream)
        height, width = planes.y.shape
        y, u, *rest = self.addresses
        self.picture = DevicePicture(
            planes.layout, width, height, y, u, rest[0] if rest else u + 1,
            width + padding, self._host[1].shape[1], planes.full_range,
        )  # fmt: skip

    def fetch(self, stream: int) -> Planes:
        """Wait, and return what the planes have become; fails where padding was written to."""
        cuda = self._device.cuda
        cuda.enter()
        cuda.wait(stream)
        parts = []
        for held, address, plane in zip(
            self._host, self.addresses, (self.planes.y, *self.planes.chroma), strict=True
        ):
            cuda.download(held.ctypes.data, address, held.nbytes, stream)
            cuda.wait(stream)
            used = plane.size // len(plane)
            assert (held[:, used:] == 0xEE).all()
            parts.append(held[:, :used].reshape(plane.shape))
        for address in self.addresses:
            cuda.free(address)
        return Planes(self.planes.layout, parts[0], tuple(parts[1:]), self.planes.full_range)


def largest_difference(one: Planes, other: Planes) -> int:
    """Over all samples of two pictures."""
    return max(
        int(np.abs(a.astype(int) - b).max(initial=0))
        for a, b in zip((one.y, *one.chroma), (other.y, *other.chroma), strict=True)
    )
