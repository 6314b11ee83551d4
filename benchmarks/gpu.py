"""What the kernels cost on the GPU at hand, beside what its memory allows.

Times are the GPU's own, between events, the median of many runs, with pictures that stay in its
memory. The kernels are compiled for it first (nvcc or NVRTC). Then come the ways of a picture to,
on and from the GPU (wall time, with waiting), the host's time for calls of the driver, and lanes in
ONNX Runtime, where that computes on the GPU: faces, plates, text and redaction, for every frame.

examples:
  python -m benchmarks.gpu
  python -m benchmarks.gpu --json
  python -m benchmarks.gpu --markdown gpu.md
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table

from benchmarks._common import BenchmarkError, emit, main, parser
from benchmarks._gpu_lanes import bottleneck, lanes_table, measure_lanes, networks
from benchmarks._gpu_page import facts, page
from benchmarks._gpu_ways import measure_calls, measure_ways
from benchmarks.redact import face_boxes, picture
from edge.config import Settings
from edge.inference.cuda import Cuda
from edge.inference.gpu import gpu_here
from edge.inference.onnx_cuda_proof import cuda_trouble
from edge.inference.picture import DevicePicture
from edge.inference.pool import Pool
from edge.inference.preprocess import InputSpec, Preprocessor
from edge.redact.cuda import CudaRedactor
from edge.redact.cuda_mark import CudaWatermark
from edge.redact.cuda_proof import largest_error
from edge.redact.effects import Effect, RedactionStyle
from edge.redact.watermark import Watermark
from export.kernels import compile_kernels

SIZE: Final = (1920, 1080)
REGIONS, FACE_PX, PADDED_PX = 50, 128, 166
"""A box of 128² and the region that its padding makes of it."""
REPEATS: Final = 200
COPY_BYTES: Final = 1 << 28
"""Larger than any cache: an H200 has 50 MB."""
QUICK: Final = ((320, 180), 3, 1 << 20)
"""Size, runs and bytes that show whether all works, and nothing of how fast."""
MIB: Final = 1 << 20


class Clock:
    """The GPU's time for what is queued on a stream."""

    def __init__(self, cuda: Cuda, repeats: int) -> None:
        self._cuda, self._repeats = cuda, repeats
        self._start, self._end = cuda.event(), cuda.event()

    def ms(self, queue: Callable[[], None], stream: int) -> float:
        """Return the median of several runs, after a few that do not count."""
        times = []
        for turn in range(self._repeats + 3):
            self._cuda.record(self._start, stream)
            queue()
            self._cuda.record(self._end, stream)
            self._cuda.wait_event(self._end)
            if turn >= 3:
                times.append(self._cuda.milliseconds(self._start, self._end))
        return statistics.median(times)


