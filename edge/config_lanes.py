"""Settings of the lanes: what is looked and listened for, with which models, and how strictly."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator

from edge.config_types import ModelPreference, Section
from edge.pii.spans import Kind

_MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")

_OWN_LANES: Final = frozenset({"faces", "plates", "text", "speech"})
_ORDINARY: Final = (Kind.PLACE, Kind.ORGANISATION)
"""Kinds that shop fronts and small talk are full of: hidden only where a profile says so."""
_PRIVATE: Final = tuple(kind for kind in Kind if kind not in _ORDINARY)


def _check_models(value: tuple[str, ...]) -> tuple[str, ...]:
    for entry in value:
        is_path = "/" in entry or entry.endswith(".onnx")
        if not is_path and not _MODEL_NAME.fullmatch(entry):
            raise ValueError(
                "each entry must be a name from 'privaedge models list' "
                "or the path of an .onnx file"
            )
    return value


def _as_kinds(value: Any) -> Any:
    """Turn names, as YAML has them, into kinds; anything else is left for the type check."""
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        known = {str(kind) for kind in Kind}
        if unknown := [one for one in value if one not in known]:
            raise ValueError(f"{unknown[0]} is none of {', '.join(known)}")
        return tuple(Kind(one) for one in value)
    return value


Kinds = Annotated[
    tuple[Kind, ...],
    BeforeValidator(_as_kinds),
    WithJsonSchema({"type": "array", "items": {"enum": [str(kind) for kind in Kind]}}),
]


class FaceModel(Section):
    """Finding faces."""

    enabled: bool = Field(
        default=True,
        description="Look for faces and hide them. With false every face stays visible.",
    )
    conf: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Score (0..1) from which a detection counts. Lower finds more faces and more "
        "false alarms; null takes the model's own threshold.",
    )
    model: ModelPreference = Field(
        default=("yunet-n", "yunet-2023mar", "centerface"),
        description="Which detector: a name from the model catalogue, a path to an .onnx file, or "
        "a list in order of preference, of which the first that can be had is used.",
    )
    input_size: int = Field(
        default=960,
        ge=160,
        le=4096,
        description="Long side of the picture that the detector sees, in pixels. Larger finds "
        "smaller faces; the cost grows with its square.",
    )

    _models = field_validator("model")(_check_models)


class PlateModel(Section):
    """Finding licence plates."""

    enabled: bool = Field(
        default=True,
        description="Look for licence plates and hide them. With false they stay visible, unless "
        "video.models.text reads them.",
    )
    conf: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Score (0..1) from which a detection counts; null takes the model's own "
        "threshold.",
    )
    model: ModelPreference = Field(
        default=("plate-hyperlpr", "plates-own"),
        description="Which detector: a name from the model catalogue, a path to an .onnx file, or "
        "a list in order of preference. Where none can be had, the text lane stands in; where that "
        "is off, too, nothing runs.",
    )
    input_size: int = Field(
        default=640,
        ge=160,
        le=4096,
        description="Long side of the picture that the detector sees, in pixels, where the model "
        "does not fix it.",
    )

    _models = field_validator("model")(_check_models)


class TextModel(Section):
    """Finding, reading and judging text in the picture."""

    enabled: bool = Field(
        default=True,
        description="Read text in the picture and hide what is private. What is read is never "
        "stored.",
    )
    detector: ModelPreference = Field(
        default=("ppocr-v4-det",), description="Which model finds lines of text."
    )
    recogniser: ModelPreference = Field(
        default=("ppocr-v4-rec",), description="Which model reads them."
    )
    orientation: ModelPreference | None = Field(
        default=("ppocr-v4-cls",),
        description="Which model says whether a line is upside down; null leaves that out.",
    )
    input_size: int = Field(
        default=960,
        ge=160,
        le=4096,
        description="Long side of the picture in which lines are looked for, in pixels.",
    )
    target_fps: float = Field(
        default=2.0,
        ge=0.5,
        le=60,
        description="Looks per second for text, at most scheduler.target_fps of them are used. "
        "Text moves less than faces and costs more.",
    )
    threshold: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="How sure (0..1) it has to be that a line is private before it is hidden. "
        "Lower hides more.",
    )
    hide: Kinds = Field(
        default=_PRIVATE, description="Kinds of private text that are hidden in the picture."
    )
    hide_unread: bool = Field(
        default=False,
        description="Hide lines that could not be read for certain, too: another reader, or a "
        "viewer with the next frame, may do better.",
    )

    _models = field_validator("detector", "recogniser")(_check_models)


class OwnDetector(Section):
    """A detector that an installed package brings."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_-]{0,31}$",
        description="Name of its entry point in the group privaedge.detectors, and of its lane.",
    )
    conf: float = Field(
        default=0.3, gt=0, lt=1, description="Score (0..1) from which a detection counts."
    )
    target_fps: float | None = Field(
        default=None,
        ge=0.5,
        le=60,
        description="Looks per second at most; null looks whenever the scheduler does.",
    )


