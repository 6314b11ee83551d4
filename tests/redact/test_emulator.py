"""The harness itself: kernels that are broken on purpose have to be caught by it."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edge.errors import InferenceError
from edge.redact.cpu import CpuRedactor
from edge.redact.cuda import CudaRedactor
from edge.redact.effects import RedactionStyle
from tests.redact.emulator import SANITISE, build, emulated, largest_difference, shipped
from tests.redact.test_cpu import copy, noise

ROOT = Path(__file__).resolve().parent.parent.parent
BOXES = np.array([[20, 20, 150, 100], [60, 40, 90, 80], [140, 30, 260, 150], [200, 60, 240, 90]])

FIRST = "if (thread == 0) found = 0;\n    __syncthreads();"
SECOND = "above[atomicAdd(&found, 1)] = i;\n    }\n    __syncthreads();"
TOP_ONLY = "if (hides(regions[above[i]], spans, x, y)) return;"


def differences(library: Path) -> list[int]:
    """From the CPU's redactor, with threads first to last and last to first."""
    found = []
    for descending in (False, True):
        device = emulated(library, descending=descending)
        one, other = noise(280, 160), noise(280, 160)
        redactor = CudaRedactor(RedactionStyle(), device.cuda, device.image, 280, 160)
        redactor.redact(one, BOXES)
        CpuRedactor(RedactionStyle()).redact(other, BOXES)
        redactor.close()
        found.append(largest_difference(one, other))
    return found


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({FIRST: "if (thread == 0) found = 0;"}, id="first barrier removed"),
        pytest.param({SECOND: SECOND.replace("__syncthreads();", "")}, id="second barrier removed"),
        pytest.param({TOP_ONLY: "if (above[i] < 0) return;"}, id="a race for pixels"),
    ],
)
def test_what_depends_on_the_order_of_threads_shows(tmp_path, changes):
    assert max(differences(build(tmp_path, changes))) > 0


def test_threads_that_leave_before_a_barrier_are_caught_and_the_picture_stays(tmp_path, capfd):
    broken = build(tmp_path, {FIRST: "if (thread == 77) return;\n    __syncthreads();"})
    device = emulated(broken)
    planes = noise(280, 160)
    redactor = CudaRedactor(RedactionStyle(), device.cuda, device.image, 280, 160)
    with pytest.raises(InferenceError, match="cuLaunchKernel failed with error 719"):
        redactor.redact(planes, BOXES)
    assert "before a barrier" in capfd.readouterr().err
    assert largest_difference(planes, noise(280, 160)) == 0
    masked = copy(planes)
    redactor.mask_whole(masked)  # the device goes on to work, or the CPU does it
    CpuRedactor(RedactionStyle()).mask_whole(planes)
    assert largest_difference(masked, planes) == 0
    redactor.close()


class Side(ctypes.Structure):
    """Half of CUDA_MEMCPY2D."""

    _fields_ = (
        ("x", ctypes.c_size_t), ("y", ctypes.c_size_t), ("type", ctypes.c_uint),
        ("host", ctypes.c_void_p), ("device", ctypes.c_uint64), ("array", ctypes.c_void_p),
        ("pitch", ctypes.c_size_t),
    )  # fmt: skip


class Copy2D(ctypes.Structure):
    _fields_ = (("source", Side), ("to", Side), ("width", ctypes.c_size_t),
                ("height", ctypes.c_size_t))  # fmt: skip


HOST, ON_DEVICE, UNIFIED = 1, 2, 4
INVALID_VALUE, INVALID_CONTEXT, INVALID_HANDLE, ILLEGAL_ADDRESS, NOT_SUPPORTED = (
    1, 201, 400, 700, 801,
)  # fmt: skip
ILLEGAL_STATE, UNSUPPORTED, INVALIDATED, CAPTURED_EVENT, WRONG_THREAD = 401, 900, 901, 907, 908
DEFAULT, LEGACY, PER_THREAD = None, ctypes.c_void_p(1), ctypes.c_void_p(2)


def test_copies_of_rows_stay_within_what_was_allocated():
    device = emulated(shipped())
    api, cuda = device.emulator, device.cuda
    assert api is not None
    cuda.enter()
    source, address = np.arange(60, dtype=np.uint8).reshape(6, 10), cuda.allocate(64)
    back = np.zeros((4, 5), np.uint8)

    def copied(stream: ctypes.c_void_p | None = None, **changes: int) -> int:
        """Rows of 5 to and from the device, where they lie 16 apart: the last ends its memory."""
        there = Side(1, 0, changes.get("type", ON_DEVICE), None, address, None, 16)
        there.x = changes.get("x", 11)
        height = changes.get("height", 4)
        host = Side(2, 1, HOST, source.ctypes.data, 0, None, 10)
        error = api.cuMemcpy2DAsync_v2(ctypes.byref(Copy2D(host, there, 5, height)), stream)
        host = Side(0, 0, HOST, back.ctypes.data, 0, None, 5)
        return error or api.cuMemcpy2DAsync_v2(ctypes.byref(Copy2D(there, host, 5, height)), stream)

    assert copied() == 0
    np.testing.assert_array_equal(back, source[1:5, 2:7])
    assert copied(height=5) == ILLEGAL_ADDRESS
    assert copied(x=12) == INVALID_VALUE  # beyond the row
    assert copied(type=UNIFIED) == NOT_SUPPORTED
    assert copied(ctypes.c_void_p(address)) == INVALID_HANDLE
    cuda.free(address)
    assert copied() == ILLEGAL_ADDRESS


