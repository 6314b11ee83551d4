"""How fast is privaedge, and what does it cost beside doing nothing and beside deface?

Measures whole processes from outside, start-up included, on one clip and in one run:

  privaedge   privaedge run CLIP … with the profile and settings given
  plain       the same decoder and encoder settings with nothing between: the floor
  deface      deface 1.5.0 as it comes (--deface; slow). Its first use installs it into
              .bench/deface, an environment of its own

  fps         frames by wall time                     CPU s       user + system, all processes
  ms/frame    CPU milliseconds by frame               peak MiB    largest resident memory
  CPU ×       CPU seconds over those of plain         fps ×       fps over that of deface

With --runs N the programs take turns, back and forth, and each figure is the best of N: what else
the machine did can only make a run slower. The second table comes from inside of privaedge: what
each stage took, wall and CPU time of its own thread (x264's own threads are not in it). The third
has a row for each lane: time for each sample, samples for a second of film (asked: what the
settings guarantee; had: with the extra ones at cuts and where the camera moves), and its share of
the CPU time of the whole process. Both are of the last run.

examples:
  python -m benchmarks.speed clip.mp4
  python -m benchmarks.speed clip.mp4 --model face_yunet_n.onnx --runs 3 --deface
  python -m benchmarks.speed clip.mp4 --profile performance --set blur.type=solid --json
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from benchmarks import _deface
from benchmarks._common import BenchmarkError, count_frames, emit, main, parser
from benchmarks._lane_costs import costs_as_json, lane_costs, lane_table
from benchmarks._process import Usage, measure
from edge.config import Settings
from edge.config_io import load_config
from edge.errors import ExitCode
from edge.media.codecs import ENCODERS, VideoSettings, container_for, encoder_for

OURS: Final = "privaedge"
PLAIN: Final = "plain"
DEFACE: Final = "deface"
_BUSY_LOAD: Final = 0.5
"""Load average of the last minute, in cores, above which other programs distort the figures."""
_TOLERATED: Final = {ExitCode.OK, ExitCode.MASKED, ExitCode.DAMAGED}


@dataclass(frozen=True, slots=True)
class Contender:
    """A program under measurement: its command line, and where its result goes."""

    name: str
    argv: tuple[str, ...]
    output: Path


@dataclass(slots=True)
class Result:
    """What the runs of one program cost."""

    name: str
    frames_in: int
    frames_out: int = 0
    runs: list[Usage] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Frames of the clip by wall second, in the fastest run."""
        return self.frames_in / min(usage.seconds for usage in self.runs)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the cheapest run."""
        return min(usage.cpu_s for usage in self.runs)

    @property
    def peak_rss_mib(self) -> float:
        """Largest resident memory of all runs."""
        return max(usage.peak_rss_mib for usage in self.runs)

    @property
    def exit_codes(self) -> list[int]:
        """Exit codes of the runs."""
        return [usage.exit_code for usage in self.runs]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON-ready values."""
        return {
            "fps": round(self.fps, 2),
            "cpu_s": round(self.cpu_s, 3),
            "cpu_ms_per_frame": round(1000 * self.cpu_s / self.frames_in, 3),
            "peak_rss_mib": round(self.peak_rss_mib, 1),
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            "runs": [usage.to_json() for usage in self.runs],
        }


def privaedge(
    clip: Path, output: Path, stats: Path, profile: str | None, overrides: Sequence[str]
) -> Contender:
    """Return our own command in the interpreter that runs this benchmark."""
    words = [sys.executable, "-c", "from edge.cli import main; main()"]
    words += ["run", str(clip), str(output), "--force", "--quiet", "--stats", str(stats)]
    if profile:
        words += ["--profile", profile]
    for override in overrides:
        words += ["--set", override]
    return Contender(OURS, tuple(words), output)


