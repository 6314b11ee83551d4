"""From a real RTSP server to a real RTMP server: what leaves, when, and what it costs.

A camera films numbered pictures and beeps once a second; `privaedge run` streams them; a viewer
behind the RTMP server reads numbers and beeps. So the way of every frame is known from end to end.

  frames     pictures that left, of those that the source sent meanwhile, by their numbers
  masked     pictures whose number cannot be read: masked whole, or a slate
  delay      from the moment the camera sent a frame to its arrival at the viewer; the encoder, the
             server and the viewer's own decoder are in it. Its spread counts, not its size
  sound      how much later a beep is heard than its picture is seen
  memory     resident set of privaedge: after the first minute (or a tenth), and at the end

Needs nginx with its RTMP module and GStreamer's RTSP server: .ci/packages.sh installs them.

examples:
  python -m benchmarks.live --minutes 10
  python -m benchmarks.live --minutes 60 --profile high_privacy --json > hour.json
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks._common import BenchmarkError, emit, main, parser
from tests.live.pattern import PERIOD_S, moving_pattern, read_stamp
from tests.live.servers import RtmpServer, RtspServer
from tests.live.viewer import Viewer

RATE = 30
_SIZE = (1280, 720)
_VIEWER_SIZE = (320, 180)
_SETTLE_S = 10.0
"""The first seconds are left out: the viewer joins, the encoder finds its rate."""
_BEEP = 0.2


def run(arguments: list[str]) -> int:
    """Measure, print, and return the exit code."""
    options = parser("live", __doc__)
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--profile", default="balanced")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options.add_argument("--json", action="store_true")
    a = options.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), a.minutes * 60, a.profile, a.set)
    table = Table(title=f"live, {_SIZE[0]}x{_SIZE[1]} at {RATE} fps, {a.minutes:g} minutes")
    table.add_column("measure")
    table.add_column("value", justify="right")
    for key, value in result.items():
        table.add_row(key.replace("_", " "), f"{value:,.4g}")
    emit(result, [table], as_json=a.json)
    return 0


def measure(folder: Path, seconds: float, profile: str, settings: list[str]) -> dict[str, Any]:
    """Stream for so many seconds. Raises BenchmarkError when nothing comes out."""
    film = moving_pattern(folder / "film.mp4", size=_SIZE, rate=RATE)
    memory: list[tuple[float, int]] = []
    with RtspServer(folder / "rtsp", film) as camera, RtmpServer(folder / "rtmp") as ingest:
        command = ["-m", "edge.cli", "run", camera.url, ingest.url(), "--profile", profile]
        # The detector works as ever, but must not take the film's marks for faces and hide them.
        command += ["--set", "video.models.face.conf=0.99"]
        for one in settings:
            command += ["--set", one]
        log = (folder / "log").open("wb")
        process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)
        try:
            with Viewer(ingest.url(), folder / "seen", size=_VIEWER_SIZE) as viewer:
                begun = time.monotonic()
                while time.monotonic() < begun + seconds and process.poll() is None:
                    time.sleep(1.0)
                    memory.append((time.monotonic() - begun, _resident(process.pid)))
                cpu_s = _cpu_s(process.pid)
                ended = time.monotonic()
            if process.poll() is not None:
                raise BenchmarkError(f"privaedge ended: {(folder / 'log').read_text()[-300:]}")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            log.close()
        assert camera.epoch is not None
        return _summarise(viewer, camera.epoch, memory, begun, ended - begun, cpu_s)


def _summarise(  # noqa: PLR0917 - private, called once
    viewer: Viewer, epoch: float, memory: list[tuple[float, int]], begun: float, seconds: float,
    cpu_s: float,
) -> dict[str, Any]:  # fmt: skip
    delays, numbers, flashes, unread, total = [], [], [], 0, 0
    for one in viewer.pictures():
        if one.arrived < begun + _SETTLE_S or one.picture is None:
            continue
        total += 1
        number = read_stamp(one.picture)
        if number is None:
            unread += 1
            continue
        # The film repeats: of all times at which this frame was sent, the last before it came.
        sent = epoch + number / RATE
        sent += (one.arrived - sent) // PERIOD_S * PERIOD_S
        delays.append(one.arrived - sent)
        numbers.append(round((sent - epoch) * RATE))
        if number % RATE == 0:
            flashes.append(one.pts)
    if len(numbers) < 2:
        raise BenchmarkError(f"no numbered picture came: {viewer.trouble()[-300:]}")
    beeps = _beeps(viewer)
    # Beeps begin with the picture of every whole second; nearest of each.
    offsets = [min((b - f for b in beeps), key=abs) for f in flashes if beeps]
    sent_meanwhile = max(numbers) - min(numbers) + 1
    first = [kib for at, kib in memory if at >= min(60.0, seconds / 10)][:10]
    last = [kib for _, kib in memory[-10:]]
    low, middle, high = np.percentile(delays, [0.5, 50, 99.5])
    return {
        "pictures_received": total,
        "frames_out_percent": 100 * len(set(numbers)) / sent_meanwhile,
        "masked_or_slate": unread,
        "delay_median_s": float(middle),
        "delay_0.5_percentile_frames": float((low - middle) * RATE),
        "delay_99.5_percentile_frames": float((high - middle) * RATE),
        "sound_offset_median_ms": 1000 * float(np.median(offsets)) if offsets else float("nan"),
        "sound_offset_worst_ms": 1000 * max(offsets, key=abs) if offsets else float("nan"),
        "memory_first_mib": float(np.median(first)) / 1024,
        "memory_last_mib": float(np.median(last)) / 1024,
        "cpu_cores": cpu_s / seconds,
    }


def _beeps(viewer: Viewer) -> list[float]:
    """When a beep begins, in the pictures' own time."""
    begins, loud = [], False
    for one in viewer.sounds():
        if one.sound is None:
            continue
        level = np.abs(one.sound)
        hits = np.flatnonzero(level > _BEEP)
        if len(hits) and not loud:
            begins.append(one.pts + float(hits[0]) / one.sound_rate)
        loud = bool(len(hits))
    return begins


def _resident(pid: int) -> int:
    """Resident set in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _cpu_s(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(run)
