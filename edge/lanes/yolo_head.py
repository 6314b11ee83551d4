"""Which head a YOLO file ends in, told from its outputs' shapes and from what it says of itself.

For an input of H × W there are Σ H/s · W/s cells over the strides s of its feature maps. With C
classes, and E values more (an angle, key points, mask coefficients):

    CELLS   (1, 4 + C + E, cells)       v8, v9, v11, and v26 without its own selection: cx cy w h,
                                        a score for each class; E follows
    ANCHORS (1, 3 · cells, 5 + C + E)   v5, v7: cx cy w h, objectness, a share for each class
    FINAL   (1, rows, 6 + E)            v10, v26 ("end2end"), and exports with nms=True: x1 y1 x2
                                        y2, score, class; rows without a plate are 0. Turned boxes
                                        are cx cy w h here, too
    LISTED  (plates, 7)                 v7 and v9 as WongKinYiu's repositories export them with
                                        doubles dropped: picture, x1 y1 x2 y2, class, score

All in input pixels. The angle of a turned box is in radians, clockwise in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.inference.engine import Engine, Tensors, TensorSpec
from edge.lanes.letterbox import Framing
from edge.lanes.yolo_card import Card

_STRIDE_SETS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
"""Feature maps of the published networks: common, for large pictures (-p6), for small things
(-p2), and YOLOv3-tiny's."""
_ANCHORS = 3
_FINAL_COLUMNS = 6
_LISTED_COLUMNS = 7
_MOST_FINAL_ROWS = 3000
"""Ultralytics' selections keep 300 unless told otherwise."""
_MOST_FINAL_COLUMNS = 256
_MASK_COEFFICIENTS = 32
_CORNERS = 4
_GREY = 114
_PIXEL_TYPES = (np.dtype(np.float32), np.dtype(np.float16))


class Layout(Enum):
    """How a network's answer is laid out; the module says how each looks."""

    CELLS = "cells"
    ANCHORS = "anchors"
    FINAL = "final"
    LISTED = "listed"


class Extra(Enum):
    """What follows a box and its scores."""

    NONE = "none"
    ANGLE = "angle"
    CORNERS = "corners"
    IGNORED = "ignored"
    """Mask coefficients, or key points that are not four corners."""


@dataclass(frozen=True, slots=True)
class Head:
    """How to read a network's answer.

    output: its name. classes: how many there are. wanted: those that are plates. point_values:
    of each corner: x, y and perhaps its visibility.
    """

    output: str
    layout: Layout
    classes: int
    wanted: NDArray[np.intp]
    extra: Extra
    point_values: int = 2


def picture_input(engine: Engine) -> TensorSpec:
    """Return the one input of a network that takes one picture.

    Raises ModelError where there is none that takes (1, 3, H, W) in float32 or float16.
    """
    specs = engine.input_specs
    if len(specs) != 1 or len(specs[0].shape) != 4:
        shapes = ", ".join(_shown(spec.shape) for spec in specs) or "nothing"
        raise ModelError(
            f"model {engine.name} takes {shapes} and is no YOLO, which takes one picture "
            f"(1, 3, H, W). Use another file."
        )
    spec = specs[0]
    batch, channels, *_ = spec.shape
    if batch not in (1, None):
        raise ModelError(
            f"model {engine.name} takes {batch} pictures at once. Export it with batch=1."
        )
    if channels not in (3, None):
        raise ModelError(
            f"model {engine.name} takes pictures of shape {_shown(spec.shape)}, expected "
            f"(1, 3, H, W). Export it for colour pictures, channels first."
        )
    if spec.dtype not in _PIXEL_TYPES:
        raise ModelError(
            f"model {engine.name} takes pictures as {spec.dtype or 'an unknown type'}. Export it "
            f"with inputs in float32 or float16; weights may be int8."
        )
    return spec


def framing(spec: TensorSpec, card: Card, input_size: int) -> Framing:
    """Return how Ultralytics' training frames pictures, for a fixed or a free input."""
    return Framing(
        height=spec.shape[2],
        width=spec.shape[3],
        long_side=input_size,
        multiple=card.stride,
        centred=True,
        enlarge=True,
        grey=_GREY,
    )


