"""What a model family tells the exporter. To add one, this page is all there is to read.

A family is one module in export/families/ with one subclass of Family. It opens a source (a file, a
folder, or true architecture with random weights) and gives its parts: each part becomes one ONNX
file and one engine. Heavy frameworks are imported inside the methods, never at module level, so
that the list of families costs nothing.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge.inference.engine import Tensors
from export.material import Material

Weights = Literal["published", "user", "random"]
_HASH_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be exported.

    name: of the model under engines/. path: a file or a folder; None where `weights` is random.
    weights: random means the true architecture with seeded weights, for checks of the graph.
    licence: SPDX identifier, or what is known. origin: where it came from, without a path of this
    machine. options: what a family has to be told besides (a variant's name, for instance).
    stands_for: SHA-256 of weights that are not on this machine, where `path` is the FP32 ONNX file
    that was made of them and that the manifest vouches for.
    """

    name: str
    path: Path | None
    weights: Weights
    licence: str = "unknown"
    origin: str = ""
    family: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    stands_for: str | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, or of a folder's files by name; of name and options if random."""
        if self.stands_for is not None:
            return self.stands_for
        digest = hashlib.sha256()
        if self.path is None:
            digest.update(repr((self.name, self.family, sorted(self.options.items()))).encode())
            return digest.hexdigest()
        folder = self.path.is_dir()
        files = sorted(f for f in self.path.rglob("*") if f.is_file()) if folder else [self.path]
        for file in files:
            if folder:
                digest.update(f"\0{file.relative_to(self.path)}\0".encode())
            with file.open("rb") as stream:
                while block := stream.read(_HASH_BLOCK):
                    digest.update(block)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Axis:
    """A free axis: the least, the most usual and the greatest length that an engine takes."""

    name: str
    least: int
    usual: int
    most: int

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.usual <= self.most:
            raise ValueError(f"axis {self.name}: {self.least}, {self.usual}, {self.most}: no order")


@dataclass(frozen=True, slots=True)
class Port:
    """One input of a graph. Equal axis names in two ports are one symbol in the graph."""

    name: str
    shape: tuple[int | Axis, ...]
    dtype: DTypeLike = np.float32

    def sides(self, which: Literal["least", "usual", "most"]) -> tuple[int, ...]:
        """Return a concrete shape."""
        return tuple(s if isinstance(s, int) else int(getattr(s, which)) for s in self.shape)


@dataclass(frozen=True, slots=True)
class Sample:
    """One real input. truth: what is known to be in it, where it is labelled. context: what else
    `agreement` and `correct` need to read the outputs, such as how a picture was fitted in."""

    feeds: Mapping[str, NDArray[Any]]
    truth: Any = None
    context: Any = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Answers that are right, of so many. Tallies add up over samples."""

    right: int
    of: int

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.right + other.right, self.of + other.of)

    @property
    def share(self) -> float:
        """Right answers as a share, 1.0 where nothing was asked."""
        return self.right / self.of if self.of else 1.0


class Part(ABC):
    """One network of an opened source: one ONNX file, one engine.

    Subclasses set the attributes in __init__ and implement the abstract methods.
    """

    name: str
    """Empty for a source's only part, else such as "encoder"; the file is NAME-encoder.onnx."""
    inputs: tuple[Port, ...]
    opset: int
    metadata: Mapping[str, str] = {}
    """Written into the ONNX file: class names, dictionaries; what the runtime's decoder reads."""
    tolerance: float = 1e-3
    """Largest error in FP32 against `reference`: max|a-b| / max|reference|, for each output."""
    precisions: Sequence[str] = ("fp32", "fp16", "int8", "fp8")
    """What makes sense for it, from high to low."""
    keep_fp32: Sequence[str] = ()
    """Regular expressions of node names that AutoCast leaves in FP32."""
    no_engine: str | None = None
    """Why TensorRT cannot take the graph (a full sentence), where that is so."""

    @abstractmethod
    def to_onnx(self, out: Path) -> None:
        """Write the graph with free axes as `inputs` says, FP32, at `opset`. Raises ModelError."""

    @abstractmethod
    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return up to `count` real inputs within the ports' bounds; the first ones differ most.

        They serve parity, calibration and the accuracy gate. Deterministic.
        """

    @abstractmethod
    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run the source framework's own model. Keys: the ONNX file's output names, in order."""

    @abstractmethod
    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Compare what follows from two outputs for one input: boxes, characters, tags, words.

        of: answers that follow from `wanted`, and those that only `got` gives; right: those that
        are the same in both. FP32 has to agree wholly.
        """

    def correct(self, outputs: Tensors, sample: Sample) -> Tally | None:
        """Compare what follows from outputs with the sample's truth; None where there is none.

        The accuracy gate prefers this to agreement with FP32.
        """
        return None


class Family(ABC):
    """A kind of model: how its sources are recognised and opened."""

    name: ClassVar[str]
    decoder: ClassVar[str | None] = None
    """What the runtime calls the family, where that is another name than `name`."""
    requires: ClassVar[Sequence[str]] = ()
    """Modules that opening it imports, all in the `export` extra."""
    random_variants: ClassVar[Sequence[Source]] = ()
    """Sources with random weights that `--list` offers: architectures whose weights need a hub."""

    @abstractmethod
    def can_load(self, source: Source) -> bool:
        """Say whether a file is of this family: by its bytes or name, without running any of it."""

    @abstractmethod
    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a source with its own framework. Raises ModelError with cause and remedy.

        Never by unpickling what a user did not name with --family: can_load must not load.
        """


def largest_error(wanted: Sequence[Tensors], got: Sequence[Tensors]) -> float:
    """Return the largest max|a-b| / max|a| of any output, over all inputs.

    An output's scale is the largest value that it takes for any of the inputs: what a detector says
    of a picture that shows nothing is noise around zero. inf for other names, shapes or NaN.
    """
    scale: dict[str, float] = {}
    apart: dict[str, float] = {}
    for before, after in zip(wanted, got, strict=True):
        if list(before) != list(after):
            return float("inf")
        for name, value in before.items():
            a, b = np.asarray(value, np.float64), np.asarray(after[name], np.float64)
            if a.shape != b.shape or not np.isfinite(b).all():
                return float("inf")
            if a.size:
                scale[name] = max(scale.get(name, 0.0), float(np.abs(a).max()))
                apart[name] = max(apart.get(name, 0.0), float(np.abs(a - b).max()))
    return max((apart[name] / (scale[name] or 1.0) for name in apart), default=0.0)
