"""The one interface that detectors run models through, whatever runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a model says of one of its inputs or outputs.

    dtype: None where numpy has no such type (bfloat16, text, sequences). shape: None for an axis
    that may have any length.
    """

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class DeviceTensor:
    """A tensor in the GPU's memory, rows without gaps. address: where it begins there."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Engine(Protocol):
    """A compiled model that runs. One engine is used by one thread at a time."""

    @property
    def name(self) -> str:
        """What to call the model in messages."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""

    @property
    def input_specs(self) -> tuple[TensorSpec, ...]:
        """Type and shape of the inputs, in the order of `inputs`."""

    @property
    def output_specs(self) -> tuple[TensorSpec, ...]:
        """Type and shape of the outputs as the file states them, in the order of `outputs`."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What whoever exported the model wrote into it: not to be trusted."""

    def run(self, feeds: Tensors) -> Tensors:
        """Run once. Raises InferenceError when it fails or an output holds NaN or infinity."""
