"""The harness itself: kernels that are broken on purpose have to be caught by it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.errors import InferenceError
from edge.redact.cpu import CpuRedactor
from edge.redact.cuda import CudaRedactor
from edge.redact.effects import RedactionStyle
from tests.redact.emulator import SANITISE, build, emulated, largest_difference
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


SCRIPT = """
import sys
import numpy as np
from edge.redact.cuda import CudaRedactor
from edge.redact.cuda_mark import CudaWatermark
from edge.redact.effects import Effect, RedactionStyle
from edge.redact.watermark import Watermark
from edge.inference.preprocess import InputSpec, Preprocessor
from pathlib import Path
from tests.redact.emulator import Resident, emulated
from tests.redact.test_cpu import as_nv12, noise

rng = np.random.default_rng(0)
for backwards in (False, True):
    device = emulated(Path(sys.argv[1]), descending=backwards)
    for width, height, padding in ((34, 18, 0), (194, 110, 2)):
        boxes = np.vstack([rng.uniform(-40, width, (6, 2))] * 2).reshape(2, 6, 2)
        found = np.hstack((boxes[0], boxes[1] + rng.uniform(1, 120, (6, 2))))
        for effect in Effect:
            for planes in (noise(width, height), as_nv12(noise(width, height))):
                there = Resident(device, planes, padding=padding)
                redactor = CudaRedactor(
                    RedactionStyle(effect=effect), device.cuda, device.image, width, height
                )
                redactor.redact_device(there.picture, found)
                redactor.mask_device(there.picture)
                mark = CudaWatermark(Watermark(width, height), device.cuda, device.image,
                                     full_range=False)
                mark.apply_device(there.picture, redactor.stream)
                specs = [InputSpec(67, 45, 3, 1, 64, 43),
                         InputSpec(64, 32, 0, 0, 64, 32, half=True)]
                eye = Preprocessor(device.cuda, device.image, specs, analysis=(32, 18))
                eye.load(there.picture)
                eye.luma(there.picture)
                eye.luma(there.picture)
                eye.difference(np.array([[1.1, 0.1, -9], [-0.1, 1.1, 9]]))
                there.fetch(redactor.stream)
                for one in (redactor, mark, eye):
                    one.close()
print("clean")
"""


def sanitised(folder: Path, changes: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run SCRIPT on a library that the address sanitiser watches, or skip."""
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
        [sys.executable, "-c", SCRIPT, library], env=environment, capture_output=True, text=True,
        timeout=200,
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
