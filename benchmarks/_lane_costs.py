"""What each lane of a run cost and how often it looked, out of the statistics that the run wrote.

Nothing is run for this: `run --stats` counts every look and times it in the lane's own thread.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.table import Table

from edge.config import Settings

_LOOK: Final = "look: "
_LISTEN: Final = "listen: "
SPEECH: Final = "speech"


@dataclass(frozen=True, slots=True)
class LaneCost:
    """One lane of one run.

    samples: frames, or pieces of sound, that it was given. wall_ms, cpu_ms: for each, the latter of
    its thread alone. asked_per_s: samples that the settings guarantee for a second of film, None
    where sound decides; achieved_per_s: those it had, with the extra ones at cuts and where the
    camera moves. cpu_pct: of all CPU time of the process.
    """

    lane: str
    model: str
    samples: int
    wall_ms: float
    cpu_ms: float
    asked_per_s: float | None
    achieved_per_s: float
    cpu_pct: float


def lane_costs(stats: dict[str, Any], settings: Settings, cpu_s: float) -> list[LaneCost]:
    """Return the lanes of a run in the order in which it names them.

    stats: what `run --stats` wrote. cpu_s: CPU seconds of that run's process.
    """
    seconds = _film_seconds(stats)
    models = stats.get("models") or {}
    found = []
    for name, stage in (stats.get("stages") or {}).items():
        lane = name.removeprefix(_LOOK).removeprefix(_LISTEN)
        if lane == name or not stage["calls"]:
            continue
        samples = int(stage["calls"])
        found.append(
            LaneCost(
                lane=lane,
                model=str(models.get(lane, "")),
                samples=samples,
                wall_ms=1000 * stage["seconds"] / samples,
                cpu_ms=1000 * stage["cpu_s"] / samples,
                asked_per_s=asked_per_s(settings, lane),
                achieved_per_s=samples / seconds if seconds else 0.0,
                cpu_pct=100 * stage["cpu_s"] / cpu_s if cpu_s else 0.0,
            )
        )
    return found


def asked_per_s(settings: Settings, lane: str) -> float | None:
    """Samples that a lane is guaranteed in a second of film; None for speech."""
    base = settings.scheduler.target_fps
    own = {one.name: one.target_fps for one in settings.video.models.own}
    if lane == SPEECH:
        return None
    if lane == "text":
        return min(base, settings.video.models.text.target_fps)
    return min(base, own.get(lane) or base)


def _film_seconds(stats: dict[str, Any]) -> float:
    """Length of what left: from the first frame's time, 0, to the end of the last one's."""
    frames = int(stats.get("frames_out", 0))
    last = float(stats.get("pts_out", 0.0))
    return last * frames / (frames - 1) if frames > 1 else 0.0


def costs_as_json(costs: list[LaneCost]) -> list[dict[str, Any]]:
    """Return the table as JSON-ready values."""
    return [
        {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
        for row in map(asdict, costs)
    ]


def lane_table(costs: list[LaneCost], fps: float, cpu_over_plain: float | None) -> Table:
    """Lay out the lanes, with the run's frame rate and its cost over a plain transcode."""
    whole = f"{fps:.1f} fps in all"
    if cpu_over_plain is not None:
        whole += f", {cpu_over_plain:.2f} × the CPU of a plain transcode"
    table = Table(title=f"lanes · {whole}", title_justify="left")
    table.add_column("lane")
    table.add_column("model")
    for column in ("samples", "wall ms", "CPU ms", "asked/s", "had/s", "CPU %"):
        table.add_column(column, justify="right")
    for one in costs:
        table.add_row(
            one.lane,
            one.model,
            str(one.samples),
            f"{one.wall_ms:.1f}",
            f"{one.cpu_ms:.1f}",
            "–" if one.asked_per_s is None else f"{one.asked_per_s:g}",
            f"{one.achieved_per_s:.1f}",
            f"{one.cpu_pct:.0f}",
        )
    rest = 100 - sum(one.cpu_pct for one in costs)
    table.add_row("all else", "start, motion, codecs, redaction", "", "", "", "", "", f"{rest:.0f}")
    return table
