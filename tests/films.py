"""Films of given pictures, for tests that care what is to be seen."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write_film(path: Path, pictures: Iterable[NDArray[np.uint8]], fps: int) -> Path:
    """Encode (H, W, 3) BGR pictures of one size as H.264; odd sides lose a row or column."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"preset": "veryfast", "crf": "18"})
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            height, width = (side & ~1 for side in picture.shape[:2])
            if number == 0:
                stream.width, stream.height = width, height
            even = np.ascontiguousarray(picture[:height, :width])
            frame = av.VideoFrame.from_ndarray(even, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
