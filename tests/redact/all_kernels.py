"""Every kernel, in both layouts, at odd places and sizes, for tools that watch each access to
memory: the address sanitiser on the CPU, compute-sanitizer on a GPU.

    python -m tests.redact.all_kernels LIBRARY       the driver on the CPU that a library is
    python -m tests.redact.all_kernels gpu KERNELS   the GPU, with kernels compiled for it

With "planted" behind it, a kernel reads beyond a plane.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.frame import Planes
from edge.inference import cuda
from edge.inference.preprocess import InputSpec, Preprocessor
from edge.redact.cuda import CudaRedactor
from edge.redact.cuda_mark import CudaWatermark
from edge.redact.effects import Effect, RedactionStyle
from edge.redact.watermark import Watermark
from tests.redact.emulator import Device, Resident, emulated
from tests.redact.test_cpu import as_nv12, noise


def look(device: Device, there: Resident) -> None:
    """Scale and compare a picture as detectors and the motion estimator see it."""
    specs = [InputSpec(67, 45, 3, 1, 64, 43), InputSpec(64, 32, 0, 0, 64, 32, half=True)]
    eye = Preprocessor(device.cuda, device.image, specs, analysis=(32, 18))
    eye.load(there.picture)
    eye.luma(there.picture)
    eye.luma(there.picture)
    eye.difference(np.array([[1.1, 0.1, -9], [-0.1, 1.1, 9]]))
    eye.close()


def hide(device: Device, planes: Planes, padding: int, found: np.ndarray, effect: Effect) -> None:
    """Hide regions of a picture, then all of it, and mark it, where it lies on the device."""
    there = Resident(device, planes, padding=padding)
    height, width = planes.y.shape
    redactor = CudaRedactor(RedactionStyle(effect=effect), device.cuda, device.image, width, height)
    redactor.redact_device(there.picture, found)
    redactor.mask_device(there.picture)
    mark = CudaWatermark(
        Watermark(width, height), device.cuda, device.image, full_range=planes.full_range
    )
    mark.apply_device(there.picture, redactor.stream)
    look(device, there)
    there.fetch(redactor.stream)
    redactor.close()
    mark.close()


def mask_odd(device: Device, width: int, height: int) -> None:
    """Mask pictures of the host whose chroma goes beyond their luma."""
    rng = np.random.default_rng(1)
    half = ((height + 1) // 2, (width + 1) // 2)
    y = rng.integers(0, 256, (height, width), np.uint8)
    u, v = rng.integers(0, 256, (2, *half), np.uint8)
    redactor = CudaRedactor(RedactionStyle(), device.cuda, device.image, width, height)
    redactor.mask_by_gpu(Planes("yuv420p", y, (u, v)))
    redactor.mask_by_gpu(Planes("nv12", y, (np.dstack((u, v)),)))
    redactor.close()


def run_all(device: Device) -> None:
    """Run every kernel."""
    rng = np.random.default_rng(0)
    for width, height, padding in ((34, 18, 0), (194, 110, 2)):
        boxes = np.vstack([rng.uniform(-40, width, (6, 2))] * 2).reshape(2, 6, 2)
        found = np.hstack((boxes[0], boxes[1] + rng.uniform(1, 120, (6, 2))))
        for effect in Effect:
            for planes in (noise(width, height), as_nv12(noise(width, height))):
                hide(device, planes, padding, found, effect)
    mask_odd(device, 33, 17)
    mask_odd(device, 1, 1)


def read_beyond(device: Device) -> None:
    """Let a kernel believe that a plane has more rows than it has."""
    there = Resident(device, noise(64, 48), padding=0)
    eye = Preprocessor(device.cuda, device.image, [], analysis=(32, 18))
    eye.luma(replace(there.picture, height=24 * there.picture.height))


def main(which: str, *more: str) -> None:
    """Run them on the device that was asked for."""
    if which == "gpu":
        cuda.PATIENCE_S = 120  # a kernel that is watched takes a hundred times as long
        devices = [Device(cuda.Cuda(), Path(more[0]).read_bytes())]
    else:
        devices = [emulated(Path(which), descending=backwards) for backwards in (False, True)]
    for device in devices:
        run_all(device)
        if "planted" in more:
            read_beyond(device)
    print("clean")


if __name__ == "__main__":
    main(*sys.argv[1:])
