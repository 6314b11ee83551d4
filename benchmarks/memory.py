"""What does the delay line hold in memory, as frames and as packets, and what does each cost?

A 1080p film goes through the live pipeline: decoder, motion, the lanes of the profile, delay line,
redactor and x264, each of them the real one, to MPEG-TS over UDP. Each way of storing and each
delay is a process of its own. Without --film it is one with people, panning and cuts: wall.mp4,
looked for in $PRIVAEDGE_SHARED or in ../shared beside the checkout, scaled to 1920x1080 at 6 Mbit/s
with a keyframe every 2 s.

  in line     frames in the delay line when it is full
  steady      median resident memory of the process from then on
  peak        the kernel's high-water mark of it
  line        steady less that of the same process with the shortest delay of the table
  CPU         seconds of all threads by second of film, from then on
  ratio       CPU over that of frames with the same delay
  masked      frames that left masked: not judged in time, or not the same when decoded again

With --speed 0.5 all of it runs in slow motion at half of real time, so that the line is as full as
it would be on a machine that is fast enough.

examples:
  python -m benchmarks.memory
  python -m benchmarks.memory --delays 2 7 --speed 0.4 --json
  python -m benchmarks.memory --film match.mp4 --profile streaming
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from rich.table import Table

from benchmarks._common import BenchmarkError, emit, main, parser
from benchmarks.reid import shared
from edge.build import cadence, prepare_process, releaser, video_settings
from edge.config_io import load_config
from edge.frame import Frame
from edge.lane_models import load_lane_models
from edge.lane_workers import lane_workers
from edge.listen_build import listening, mouths
from edge.live import LivePipeline, Samples
from edge.media.address import Address
from edge.media.live_sink import LiveSink
from edge.media.slate import make_slate
from edge.media.sound import SoundDecoder
from edge.media.source import FileSource
from edge.stats import peak_memory_bytes

_SIZE: Final = (1920, 1080)
_BITRATE: Final = 6_000_000
_KEYFRAME_S: Final = 2
_NOWHERE: Final = Address.parse("udp://127.0.0.1:9")
"""The discard port: what nobody takes is lost without an error."""
_SAMPLE_S: Final = 0.1
_SETTLE_S: Final = 1.0
"""Of film, after which the line is full and the encoder at its pace."""
_CHILD: Final = "--child"
_MIB: Final = 1 << 20


def run(arguments: list[str]) -> int:
    """Measure, print, and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.child is not None:
        print(json.dumps(_one(options)))
        return 0
    if min(options.delays) <= 0 or options.seconds <= 0 or options.speed <= 0:
        raise BenchmarkError("delays, seconds and speed are above zero. Mend that.")
    with tempfile.TemporaryDirectory() as folder:
        film = options.film or _film(Path(folder) / "film.mp4")
        rows = []
        for delay_s, storage in itertools.product(options.delays, ("frames", "packets")):
            rows.append(_measure(options, film, delay_s, storage))
    shortest = {r["storage"]: r for r in rows if r["delay_s"] == min(options.delays)}
    dear = {r["delay_s"]: r for r in rows if r["storage"] == "frames"}
    for row in rows:
        row["line_mib"] = row["steady_mib"] - shortest[row["storage"]]["steady_mib"]
        row["cpu_ratio"] = row["cpu"] / dear[row["delay_s"]]["cpu"]
    result = {"speed": options.speed, "profile": options.profile, "rows": rows}
    emit(result, [_table(rows)], as_json=options.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    options = parser("memory", __doc__)
    options.add_argument("--film", type=Path)
    options.add_argument("--delays", type=float, nargs="+", default=[2.0, 7.0])
    options.add_argument("--seconds", type=float, default=10.0,
                         help="of film that are measured once the line is full")  # fmt: skip
    options.add_argument("--speed", type=float, default=1.0)
    options.add_argument("--profile", default="balanced")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options.add_argument("--json", action="store_true")
    options.add_argument(_CHILD, help=argparse.SUPPRESS)
    return options


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="delay line in memory, MiB")
    for column in ("delay", "storage", "in line", "steady", "peak", "line", "CPU", "ratio",
                   "masked"):  # fmt: skip
        table.add_column(column, justify="left" if column == "storage" else "right")
    for row in rows:
        table.add_row(
            f"{row['delay_s']:g} s",
            row["storage"],
            f"{row['in_line']}",
            f"{row['steady_mib']:.0f}",
            f"{row['peak_mib']:.0f}",
            f"{row['line_mib']:.0f}",
            f"{row['cpu']:.2f}",
            f"{row['cpu_ratio']:.2f}",
            f"{row['masked']} of {row['frames_out']}",
        )
    return table


def _measure(
    options: argparse.Namespace, film: Path, delay_s: float, storage: str
) -> dict[str, Any]:
    """Run one process. Raises BenchmarkError where it fails."""
    settings = [f"delay.seconds={delay_s:g}", f"delay.storage={storage}"]
    argv = [sys.executable, "-m", "benchmarks.memory", _CHILD, "it", "--film", str(film)]
    argv += ["--seconds", str(options.seconds), "--speed", str(options.speed)]
    argv += ["--profile", options.profile]
    for one in [*settings, *options.set]:
        argv += ["--set", one]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise BenchmarkError(f"a process failed: {last} Run it with {_CHILD} to see more.")
    figures: dict[str, Any] = json.loads(done.stdout)
    return {"delay_s": delay_s, "storage": storage, **figures}


