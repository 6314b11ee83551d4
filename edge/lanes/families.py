"""Which decoder reads which model family. A new family is one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.errors import ModelError
from edge.inference.engine import Engine
from edge.inference.onnx import OnnxEngine
from edge.lanes import centerface, yunet
from edge.lanes.lane import Detector


def _make_dynamic(model: bytes, name: str) -> bytes:
    from export.dynamic import make_dynamic  # slow to import, and rarely needed

    return make_dynamic(model, name)


@dataclass(frozen=True, slots=True)
class FaceFamily:
    """How a family of face detectors is prepared, recognised and read.

    conf: score from which its detections count where the user states none.
    """

    name: str
    conf: float
    prepare: Callable[[bytes, str], bytes]
    recognise: Callable[[Engine], bool]
    build: Callable[..., Detector]


FACE_FAMILIES = (
    FaceFamily(
        name="yunet",
        conf=yunet.DEFAULT_CONF,
        prepare=_make_dynamic,
        recognise=lambda engine: "cls_8" in engine.outputs and "kps_32" in engine.outputs,
        build=yunet.YuNet,
    ),
    FaceFamily(
        name="centerface",
        conf=centerface.DEFAULT_CONF,
        prepare=_make_dynamic,
        recognise=lambda engine: engine.inputs == ("input.1",) and len(engine.outputs) == 4,
        build=centerface.CenterFace,
    ),
)


def face_family(name: str | None, model: bytes, label: str) -> FaceFamily:
    """Return a family by name, or the one that a model of unknown family belongs to.

    Raises ModelError when no family fits.
    """
    if name is not None:
        for family in FACE_FAMILIES:
            if family.name == name:
                return family
    else:
        engine = OnnxEngine(model, label)  # only its names are read
        for family in FACE_FAMILIES:
            if family.recognise(engine):
                return family
    known = ", ".join(family.name for family in FACE_FAMILIES)
    raise ModelError(
        f"model {label} is of no face family that this version reads. Use one of: {known}."
    )