def understand(
    outputs: Tensors, order: tuple[str, ...], card: Card, size: tuple[int, int], model: str
) -> Head:
    """Tell the head from what a network answered to a picture of `size` (width, height).

    order: names of the outputs in the file's order; the first that fits a head is it (older files
    have raw feature maps beside it, others mask prototypes). Raises ModelError where none fits.
    """
    cells = [
        sum((-(-size[0] // stride)) * (-(-size[1] // stride)) for stride in strides)
        for strides in _STRIDE_SETS
    ]
    for name in order:
        shape = np.shape(outputs[name])
        layout = _layout(shape, cells, card)
        if layout is not None:
            return _head(name, layout, shape, card, model)
    shapes = ", ".join(_shown(np.shape(outputs[name])) for name in order)
    raise ModelError(
        f"model {model} answers in shapes {shapes}, which no YOLO detector for an input of "
        f"{size[0]}x{size[1]} does. Use a file that `yolo export format=onnx` made of a detection, "
        f"obb or pose model."
    )


def _layout(shape: tuple[int, ...], cells: list[int], card: Card) -> Layout | None:
    if len(shape) == 2 and shape[1] == _LISTED_COLUMNS:
        return Layout.LISTED
    if len(shape) != 3 or shape[0] != 1:
        return None
    _, rows, columns = shape
    if columns in cells and 5 <= rows < columns:
        return Layout.CELLS
    if card.final is not True and rows in [_ANCHORS * n for n in cells] and 6 <= columns < rows:
        return Layout.ANCHORS
    row_fits = _FINAL_COLUMNS <= columns <= _MOST_FINAL_COLUMNS
    if card.final is not False and row_fits and rows <= _MOST_FINAL_ROWS:
        return Layout.FINAL
    return None


def _head(name: str, layout: Layout, shape: tuple[int, ...], card: Card, model: str) -> Head:
    wanted = np.array(card.wanted(model), np.intp)
    fixed, width = {
        Layout.CELLS: (4, shape[1]),
        Layout.ANCHORS: (5, shape[-1]),
        Layout.FINAL: (_FINAL_COLUMNS, shape[-1]),
        Layout.LISTED: (_LISTED_COLUMNS, shape[-1]),
    }[layout]
    # The last two name the class instead of having a score for each.
    each = layout in (Layout.CELLS, Layout.ANCHORS)
    classes = 1 if card.names is None else len(card.names)
    extra = width - fixed - (classes if each else 0)
    kind, point_values = _extra(extra, layout, card)
    if kind is None:
        named = "no class names" if card.names is None else f"{classes} classes"
        raise ModelError(
            f"model {model} has {width} values for each box, which does not fit its metadata "
            f"({named}, task {card.task or 'not stated'}). Export it again with Ultralytics, which "
            f"writes the metadata that tells."
        )
    return Head(name, layout, classes, wanted, kind, point_values)


def _extra(count: int, layout: Layout, card: Card) -> tuple[Extra | None, int]:
    """Tell what `count` values after box and scores are; None for what cannot be told."""
    if layout in (Layout.LISTED, Layout.ANCHORS):
        masks = layout is Layout.ANCHORS and count == _MASK_COEFFICIENTS
        return (Extra.NONE if count == 0 else Extra.IGNORED if masks else None), 2
    match card.task:
        case "obb":
            return (Extra.ANGLE if count == 1 else None), 2
        case "segment":
            return (Extra.IGNORED if count > 0 else None), 2
        case "pose":
            number, values = card.keypoints or (0, 0)
            if card.keypoints is None and count in (2 * _CORNERS, 3 * _CORNERS):
                number, values = _CORNERS, count // _CORNERS
            if count == 0 or count != number * values:
                return None, 2
            return (Extra.CORNERS if number == _CORNERS else Extra.IGNORED), values
        case _:
            return (Extra.NONE if count == 0 else None), 2


def _shown(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("?" if side is None else str(side) for side in shape) + ")"
