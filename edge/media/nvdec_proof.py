"""Whether frames that the GPU decodes, and keeps, are what the stream shows: found out on a short
film made for that, before the first frame of a camera is judged by them."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import av
import numpy as np
from av.container import InputContainer

from edge.errors import InferenceError
from edge.media.hardware_decoder import DecoderFailed
from edge.media.nvdec import Context, NvdecDecoder, OnGpu
from edge.media.picture import plane_views
from edge.media.surface import bring

_SIZE: Final = (320, 180)
_FRAMES: Final = 24
_BLOCK: Final = 20
_OPTIONS: Final = {"preset": "ultrafast", "bf": "2", "b-adapt": "0", "g": "12"}
"""With pictures that are decoded in another order than they are shown."""

Opener = Callable[[av.VideoStream], Context]


class Proof:
    """Proves a decoder once in a process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self._done = False

    def demand(self, on_gpu: OnGpu, opener: Opener | None = None) -> None:
        """Raise DecoderFailed where frames are not what they should be; at once the next time."""
        with self._lock:
            if not self._done:
                try:
                    prove(on_gpu, opener)
                except DecoderFailed as error:
                    self._trouble = str(error)
                self._done = True
        if self._trouble is not None:
            raise DecoderFailed(self._trouble)


def prove(on_gpu: OnGpu, opener: Opener | None = None) -> None:
    """Decode a short film with NVDEC and with FFmpeg, and compare every sample: H.264 defines them.

    opener: as NvdecDecoder takes it. Raises DecoderFailed.
    """
    film = _film()
    with _opened(film) as (source, stream):
        wanted = [frame.to_ndarray(format="nv12") for frame in source.decode(stream)]
    with _opened(film) as (source, stream):
        decoder = NvdecDecoder(stream, on_gpu, opener)
        seen = []
        try:
            for packet in source.demux(stream):
                for frame in decoder.decode(packet if packet.size else None):
                    if decoder.room is None or frame.sw_format is None:
                        raise DecoderFailed("its frames do not stay on the GPU")
                    seen.append(bring(frame, decoder.room).to_ndarray())
        except (av.FFmpegError, InferenceError) as error:
            raise DecoderFailed(f"it cannot decode a film made to try it: {error}") from error
    if len(seen) != len(wanted):
        raise DecoderFailed(f"of {len(wanted)} frames of a film made to try it came {len(seen)}")
    for number, (mine, other) in enumerate(zip(seen, wanted, strict=True)):
        if not np.array_equal(mine, other):
            raise DecoderFailed(f"frame {number} of a film made to try it is not what it should be")


def _film() -> bytes:
    """Coarse noise that moves, as a Matroska file of H.264."""
    width, height = _SIZE
    rng = np.random.default_rng(3)
    wall = rng.integers(16, 236, (3 * height // _BLOCK, 3 * width // _BLOCK), np.uint8)
    wall = wall.repeat(_BLOCK, 0).repeat(_BLOCK, 1)
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=25, options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(_FRAMES):
            frame = av.VideoFrame(width, height, "yuv420p")
            for index, plane in enumerate(plane_views(frame)):
                top, left = 2 * number + 40 * index, 3 * number
                plane[...] = wall[top : top + plane.shape[0], left : left + plane.shape[1]]
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


@contextmanager
def _opened(film: bytes) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    with av.open(io.BytesIO(film), "r") as source:
        yield source, source.streams.video[0]