def measure(
    cuda: Cuda, image: bytes, size: tuple[int, int] = SIZE, *, repeats: int = REPEATS,
    copy_bytes: int = COPY_BYTES,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return one row a step: milliseconds, bytes that it has to move at least, and GB/s."""
    cuda.enter()
    clock, rows = Clock(cuda, repeats), []
    width, height = size

    def add(what: str, ms: float, moved: float) -> None:
        rate = moved / ms / 1e6 if ms else 0.0
        rows.append({"what": what, "ms": ms, "bytes": int(moved), "gb_per_s": rate})

    there = Pool(cuda, 2, copy_bytes, pinned=False)
    one, other = there.take().address, there.take().address
    stream = cuda.stream()
    add("copy", clock.ms(lambda: cuda.copy(other, one, copy_bytes, stream), stream), 2 * copy_bytes)

    planes = picture(width, height, "nv12")
    frame_bytes = width * height * 3 // 2
    frames = Pool(cuda, 2, frame_bytes, pinned=False)
    at, copied = frames.take().address, frames.take().address
    staging = Pool(cuda, 1, frame_bytes, pinned=True)
    piece = staging.take()
    assert piece.host is not None
    np.concatenate((planes.y.reshape(-1), planes.chroma[0].reshape(-1)), out=piece.host)
    cuda.upload(at, piece.host_address, frame_bytes, stream)
    cuda.wait(stream)
    chroma = at + width * height
    shown = DevicePicture("nv12", width, height, at, chroma, chroma + 1, width, width)
    add("copy of a frame",
        clock.ms(lambda: cuda.copy(copied, at, frame_bytes, stream), stream),
        2 * frame_bytes)  # fmt: skip

    boxes = face_boxes(REGIONS, FACE_PX, width, height)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    boxes = np.hstack((centre - FACE_PX / 2, centre + FACE_PX / 2))
    samples = REGIONS * PADDED_PX**2 * 3 / 2
    for effect in Effect:
        redactor = CudaRedactor(RedactionStyle(effect), cuda, image, width, height)
        add(f"{REGIONS} regions, {effect.value}",
            clock.ms(lambda r=redactor: r.redact_device(shown, boxes), redactor.stream),  # type: ignore[misc]
            samples * (1 if effect is Effect.SOLID else 2))  # fmt: skip
        redactor.close()
    redactor = CudaRedactor(RedactionStyle(), cuda, image, width, height)
    add("whole mosaic", clock.ms(lambda: redactor.mask_device(shown), redactor.stream),
        2 * frame_bytes)  # fmt: skip
    redactor.close()

    specs = [InputSpec(640, 384, 0, 0, 640, 360, half=True),
             InputSpec(960, 544, 0, 0, 960, 540, half=True),
             InputSpec(640, 640, 0, 140, 640, 360, half=True, border=114)]  # fmt: skip
    for name, wanted in (("input 640×384, half", specs[:1]), ("three inputs at once", specs)):
        eye = Preprocessor(cuda, image, wanted, analysis=(320, 180))
        add(name, clock.ms(lambda e=eye: e.load(shown), eye.stream),  # type: ignore[misc]
            frame_bytes + sum(spec.size for spec in wanted))  # fmt: skip
        eye.close()
    mark = CudaWatermark(Watermark(width, height), cuda, image, full_range=False)
    add("watermark", clock.ms(lambda: mark.apply_device(shown, stream), stream), 0)
    mark.close()
    for pool in (there, frames, staging):
        pool.close()
    return rows


def table(rows: list[dict[str, Any]], title: str) -> Table:
    """Return the rows, each with its share of the bandwidth of a plain copy."""
    result = Table(title=title, title_justify="left")
    for heading in ("step", "ms", "MiB", "GB/s", "of a copy's"):
        result.add_column(heading, justify="left" if heading == "step" else "right")
    full = next(row["gb_per_s"] for row in rows if row["what"] == "copy")
    for row in rows:
        share = f"{100 * row['gb_per_s'] / full:.0f} %" if row["bytes"] and full else ""
        result.add_row(row["what"], f"{row['ms']:.3f}", f"{row['bytes'] / MIB:.1f}",
                       f"{row['gb_per_s']:.0f}", share)  # fmt: skip
    return result


def ways_table(rows: list[dict[str, Any]]) -> Table:
    """Return the ways of a picture, each with its share of the rate of a large copy of its kind."""
    result = Table(title="ways of a picture, wall time with waiting", title_justify="left")
    for heading in ("way", "ms", "MiB", "GB/s", "of a large copy's"):
        result.add_column(heading, justify="left" if heading == "way" else "right")
    for row in rows:
        result.add_row(row["what"], f"{row['ms']:.3f}", f"{row['bytes'] / MIB:.1f}",
                       f"{row['gb_per_s']:.1f}",
                       f"{100 * row['share']:.0f} %" if row["share"] else "")  # fmt: skip
    return result


def calls_table(rows: list[dict[str, Any]]) -> Table:
    """Return what calls cost the host."""
    result = Table(title="the host's time for a call", title_justify="left")
    result.add_column("call")
    result.add_column("µs", justify="right")
    for row in rows:
        result.add_row(row["what"], f"{row['us']:.1f}")
    return result


def run(argv: list[str]) -> int:
    options = parser("gpu", __doc__)
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options.add_argument(
        "--markdown", type=Path, metavar="FILE",
        help="write the tables there too, and what they were measured on",
    )  # fmt: skip
    options.add_argument(
        "--quick", action="store_true",
        help="a small picture and few runs: whether it works, not how fast",
    )  # fmt: skip
    args = options.parse_args(argv)
    here = gpu_here()
    if here is None:
        raise BenchmarkError("no NVIDIA GPU answers here. Run it on a machine that has one.")
    cuda = Cuda()
    (compiled,) = compile_kernels((cuda.target,))
    redactor = CudaRedactor(RedactionStyle(), cuda, compiled.data, *SIZE)
    worst = largest_error(redactor)
    redactor.close()
    size, repeats, copy_bytes = QUICK if args.quick else (SIZE, REPEATS, COPY_BYTES)
    rows = measure(cuda, compiled.data, size, repeats=repeats, copy_bytes=copy_bytes)
    ways = measure_ways(cuda, compiled.data, size, repeats=repeats, copy_bytes=copy_bytes)
    calls = measure_calls(cuda, compiled.data, size, repeats=repeats)
    title = f"{size[1]}p NV12 on {here.name}, CUDA {here.driver}, {compiled.compiler}; the " \
            f"CPU's samples to within {worst}"  # fmt: skip
    result = {"gpu": here.name, "driver": here.driver, "compiler": compiled.compiler,
              "largest_error": worst, "rows": rows, "ways": ways, "calls": calls}  # fmt: skip
    tables = [table(rows, title), ways_table(ways), calls_table(calls)]
    lanes, why = look(cuda, compiled.data, size, repeats)
    for line in why:
        print(f"left out: {line}", file=sys.stderr)
    if lanes:
        tables.append(lanes_table(lanes))
        result |= {"lanes": lanes, "bottleneck": bottleneck(lanes)}
    emit(result, tables, as_json=args.json)
    if args.markdown is not None:
        text = page(here.name, facts(cuda, compiled.compiler), tables, why)
        args.markdown.write_text(text, "utf-8")
    return 0


def look(
    cuda: Cuda, image: bytes, size: tuple[int, int] = SIZE, repeats: int = REPEATS
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the lanes' rows, and what is left out, for want of what, one line each."""
    if (trouble := cuda_trouble()) is not None:
        return [], [f"lanes in ONNX Runtime on the GPU: {trouble}"]
    found, missing = networks(Settings())
    lanes = measure_lanes(cuda, image, found, size, repeats=repeats) if found else []
    return lanes, missing


if __name__ == "__main__":
    main(run)
