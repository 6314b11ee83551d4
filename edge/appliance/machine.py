"""How the machine is doing: load, memory, temperatures. Reads /proc and /sys; never raises."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from edge.appliance.views import MachineView

_ZONES: Final = Path("/sys/class/thermal")
_SENSORS: Final = Path("/sys/class/hwmon")
_PLAUSIBLE_C: Final = (-40.0, 150.0)
_MOST_SENSORS: Final = 16


def look() -> MachineView:
    """Look at the machine. Takes about a millisecond."""
    return MachineView(
        load_1m=_load(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_kilobytes(Path("/proc/self/status"), "VmRSS:"),
        memory_free_bytes=_kilobytes(Path("/proc/meminfo"), "MemAvailable:"),
        temperatures_c=temperatures(),
    )


def temperatures(zones: Path = _ZONES, sensors: Path = _SENSORS) -> dict[str, float]:
    """Return what can be read, in °C, by the kernel's names for it.

    Thermal zones where there are any, as on a Jetson, else the sensors of processors and boards.
    """
    found: dict[str, float] = {}
    for zone in sorted(zones.glob("thermal_zone*")):
        _take(found, _text(zone / "type"), _text(zone / "temp"))
    if not found:
        for sensor in sorted(sensors.glob("hwmon*")):
            name = _text(sensor / "name")
            for value in sorted(sensor.glob("temp*_input")):
                label = _text(value.with_name(value.name.replace("_input", "_label")))
                _take(found, f"{name} {label}".strip() if name else None, _text(value))
    return found


def _take(found: dict[str, float], name: str | None, value: str | None) -> None:
    if not name or value is None or len(found) >= _MOST_SENSORS:
        return
    try:
        degrees = int(value) / 1000
    except ValueError:
        return
    if _PLAUSIBLE_C[0] < degrees < _PLAUSIBLE_C[1]:
        found.setdefault(name, degrees)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:  # a sensor that is asleep answers with an error, too
        return None


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _kilobytes(path: Path, field: str) -> int | None:
    for line in (_text(path) or "").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return None
