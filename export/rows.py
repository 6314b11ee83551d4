"""What is wished of an export, and what came of each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from edge.inference.manifest import Check, Precision
from export.material import Material

INPUTS: Final = 50
"""Real inputs that a graph is compared on."""

State = Literal["done", "kept", "gated", "left", "failed"]


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one step for one file.

    state: done, kept (nothing had changed), gated (a higher precision was taken), left (for the
    device), failed.
    """

    model: str
    weights: str
    step: str
    state: State
    seconds: float
    note: str = ""
    compared: Check | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """What to make. targets: sm_NN; empty for what is here. inputs: to compare on."""

    precision: Precision = "fp16"
    targets: tuple[str, ...] = ()
    material: Material = field(default_factory=Material)
    inputs: int = INPUTS


Report = Callable[[Row], None]
Tell = Callable[[str], None]
