"""How a picture comes before an engine: as a tensor that the host makes of it or, where the engine
can see by itself, as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from edge.frame import Picture
from edge.inference.engine import Engine, Tensors
from edge.inference.preprocess import InputSpec


class SeeingEngine(Protocol):
    """An engine with eyes of its own: the picture is scaled and converted where the model runs."""

    def see(self, picture: Picture, spec: InputSpec) -> Tensors | None:
        """Run once on a picture. None where this one has to be shown as a tensor. Raises
        InferenceError as Engine.run."""


def show(
    engine: Engine, picture: Picture, spec: InputSpec, load: Callable[[], NDArray[Any]]
) -> Tensors:
    """Run an engine of one input on a picture. Raises InferenceError.

    spec: where the picture lies in the input. load: makes the tensor of it on the host.
    """
    sighted = seeing(engine)
    outputs = sighted.see(picture, spec) if sighted is not None else None
    return engine.run({engine.inputs[0]: load()}) if outputs is None else outputs


def seeing(engine: Engine) -> SeeingEngine | None:
    """Return an engine that has eyes as such; None for one without.

    Asked at every look: isinstance() takes 0.1 ms for a protocol when caches are cold.
    """
    return cast(SeeingEngine, engine) if hasattr(engine, "see") else None
