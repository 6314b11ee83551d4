"""What a leak measurement found: verdicts on boxes, and the figures and tables made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from rich.table import Table

from benchmarks._exposure import Exposure, TrueBox

ONSET_FRAMES: Final = 8
"""Frames from an appearance on that count as its onset."""
SMALL_PX: Final = 40
"""Width below which a box counts as small."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was judged of one box in one frame."""

    frame: int
    scene: int
    box: TrueBox
    exposure: Exposure
    age: int
    """Frames since the thing appeared; 1 in its first frame. Starts anew when it comes back."""
    speed: float | None
    """Median shift of the labelled boxes from the frame before, pixels; None where unknown."""
    at_border: bool

    @property
    def exposed(self) -> bool:
        """Whether a viewer could recognise it."""
        return self.exposure.exposed

    @property
    def thing(self) -> tuple[int, str, int]:
        """Scene, kind and id: what the box is a picture of."""
        return self.scene, self.box.kind, self.box.ident


@dataclass(frozen=True, slots=True)
class Group:
    """Boxes that have something in common, and how many of them are exposed."""

    name: str
    boxes: int
    exposed: int
    clear: int = 0

    @property
    def percent(self) -> float | None:
        """Exposed boxes in percent; None where there are no boxes."""
        return 100 * self.exposed / self.boxes if self.boxes else None

    @classmethod
    def of(cls, name: str, verdicts: Iterable[Verdict]) -> Group:
        """Count verdicts."""
        exposures = [verdict.exposure for verdict in verdicts]
        exposed = sum(exposure.exposed for exposure in exposures)
        return cls(name, len(exposures), exposed, sum(exposure.clear for exposure in exposures))


