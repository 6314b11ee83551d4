"""What hiding faces costs on the CPU: milliseconds a frame, by number and size of regions.

Regions lie on a grid and overlap where the picture is too small for them. The frame stays redacted
between repeats: what a region costs does not depend on its content. The whole-picture mask is what
an unjudged frame gets.

examples:
  python -m benchmarks.redact
  python -m benchmarks.redact --layout nv12 --json
"""

from __future__ import annotations

import timeit
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks._common import emit, main, parser
from edge.frame import PlaneLayout, Planes
from edge.redact.cpu import CpuRedactor
from edge.redact.effects import Effect, RedactionStyle
from edge.redact.watermark import Watermark

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
COUNTS = (0, 1, 5, 50)
FACE_PX = (32, 60, 120, 400)
SECONDS_EACH = 0.15
"""Measured at least three times this long; the best of three counts, as on a shared machine the
others measure the neighbours."""


def picture(width: int, height: int, layout: PlaneLayout) -> Planes:
    """Return a picture of noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(16, 236, (height, width), np.uint8)
    if layout == "nv12":
        return Planes("nv12", y, (rng.integers(16, 241, (height // 2, width // 2, 2), np.uint8),))
    u, v = rng.integers(16, 241, (2, height // 2, width // 2), np.uint8)
    return Planes("yuv420p", y, (u, v))


def face_boxes(count: int, side: int, width: int, height: int) -> NDArray[np.float32]:
    """Return `count` boxes shaped like a face, `side` px high, spread over the picture."""
    columns = max(1, int(np.ceil(np.sqrt(count * width / height))))
    rows = max(1, -(-count // columns))
    n = np.arange(count)
    x = (n % columns + 0.5) * width / columns
    y = (n // columns + 0.5) * height / rows
    half = np.array([0.4, 0.5]) * side
    centre = np.column_stack((x, y))
    return np.hstack((centre - half, centre + half)).astype(np.float32)


def ms(action: Any) -> float:
    """Return the best of three mean times of an action, in milliseconds."""
    action()
    once = timeit.timeit(action, number=1)
    number = max(1, int(SECONDS_EACH / max(once, 1e-6)))
    return 1000 * min(timeit.repeat(action, number=number, repeat=3)) / number


def measure(layout: PlaneLayout) -> list[dict[str, Any]]:
    """Return one row for each picture size, effect, number and size of faces."""
    rows: list[dict[str, Any]] = []
    for name, (width, height) in SIZES.items():
        planes = picture(width, height, layout)
        for effect in Effect:
            redactor = CpuRedactor(RedactionStyle(effect=effect))
            for count in COUNTS:
                for side in FACE_PX if count else FACE_PX[:1]:
                    boxes = face_boxes(count, side, width, height)
                    cost = ms(lambda r=redactor, b=boxes, p=planes: r.redact(p, b))
                    rows.append(
                        {"picture": name, "what": effect.value, "faces": count,
                         "face_px": side if count else None, "ms": round(cost, 3)}
                    )  # fmt: skip
        redactor, mark = CpuRedactor(RedactionStyle()), Watermark(width, height)
        for what, action in (("whole mask", redactor.mask_whole), ("watermark", mark.apply)):
            cost = ms(lambda a=action, p=planes: a(p))
            rows.append(
                {"picture": name, "what": what, "faces": None, "face_px": None,
                 "ms": round(cost, 3)}
            )  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]], layout: str) -> Table:
    """Return the rows with one column for each size of face."""
    result = Table(title=f"ms a frame, {layout}", title_justify="left")
    for heading in ("picture", "what", "faces"):
        result.add_column(heading)
    for side in FACE_PX:
        result.add_column(f"{side} px", justify="right")
    grouped: dict[tuple[str, str, Any], list[str]] = {}
    for row in rows:
        key = (row["picture"], row["what"], row["faces"])
        grouped.setdefault(key, []).append(f"{row['ms']:.3f}")
    for (name, what, faces), cells in grouped.items():
        result.add_row(name, what, "" if faces is None else str(faces), *cells)
    return result


def run(argv: list[str]) -> int:
    options = parser("redact", __doc__)
    options.add_argument("--layout", choices=("yuv420p", "nv12"), default="yuv420p")
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = options.parse_args(argv)
    rows = measure(args.layout)
    emit({"layout": args.layout, "rows": rows}, [table(rows, args.layout)], as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
