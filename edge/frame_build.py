"""Where the pictures of a stream lie while its engines or its redactor run on a GPU: there, or in
page-locked memory of the host."""

from __future__ import annotations

import logging
import math
import os
from typing import Final

from edge.config import Settings
from edge.errors import InferenceError, ModelError
from edge.inference.cuda import Cuda
from edge.inference.eyes import anybody_sees
from edge.inference.frame_pool import FrameLayout, FramePool
from edge.inference.kernels import load_kernels
from edge.media.nvdec import OnGpu
from edge.media.picture import LAYOUTS
from edge.media.pinned import PinnedPictures
from edge.media.streams import StreamInfo

_log = logging.getLogger(__name__)

_SPARE: Final = 8
"""Pictures beside those that wait: looked at again in between, being written, masked copies."""
_MOST_OF_MEMORY: Final = 0.5
"""Share of the machine's memory that is page-locked at most: no other program can have it."""
_MB: Final = 1e6


def pinned_pictures(
    settings: Settings, info: StreamInfo, delay_s: float, most: float = math.inf
) -> PinnedPictures | None:
    """Return what makes page-locked pictures of a stream's frames; None where no GPU is to use
    them, or there is no such memory: pictures are ordinary ones then.

    delay_s, most: seconds and pictures that the delay line holds at most; of these, page-locked
    memory is for those that are looked at. Call it when the stream's engines have been made.
    """
    layout = LAYOUTS.get(info.pixel_format)
    device = settings.runtime.device
    if layout is None or device == "cpu" or (device == "auto" and not anybody_sees()):
        return None
    if info.on_gpu:
        return None  # those that come to the host are few
    waiting = delay_s * min(float(info.fps), settings.scheduler.max_fps)
    if settings.delay.storage == "packets":
        waiting = 0  # they are put away once they have been looked at
    shape = FrameLayout(layout, info.width, info.height)
    wanted = math.ceil(min(waiting, most)) + _SPARE
    count = max(1, min(wanted, int(_MOST_OF_MEMORY * _memory_bytes() / shape.size)))
    try:
        pool = FramePool(Cuda(), shape, count)
    except (InferenceError, ModelError) as error:
        cause = str(error).split("\n", 1)[0].rstrip(".")
        _log.warning("pictures are not page-locked, and copied for the GPU: %s", cause)
        return None
    short = f", {wanted} wanted" if count < wanted else ""
    _log.info("room for %d page-locked pictures of %dx%d (%.0f MB%s)",
              count, info.width, info.height, pool.allocated / _MB, short)  # fmt: skip
    return PinnedPictures(pool)


def frames_on_gpu(settings: Settings) -> OnGpu | None:
    """Return what it takes to leave the frames of a live source on the GPU that decodes them.

    None where they are hidden by the CPU, kept as packets, or decoded to memory that host and GPU
    share; and where there is no GPU to use, of which the redactor tells.
    """
    if settings.runtime.device != "cuda" or settings.delay.storage == "packets":
        return None
    try:
        cuda = Cuda()
        if cuda.integrated:
            return None
        return OnGpu(cuda, load_kernels(cuda.target), settings.delay_s)
    except ModelError as error:
        _log.debug("frames come to the host: %s", error)
        return None


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
