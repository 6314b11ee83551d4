"""What a stream has done over all of its runs: counters that only grow while a service lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.stats import Stats


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters of one stream; see edge.stats.Stats. Two can be added and subtracted."""

    frames_in: int = 0
    frames_out: int = 0
    frames_masked: int = 0
    frames_dropped: int = 0
    frames_redacted: int = 0
    slates: int = 0
    connections: int = 0
    regions: int = 0
    looks: int = 0
    spoken_s: float = 0.0
    muted_s: float = 0.0
    found: Mapping[str, int] = field(default_factory=dict)
    masked_by: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)

    def plus(self, stats: Stats) -> Totals:
        """Add what a run has done so far. The run may go on meanwhile."""
        return Totals(
            self.frames_in + stats.frames_in,
            self.frames_out + stats.frames_out,
            self.frames_masked + stats.frames_masked,
            self.frames_dropped + stats.frames_dropped,
            self.frames_redacted + stats.frames_with_regions,
            self.slates + stats.slates,
            self.connections + stats.connections,
            self.regions + stats.regions,
            self.looks + stats.looks,
            self.spoken_s + stats.spoken_s,
            self.muted_s + stats.muted_s,
            _sum(self.found, stats.found),
            _sum(self.masked_by, stats.masked_by),
            _sum(self.failures, stats.failures),
        )


def _sum(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    late = dict(b)  # in one step: another thread may add to it
    return {key: a.get(key, 0) + late.get(key, 0) for key in (*a, *(k for k in late if k not in a))}


def less(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """Return by how much each counter has grown, those that have not left out."""
    return {key: n - before.get(key, 0) for key, n in now.items() if n > before.get(key, 0)}
