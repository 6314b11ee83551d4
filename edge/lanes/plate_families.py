"""Which decoder reads which family of plate detectors. A new family is one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.errors import ModelError
from edge.inference.engine import Engine
from edge.inference.onnx import OnnxEngine
from edge.lanes import hyperlpr, plate_own, yolo
from edge.lanes.lane import Detector

_IMAGE_AXES = 4


def _as_it_is(model: bytes, name: str) -> bytes:
    return model


def _like_yolo(engine: Engine) -> bool:
    """One picture in, a table out: whether it really is one is told by a run, with the reason."""
    pictures = [len(spec.shape) == _IMAGE_AXES for spec in engine.input_specs]
    tables = [len(spec.shape) in (2, 3) for spec in engine.output_specs]
    return pictures == [True] and any(tables)


@dataclass(frozen=True, slots=True)
class PlateFamily:
    """How a family of plate detectors is prepared, recognised and read.

    conf: score from which its detections count where the user states none. build: makes a
    detector of an engine, input_size and weakest; raises ModelError.
    """

    name: str
    conf: float
    prepare: Callable[[bytes, str], bytes]
    recognise: Callable[[Engine], bool]
    build: Callable[..., Detector]


PLATE_FAMILIES = (
    PlateFamily(
        name="hyperlpr",
        conf=hyperlpr.DEFAULT_CONF,
        prepare=_as_it_is,
        recognise=lambda engine: {"p8", "p16", "p32"} <= set(engine.outputs),
        build=hyperlpr.HyperLpr,
    ),
    PlateFamily(
        name="yolo",
        conf=yolo.DEFAULT_CONF,
        prepare=_as_it_is,  # its cells are part of the file: a fixed size stays
        recognise=_like_yolo,
        build=yolo.Yolo,
    ),
    PlateFamily(
        name="plate-own",
        conf=plate_own.DEFAULT_CONF,
        prepare=_as_it_is,
        recognise=lambda engine: set(plate_own.OUTPUTS) <= set(engine.outputs),
        build=plate_own.OwnPlates,
    ),
)


def plate_family(name: str | None, model: bytes, label: str) -> PlateFamily:
    """Return a family by name, or the one that a model of unknown family belongs to.

    Raises ModelError when no family fits.
    """
    if name is not None:
        for family in PLATE_FAMILIES:
            if family.name == name:
                return family
    else:
        engine = OnnxEngine(model, label)  # only its names are read
        for family in PLATE_FAMILIES:
            if family.recognise(engine):
                return family
    known = ", ".join(family.name for family in PLATE_FAMILIES)
    raise ModelError(
        f"model {label} is of no plate family that this version reads. Use one of: {known}."
    )
