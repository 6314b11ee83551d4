"""What a YOLO file says of itself: the metadata that Ultralytics' export writes into ONNX.

Every value is text that was made by str(): a literal, which is parsed as one and never run. The
file is a stranger's, so nothing in it is believed further than it can be checked.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.config_yaml import printable
from edge.errors import ModelError

_MAX_LITERAL = 1 << 18
"""Characters of one value: the names of a thousand classes take a tenth of that."""
_MAX_CLASSES = 10_000
_MAX_NAME = 200
_STRIDES = range(8, 257)
_DEFAULT_STRIDE = 32
_SHOWN_CLASSES = 8

_PLATE_WORD = re.compile(
    r"""(?:(?:licen[cs]e|number|registration|reg|car|auto|vehicle)?plates?|licen[cs]es?|lp
    |(?:kfz|auto)?kennzeichen|nummernschild|kenteken|kentekenplaat|placas?|matriculas?|patentes?
    |targ(?:a|he)|plaques?|immatriculation|registreringsskylt|tablica|plaka|車牌|车牌|号牌|ナンバープレート
    )""",
    re.VERBOSE,
)
"""A word of a class name that means a licence plate, in lower case and without accents."""
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Card:
    """What is stated, as far as it is.

    names: class names by index; None where none are stated. task: detect, obb, pose, segment.
    stride: which the sides of a free input have to be multiples of. final: whether the network
    itself has dropped doubles ("end2end", nms=True); None where nothing is said. keypoints: their
    number, and values of each (2, or 3 with visibility).
    """

    names: Mapping[int, str] | None
    task: str | None
    stride: int
    final: bool | None
    keypoints: tuple[int, int] | None

    def wanted(self, model: str) -> tuple[int, ...]:
        """Return the classes that are plates: the only one, or those with such a name.

        Without names it is one class. Raises ModelError where no name fits.
        """
        if self.names is None:
            return (0,)
        if len(self.names) == 1:
            return tuple(self.names)
        fitting = tuple(index for index, name in self.names.items() if means_plate(name))
        if not fitting:
            shown = [printable(name, 30) for name in list(self.names.values())[:_SHOWN_CLASSES]]
            more = len(self.names) - len(shown)
            also = f" and {more} more" if more > 0 else ""
            raise ModelError(
                f"model {model} knows no licence plates: its classes are {', '.join(shown)}{also}. "
                f"Use a model with a class whose name has the word plate or licence in it."
            )
        return fitting


def means_plate(name: str) -> bool:
    """Whether a class of this name is a licence plate: license_plate, LicensePlate, Kennzeichen."""
    plain = unicodedata.normalize("NFKD", _CAMEL_CASE.sub(" ", name))
    plain = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    # The name as it is, too: Japanese letters are others without their marks.
    words = {name, *re.findall(r"[^\W\d_]+", plain)}
    return any(_PLATE_WORD.fullmatch(word) for word in words)


def read_card(metadata: Mapping[str, str], model: str) -> Card:
    """Read the metadata of a model that messages call `model`.

    Raises ModelError for class names that cannot be read: they decide what is hidden. Whatever
    else cannot be read counts as not stated, and the outputs' shapes have to tell.
    """
    stride = _literal(metadata.get("stride"))
    if isinstance(stride, list | tuple) and all(isinstance(one, int) for one in stride):
        stride = max(stride, default=None)  # of each of the heads
    task = metadata.get("task")
    return Card(
        names=_names(metadata, model),
        task=task if task in ("detect", "obb", "pose", "segment") else None,
        stride=stride if type(stride) is int and stride in _STRIDES else _DEFAULT_STRIDE,
        final=_final(metadata),
        keypoints=_keypoints(_literal(metadata.get("kpt_shape"))),
    )


def _literal(text: str | None) -> Any:
    """Parse a Python literal; None for what is none, or is made to bring the parser down."""
    if text is None or len(text) > _MAX_LITERAL:
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _names(metadata: Mapping[str, str], model: str) -> Mapping[int, str] | None:
    """Class names: {0: 'a', 1: 'b'}, or ['a', 'b'] as older exports have it."""
    if "names" not in metadata:
        return None
    stated = _literal(metadata["names"])
    if isinstance(stated, list | tuple):
        stated = dict(enumerate(stated))
    sound = (
        isinstance(stated, dict)
        and 0 < len(stated) <= _MAX_CLASSES
        and all(type(index) is int for index in stated)
        and sorted(stated) == list(range(len(stated)))
        and all(isinstance(name, str) and len(name) <= _MAX_NAME for name in stated.values())
    )
    if not sound:
        raise ModelError(
            f"model {model} has class names that cannot be read. "
            f"Export it again with a current version of Ultralytics."
        )
    return {index: stated[index] for index in sorted(stated)}


def _final(metadata: Mapping[str, str]) -> bool | None:
    arguments = _literal(metadata.get("args"))
    nms = arguments.get("nms") if isinstance(arguments, dict) else None
    end2end = _literal(metadata.get("end2end"))
    stated = [value for value in (nms, end2end) if isinstance(value, bool)]
    return any(stated) if stated else None


def _keypoints(shape: Any) -> tuple[int, int] | None:
    if not isinstance(shape, list | tuple) or len(shape) != 2:
        return None
    number, values = shape
    if type(number) is int and type(values) is int and 0 < number <= 1000 and values in (2, 3):
        return number, values
    return None
