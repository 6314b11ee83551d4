"""Lanes made from settings and loaded models, each with the worker that runs it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from edge.config import Settings
from edge.crew import WorkerFactory
from edge.lane_models import LaneModels
from edge.lanes.boxes import BoxLane
from edge.lanes.faces import FaceLane
from edge.lanes.lane import Findings, Lane
from edge.lanes.text import TextLane
from edge.lanes.worker import LaneEvent, LaneWorker
from edge.plugins import Plugin
from edge.track import TrackerSettings

_NICENESS: Final = {"faces": 2, "plates": 4, "text": 8}
"""Frames that leave come first, then faces. Reading is what can wait."""
_OTHERS: Final = 6


def lane_workers(
    settings: Settings, models: LaneModels, width: int, height: int
) -> list[WorkerFactory]:
    """Return what makes the workers of all lanes that are on, for pictures of this size."""
    found = []
    if models.face is not None:
        found.append(_faces(settings, models, width, height))
    if models.plate is not None:
        found.append(_plates(settings, models, width, height))
    if models.text is not None:
        found.append(_text(settings, models, width, height))
    found += [_own(settings, plugin, width, height) for plugin in models.plugins]
    return found


def _faces(settings: Settings, models: LaneModels, width: int, height: int) -> WorkerFactory:
    model, people = models.face, models.people
    assert model is not None
    lane = FaceLane(
        model.make(),
        _tracking(settings, model.conf),
        width,
        height,
        lookahead_s=settings.stabilization.lookahead_s,
        refine=settings.scheduler.refine,
        recogniser=people.recogniser(settings, model.conf) if people is not None else None,
        whitelist=people.whitelist(settings) if people is not None else None,
    )
    return _worker(settings, lane, lambda: lane.renew(model.make()))


def _plates(settings: Settings, models: LaneModels, width: int, height: int) -> WorkerFactory:
    model = models.plate
    assert model is not None
    lane = BoxLane(
        "plates",
        model.make(),
        _tracking(settings, model.conf),
        width,
        height,
        lookahead_s=settings.stabilization.lookahead_s,
        refine=0,
    )
    return _worker(settings, lane, lambda: lane.renew(model.make()))


def _text(settings: Settings, models: LaneModels, width: int, height: int) -> WorkerFactory:
    model, make_judge, rules = models.text, models.make_judge, settings.video.models.text
    assert model is not None
    assert make_judge is not None
    lane = TextLane(
        model.make_detector(),
        model.make_reader(),
        make_judge(),
        # A third of the lines in photographs scores too low to be sure of at one look, and text
        # is looked at so seldom that a glimpse is one look. What is no text is not read as private.
        replace(_tracking(settings, model.conf), k_confirm=1),
        width,
        height,
        lookahead_s=settings.text_lookahead_s,
        plates=settings.video.models.plate.enabled,
        hide_unread=rules.hide_unread,
    )

    def revive() -> None:
        lane.renew(model.make_detector(), model.make_reader(), make_judge())

    return _worker(settings, lane, revive, rules.target_fps)


def _own(settings: Settings, plugin: Plugin, width: int, height: int) -> WorkerFactory:
    lane = BoxLane(
        plugin.name,
        plugin.make(),
        _tracking(settings, plugin.rules.conf),
        width,
        height,
        lookahead_s=settings.stabilization.lookahead_s,
        refine=0,
    )
    looks_per_s = plugin.rules.target_fps or math.inf
    return _worker(settings, lane, lambda: lane.renew(plugin.make()), looks_per_s)


def _tracking(settings: Settings, conf: float) -> TrackerSettings:
    stable = settings.stabilization
    return TrackerSettings(conf, stable.k_confirm, stable.k_hold, stable.iou_thresh)


def _worker(
    settings: Settings,
    lane: Lane[Any],
    revive: Callable[[], None],
    looks_per_s: float = math.inf,
) -> WorkerFactory:
    def factory(
        on_findings: Callable[[str, Findings], None], on_event: Callable[[LaneEvent], None]
    ) -> LaneWorker:
        return LaneWorker(
            lane,
            on_findings=on_findings,
            on_event=on_event,
            stall_timeout_s=settings.delay.stall_timeout_s,
            revive=lambda _: revive(),
            looks_per_s=looks_per_s,
            looks_between=isinstance(lane, FaceLane),  # others are made not to: refine is 0
            niceness=_NICENESS.get(lane.name, _OTHERS),
        )

    return factory
