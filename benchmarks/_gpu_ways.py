"""What a picture's ways to, on and from the GPU cost, and what calls of the driver cost the host.

Wall time of calls that return when all is done: what a lane or a decoder waits for. Beside each the
share of the rate of a large copy of the same kind: within the GPU's memory, or over the bus.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import av
import numpy as np

from benchmarks.redact import face_boxes, picture
from edge.frame import ByteArray, Planes
from edge.inference.cuda import Cuda
from edge.inference.frame_pool import FrameLayout, FramePool
from edge.inference.picture import DevicePicture
from edge.inference.pool import Pool
from edge.inference.preprocess import InputSpec, Preprocessor
from edge.inference.stage import PictureStage
from edge.inference.surfaces import SurfaceRoom
from edge.media.picture import HostPicture, plane_views
from edge.motion import analysis_size
from edge.redact.cuda import CudaRedactor
from edge.redact.effects import RedactionStyle

_WARM_UP: Final = 3
_PITCH: Final = 256
"""Bytes to a multiple of which rows are padded: NVDEC's surfaces have 512 or less."""
_CALLS: Final = 32
"""Calls in a row: fewer than the driver queues before it makes the host wait."""


def measure_ways(
    cuda: Cuda, image: bytes, size: tuple[int, int], *, repeats: int, copy_bytes: int
) -> list[dict[str, Any]]:
    """Return a row for each way of an NV12 picture: ms, bytes that are read and written or cross
    the bus, GB/s, and share: of a large copy's rate, None where nothing is copied."""
    cuda.enter()
    width, height = size
    frame_bytes, stream = width * height * 3 // 2, cuda.stream()
    rows: list[dict[str, Any]] = []

    def add(what: str, moved: float, beside: dict[str, Any] | None, call: Callable[[], object],
            ) -> dict[str, Any]:  # fmt: skip
        ms = _wall_ms(call, repeats)
        rate = moved / ms / 1e6
        share = rate / beside["gb_per_s"] if beside else None
        rows.append({"what": what, "ms": ms, "bytes": int(moved), "gb_per_s": rate, "share": share})
        return rows[-1]

    def waited(queue: Callable[[], None]) -> Callable[[], None]:
        def both() -> None:
            queue()
            cuda.wait(stream)

        return both

    far, near = Pool(cuda, 2, copy_bytes, pinned=False), Pool(cuda, 1, copy_bytes, pinned=True)
    one, other, host = far.take().address, far.take().address, near.take().host_address
    within = add("large copy on the GPU", 2 * copy_bytes, None,
                 waited(lambda: cuda.copy(other, one, copy_bytes, stream)))  # fmt: skip
    up = add("large copy to the GPU", copy_bytes, None,
             waited(lambda: cuda.upload(one, host, copy_bytes, stream)))  # fmt: skip
    down = add("large copy to the host", copy_bytes, None,
               waited(lambda: cuda.download(host, one, copy_bytes, stream)))  # fmt: skip
    far.close()
    near.close()

    for large in (within, up, down):
        large["share"] = 1.0
    # In memory that is shared nothing crosses a bus.
    frame = _frame(width, height)
    pool = FramePool(cuda, FrameLayout("nv12", width, height), 2)

    def page_locked() -> None:
        taken = pool.take()
        assert taken is not None
        with pool.lend(taken[0], full_range=False):
            pass

    add("page-locked picture to the GPU", frame_bytes, None if cuda.integrated else up, page_locked)
    pool.close()
    stage, shown = PictureStage(cuda, stream), HostPicture(frame)
    add("other picture to the GPU", frame_bytes, up, waited(lambda: _load(stage, shown)))
    stage.close()

    pitch = -(-width // _PITCH) * _PITCH
    surfaces = Pool(cuda, 1, pitch * height * 3 // 2, pinned=False)
    at = surfaces.take().address
    surface = DevicePicture("nv12", width, height, at, at + pitch * height, at + pitch * height + 1,
                            pitch, pitch)  # fmt: skip
    room = SurfaceRoom(cuda, image, width, height, pitch=pitch, count=2)
    small = analysis_size(width, height)
    out = _nv12(frame)
    add("decoder's surface into a slot", 2 * frame_bytes, within,
        lambda: room.adopt(surface, stream))  # fmt: skip
    add(f"luma of {small[0]}×{small[1]} for motion", width * height, within,
        lambda: room.small_luma(surface, *small))  # fmt: skip
    add("surface to the host", frame_bytes, down, lambda: room.download(surface, out))
    surfaces.close()
    cuda.drop_stream(stream)
    return rows


def measure_calls(
    cuda: Cuda, image: bytes, size: tuple[int, int], *, repeats: int
) -> list[dict[str, Any]]:
    """Return the host's microseconds for single calls of the driver, and for those that our own
    steps make of them; what they queue is not waited for."""
    cuda.enter()
    width, height = size
    stream, event = cuda.stream(), cuda.event()
    rows: list[dict[str, Any]] = []

    def add(what: str, call: Callable[[], object], *queues: int, in_a_row: int = _CALLS) -> None:
        times = []
        for turn in range(repeats + _WARM_UP):
            begun = time.perf_counter()
            for _ in range(in_a_row):
                call()
            spent = time.perf_counter() - begun
            for queue in queues:
                cuda.wait(queue)
            if turn >= _WARM_UP:
                times.append(1e6 * spent / in_a_row)
        rows.append({"what": what, "us": statistics.median(times)})

    far, near = Pool(cuda, 1, 4096, pinned=False), Pool(cuda, 1, 4096, pinned=True)
    there, here = far.take().address, near.take().host_address
    small = Preprocessor(cuda, image, [InputSpec(8, 8, 0, 0, 8, 8)], analysis=(0, 0))
    frame_bytes = width * height * 3 // 2
    frames = Pool(cuda, 1, frame_bytes, pinned=False)
    at = frames.take().address
    chroma = at + width * height
    shown = DevicePicture("nv12", width, height, at, chroma, chroma + 1, width, width)
    tiny = DevicePicture("nv12", 8, 8, at, chroma, chroma + 1, 8, 8)
    redactor = CudaRedactor(RedactionStyle(), cuda, image, width, height)
    boxes = face_boxes(5, min(128, height // 2), width, height)
    add("launch a kernel", lambda: small.load(tiny), small.stream)
    add("record an event", lambda: cuda.record(event, stream), stream)
    add("follow an event", lambda: cuda.follow(stream, event), stream)
    add("upload 4 KiB", lambda: cuda.upload(there, here, 4096, stream), stream)
    add("wait for an idle stream", lambda: cuda.wait(stream))
    # As many as it prepares ahead of the GPU.
    add("hide 5 regions", lambda: redactor.redact_device(shown, boxes), redactor.stream, in_a_row=4)
    redactor.close()
    small.close()
    for pool in (far, near, frames):
        pool.close()
    cuda.drop_event(event)
    cuda.drop_stream(stream)
    return rows


def _wall_ms(call: Callable[[], object], repeats: int) -> float:
    times = []
    for turn in range(repeats + _WARM_UP):
        begun = time.perf_counter()
        call()
        if turn >= _WARM_UP:
            times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times)


def _load(stage: PictureStage, shown: HostPicture) -> None:
    stage.load(shown)


def _frame(width: int, height: int) -> av.VideoFrame:
    frame, planes = av.VideoFrame(width, height, "nv12"), picture(width, height, "nv12")
    for view, plane in zip(plane_views(frame), (planes.y, *planes.chroma), strict=True):
        np.copyto(view, plane)
    return frame


def _nv12(like: av.VideoFrame) -> Planes:
    def empty(view: ByteArray) -> ByteArray:
        return np.zeros(view.shape, np.uint8)

    y, chroma = (empty(view) for view in plane_views(like))
    return Planes("nv12", y, (chroma,))
