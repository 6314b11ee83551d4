"""All families. Each is imported when it is first looked at: some bring heavy frameworks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from edge.errors import ModelError
from export.family import Family, Source

FAMILIES: Final = {
    "centerface": "export.families.centerface:CenterFaceFamily",
    "yunet": "export.families.yunet:YuNetFamily",
    "hyperlpr": "export.families.hyperlpr:HyperLprFamily",
    "plate-own": "export.families.plate_own:OwnPlatesFamily",
    "mobilefacenet": "export.families.embedder:EmbedderFamily",
    "ppocr-det": "export.families.ppocr_det:PpocrDetFamily",
    "ppocr-rec": "export.families.ppocr_rec:PpocrRecFamily",
    "ppocr-cls": "export.families.ppocr_cls:PpocrClsFamily",
    "silero": "export.families.silero:SileroFamily",
    "moonshine": "export.families.moonshine:MoonshineFamily",
    "lines": "export.families.lines:LinesFamily",
    "tagger": "export.families.tagger:TaggerFamily",
    "yolo": "export.families.yolo:YoloOnnxFamily",
    "yolo-pt": "export.families.yolo_pt:YoloFamily",
    "doctr-det": "export.families.doctr:DoctrDetFamily",
    "doctr-rec": "export.families.doctr:DoctrRecFamily",
    "token-classifier": "export.families.token_classifier:TokenClassifierFamily",
    "whisper": "export.families.whisper:WhisperFamily",
}
"""Name → module:class. The order is that in which a file of unknown family is tried."""


@cache
def family(name: str) -> Family:
    """Return a family. Raises ModelError for an unknown name."""
    if name not in FAMILIES:
        raise ModelError(f"{name} is no family. Known are {', '.join(FAMILIES)}.")
    module, _, cls = FAMILIES[name].partition(":")
    made: Family = getattr(import_module(module), cls)()
    return made


def missing_modules(one: Family) -> list[str]:
    """Return which of the modules that a family needs are not installed."""
    return [name for name in one.requires if find_spec(name) is None]


def family_of(source: Source) -> Family:
    """Return the family that a source names, or the first that recognises its file.

    Raises ModelError where none does, or the named one does not recognise it.
    """
    if source.family is not None:
        name = source.family
        if name == "yolo" and source.path is not None and source.path.suffix == ".pt":
            name = "yolo-pt"
        named = family(name)
        if not named.can_load(source):
            raise ModelError(
                f"{source.name} is no {source.family} model. Name another --family: "
                f"{', '.join(FAMILIES)}."
            )
        return named
    for name in FAMILIES:
        if (one := family(name)).can_load(source):
            return one
    raise ModelError(
        f"{source.name} is of no family that is known here. Name one with --family: "
        f"{', '.join(FAMILIES)}."
    )


def random_sources() -> Iterator[Source]:
    """Yield the architectures that can be exported with random weights."""
    for name in FAMILIES:
        yield from family(name).random_variants
