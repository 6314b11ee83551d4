"""The parts of a stream, made from its settings. Shared by files and live streams."""

from __future__ import annotations

import cv2

from edge.allocator import keep_memory_flat
from edge.config import Settings
from edge.inference.cuda import Cuda
from edge.inference.kernels import load_kernels
from edge.media.codecs import VideoSettings
from edge.redact.cpu import CpuRedactor
from edge.redact.cuda_mark import SurfaceMark
from edge.redact.effects import Effect, RedactionStyle, Shape
from edge.redact.failover import FailoverRedactor
from edge.redact.watermark import Watermark
from edge.release import Redactor, Releaser
from edge.schedule import Cadence


def prepare_process() -> None:
    """Set what holds for the whole process: once, before the first stream."""
    keep_memory_flat()
    cv2.setNumThreads(1)  # OpenCV's pool fights the decoder and the encoder for cores


def cadence(settings: Settings) -> Cadence:
    """How often to look."""
    scheduler = settings.scheduler
    return Cadence(scheduler.target_fps, scheduler.max_fps, scheduler.max_travel)


def releaser(settings: Settings, width: int, height: int, *, show_boxes: bool) -> Releaser:
    """What carries out verdicts on pictures of this size.

    Raises ModelError where runtime.device is cuda and the GPU does not do what the CPU does.
    """
    redactor, cuda = _redactor(settings, width, height)
    mark = Watermark(width, height) if settings.blur.watermark else None
    return Releaser(
        redactor,
        overlay=mark,
        surface_overlay=SurfaceMark(mark, cuda, load_kernels(cuda.target))
        if mark and cuda
        else None,
        show_boxes=show_boxes,
        troubles=redactor.take_troubles if isinstance(redactor, FailoverRedactor) else None,
    )


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


def _redactor(settings: Settings, width: int, height: int) -> tuple[Redactor, Cuda | None]:
    """Return what hides, and the GPU that it does it on."""
    if settings.runtime.device != "cuda":
        return CpuRedactor(_style(settings)), None
    from edge.redact.cuda_proof import open_redactor, reopen_redactor

    style = _style(settings)
    gpu = open_redactor(style, width, height)
    failover = FailoverRedactor(style, gpu, lambda: reopen_redactor(style, width, height))
    return failover, gpu.cuda


def _style(settings: Settings) -> RedactionStyle:
    blur = settings.blur
    return RedactionStyle(
        effect=Effect(blur.type),
        shape=Shape(blur.shape),
        pad=blur.pad,
        min_pad_px=blur.min_pad_px,
        cells=blur.cells,
    )
