"""A CUDA redactor that has proven itself on this very machine, or none.

What is compiled for a GPU cannot be tested where there is none; so every start compares it with the
CPU's redactor, on pictures made for that, before it is given a frame.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError, ModelError
from edge.frame import PlaneLayout, Planes
from edge.inference.cuda import Cuda
from edge.inference.frame_pool import FrameLayout, FramePool, leave_lost_gpu
from edge.inference.kernels import load_kernels
from edge.redact.cpu import CpuRedactor
from edge.redact.cuda import CudaRedactor
from edge.redact.effects import Effect, RedactionStyle, Shape

TOLERANCE: Final = 1
"""Levels by which a sample may differ from the CPU's: rule of the design, "one truth"."""
_SIZE: Final = (320, 180)
_LEAST: Final = (320, 180)
"""Pictures up to this size fit at least: what the test takes."""
_REMEDY: Final = "Set runtime.device to auto, which hides faces on the CPU."


def open_redactor(
    style: RedactionStyle,
    width: int,
    height: int,
    *,
    cuda: Cuda | None = None,
    folder: Path | None = None,
) -> CudaRedactor:
    """Return a redactor for pictures up to a size that agrees with the CPU's on this machine.

    Raises ModelError, one line with a remedy, where there is no GPU, the manifest vouches for no
    kernels for it, or it does not give the CPU's samples.
    """
    gpu = _first_gpu() if cuda is None else cuda
    image = load_kernels(gpu.target, folder)
    size = max(width, _LEAST[0]), max(height, _LEAST[1])
    try:
        redactor = CudaRedactor(style, gpu, image, *size)
        worst = largest_error(redactor)
    except InferenceError as error:
        raise ModelError(f"the GPU cannot hide faces: {error}. {_REMEDY}") from error
    if worst > TOLERANCE:
        redactor.close()
        raise ModelError(
            f"the GPU hides faces otherwise than the CPU: a sample differs by {worst} levels, "
            f"{TOLERANCE} is allowed. {_REMEDY}"
        )
    return redactor


def reopen_redactor(style: RedactionStyle, width: int, height: int) -> CudaRedactor:
    """As open_redactor, for one that has failed: with the kernels loaded anew, and in a new context
    where nobody else in this process holds the old one. Raises as open_redactor."""
    _first_gpu.cache_clear()
    leave_lost_gpu()
    return open_redactor(style, width, height)


@cache
def _first_gpu() -> Cuda:
    """One for the whole process: kernels are loaded once."""
    return Cuda()


def largest_error(redactor: CudaRedactor) -> int:
    """Return the largest difference from the CPU, in levels, over all effects and both layouts, and
    with planes in memory that the GPU reaches.

    A difference where nothing should have been changed counts like any other. Raises
    InferenceError where the GPU fails.
    """
    worst, own = 0, redactor.style
    styles = [*(replace(own, effect=effect) for effect in Effect),
              RedactionStyle(Effect.GAUSSIAN, Shape.RECTANGLE, pad=0.6)]  # fmt: skip
    layouts: tuple[PlaneLayout, ...] = ("yuv420p", "nv12")
    try:
        for style in styles:
            redactor.style = style
            for layout in layouts:
                one, other = _picture(layout), _picture(layout)
                redactor.redact(one, _boxes())
                CpuRedactor(style).redact(other, _boxes())
                worst = max(worst, _difference(one, other))
        redactor.style = own
        for layout in layouts:
            one, other = _page_locked(redactor.cuda, _picture(layout)), _picture(layout)
            redactor.redact(one, _boxes())
            CpuRedactor(own).redact(other, _boxes())
            worst = max(worst, _difference(one, other))
        one, other = _picture("yuv420p"), _picture("yuv420p")
        there = _page_locked(redactor.cuda, _picture("yuv420p"))
        CpuRedactor(own).mask_whole(other)
        for planes in (one, there):
            redactor.mask_by_gpu(planes)
            worst = max(worst, _difference(planes, other))
        return worst
    finally:
        redactor.style = own


def _picture(layout: PlaneLayout) -> Planes:
    """Noise on a slope: no two cells have the same mean."""
    width, height = _SIZE
    rng = np.random.default_rng(7)
    slope = np.linspace(30, 190, width)[None, :] + np.linspace(0, 30, height)[:, None]
    y = (slope + rng.uniform(-25, 25, (height, width))).astype(np.uint8)
    u, v = rng.integers(16, 241, (2, height // 2, width // 2), np.uint8)
    chroma = (np.dstack((u, v)),) if layout == "nv12" else (u, v)
    return Planes(layout, y, chroma)


def _page_locked(cuda: Cuda, planes: Planes) -> Planes:
    """Copy planes into memory that the GPU reaches, which is given back with them."""
    lent = FramePool(cuda, FrameLayout(planes.layout, *_SIZE), 1).take()
    assert lent is not None
    slot, (y, *chroma) = lent
    for target, source in zip((y, *chroma), (planes.y, *planes.chroma), strict=True):
        np.copyto(target, source)
    return Planes(planes.layout, y, tuple(chroma), planes.full_range, slot.memory)


def _boxes() -> NDArray[np.float64]:
    """Faces from 20 px to the picture's height, that overlap and leave it on every side."""
    rng = np.random.default_rng(11)
    centres = rng.uniform(-10, (_SIZE[0] + 10, _SIZE[1] + 10), (12, 2))
    half = rng.uniform(8, 40, (12, 2))
    large = np.array([[60.0, -30.0, 190.0, 160.0], [150.0, 60.0, 340.0, 130.0]])
    return np.vstack((np.hstack((centres - half, centres + half)), large))


def _difference(one: Planes, other: Planes) -> int:
    return max(
        int(np.abs(a.astype(np.int16) - b).max())
        for a, b in zip((one.y, *one.chroma), (other.y, *other.chroma), strict=True)
    )
