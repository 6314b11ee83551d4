"""The parts of a stream, made from its settings. Shared by files and live streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2

from edge.allocator import keep_memory_flat
from edge.config import Settings
from edge.crew import WorkerFactory
from edge.face_model import FaceModel
from edge.lane_models import LaneModels
from edge.lanes.faces import FaceLane
from edge.lanes.lane import Findings, Lane
from edge.lanes.worker import LaneEvent, LaneWorker
from edge.media.codecs import VideoSettings
from edge.redact.cpu import CpuRedactor
from edge.redact.effects import Effect, RedactionStyle, Shape
from edge.redact.watermark import Watermark
from edge.release import Releaser
from edge.schedule import Cadence
from edge.track import TrackerSettings


def prepare_process() -> None:
    """Set what holds for the whole process: once, before the first stream."""
    keep_memory_flat()
    cv2.setNumThreads(1)  # OpenCV's pool fights the decoder and the encoder for cores


def cadence(settings: Settings) -> Cadence:
    """How often to look."""
    scheduler = settings.scheduler
    return Cadence(scheduler.target_fps, scheduler.max_fps, scheduler.max_travel)


def releaser(settings: Settings, width: int, height: int, *, show_boxes: bool) -> Releaser:
    """What carries out verdicts on pictures of this size."""
    return Releaser(
        CpuRedactor(_style(settings)),
        overlay=Watermark(width, height) if settings.blur.watermark else None,
        show_boxes=show_boxes,
    )


def workers(settings: Settings, models: LaneModels, width: int, height: int) -> list[WorkerFactory]:
    """Return what makes the workers of all lanes that are on, for pictures of this size."""
    found = []
    if models.face is not None:
        found.append(_face_worker(settings, models.face, width, height))
    return found


def _face_worker(settings: Settings, model: FaceModel, width: int, height: int) -> WorkerFactory:
    stable = settings.stabilization
    lane = FaceLane(
        model.make(),
        TrackerSettings(model.conf, stable.k_confirm, stable.k_hold, stable.iou_thresh),
        width,
        height,
        lookahead_s=stable.lookahead_s,
        refine=settings.scheduler.refine,
    )

    def revive(_: Lane[Any]) -> None:
        lane.renew(model.make())

    def factory(
        on_findings: Callable[[str, Findings], None], on_event: Callable[[LaneEvent], None]
    ) -> LaneWorker:
        return LaneWorker(
            lane,
            on_findings=on_findings,
            on_event=on_event,
            stall_timeout_s=settings.delay.stall_timeout_s,
            revive=revive,
        )

    return factory


def video_settings(settings: Settings) -> VideoSettings:
    """How pictures are encoded."""
    encoder = settings.video.encoder
    return VideoSettings(
        codec=encoder.codec,
        preset=encoder.preset,
        crf=encoder.rate_factor,
        bitrate=encoder.bitrate,
        keyframe_interval_s=encoder.keyframe_interval_s,
        threads=encoder.threads,
    )


def _style(settings: Settings) -> RedactionStyle:
    blur = settings.blur
    return RedactionStyle(
        effect=Effect(blur.type),
        shape=Shape(blur.shape),
        pad=blur.pad,
        min_pad_px=blur.min_pad_px,
        cells=blur.cells,
    )
