"""What all sources of a model share: how they report, and how one of them fails."""

from __future__ import annotations

from collections.abc import Callable

from edge.config_yaml import printable

Progress = Callable[[str, int, int | None], None]
"""Called with the model's name, the bytes that are here, and the bytes in all if known."""


class SourceFailedError(Exception):
    """One source cannot bring the model; another may. The text is the reason, in half a line."""


def condense(error: object) -> str:
    """Say in half a line what an error is about."""
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror)
    return printable(" ".join(str(error).split()) or type(error).__name__, 160)
