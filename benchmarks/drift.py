"""Do sound and picture of a long file stay together?

Makes a film whose picture flashes and whose sound beeps at once, every few seconds, at a frame rate
and a sample rate that do not divide each other (29.97 fps, 44.1 kHz); sends it through
`privaedge run` with its sound listened to; and looks when the flashes and the beeps of the output
are, by its own timestamps.

  offset   beep minus flash, output against input, in ms; a frame is 33.4 ms
  drift    largest change of the offset from the first mark to any other

examples:
  python -m benchmarks.drift
  python -m benchmarks.drift --seconds 3600 --set video.models.face.enabled=false --json
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks._common import BenchmarkError, emit, main, parser
from benchmarks._process import measure

FPS: Final = Fraction(30_000, 1001)
RATE: Final = 44_100
_SIZE: Final = (160, 96)
_FLASH_FRAMES: Final = 3
_BEEP_S: Final = 0.1
_BEEP_HZ: Final = 1000.0
_BEEP: Final = 0.5
_HEARD: Final = 0.1
_WHITE: Final = 180
_FRAME_SAMPLES: Final = 1024
"""Of AAC."""
_QUIET_S: Final = 1.0
"""A mark begins after this long without one."""
_DARK: Final = 60


@dataclass(frozen=True, slots=True)
class Mark:
    """When a flash and its beep begin, in seconds by the file's timestamps."""

    flash: float
    beep: float

    @property
    def offset(self) -> float:
        """Seconds by which the beep is late."""
        return self.beep - self.flash


def make_film(path: Path, seconds: float, every_s: float) -> Path:
    """Write H.264 and AAC; flash n begins with the first frame at or after (n + ½) · every_s."""
    frames = math.ceil(seconds * FPS)
    starts = [math.ceil((n + 0.5) * every_s * FPS) for n in range(int(seconds / every_s))]
    flashes = {start + n for start in starts for n in range(_FLASH_FRAMES)}
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 12, (_SIZE[1], _SIZE[0], 3)).astype(np.uint8)
    with av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "30"})
        picture.width, picture.height, picture.pix_fmt = *_SIZE, "yuv420p"
        sound = out.add_stream("aac", rate=RATE, layout="mono")
        sent = 0
        for number in range(frames):
            shade = 235 if number in flashes else _DARK
            frame = av.VideoFrame.from_ndarray(np.roll(noise, number, 1) + shade - 12, "rgb24")
            frame.pts, frame.time_base = number, 1 / FPS
            out.mux(picture.encode(frame))
            while sent < (number + 1) / FPS * RATE:
                block = av.AudioFrame.from_ndarray(_beeps(sent, starts)[None], "fltp", "mono")
                block.sample_rate, block.pts = RATE, sent
                block.time_base = Fraction(1, RATE)
                out.mux(sound.encode(block))
                sent += _FRAME_SAMPLES
        for stream in (picture, sound):
            out.mux(stream.encode(None))
    return path


def _beeps(first: int, starts: Sequence[int]) -> NDArray[np.float32]:
    """Samples first..first + 1024 of the sound track."""
    time = (first + np.arange(_FRAME_SAMPLES)) / RATE
    result = np.zeros(_FRAME_SAMPLES, np.float32)
    for start in starts:
        since = time - float(start / FPS)
        on = (since >= 0) & (since < _BEEP_S)
        result[on] = _BEEP * np.sin(2 * np.pi * _BEEP_HZ * since[on])
    return result


def read_marks(path: Path) -> list[Mark]:
    """Return the marks of a film, in order.

    Raises BenchmarkError where flashes and beeps are not as many.
    """
    with av.open(str(path)) as film:
        flashes = _begins(
            (float(frame.time or 0.0), float(frame.to_ndarray(format="gray").mean()) >= _WHITE)
            for frame in film.decode(video=0)
        )
    with av.open(str(path)) as film:
        beeps = _begins(_loud(film))
    if not flashes or len(flashes) != len(beeps):
        raise BenchmarkError(
            f"{path.name} has {len(flashes)} flashes and {len(beeps)} beeps. Make the film longer, "
            "and let no lane hide it."
        )
    return [Mark(flash, beep) for flash, beep in zip(flashes, beeps, strict=True)]


def _loud(film: av.container.InputContainer) -> Any:
    for frame in film.decode(audio=0):
        samples = np.abs(frame.to_ndarray().astype(np.float32)).max(axis=0)
        begin = float(frame.time or 0.0)
        for at in np.flatnonzero(samples >= _HEARD).tolist():
            yield begin + at / frame.sample_rate, True


def _begins(seen: Any) -> list[float]:
    """Times at which something begins that was not there for a while."""
    result: list[float] = []
    last = -math.inf
    for time, there in seen:
        if there:
            if time - last > _QUIET_S:
                result.append(time)
            last = time
    return result


def compare(before: Sequence[Mark], after: Sequence[Mark]) -> dict[str, Any]:
    """Return offsets of the output against the input, in ms, and how they change over time.

    Raises BenchmarkError where marks were lost.
    """
    if len(before) != len(after):
        raise BenchmarkError(f"of {len(before)} marks {len(after)} came out. Let no lane hide it.")
    offsets = [1000 * (b.offset - a.offset) for a, b in zip(before, after, strict=True)]
    slope, _ = np.polyfit([one.flash for one in before], offsets, 1) if len(offsets) > 1 else (0, 0)
    return {
        "marks": len(offsets),
        "frame_ms": round(1000 / float(FPS), 1),
        "offset_ms": {"least": round(min(offsets), 2), "most": round(max(offsets), 2)},
        "drift_ms": round(max(abs(one - offsets[0]) for one in offsets), 2),
        "drift_ms_per_hour": round(3600 * float(slope), 2),
        "late_ms": round(
            1000 * max(abs(b.flash - a.flash) for a, b in zip(before, after, strict=True)), 2
        ),
    }


def run(argv: list[str]) -> int:
    """Run the command; exit code 0 whatever the figures say."""
    words = parser("drift", __doc__)
    words.add_argument("--seconds", type=float, default=600.0, help="(default: %(default)s)")
    words.add_argument(
        "--every", type=float, default=10.0, metavar="SECONDS", help="(default: %(default)s)"
    )
    words.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    words.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = words.parse_args(argv)
    if args.every < 2 * _QUIET_S or args.seconds < args.every:
        words.error("--every must be 2 or more, --seconds not less")
    with TemporaryDirectory(prefix="privaedge-drift-") as folder:
        film = make_film(Path(folder) / "film.mp4", args.seconds, args.every)
        output = Path(folder) / "output.mp4"
        usage = through(film, output, args.overrides)
        result = {"seconds": args.seconds, **compare(read_marks(film), read_marks(output)),
                  "wall_s": round(usage, 1)}  # fmt: skip
    table = Table("measure", "value")
    for name, value in result.items():
        table.add_row(name, str(value))
    emit(result, [table], as_json=args.json)
    return 0


def through(film: Path, output: Path, overrides: Sequence[str]) -> float:
    """Send a film through `privaedge run` with its sound listened to; return wall seconds.

    Raises BenchmarkError where it fails.
    """
    command = [sys.executable, "-c", "from edge.cli import main; main()", "run", film, output]
    settings = ["audio.enabled=true", *overrides]
    usage = measure([*map(str, command), *(word for one in settings for word in ("--set", one))])
    if usage.exit_code:
        raise BenchmarkError(f"privaedge failed: {usage.output.strip()[-400:]} Try it by hand.")
    return usage.seconds


if __name__ == "__main__":
    main(run)