@dataclass(frozen=True, slots=True)
class LeakReport:
    """Everything that was judged; the figures are derived from the verdicts."""

    frames_judged: int
    frames_original: int
    frames_redacted: int
    frames_labelled: int
    over_redaction: float
    """Mean share (0..1) of the picture outside all true boxes that was changed."""
    verdicts: tuple[Verdict, ...] = field(repr=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of things that were judged, in order of first appearance."""
        return tuple(dict.fromkeys(verdict.box.kind for verdict in self.verdicts))

    @property
    def complete(self) -> bool:
        """Whether original, redacted clip and labels have the same number of frames."""
        return self.frames_original == self.frames_redacted == self.frames_labelled

    def of_kind(self, kind: str) -> tuple[Verdict, ...]:
        """Return the verdicts on one kind of thing."""
        return tuple(verdict for verdict in self.verdicts if verdict.box.kind == kind)

    def overall(self, kind: str) -> Group:
        """Return all boxes of a kind."""
        return Group.of("leak", self.of_kind(kind))

    def onset(self, kind: str) -> Group:
        """Return the boxes in the first frames of an appearance."""
        return Group.of("onset", (v for v in self.of_kind(kind) if v.age <= ONSET_FRAMES))

    def small(self, kind: str) -> Group:
        """Return the boxes narrower than SMALL_PX."""
        return Group.of("small", (v for v in self.of_kind(kind) if v.box.width < SMALL_PX))

    def things(self, kind: str) -> Group:
        """Return the things (not boxes), exposed where at least one of their boxes is."""
        verdicts = self.of_kind(kind)
        exposed = {verdict.thing for verdict in verdicts if verdict.exposed}
        clear = {verdict.thing for verdict in verdicts if verdict.exposure.clear}
        return Group("ever", len({v.thing for v in verdicts}), len(exposed), len(clear))

    def breakdown(self, kind: str) -> dict[str, tuple[Group, ...]]:
        """Return the boxes of a kind, parted by each suspected cause; empty groups are left out."""
        verdicts = self.of_kind(kind)
        return {
            title: tuple(
                group
                for name, belongs in groups
                if (group := Group.of(name, filter(belongs, verdicts))).boxes
            )
            for title, groups in _CAUSES.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values; percentages are rounded to two places."""
        return {
            "frames": {
                "judged": self.frames_judged,
                "original": self.frames_original,
                "redacted": self.frames_redacted,
                "labelled": self.frames_labelled,
            },
            "over_redaction_pct": round(100 * self.over_redaction, 2),
            "kinds": {
                kind: {
                    "boxes": self.overall(kind).boxes,
                    "exposed": self.overall(kind).exposed,
                    "clear": self.overall(kind).clear,
                    "leak_pct": _rounded(self.overall(kind)),
                    "onset_leak_pct": _rounded(self.onset(kind)),
                    "small_leak_pct": _rounded(self.small(kind)),
                    "things": self.things(kind).boxes,
                    "things_ever_exposed_pct": _rounded(self.things(kind)),
                    "breakdown": {
                        title: {
                            g.name: {"boxes": g.boxes, "exposed": g.exposed, "clear": g.clear}
                            for g in groups
                        }
                        for title, groups in self.breakdown(kind).items()
                    },
                }
                for kind in self.kinds
            },
        }


def _rounded(group: Group) -> float | None:
    return None if group.percent is None else round(group.percent, 2)


_Belongs = Callable[[Verdict], bool]


def _width(low: float, high: float) -> _Belongs:
    return lambda verdict: low <= verdict.box.width < high


def _speed(low: float, high: float) -> _Belongs:
    return lambda verdict: verdict.speed is not None and low <= verdict.speed < high


def _age(low: int, high: float) -> _Belongs:
    return lambda verdict: low <= verdict.age <= high


_FOREVER: Final = float("inf")
_CAUSES: Final[dict[str, tuple[tuple[str, _Belongs], ...]]] = {
    "box width, px": (
        ("below 20", _width(0, 20)),
        ("20-30", _width(20, 30)),
        ("30-40", _width(30, 40)),
        ("40-60", _width(40, 60)),
        ("60+", _width(60, _FOREVER)),
    ),
    "border of the picture": (
        ("touching", lambda verdict: verdict.at_border),
        ("inside", lambda verdict: not verdict.at_border),
    ),
    "camera speed, px/frame": (
        ("below 5", _speed(0, 5)),
        ("5-10", _speed(5, 10)),
        ("10-15", _speed(10, 15)),
        ("15-20", _speed(15, 20)),
        ("20+", _speed(20, _FOREVER)),
        ("unknown", lambda verdict: verdict.speed is None),
    ),
    "frames since appearance": (
        ("1", _age(1, 1)),
        ("2-4", _age(2, 4)),
        ("5-8", _age(5, 8)),
        ("9-30", _age(9, 30)),
        ("31+", _age(31, _FOREVER)),
    ),
}


def tables(report: LeakReport, kinds: Iterable[str] | None = None) -> list[Table]:
    """Lay a report out: one summary, and one breakdown a kind."""
    note = (
        f"{report.frames_judged} frames"
        if report.complete
        else f"FRAME COUNTS DIFFER: original {report.frames_original}, redacted "
        f"{report.frames_redacted}, labelled {report.frames_labelled}; "
        f"judged the first {report.frames_judged}"
    )
    summary = Table(title=f"readable boxes · {note}", title_justify="left")
    summary.add_column("kind")
    for column in ("boxes", "leak", "onset", "small", "clear", "things", "ever"):
        summary.add_column(column, justify="right")
    shown = [kind for kind in report.kinds if kinds is None or kind in set(kinds)]
    for kind in shown:
        groups = [report.overall(kind), report.onset(kind), report.small(kind)]
        things = report.things(kind)
        summary.add_row(
            kind,
            str(groups[0].boxes),
            *map(_percent, groups),
            str(groups[0].clear),
            str(things.boxes),
            _percent(things),
        )
    summary.caption = f"over-redaction: {100 * report.over_redaction:.2f} % of the rest"
    laid_out = [summary]
    for kind in shown:
        parts = Table(title=f"where {kind} boxes leak", title_justify="left")
        parts.add_column("by")
        parts.add_column("group")
        for column in ("boxes", "exposed", "clear", "leak"):
            parts.add_column(column, justify="right")
        for title, groups_of in report.breakdown(kind).items():
            for i, group in enumerate(groups_of):
                counts = map(str, (group.boxes, group.exposed, group.clear))
                parts.add_row("" if i else title, group.name, *counts, _percent(group))
            parts.add_section()
        laid_out.append(parts)
    return laid_out


def _percent(group: Group) -> str:
    return "–" if group.percent is None else f"{group.percent:.2f} %"