def plain(clip: Path, output: Path, settings: Settings) -> Contender:
    """Return the floor: the same codecs with the same settings, and nothing between."""
    chosen = settings.video.encoder
    video = VideoSettings(
        codec=chosen.codec,
        preset=chosen.preset,
        crf=chosen.rate_factor,
        bitrate=chosen.bitrate,
        keyframe_interval_s=chosen.keyframe_interval_s,
        threads=chosen.threads,
    )
    container = container_for(output)
    encoder = encoder_for(video, container)
    passed = {
        "encoder": encoder,
        "options": ENCODERS[encoder].options(video),
        "container": dict(container.options),
        "gop_s": video.keyframe_interval_s,
        "bitrate": video.bitrate,
        "threads": video.threads,
    }
    script = Path(__file__).with_name("_transcode.py")
    words = (sys.executable, str(script), str(clip), str(output), json.dumps(passed))
    return Contender(PLAIN, words, output)


def deface(clip: Path, output: Path) -> Contender:
    """Return deface with its own settings; it keeps the sound, as the others do."""
    words = (str(_deface.executable()), "--keep-audio", "-o", str(output), str(clip))
    return Contender(DEFACE, words, output)


def race(
    contenders: Sequence[Contender], frames: int, runs: int, timeout_s: float
) -> dict[str, Result]:
    """Run every contender `runs` times, in alternating order, and measure it.

    BenchmarkError where one fails.
    """
    results = {contender.name: Result(contender.name, frames) for contender in contenders}
    for turn in range(runs):
        for contender in contenders if turn % 2 == 0 else reversed(contenders):
            usage = measure(contender.argv, timeout_s=timeout_s)
            tolerated = _TOLERATED if contender.name == OURS else {0}
            if usage.exit_code not in tolerated:
                lines = usage.output.strip().splitlines() or ["it said nothing"]
                raise BenchmarkError(
                    f"{contender.name} failed with exit code {usage.exit_code}: {lines[-1]} "
                    "Try its command by hand."
                )
            results[contender.name].runs.append(usage)
            results[contender.name].frames_out = count_frames(contender.output)
    return results


def ratios(results: dict[str, Result]) -> dict[str, dict[str, float]]:
    """CPU time over the floor's and fps over deface's, for each program, where they were run."""
    floor, rival = results.get(PLAIN), results.get(DEFACE)
    found: dict[str, dict[str, float]] = {}
    for name, result in results.items():
        found[name] = {}
        if floor:
            found[name]["cpu_over_plain"] = round(result.cpu_s / floor.cpu_s, 3)
        if rival:
            found[name]["fps_over_deface"] = round(result.fps / rival.fps, 2)
    return found


def tables(results: dict[str, Result], stats: dict[str, Any], title: str) -> list[Table]:
    """Lay out the comparison and the stages."""
    compared = ratios(results)
    race_table = Table(title=title, title_justify="left")
    race_table.add_column("program")
    for column in ("fps", "CPU s", "ms/frame", "peak MiB", "frames", "CPU ×", "fps ×"):
        race_table.add_column(column, justify="right")
    for name, result in results.items():
        cpu, fps = (compared[name].get(key) for key in ("cpu_over_plain", "fps_over_deface"))
        race_table.add_row(
            name,
            f"{result.fps:.1f}",
            f"{result.cpu_s:.2f}",
            f"{1000 * result.cpu_s / result.frames_in:.2f}",
            f"{result.peak_rss_mib:.0f}",
            str(result.frames_out),
            "–" if cpu is None else f"{cpu:.2f}",
            "–" if fps is None else f"{fps:.1f}",
        )
    warnings = [
        f"{result.name}: {result.frames_out} frames out of {result.frames_in}"
        for result in results.values()
        if result.frames_out != result.frames_in
    ]
    warnings += [
        f"{name}: exit codes {result.exit_codes}"
        for name, result in results.items()
        if any(result.exit_codes)
    ]
    race_table.caption = "\n".join(warnings) or None
    return [race_table, *stage_tables(stats)]


