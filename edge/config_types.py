"""The kinds of values that settings have, and the base of every section."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

MIN_BITRATE: Final = 50_000
MAX_BITRATE: Final = 200_000_000

_BITRATE_TEXT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([kKM])")


def _parse_bitrate(value: Any) -> Any:
    """Turn 4M or 2500k into bits per second; anything else is left for the type check."""
    if not isinstance(value, str):
        return value
    match = _BITRATE_TEXT.fullmatch(value.strip())
    if match is None:
        raise ValueError("it must be bits per second, such as 4M, 2500k or 4000000")
    return round(float(match[1]) * (1_000_000 if match[2] == "M" else 1_000))


def _parse_looks(value: Any) -> Any:
    """Accept true and false for one extra look and none."""
    return int(value) if isinstance(value, bool) else value


def _as_tuple(value: Any) -> Any:
    """Accept one text or a YAML list where an ordered list is meant."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Bitrate = Annotated[
    Annotated[int, Field(ge=MIN_BITRATE, le=MAX_BITRATE)] | None,
    BeforeValidator(_parse_bitrate),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": MIN_BITRATE, "maximum": MAX_BITRATE},
                {"type": "string", "pattern": f"^{_BITRATE_TEXT.pattern}$"},
                {"type": "null"},
            ]
        }
    ),
]
Looks = Annotated[
    int,
    Field(ge=0, le=8),
    BeforeValidator(_parse_looks),
    WithJsonSchema(
        {"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": 8}]}
    ),
]
ModelPreference = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...],
    Field(min_length=1, max_length=16),
    BeforeValidator(_as_tuple),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        }
    ),
]
Paths = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...],
    BeforeValidator(_as_tuple),
    WithJsonSchema({"type": "array", "items": {"type": "string", "minLength": 1}}),
]


class Section(BaseModel):
    """Base of every section: no unknown keys, no change after loading, no lenient conversions."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,  # "4" is not a number and 1 is not true: a slip must not pass unseen
        allow_inf_nan=False,
        validate_default=True,
    )
