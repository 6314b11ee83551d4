"""What the manifest says of a file that was made, and what results are cached by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import onnx

from edge.inference.manifest import Check, EngineFacts, Exported, Input, Origin, Precision
from export.family import Axis, Family, Part, Port, Sample, Source
from export.graph import opset_of


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX file of some precision that was checked."""

    precision: Precision
    data: bytes
    check: Check

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.data).hexdigest()


def describe(
    source: Source,
    family: Family,
    part: Part,
    made: Graph,
    *,
    data: bytes,
    engine: EngineFacts | None,
    check: Check | None,
) -> Exported:
    """Describe a graph, or an engine that was built of it.

    data: the file's own bytes. check: of an engine; None where no GPU has run it.
    """
    ending = "onnx" if engine is None else f"{engine.target}.{engine.flavour}.engine"
    own = hashlib.sha256(data).hexdigest()
    prefix = f"{part.name}." if part.name else ""
    model = onnx.load_model_from_string(made.data)
    return Exported(
        model=source.name,
        part=part.name,
        family=family.decoder or family.name,
        kind="onnx" if engine is None else "engine",
        precision=made.precision,
        # With its hash in its name a new file never overwrites the one that is vouched for.
        file=f"{source.name}/{prefix}{made.precision}.{own[:8]}.{ending}",
        sha256=own,
        size=len(data),
        origin=Origin(
            sha256=source.sha256,
            weights=source.weights,
            licence=source.licence,
            text=source.origin or source.name,
        ),
        onnx_sha256=made.sha256,
        opset=opset_of(model),
        inputs=tuple(_input(port) for port in part.inputs),
        outputs=tuple(value.name for value in model.graph.output),
        made_with=versions("privaedge", "onnx", "onnxslim", "nvidia-modelopt"),
        check=made.check if engine is None else check,
        engine=engine,
    )


def _input(port: Port) -> Input:
    shape = tuple(
        (s.name, s.least, s.usual, s.most) if isinstance(s, Axis) else s for s in port.shape
    )
    return Input(name=port.name, dtype=str(np.dtype(port.dtype)), shape=shape)


def digest(samples: Sequence[Sample]) -> str:
    """Return a hash of what is fed. It says nothing of the pictures to who does not have them."""
    whole = hashlib.sha256()
    for sample in samples:
        for name, value in sample.feeds.items():
            whole.update(f"\0{name}{value.shape}".encode())
            whole.update(np.ascontiguousarray(value).tobytes())
    return whole.hexdigest()


def versions(*names: str) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