def _film(path: Path) -> Path:
    """Scale the shared film to 1080p as a camera would send it. Raises BenchmarkError."""
    original = shared() / "media/video/wall.mp4"
    if not original.exists():
        raise BenchmarkError(f"{original} is missing. Name another film with --film.")
    with av.open(str(original)) as source, av.open(str(path), "w") as target:
        rate = source.streams.video[0].average_rate or Fraction(30)
        stream = target.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.width, stream.height = _SIZE
        stream.bit_rate = _BITRATE
        stream.codec_context.gop_size = round(_KEYFRAME_S * rate)
        for frame in source.decode(video=0):
            target.mux(stream.encode(frame.reformat(*_SIZE, "yuv420p")))
        target.mux(stream.encode(None))
    return path


# -- in the process that is measured -----------------------------------------------------------


def _one(options: argparse.Namespace) -> dict[str, Any]:
    """Run the pipeline until its line was full for long enough; return the figures."""
    # The film has no sound; with lanes for it the shortest delay would be refused.
    settings = load_config(options.profile, None, ["audio.enabled=false", *options.set])
    prepare_process()
    models = load_lane_models(settings)
    reader = _Reader(options.film, settings.delay.storage == "packets", options.speed)
    info, size = reader.info, (reader.info.width, reader.info.height)
    sink = LiveSink([_NOWHERE], info, video_settings(settings), has_sound=True)
    pipeline = LivePipeline(
        lambda: reader,
        sink,
        lane_workers(settings, models, *size),
        releaser(settings, *size, show_boxes=False),
        slate=make_slate(info),
        size=size,
        fps=float(info.fps),
        cadence=cadence(settings),
        delay_s=settings.delay_s,
        listen=listening(settings, models, live=True),
        mouths=mouths(settings, models),
        clock=lambda: time.monotonic() * options.speed,
    )
    watch = _Watch(pipeline, settings.delay_s, options.seconds, options.speed)
    watch.start()
    stats = pipeline.run()
    watch.join()
    sink.close()
    return {
        **watch.figures(),
        "peak_mib": peak_memory_bytes() / _MIB,
        "masked": stats.frames_masked,
        "frames_out": stats.frames_out,
        "reasons": stats.reasons,
    }


class _Reader:
    """The film over and over, like a camera whose clock runs at `speed`."""

    def __init__(self, film: Path, keep_packets: bool, speed: float) -> None:
        self._film, self._keep_packets, self._speed = film, keep_packets, speed
        self._source = FileSource(film, keep_packets=keep_packets)
        self.info = self._source.info
        self.fps = float(self.info.fps)

    def read(self) -> Iterator[Frame | tuple[float, Samples]]:
        """Yield what is due."""
        begun, offset = time.monotonic(), 0.0
        while True:
            sound = self.info.sound and SoundDecoder(self.info.sound)
            for item in self._source.read():
                due = begun + (item.pts + offset) / self._speed
                time.sleep(max(0.0, due - time.monotonic()))
                if isinstance(item, Frame):
                    yield replace(item, pts=item.pts + offset)
                elif sound:
                    yield from ((pts + offset, samples) for pts, samples in sound.decode(item))
            offset += self._source.end_s
            self._source = FileSource(self._film, keep_packets=self._keep_packets)

    def close(self) -> None:
        """Do nothing: the film's last pass ends with the process."""


class _Watch(threading.Thread):
    """Looks at the process from the moment when its delay line is full, and ends it."""

    def __init__(
        self, pipeline: LivePipeline, delay_s: float, seconds: float, speed: float
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self._pipeline, self._speed = pipeline, speed
        self._full_s, self._seconds = delay_s + _SETTLE_S, seconds
        self._resident: list[int] = []
        self._waiting: list[int] = []
        self._cpu = float("nan")

    def run(self) -> None:
        stats = self._pipeline.stats
        while stats.frames_in == 0:
            time.sleep(_SAMPLE_S)
        time.sleep(self._full_s / self._speed)
        begun, pts = time.process_time(), stats.pts_out
        until = time.monotonic() + self._seconds / self._speed
        while time.monotonic() < until:
            time.sleep(_SAMPLE_S)
            self._resident.append(resident_bytes())
            self._waiting.append(stats.waiting)
        spent, sent = time.process_time() - begun, stats.pts_out - pts
        self._cpu = spent / sent if sent > 0 else float("nan")
        self._pipeline.stop()

    def figures(self) -> dict[str, Any]:
        """What was seen."""
        return {
            "in_line": round(statistics.median(self._waiting)),
            "steady_mib": statistics.median(self._resident) / _MIB,
            "growth_mib": _growth(self._resident) / _MIB,
            "cpu": self._cpu,
        }


def _growth(samples: list[int]) -> float:
    """How much the median of the last quarter is above that of the second."""
    quarter = max(1, len(samples) // 4)
    return statistics.median(samples[-quarter:]) - statistics.median(samples[quarter : 2 * quarter])


def resident_bytes() -> int:
    """Resident set of this process, from /proc."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise BenchmarkError("the kernel does not tell how much memory is used. Run it on Linux.")


if __name__ == "__main__":
    main(run)
