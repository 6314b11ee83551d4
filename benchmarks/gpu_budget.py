"""What a GPU can carry, computed: nothing here was measured on the devices that are named.

From memory bandwidth, arithmetic rate, the bytes and operations of each step, and engine times that
others published. The constants and where they come from are in this file; docs/gpu_budget.md holds
the table that it prints.

examples:
  python -m benchmarks.gpu_budget
  python -m benchmarks.gpu_budget --markdown
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.table import Table

from benchmarks._common import emit, main, parser

WIDTH, HEIGHT, FPS = 1920, 1080, 30
NV12_BYTES: Final = WIDTH * HEIGHT * 3 // 2
REGIONS, FACE_PX, PAD = 50, 128, 0.15
"""Fifty faces of 128 px with the default padding."""

REACHED_BANDWIDTH: Final = 0.7
"""Of the nominal memory bandwidth. An assumption: copies reach 0.8 to 0.9 of it."""
REACHED_RATE: Final = 0.3
"""Of the nominal FP32 rate, in integer kernels with divisions. An assumption."""
QUEUED_US: Final = 5.0
"""For each copy or launch. An assumption: what launches take on most machines."""
MOSAIC_OPERATIONS, GAUSSIAN_OPERATIONS = 25, 110
"""A sample, both passes, counted in kernels.cu: divisions as ten, 8 × 8 taps a block of six."""
CONVERSION_OPERATIONS: Final = 120
"""A value of a detector's input, counted in looking.cuh at 3:1."""

YOLOV8N_GFLOP: Final = 8.7
"""At 640 × 640, as Ultralytics states: what published engine times are of."""
SMALL_NETWORKS: Final = 0.5
"""Small networks keep a GPU half as busy as YOLOv8n does. An assumption."""


@dataclass(frozen=True, slots=True)
class Device:
    """Nominal bandwidth in GB/s and FP32 rate in TFLOP/s; milliseconds of YOLOv8n in FP16."""

    name: str
    bandwidth: float
    rate: float
    engine_ms: float
    source: str


DEVICES: Final = (
    Device("Jetson Orin Nano 8 GB (Super)", 102, 2.1, 7.3,
           "the0807/YOLOv8-ONNX-TensorRT, before the Super clocks; YOLO11n in Super mode: 4.9 ms "
           "(Ultralytics, NVIDIA Jetson guide)"),
    Device("Jetson Orin NX 16 GB", 102, 1.9, 3.19, "Ultralytics, TensorRT guide (8.2.16)"),
    Device("Jetson AGX Orin 64 GB", 205, 5.3, 3.19 * 102 / 205,
           "none found: Orin NX scaled by bandwidth"),
    Device("GeForce RTX 3060 12 GB", 360, 12.7, 1.43, "Ultralytics, TensorRT guide (8.2.4)"),
    Device("GeForce RTX 4090", 1008, 82.6, 0.83, "TRTBench, of an RTX 4080: an upper bound"),
)  # fmt: skip
"""Rates: cores × 2 × clock of the data sheets (1024 at 1.02 GHz, 1024 at 0.92, 2048 at 1.3, 3584 at
1.78, 16384 at 2.52)."""


@dataclass(frozen=True, slots=True)
class Network:
    """What one run costs, counted in its ONNX graph (multiply, add: two), and runs a second."""

    name: str
    gflop: float
    a_second: float


NETWORKS: Final = (
    Network("faces: YuNet at 960 × 544", 1.38, 8),
    Network("plates: our own at 640 × 384", 0.61, 8),
    Network("text lines: PP-OCRv4 at 960 × 544", 5.87, 2),
    Network("reading: PP-OCRv4, a line of 320 × 48", 1.3, 10),
)
INPUT_VALUES: Final = 3 * (960 * 544 + 640 * 384 + 960 * 544)
"""Of all detectors' inputs, where each looks at the same frame."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Milliseconds a frame for each step; of the networks in a second of a stream; the share of the
    GPU that a stream takes; frames a second where every network looks at every frame."""

    device: str
    mosaic_ms: float
    gaussian_ms: float
    whole_ms: float
    inputs_ms: float
    looks_ms: float
    share: float
    every_frame_fps: float


def step_ms(device: Device, size: float, operations: float, queued: int) -> float:
    """Return how long moving `size` bytes and doing operations takes: the slower of both counts."""
    moved = size / (device.bandwidth * 1e9 * REACHED_BANDWIDTH)
    done = operations / (device.rate * 1e12 * REACHED_RATE)
    return 1e3 * max(moved, done) + queued * QUEUED_US / 1e3


def budget(device: Device) -> Budget:
    """Return the budget of a 1080p30 stream."""
    side = FACE_PX * (1 + 2 * PAD)
    samples = REGIONS * side * side * 3 / 2
    frame = WIDTH * HEIGHT * 3 / 2
    # Each pass touches every sample once: one reads, one writes. Upload, clear, two launches.
    mosaic = step_ms(device, 2 * samples, samples * MOSAIC_OPERATIONS, 4)
    gaussian = step_ms(device, 2 * samples, samples * GAUSSIAN_OPERATIONS, 4)
    whole = step_ms(device, 2 * frame, frame * MOSAIC_OPERATIONS, 4)
    inputs = step_ms(
        device, NV12_BYTES + 2 * INPUT_VALUES, INPUT_VALUES / 3 * CONVERSION_OPERATIONS, 1
    )
    gflop_per_ms = SMALL_NETWORKS * YOLOV8N_GFLOP / device.engine_ms
    looks = sum(n.gflop / gflop_per_ms * n.a_second for n in NETWORKS)
    luma = step_ms(device, WIDTH * HEIGHT, WIDTH * HEIGHT * 4, 2)
    # The decoder writes every frame and the encoder reads it, over the same memory.
    coded = 1e3 * 2 * NV12_BYTES / (device.bandwidth * 1e9 * REACHED_BANDWIDTH)
    busy = looks + FPS * (gaussian + luma + coded) + 8 * inputs
    every = sum(n.gflop for n in NETWORKS) / gflop_per_ms + inputs + gaussian + luma + coded
    return Budget(device.name, mosaic, gaussian, whole, inputs, looks, busy / 1e3, 1e3 / every)


def rows() -> list[Budget]:
    """Return the budgets of all devices."""
    return [budget(device) for device in DEVICES]


HEADINGS: Final = (
    "device", "50 faces, mosaic", "50 faces, gaussian", "whole mosaic", "detectors' inputs",
    "networks, ms a second", "GPU a stream", "fps, all on every frame",
)  # fmt: skip


def cells(b: Budget) -> tuple[str, ...]:
    """Return a row as words."""
    times = (b.mosaic_ms, b.gaussian_ms, b.whole_ms, b.inputs_ms)
    return (b.device, *(f"{ms:.2f} ms" for ms in times), f"{b.looks_ms:.0f}",
            f"{100 * b.share:.0f} %", f"{b.every_frame_fps:.0f}")  # fmt: skip


def markdown() -> str:
    """Return the table as it stands in docs/gpu_budget.md."""
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *map(cells, rows())]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def run(argv: list[str]) -> int:
    options = parser("gpu_budget", __doc__)
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options.add_argument("--markdown", action="store_true", help="print the table of the docs")
    args = options.parse_args(argv)
    if args.markdown:
        print(markdown(), end="")
        return 0
    table = Table(title="1080p30, computed, not measured", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "device" else "right")
    for row in rows():
        table.add_row(*cells(row))
    result: dict[str, Any] = {"computed": True, "rows": [asdict(row) for row in rows()]}
    emit(result, [table], as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
