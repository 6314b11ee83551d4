"""Detectors of others, found by entry point: a package names a function that makes one.

    [project.entry-points."privaedge.detectors"]
    tattoos = "my_package:make_detector"

It is called without arguments, once for each stream and again after a stall, and returns an
object with `infer(frame_id, image) -> (frame_id, Detections)`; see edge.lanes.lane.Detector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final, cast

from edge.config import Settings
from edge.config_lanes import OwnDetector
from edge.errors import ModelError
from edge.lanes.lane import Detector

GROUP: Final = "privaedge.detectors"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A detector of somebody else's that was found and made once. `make` gives another."""

    rules: OwnDetector
    make: Callable[[], Detector]

    @property
    def name(self) -> str:
        """The name of its entry point, and of its lane."""
        return self.rules.name


def load_plugins(settings: Settings) -> tuple[Plugin, ...]:
    """Find and make what video.models.own names. Raises ModelError."""
    return tuple(_load(rules) for rules in settings.video.models.own)


def _load(rules: OwnDetector) -> Plugin:
    found = [one for one in entry_points(group=GROUP) if one.name == rules.name]
    if not found:
        known = ", ".join(sorted(one.name for one in entry_points(group=GROUP))) or "none"
        raise ModelError(
            f"no installed package offers a detector {rules.name} (there are: {known}). Install "
            f"it into the same environment, or leave it out of video.models.own."
        )
    if len(found) > 1:
        raise ModelError(
            f"{len(found)} installed packages offer a detector {rules.name}. Uninstall all but one."
        )
    try:
        factory = cast("Callable[[], Detector]", found[0].load())
        spare = [factory()]
    except Exception as error:
        raise ModelError(
            f"detector {rules.name} cannot be made: {type(error).__name__}: {error}. "
            f"Tell the author of {found[0].value}."
        ) from error
    if not callable(getattr(spare[0], "infer", None)):
        raise ModelError(
            f"detector {rules.name} has no method infer(frame_id, image). "
            f"Tell the author of {found[0].value}."
        )

    def make() -> Detector:
        return spare.pop() if spare else factory()

    return Plugin(rules, make)