def stage_tables(stats: dict[str, Any]) -> list[Table]:
    """Lay out what each stage took; nothing where the statistics have no stages."""
    stages = stats.get("stages")
    if not isinstance(stages, dict) or not stages:
        return []
    found = stats.get("found")
    notes = [f"{key}: {stats[key]}" for key in ("looks", "regions") if key in stats]
    if isinstance(found, dict):
        notes += [f"{label}: {count}" for label, count in found.items()]
    masked = stats.get("frames_masked", 0)
    notes += [f"{masked} frames masked whole"] if masked else []
    table = Table(title="inside privaedge · " + " · ".join(notes), title_justify="left")
    table.add_column("stage")
    for column in ("calls", "wall s", "CPU s", "wall ms/call", "CPU ms/call"):
        table.add_column(column, justify="right")
    for name, stage in stages.items():
        calls = int(stage.get("calls", 0))
        wall, cpu = float(stage.get("seconds", 0.0)), float(stage.get("cpu_s", 0.0))
        each = [f"{1000 * spent / calls:.2f}" if calls else "–" for spent in (wall, cpu)]
        table.add_row(name, str(calls), f"{wall:.2f}", f"{cpu:.2f}", *each)
    return [table]


def _read_stats(path: Path) -> dict[str, Any]:
    try:
        stats = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return stats if isinstance(stats, dict) else {}


def run(argv: list[str]) -> int:
    """Run the command; exit code 0 whatever the figures say."""
    words = parser("speed", __doc__)
    words.add_argument("clip", type=Path, help="a video file")
    words.add_argument("--profile", help="profile of privaedge (default: balanced)")
    words.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="one setting of privaedge (repeatable)",
    )
    words.add_argument("--model", type=Path, help="the face model, an .onnx file")
    words.add_argument("--deface", action="store_true", help="measure deface, too")
    words.add_argument("--no-plain", action="store_true", help="leave out the transcode floor")
    words.add_argument("--runs", type=int, default=1, help="runs of each (default: %(default)s)")
    words.add_argument(
        "--timeout", type=float, default=1800, metavar="S", help="seconds a run may take"
    )
    words.add_argument("--keep", type=Path, metavar="DIR", help="keep the output files there")
    words.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = words.parse_args(argv)
    if args.runs < 1:
        words.error("--runs must be at least 1")
    overrides = list(args.overrides)
    if args.model:
        overrides.append(f"video.models.face.model={args.model.resolve()}")
    settings = load_config(args.profile, None, overrides)
    frames = count_frames(args.clip)
    load = os.getloadavg()[0]
    if load > _BUSY_LOAD:
        print(f"warning: the machine is busy (load {load:.1f}): figures suffer", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="privaedge-speed-") as scratch:
        folder = Path(scratch)
        stats_file = folder / "stats.json"
        contenders = [
            privaedge(args.clip, folder / "privaedge.mp4", stats_file, args.profile, overrides)
        ]
        if not args.no_plain:
            contenders.append(plain(args.clip, folder / "plain.mp4", settings))
        if args.deface:
            contenders.append(deface(args.clip, folder / "deface.mp4"))
        results = race(contenders, frames, args.runs, args.timeout)
        stats = _read_stats(stats_file)
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            for contender in contenders:
                shutil.copy(contender.output, args.keep)
    cores = len(os.sched_getaffinity(0))
    compared = ratios(results)
    ours = results[OURS]
    costs = lane_costs(stats, settings, ours.runs[-1].cpu_s)
    result = {
        "clip": args.clip.name,
        "frames": frames,
        "cores": cores,
        "load_before": round(load, 2),
        "profile": settings.profile,
        "overrides": overrides,
        "programs": {name: r.to_json() | compared[name] for name, r in results.items()},
        "lanes": costs_as_json(costs),
        "stats": stats,
    }
    title = f"{args.clip.name} · {frames} frames · {cores} cores · best of {args.runs}"
    shown = tables(results, stats, title)
    if costs:
        shown.append(lane_table(costs, ours.fps, compared[OURS].get("cpu_over_plain")))
    emit(result, shown, as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
