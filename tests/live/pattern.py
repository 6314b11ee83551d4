"""A film whose every picture says which one it is, in marks that survive coding but no masking."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]

BITS = 16
SOUND_RATE = 48_000
TONE_S = 0.05
"""A tone of this length begins with every whole second, at frames n with n % rate == 0."""
PERIOD_S = 32
"""A whole number of frames at whole rates, and of AAC's blocks: 1500 of 1024 samples at 48 kHz."""

_DARK, _BRIGHT = 40, 215
_CONTRAST = 60
_ROW_SHARE = 20
"""Each of the two rows of marks is this part of the picture's height, and not less than 8."""
_AAC_BLOCK = 1024


def _row_height(height: int) -> int:
    return max(height // _ROW_SHARE, 8)


def _edges(width: int) -> list[int]:
    return [width * i // BITS for i in range(BITS + 1)]


def stamp(picture: Gray, number: int) -> None:
    """Draw a number in place: (height, width) or (height, width, channels) uint8.

    Below the row with its bits is one with their complement. A mosaic, a slate or a blur makes
    the two alike, so that `read_stamp` can tell what it cannot read.
    """
    row, edges = _row_height(picture.shape[0]), _edges(picture.shape[1])
    for i in range(BITS):
        bit = bool(number >> (BITS - 1 - i) & 1)
        columns = slice(edges[i], edges[i + 1])
        picture[:row, columns] = _BRIGHT if bit else _DARK
        picture[row : 2 * row, columns] = _DARK if bit else _BRIGHT


def read_stamp(picture: Gray) -> int | None:
    """The number drawn into a (height, width) picture of any size; None when unreadable."""
    row, edges = _row_height(picture.shape[0]), _edges(picture.shape[1])
    inner = row // 4
    number = 0
    for i in range(BITS):
        margin = (edges[i + 1] - edges[i]) // 4
        columns = slice(edges[i] + margin, edges[i + 1] - margin)
        upper = float(picture[inner : row - inner, columns].mean())
        lower = float(picture[row + inner : 2 * row - inner, columns].mean())
        if abs(upper - lower) < _CONTRAST:
            return None
        number = number << 1 | (upper > lower)
    return number


def moving_picture(number: int, width: int, height: int) -> Gray:
    """Gray stripes that move by a few pixels a frame, with the number stamped on them."""
    shift = 3 * number
    x, y = np.arange(width) + shift, np.arange(height) - shift
    texture = 128 + 50 * np.sin(x / 17.0)[None] + 40 * np.sin(y / 23.0)[:, None]
    picture: Gray = texture.astype(np.uint8)
    stamp(picture, number)
    return picture


def tone(first: int, samples: int) -> NDArray[np.float32]:
    """(samples,) float32 from this sample on: 1 kHz at the start of each second, else a hum."""
    at = np.arange(first, first + samples)
    loud = at % SOUND_RATE < TONE_S * SOUND_RATE
    wave = np.where(loud, 0.5 * np.sin(at * (2 * np.pi * 1000 / SOUND_RATE)), 0.0)
    return np.asarray(wave + 0.01 * np.sin(at * (2 * np.pi * 100 / SOUND_RATE)), np.float32)


def moving_pattern(
    path: Path,
    *,
    size: tuple[int, int] = (640, 360),
    rate: int = 30,
    seconds: int = PERIOD_S,
    key_s: float = 1.0,
    sound: bool = True,
) -> Path:
    """Write the film as MP4: H.264 as cameras send it (no B-frames, a key picture each `key_s`).

    Frame n carries the number n. At 30 fps and 640x360 it takes one core a second or two.
    """
    width, height = size
    distance = str(round(key_s * rate))
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "26"}
        options["g"] = options["keyint_min"] = distance
        video = out.add_stream("libx264", rate=rate, options=options)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = out.add_stream("aac", rate=SOUND_RATE, layout="mono") if sound else None
        if audio is not None:
            for first in range(0, seconds * SOUND_RATE, _AAC_BLOCK):
                block = tone(first, _AAC_BLOCK)[None]
                packet = av.AudioFrame.from_ndarray(block, "fltp", "mono")
                packet.sample_rate, packet.pts = SOUND_RATE, first
                out.mux(audio.encode(packet))
            out.mux(audio.encode(None))
        neutral = np.full((height // 2, width), 128, np.uint8)
        for n in range(seconds * rate):
            planes = np.vstack([moving_picture(n, width, height), neutral])
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, rate)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path
