"""Models that are published as ONNX: their source framework is ONNX Runtime, on the file itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from export.family import Family, Part, Source


class OnnxOriginal:
    """A published ONNX file in ONNX Runtime, as the runtime loads it where there is no engine."""

    def __init__(self, source: Source, data: bytes | None = None) -> None:
        """Load it. data: the file's bytes where they had to be given free sizes first.

        Raises ModelError where it is no ONNX that runs.
        """
        self.data = read(source) if data is None else data
        self.name = source.name
        self._engine = OnnxEngine(self.data, source.name)

    @property
    def engine(self) -> OnnxEngine:
        """What runs it."""
        return self._engine

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self._engine.outputs

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return self._engine.inputs

    @property
    def metadata(self) -> Mapping[str, str]:
        """What its exporter wrote into it."""
        return self._engine.metadata

    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run it. Raises InferenceError."""
        outputs = self._engine.run(feeds)
        return {name: np.asarray(outputs[name]) for name in self.outputs}


def read(source: Source) -> bytes:
    """Return a source's file. Raises ModelError."""
    if source.path is None:
        raise ModelError(f"{source.name} has no file. Name one.")
    try:
        return source.path.read_bytes()
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise ModelError(f"the file of {source.name} cannot be read: {cause}. Check it.") from None


def looks_like_onnx(path: Path | None) -> bool:
    """Whether a file may be ONNX, by its name; what is in it is told when it is opened."""
    return path is not None and path.is_file() and path.suffix == ".onnx"


def value_names(data: bytes, name: str) -> tuple[set[str], set[str]]:
    """Return the names of an ONNX file's inputs without initialisers, and of its outputs.

    Raises ModelError where the bytes are no ONNX.
    """
    import onnx

    try:
        graph = onnx.load_model_from_string(data).graph
    except Exception as error:  # protobuf's own type, which onnx does not re-export
        raise ModelError(f"model {name} is not an ONNX file. Use another file.") from error
    constants = {tensor.name for tensor in graph.initializer}
    inputs = {value.name for value in graph.input} - constants
    return inputs, {value.name for value in graph.output}


class PublishedPart(Part):
    """A part whose graph is the published file: that is what it is compared with."""

    _original: OnnxOriginal

    def to_onnx(self, out: Path) -> None:
        """Write the published graph, with free sides where those had to be given to it."""
        out.write_bytes(self._original.data)

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run the published file in ONNX Runtime."""
        return self._original.run(feeds)


class PublishedFamily(Family):
    """Files that are ONNX already."""

    def can_load(self, source: Source) -> bool:
        """Tell by the names of inputs and outputs, and what they say."""
        if not looks_like_onnx(source.path):
            return False
        data = read(source)
        return self.knows(source.name, data, *value_names(data, source.name))

    @abstractmethod
    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Say whether an ONNX file with these inputs and outputs is of this family."""


class Recorder:
    """An engine that keeps what it is fed: real inputs, as the runtime's own code makes them."""

    def __init__(self, engine: OnnxEngine) -> None:
        self._engine = engine
        self.name = engine.name
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.input_specs, self.output_specs = engine.input_specs, engine.output_specs
        self.metadata = engine.metadata
        self.fed: list[dict[str, NDArray[Any]]] = []

    def run(self, feeds: Tensors) -> Tensors:
        """Run, and keep a copy of the feeds. Raises InferenceError."""
        self.fed.append({name: np.array(value) for name, value in feeds.items()})
        return self._engine.run(feeds)
