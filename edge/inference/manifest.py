"""What `privaedge export` made, and what of it may be loaded: an engine file is code.

manifest.json lies beside the files. Nothing that it does not name by SHA-256 is ever loaded, and an
engine only for the GPU, driver and TensorRT that it was checked with.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from edge.errors import ModelError
from edge.files import write_atomically
from edge.resources import config_dir

ENVIRONMENT: Final = "PRIVAEDGE_ENGINES"
"""Environment variable with the folder to use instead of all others."""
SYSTEM_DIR: Final = Path("/var/lib/privaedge/engines")
FILE: Final = "manifest.json"
_VERSION: Final = 1
_MOST_BYTES: Final = 16 << 20
"""A manifest of all families for ten targets takes 200 KB."""

Kind = Literal["onnx", "engine"]
Precision = Literal["fp32", "fp16", "int8", "fp8"]
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "fp16", "int8", "fp8")
"""From high to low."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_WORD: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
Inside = Annotated[str, StringConstraints(pattern=rf"^{_WORD}(/{_WORD})*$")]
"""A path below the folder: no part of it begins with a dot."""
Target = Annotated[str, StringConstraints(pattern=r"^sm_[0-9]{2,3}$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Origin(_Record):
    """Where the weights came from."""

    sha256: Sha256 = Field(description="Of the file or folder that was exported.")
    weights: Literal["published", "user", "random"]
    licence: str
    text: str = Field(description="In words, without a path of the machine.")


class Input(_Record):
    """One input: sides that are fixed, and (least, usual, most) of those that are free."""

    name: str
    dtype: str
    shape: tuple[int | tuple[str, int, int, int], ...]


class Check(_Record):
    """How a file was compared with what it was made from."""

    against: str
    inputs: int = Field(description="Real inputs that were compared.")
    error: float = Field(description="Largest max|a-b| / max|reference| over outputs and inputs.")
    tolerance: float | None = Field(description="Largest error allowed; None: the task decides.")
    agreement: float = Field(description="Share of the task's answers that are the same.")
    accuracy: float | None = Field(default=None, description="Of labelled answers: this file's.")
    accuracy_fp32: float | None = Field(default=None, description="Of labelled answers: FP32's.")
    milliseconds: float | None = Field(default=None, description="Median time of one run.")


class EngineFacts(_Record):
    """What an engine holds for. gpu, driver: where it was checked; None where it has not been."""

    flavour: Literal["tensorrt", "tensorrt_rtx"]
    version: str
    target: Target
    gpu: str | None = None
    driver: str | None = None


class Exported(_Record):
    """One file that may be loaded."""

    model: str
    part: str = ""
    family: str = Field(description="Which decoder of the runtime reads the outputs.")
    kind: Kind
    precision: Precision
    file: Inside
    sha256: Sha256
    size: int
    origin: Origin
    onnx_sha256: Sha256 = Field(description="Of the ONNX file of this precision.")
    opset: int
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    made_with: dict[str, str] = Field(description="Versions of the tools.")
    check: Check | None = Field(description="None for an engine that no GPU has run yet.")
    engine: EngineFacts | None = None

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What there is one file of."""
        engine = self.engine
        where = (engine.flavour, engine.target) if engine else ("", "")
        return (self.model, self.part, self.precision, *where)


class KernelFile(_Record):
    """Compiled CUDA kernels. A fatbin holds for several targets, a cubin for one."""

    format: Literal["fatbin", "cubin"]
    file: Inside
    sha256: Sha256
    size: int
    targets: tuple[Target, ...]
    source_sha256: Sha256 = Field(description="Of the sources that they were compiled from.")
    compiler: str

    @property
    def model(self) -> str:
        """What to name to have it made again."""
        return "kernels"


class Manifest(_Record):
    """All files that may be loaded."""

    version: Literal[1] = _VERSION
    files: tuple[Exported, ...] = ()
    kernels: tuple[KernelFile, ...] = ()

    def of(self, model: str, kind: Kind | None = None) -> Iterator[Exported]:
        """Yield the files of a model."""
        return (f for f in self.files if f.model == model and kind in (None, f.kind))

    def with_file(self, new: Exported) -> Manifest:
        """Return a manifest where this file takes the place of the one with the same key."""
        kept = [f for f in self.files if f.key != new.key]
        files = tuple(sorted([*kept, new], key=lambda f: f.key))
        return self.model_copy(update={"files": files})

    def with_kernels(self, new: KernelFile) -> Manifest:
        """Return a manifest where these kernels take the place of those for the same targets."""
        left = ((k, tuple(t for t in k.targets if t not in new.targets)) for k in self.kernels)
        kept = [k.model_copy(update={"targets": targets}) for k, targets in left if targets]
        kernels = tuple(sorted([*kept, new], key=lambda k: k.targets))
        return self.model_copy(update={"kernels": kernels})


def engines_dir() -> Path:
    """Return the folder of exported files: $PRIVAEDGE_ENGINES, the checkout's, the box's, else the
    user's cache (XDG)."""
    if stated := os.environ.get(ENVIRONMENT):
        return Path(stated).expanduser()
    checkout = config_dir().parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / "engines"
    if os.access(SYSTEM_DIR, os.R_OK):
        return SYSTEM_DIR
    return platformdirs.user_cache_path("privaedge") / "engines"


def load_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest; an empty one where there is none.

    Raises ModelError where it is damaged: nothing in the folder is then trusted.
    """
    path = folder / FILE
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES)
        return Manifest.model_validate_json(data)
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. Check its rights.") from error
    except ValidationError:
        raise ModelError(
            f"{path} is damaged or of another version, so nothing beside it is trusted. "
            "Delete it and run `privaedge export` again."
        ) from None


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a folder's manifest in one step. Raises OSError."""
    text = manifest.model_dump_json(indent=1, exclude_defaults=False)
    write_atomically(folder / FILE, text.encode() + b"\n")


def read_vouched(folder: Path, exported: Exported | KernelFile) -> bytes:
    """Return a file's bytes, which are those that the manifest vouches for. Raises ModelError."""
    path = folder / exported.file
    remedy = f"Run `privaedge export {exported.model}` again."
    try:
        data = path.read_bytes()
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise ModelError(f"exported file {path} cannot be read: {cause}. {remedy}") from error
    if hashlib.sha256(data).hexdigest() != exported.sha256:
        raise ModelError(
            f"exported file {path} is not what {FILE} vouches for, and is not loaded. {remedy}"
        )
    return data


def find_model(folder: Path, name: str) -> Exported | None:
    """Return a model's FP32 ONNX where it was exported under that name and has one part.

    Random weights are none. Raises ModelError where the manifest is damaged.
    """
    found = [
        f for f in load_manifest(folder).of(name, "onnx")
        if f.precision == "fp32" and f.origin.weights != "random"
    ]  # fmt: skip
    return found[0] if len(found) == 1 else None


def ranked(files: Iterable[Exported]) -> list[Exported]:
    """Order files by what to prefer: the lowest precision first, since it passed its gate."""
    return sorted(files, key=lambda f: PRECISIONS.index(f.precision), reverse=True)


def unfinished(manifest: Manifest, target: str, driver: str) -> dict[str, Precision]:
    """Return models, and the precision to build, that no engine was checked of on this GPU.

    Random weights are none.
    """
    found: dict[str, Precision] = {}
    for name in dict.fromkeys(f.model for f in manifest.files):
        graphs = [f for f in manifest.of(name, "onnx") if f.origin.weights != "random"]
        if not graphs:
            continue
        best = ranked(graphs)[0].precision
        done = any(
            f.engine is not None and f.precision == best and f.engine.target == target
            and f.engine.driver == driver
            for f in manifest.of(name, "engine")
        )  # fmt: skip
        if not done:
            found[name] = best
    return found
