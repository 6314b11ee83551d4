"""What settings there are, told from the models themselves: their paths, and a JSON Schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from edge.config import Settings


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config file; the same on every call."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def sections(model: type[BaseModel] = Settings, prefix: str = "") -> dict[str, type[BaseModel]]:
    """Return every section by its dotted path; the root has the empty path."""
    found: dict[str, type[BaseModel]] = {prefix: model}
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= sections(kind, f"{prefix}.{name}" if prefix else name)
    return found


def keys() -> tuple[str, ...]:
    """Return the dotted path of every setting (no sections), in the order of the models."""
    inner = sections()
    return tuple(
        path
        for prefix, model in inner.items()
        for name in model.model_fields
        if (path := f"{prefix}.{name}" if prefix else name) not in inner
    )
