"""Small labelled clips with textured 'faces' that pan, and redactions of them that are known."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

WIDTH, HEIGHT, FPS, FRAMES = 320, 192, 30, 24
SHIFT_PX = 3
FACES = ((40, 30, 64), (150, 60, 36), (230, 110, 24))
"""x, y, size in the first frame; everything moves left by SHIFT_PX a frame."""

Hide = Callable[[np.ndarray, int, list], None]


def wall(seed=7):
    """A wall with coarse and fine texture, wide enough for the pan: grey (H, W + pan)."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((HEIGHT, WIDTH + SHIFT_PX * FRAMES))
    for sigma, weight in ((1.2, 1.0), (4, 2.5), (12, 4.0)):
        noise = rng.standard_normal(picture.shape)
        layer = cv2.GaussianBlur(noise, (0, 0), sigma)
        picture += weight * layer / layer.std()
    return np.clip(128 + 11 * picture, 16, 235).astype(np.uint8)


def labels():
    """For each frame the rows of the label file."""
    rows = []
    for n in range(FRAMES):
        row = []
        for ident, (x, y, size) in enumerate(FACES):
            left, right = x - n * SHIFT_PX, x - n * SHIFT_PX + size
            if right > 0.4 * size:
                row.append(["face", ident, float(max(left, 0)), float(y), float(right), y + size])
        rows.append(row)
    return rows


def write_clip(path, hide: Hide | None = None, frames=FRAMES, sound=False, size=(WIDTH, HEIGHT)):
    """Write the pan; hide(picture, frame, rows) edits each grey frame before it is encoded."""
    picture, rows = wall(), labels()
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "12"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        voice = out.add_stream("aac", rate=16000, layout="mono") if sound else None
        for n in range(frames):
            k = n % FRAMES
            gray = picture[:, k * SHIFT_PX : k * SHIFT_PX + WIDTH].copy()
            if hide:
                hide(gray, k, rows[k])
            if size != (WIDTH, HEIGHT):
                gray = cv2.resize(gray, size)
            bgr = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
            frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
            frame.pts, frame.time_base = n, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if voice:
            for start in range(0, 16000 * frames // FPS, 1024):
                wave = np.sin(np.arange(start, start + 1024) / 8).astype(np.float32)[None] * 0.2
                block = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                block.sample_rate, block.pts, block.time_base = 16000, start, Fraction(1, 16000)
                out.mux(voice.encode(block))
            out.mux(voice.encode(None))
    return path


def write_labels(path):
    """Write the label file of the clip."""
    path.write_text(json.dumps({"fps": FPS, "size": [WIDTH, HEIGHT], "frames": labels()}))
    return path


def fill(gray, n, rows, *, spare=lambda n, ident: False, pad=16):
    """Paint every box and 16 px around it in one grey, but for those that `spare` names."""
    for _, ident, x1, y1, x2, y2 in rows:
        if not spare(n, ident):
            left, top = max(0, int(x1) - pad), max(0, int(y1) - pad)
            gray[top : int(y2) + pad, left : int(x2) + pad] = 128


def names(folder: Path):
    """The usual file names of one test: original, redacted, labels."""
    return folder / "original.mp4", folder / "redacted.mp4", folder / "labels.json"
