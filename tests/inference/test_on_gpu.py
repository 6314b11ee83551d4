"""What only a real GPU can show: streams side by side, events that order them, memory that is not
asked for any more, and what NVIDIA's own checker says of every access.

Other tests of a GPU lie beside those of the CPU, with the marker `gpu`. All of this runs as well,
but for comparing times, where the driver on the CPU is what a process finds as its GPU.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.inference import choice
from edge.inference.binding import ENVIRONMENT
from edge.inference.bound import CudaMemory
from edge.inference.cuda import Cuda
from edge.inference.frame_pool import MOST_COPIES, FrameLayout, FramePool
from edge.inference.picture import DevicePicture
from edge.inference.pool import Pool
from edge.inference.preprocess import InputSpec, Preprocessor
from edge.inference.surfaces import SurfaceRoom
from edge.redact import cuda_proof
from edge.redact.cuda import CudaRedactor
from edge.redact.effects import RedactionStyle
from tests.harness import decode, likeness
from tests.inference.test_gpu_way import start
from tests.redact.emulator import Device, Resident, onnx_memory, real
from tests.redact.test_cpu import as_nv12, noise
from tests.redact.test_cuda_proof import vouch

pytestmark = pytest.mark.gpu
ROOT = Path(__file__).resolve().parent.parent.parent
MIB = 1 << 20


@pytest.fixture(scope="module")
def gpu() -> Device:
    return real()


def free_bytes(cuda: Cuda) -> int:
    """What is left of the GPU's memory, whoever has the rest."""
    left, total = ctypes.c_size_t(), ctypes.c_size_t()
    cuda.enter()
    driver = ctypes.CDLL("libcuda.so.1")
    assert driver.cuMemGetInfo_v2(ctypes.byref(left), ctypes.byref(total)) == 0
    return left.value


class Slow:
    """Work for one stream that leaves most of any GPU idle, and takes it a millisecond or so: two
    blocks of threads, each of which reads some thousand samples of a picture of 1080p."""

    def __init__(self, gpu: Device, picture: DevicePicture) -> None:
        self._picture = picture
        self._eye = Preprocessor(
            gpu.cuda, gpu.image, [InputSpec(32, 18, 0, 0, 32, 18)], analysis=(0, 0)
        )
        self.stream, self.close = self._eye.stream, self._eye.close
        self.queue = partial(self._eye.load, picture)


@pytest.fixture
def large(gpu: Device) -> Any:
    resident = Resident(gpu, as_nv12(noise(1920, 1080)), padding=0)
    yield resident.picture
    gpu.cuda.enter()
    for address in resident.addresses:
        gpu.cuda.free(address)


def test_two_workloads_on_two_streams_overlap(gpu: Device, large: DevicePicture):
    cuda, times = gpu.cuda, 2 if gpu.is_cpu else 20
    one, other = Slow(gpu, large), Slow(gpu, large)
    start, joined, end = cuda.event(), cuda.event(), cuda.event()

    def took(works: Sequence[Slow]) -> float:
        """By the GPU's clock, from before the first to after the last."""
        first, *rest = works
        cuda.record(start, first.stream)
        for work in rest:
            cuda.follow(work.stream, start)
        for _ in range(times):
            for work in works:
                work.queue()
        for work in rest:
            cuda.record(joined, work.stream)
            cuda.follow(first.stream, joined)
        cuda.record(end, first.stream)
        cuda.wait_event(end)
        return cuda.milliseconds(start, end)

    def usually(*works: Slow) -> float:
        took(works)
        return statistics.median(took(works) for _ in range(2 if gpu.is_cpu else 5))

    apart, together = usually(one) + usually(other), usually(one, other)
    for work in (one, other):
        work.close()
    for event in (start, joined, end):
        cuda.drop_event(event)
    if gpu.is_cpu:
        pytest.skip("nothing runs side by side on the CPU")
    assert together < 0.75 * apart


def test_who_follows_an_event_sees_what_was_written_before_it(gpu: Device, large: DevicePicture):
    """And who does not, does not: on a GPU, otherwise this would show nothing."""
    cuda, size = gpu.cuda, 4096
    pool = Pool(cuda, 3, size, pinned=False)
    host = Pool(cuda, 1, size, pinned=True)
    written, wanted, copied = (pool.take().address for _ in range(3))
    piece, reader, event = host.take(), cuda.stream(), cuda.event()
    assert piece.host is not None
    piece.host[:] = 7
    cuda.upload(wanted, piece.host_address, size, reader)
    work = Slow(gpu, large)

    def seen(*, follows: bool) -> set[int]:
        cuda.clear(written, size, reader)
        cuda.wait(reader)
        for _ in range(2 if gpu.is_cpu else 20):
            work.queue()
        cuda.copy(written, wanted, size, work.stream)
        cuda.record(event, work.stream)
        if follows:
            cuda.follow(reader, event)
        cuda.copy(copied, written, size, reader)
        cuda.download(piece.host_address, copied, size, reader)
        cuda.wait(reader)
        found = set(piece.host.tolist())
        cuda.wait(work.stream)
        return found

    seen(follows=True)  # loads what is loaded when it is used first
    with_event = [seen(follows=True) for _ in range(5)]
    without = [seen(follows=False) for _ in range(5)]
    work.close()
    cuda.drop_event(event)
    cuda.drop_stream(reader)
    pool.close()
    host.close()
    assert with_event == [{7}] * 5
    if not gpu.is_cpu:
        assert {0} in without