def test_default_streams_are_the_contexts_and_unknown_ones_are_refused():
    device = emulated(shipped())
    api, cuda = device.emulator, device.cuda
    assert api is not None
    cuda.enter()
    event, stray = ctypes.c_void_p(), ctypes.c_void_p(64)
    assert api.cuEventCreate(ctypes.byref(event), 0) == 0
    for stream in (DEFAULT, LEGACY, PER_THREAD):
        assert api.cuEventRecord(event, stream) == 0
        assert api.cuStreamWaitEvent(stream, event, 0) == 0
        assert api.cuStreamSynchronize(stream) == 0
    assert api.cuEventRecord(event, stray) == INVALID_HANDLE
    assert api.cuEventRecord(stray, DEFAULT) == INVALID_HANDLE
    assert api.cuStreamWaitEvent(stray, event, 0) == INVALID_HANDLE
    assert api.cuStreamSynchronize(stray) == INVALID_HANDLE
    assert api.cuLinkCreate() == NOT_SUPPORTED  # FFmpeg finds it and does not call it
    api.cuCtxPushCurrent_v2(None)
    try:
        assert api.cuStreamSynchronize(DEFAULT) == INVALID_CONTEXT
        assert api.cuEventRecord(event, DEFAULT) == INVALID_CONTEXT
    finally:
        api.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    assert api.cuEventDestroy_v2(event) == 0


def test_recorded_streams_keep_their_events_and_threads_to_themselves():
    device = emulated(shipped())
    api, cuda = device.emulator, device.cuda
    assert api is not None
    cuda.enter()
    stream, graph = ctypes.c_void_p(cuda.stream()), ctypes.c_void_p()
    other, event = ctypes.c_void_p(cuda.stream()), ctypes.c_void_p(cuda.event())
    end = functools.partial(api.cuStreamEndCapture, stream, ctypes.byref(graph))
    assert end() == ILLEGAL_STATE
    assert api.cuStreamBeginCapture_v2(LEGACY, 1) == UNSUPPORTED
    assert api.cuStreamBeginCapture_v2(stream, 1) == 0
    assert api.cuStreamBeginCapture_v2(stream, 1) == ILLEGAL_STATE
    assert api.cuEventRecord(event, stream) == 0
    assert api.cuEventQuery(event) == api.cuEventSynchronize(event) == CAPTURED_EVENT
    assert api.cuStreamWaitEvent(other, event, 0) == NOT_SUPPORTED
    assert api.cuStreamWaitEvent(stream, event, 0) == 0
    assert api.cuStreamSynchronize(other) == 0
    found: list[int] = []

    def elsewhere() -> None:
        cuda.enter()
        found.append(end())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [WRONG_THREAD]
    assert end() == 0
    assert api.cuEventRecord(event, stream) == api.cuEventQuery(event) == 0
    assert api.cuGraphDestroy(graph) == 0
    assert api.cuGraphDestroy(graph) == api.cuGraphLaunch(graph, stream) == INVALID_HANDLE
    assert api.cuStreamBeginCapture_v2(stream, 0) == 0
    assert api.cuMemAlloc_v2(ctypes.byref(graph), ctypes.c_size_t(64)) == UNSUPPORTED
    assert end() == INVALIDATED
    assert api.cuEventDestroy_v2(event) == 0
    for one in (stream, other):
        assert api.cuStreamDestroy_v2(one) == 0


def sanitised(folder: Path, changes: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run all kernels on a library that the address sanitiser watches, or skip."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("kernels cannot be run on the CPU: g++ is missing")
    runtime = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True
    ).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip("this g++ has no address sanitiser (libasan)")
    library = build(folder, changes, *SANITISE)
    environment = os.environ | {
        "LD_PRELOAD": str(Path(runtime).resolve()),
        # Python itself does not give everything back, and allocates in ways of its own.
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:exitcode=99",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.redact.all_kernels", library], env=environment,
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip


def test_no_kernel_reads_or_writes_beyond_its_memory(tmp_path):
    done = sanitised(tmp_path, {})
    assert done.returncode == 0, done.stderr[-3000:]
    assert "clean" in done.stdout


def test_a_planted_overflow_is_caught(tmp_path):
    guard = "if (x >= p.width || y >= p.height) return;"
    done = sanitised(tmp_path, {guard: guard.replace(">=", ">")})
    assert done.returncode == 99
    assert "heap-buffer-overflow" in done.stderr