def _distinct_lanes(value: tuple[OwnDetector, ...]) -> tuple[OwnDetector, ...]:
    names = [one.name for one in value]
    for name in names:
        if name in _OWN_LANES or names.count(name) > 1:
            raise ValueError(f"there is a lane {name} already; choose another name")
    return value


OwnDetectors = Annotated[
    tuple[OwnDetector, ...],
    Field(max_length=8),
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    AfterValidator(_distinct_lanes),
]


class Whitelist(Section):
    """Faces that may stay visible: enrolled with 'privaedge faces enroll'."""

    enabled: bool = Field(
        default=False, description="Show enrolled people. With false every face is hidden."
    )
    model: ModelPreference = Field(
        default=("mobilefacenet",), description="Which model turns an aligned face into numbers."
    )
    threshold: float | None = Field(
        default=None,
        gt=-1,
        lt=1,
        description="Cosine similarity from which a face is taken for an enrolled one; null takes "
        "each person's own, from the spread of their shots.",
    )
    votes: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Looks in a row that have to agree before a face is shown.",
    )
    recheck_s: float = Field(
        default=1.0,
        gt=0,
        le=10,
        description="Seconds after which a shown face that was not recognised again is hidden.",
    )
    min_face_px: int = Field(
        default=40,
        ge=20,
        le=1000,
        description="Width in pixels below which a face is always hidden.",
    )

    _models = field_validator("model")(_check_models)


class Audio(Section):
    """What happens to the sound."""

    enabled: bool = Field(
        default=True,
        description="Listen for private words, make them inaudible and blur the mouths that say "
        "them. A live stream is then delayed by 7 s instead of 2.",
    )
    without_lane: Literal["pass", "drop"] = Field(
        default="pass",
        description="What happens to sound where audio.enabled is false. pass: it leaves "
        "unchanged. drop: the output has no sound.",
    )
    model: ModelPreference = Field(
        default=("faster-whisper", "moonshine-tiny-en"),
        description="Which model turns speech into words: a name from the model catalogue, the "
        "path of a folder, or a list in order of preference. 'faster-whisper' means a model of "
        "that kind that is on this machine.",
    )
    language: str = Field(
        default="en",
        pattern=r"^[a-z]{2,3}$",
        description="Language that is spoken, as in ISO 639. Moonshine knows English only.",
    )
    vad: ModelPreference = Field(
        default=("silero-vad",), description="Which model tells speech from silence."
    )
    vad_threshold: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Probability from which sound counts as speech. Silence is not listened to, "
        "so a high value misses words.",
    )
    chunk_seconds: float = Field(
        default=5.0,
        ge=1,
        le=25,
        description="Seconds of speech that are recognised at once. Longer ones are understood "
        "better and need a longer delay.",
    )
    tagger: ModelPreference | None = Field(
        default=("tagger-own",),
        description="Which model finds names, places and the like among words: tagger-own, the "
        "path of a folder with a token classifier as ONNX, or a list in order of preference. null "
        "leaves only what has a form (numbers, addresses, e-mail).",
    )
    threshold: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="How sure (0..1) it has to be that words are private. Lower silences more.",
    )
    hide: Kinds = Field(default=_PRIVATE, description="Kinds of private words that are silenced.")
    effect: Literal["beep", "silence", "reverse"] = Field(
        default="beep", description="What is heard in their place."
    )
    pad_before_s: float = Field(
        default=0.4, ge=0, le=5, description="Seconds silenced before private words."
    )
    pad_after_s: float = Field(
        default=0.2, ge=0, le=5, description="Seconds silenced after private words."
    )
    mouth_blur: bool = Field(
        default=True, description="Hide the mouths of all faces while private words are said."
    )
    mouth_blur_window_ms: int = Field(
        default=400,
        ge=0,
        le=5000,
        description="Milliseconds around private words in which mouths are hidden: half before, "
        "half after.",
    )

    _models = field_validator("model", "vad")(_check_models)
