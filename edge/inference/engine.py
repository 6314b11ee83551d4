"""The one interface that detectors run models through, whatever runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]


class Engine(Protocol):
    """A compiled model that runs. One engine is used by one thread at a time."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""

    def run(self, feeds: Tensors) -> Tensors:
        """Run once. Raises InferenceError when it fails or an output holds NaN or infinity."""