def test_a_surface_is_copied_after_what_its_decoder_has_queued(gpu: Device, large: DevicePicture):
    cuda, width, height = gpu.cuda, 320, 180
    before, after = as_nv12(noise(width, height, 1)), as_nv12(noise(width, height, 2))
    surface = Resident(gpu, before, padding=192)
    later = Resident(gpu, after, padding=192)
    room = SurfaceRoom(cuda, gpu.image, width, height, pitch=512, count=2)
    decoder = Slow(gpu, large)
    for _ in range(2 if gpu.is_cpu else 20):
        decoder.queue()
    for to, of, rows in zip(surface.addresses, later.addresses, (height, height // 2), strict=True):
        cuda.copy(to, of, 512 * rows, decoder.stream)
    slot = room.adopt(surface.picture, decoder.stream)
    assert slot is not None
    seen = as_nv12(noise(width, height, 3))
    room.download(slot.picture, seen)
    for mine, wanted in zip((seen.y, *seen.chroma), (after.y, *after.chroma), strict=True):
        np.testing.assert_array_equal(mine, wanted)
    decoder.close()
    for one in (surface, later):
        one.fetch(cuda.stream())


# --- memory -----------------------------------------------------------------------------------


def test_a_room_that_is_full_takes_nothing_until_something_leaves(gpu: Device):
    taken, planes = gpu.cuda.allocations, as_nv12(noise(320, 180))
    surface = Resident(gpu, planes, padding=192)
    room = SurfaceRoom(gpu.cuda, gpu.image, 320, 180, pitch=512, count=3)
    made = gpu.cuda.allocations
    assert made > taken
    stream = gpu.cuda.stream()
    slots = [room.adopt(surface.picture, stream) for _ in range(3)]
    assert None not in slots
    for _ in range(3):
        assert room.adopt(surface.picture, stream) is None
    del slots[1]
    gc.collect()
    assert room.free == 1
    assert room.adopt(surface.picture, stream) is not None
    assert gpu.cuda.allocations == made
    del slots
    gc.collect()
    assert room.free == 3
    surface.fetch(stream)


def test_a_picture_finds_no_place_on_the_gpu_while_all_are_looked_at(gpu: Device):
    if gpu.cuda.integrated:
        pytest.skip("this GPU works on the host's memory: nothing is copied")
    pool = FramePool(gpu.cuda, FrameLayout("nv12", 64, 48), MOST_COPIES + 1)
    made = gpu.cuda.allocations
    held = [pool.take() for _ in range(MOST_COPIES + 1)]
    assert pool.take() is None
    lent = []
    for taken in held[:MOST_COPIES]:
        assert taken is not None
        lent.append(pool.lend(taken[0], full_range=False))
        assert lent[-1].__enter__() is not None
    last = held[-1]
    assert last is not None
    with pool.lend(last[0], full_range=False) as there:
        assert there is None
    lent.pop().__exit__(None, None, None)
    with pool.lend(last[0], full_range=False) as there:
        assert there is not None
    for one in lent:
        one.__exit__(None, None, None)
    assert gpu.cuda.allocations == made


def test_pictures_on_their_way_over_the_gpu_take_no_memory(gpu: Device):
    """From a decoder's surface into a slot, seen by the motion estimator and a detector, hidden,
    and brought to the host."""
    cuda, size = gpu.cuda, (320, 180)
    surface = Resident(gpu, as_nv12(noise(*size)), padding=192)
    room = SurfaceRoom(cuda, gpu.image, *size, pitch=512, count=4)
    redactor = CudaRedactor(RedactionStyle(), cuda, gpu.image, *size)
    eye = Preprocessor(cuda, gpu.image, [InputSpec(160, 96, 0, 0, 160, 90)], analysis=(0, 0))
    out, event = as_nv12(noise(*size)), cuda.event()

    def frame(number: int) -> None:
        slot = room.adopt(surface.picture, eye.stream)
        assert slot is not None
        room.small_luma(slot.picture, 160, 90)
        eye.load(slot.picture)
        cuda.record(event, eye.stream)
        cuda.follow(redactor.stream, event)
        corner = np.random.default_rng(number).uniform(0, 150, (number % 7, 2))
        redactor.redact_device(slot.picture, np.hstack((corner, corner + 30)))
        room.download(slot.picture, out, redactor.stream)

    for number in range(10):
        frame(number)
    asked, left = cuda.allocations, free_bytes(cuda)
    for number in range(300):
        frame(number)
    assert cuda.allocations == asked
    # 300 pictures are 26 MB. Others may use this GPU meanwhile, though hardly so.
    assert left - free_bytes(cuda) < 8 * MIB
    redactor.close()
    eye.close()
    cuda.drop_event(event)
    surface.fetch(cuda.stream())


def test_a_film_takes_no_memory_after_its_first_second(
    gpu: Device, clip: Path, face_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """From the settings to the file, and it is the film that the CPU makes."""
    onnx_memory(gpu)  # or skip
    vouch(tmp_path / "engines", gpu)
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    if gpu.is_cpu:
        monkeypatch.setattr(choice, "cuda_trouble", lambda: None)
        monkeypatch.setattr(choice, "CudaMemory", partial(CudaMemory, device_type="cpu"))
    cuda_proof._first_gpu.cache_clear()
    wanted = start(clip, tmp_path / "cpu.mp4", face_model, "cpu").execute().stats
    asked: list[int] = []
    """Bytes of each piece, through whichever object."""

    def counted(cuda: Cuda, own: Callable[[Cuda, int], Any], size: int) -> Any:
        asked.append(size)
        return own(cuda, size)

    for name in ("allocate", "allocate_pinned"):
        monkeypatch.setattr(Cuda, name, partialmethod(counted, getattr(Cuda, name)))
    seen: list[tuple[int, int]] = []
    run = start(clip, tmp_path / "gpu.mp4", face_model, "cuda",
                lambda _: seen.append((len(asked), free_bytes(gpu.cuda))))  # fmt: skip
    stats = run.execute().stats
    cuda_proof._first_gpu.cache_clear()
    assert (stats.frames_masked, stats.failures) == (0, {})
    assert (stats.frames_out, stats.looks) == (wanted.frames_out, wanted.looks)
    warm = seen[25:]  # frames of one second
    assert asked
    assert len(warm) > 25
    assert len({count for count, _ in warm}) == 1
    assert warm[0][1] - warm[-1][1] < 8 * MIB
    pairs = zip(decode(tmp_path / "gpu.mp4"), decode(tmp_path / "cpu.mp4"), strict=True)
    for mine, other in pairs:
        assert likeness(mine.astype(np.float64), other.astype(np.float64)) > 0.98


# --- compute-sanitizer ------------------------------------------------------------------------

SUMMARY = re.compile(r"(?:ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards)")


def compute_sanitizer() -> str:
    """Of the CUDA toolkit, or of NVIDIA's wheel, or skip."""
    toolkit = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "bin", "compute-sanitizer")
    wheels = Path(sysconfig.get_path("purelib"), "nvidia").glob("*/bin/compute-sanitizer")
    for path in (shutil.which("compute-sanitizer"), toolkit, *wheels):
        if path is not None and os.access(path, os.X_OK):
            return str(path)
    pytest.skip("compute-sanitizer is not installed (CUDA toolkit, or nvidia-cuda-sanitizer-api)")


def watched(gpu: Device, folder: Path, tool: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run all kernels where a tool watches them; on the CPU, where none does."""
    kernels = folder / "kernels"
    kernels.write_bytes(gpu.image)
    watching = [] if gpu.is_cpu else [
        compute_sanitizer(), "--tool", tool, "--error-exitcode", "99",
        # Bindings look for functions that a driver need not have; ours tell of every error.
        "--report-api-errors", "no",
    ]  # fmt: skip
    return subprocess.run(
        [*watching, sys.executable, "-m", "tests.redact.all_kernels", "gpu", kernels, *more],
        env=os.environ | {ENVIRONMENT: "ctypes", "PYTHONPATH": str(ROOT)}, cwd=ROOT,
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck"])
def test_nvidias_checker_finds_nothing_in_any_kernel(gpu: Device, tmp_path: Path, tool: str):
    done = watched(gpu, tmp_path, tool)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "clean" in done.stdout
    if gpu.is_cpu:
        pytest.skip("compute-sanitizer watches a GPU: here the kernels only ran")
    assert SUMMARY.search(done.stdout + done.stderr)


def test_nvidias_checker_would_find_something(gpu: Device, tmp_path: Path):
    if gpu.is_cpu:
        pytest.skip("compute-sanitizer watches a GPU")
    done = watched(gpu, tmp_path, "memcheck", "planted")
    assert done.returncode != 0
    assert "Invalid __global__ read" in done.stdout + done.stderr
