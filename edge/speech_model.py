"""Which models listen: chosen by the settings, fetched where allowed, loaded and understood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from edge.config import Settings
from edge.errors import ModelError
from edge.fetch import FetchError, Progress, ignore_progress
from edge.inference.choice import engine_maker
from edge.inference.manifest import engines_dir, load_manifest, read_vouched
from edge.inference.onnx import OnnxEngine
from edge.model_store import ModelStore, store_of
from edge.speech.align import SphinxAligner
from edge.speech.finding import ANY, NotHereError, find_whisper
from edge.speech.moonshine import Moonshine, MoonshineTranscriber
from edge.speech.tokens import Vocabulary
from edge.speech.vad import SileroVad
from edge.speech.whisper import WhisperTranscriber
from edge.speech.whisper_onnx import WhisperOnnx, WhisperOnnxTranscriber
from edge.speech.words import Transcriber, VoiceDetector

_Made = TypeVar("_Made")

_MOONSHINE: Final = "moonshine"
_MOONSHINE_PARTS: Final = ("encoder", "decoder", "tokenizer")
"""A Moonshine model NAME is three entries of the catalogue: NAME-encoder and so on."""
_MOONSHINE_LANGUAGE: Final = "en"
_WHISPER: Final = "whisper"
_WHISPER_PARTS: Final = ("encoder", "decoder")
"""A Whisper that was exported is two files of the manifest under one name."""


@dataclass(frozen=True, slots=True)
class SpeechModel:
    """Models that were chosen, loaded and understood. Each call makes one of its own."""

    name: str
    """What turns speech into words, as it may be shown."""
    make_vad: Callable[[], VoiceDetector]
    make_transcriber: Callable[[], Transcriber]


def load_speech_model(
    settings: Settings, progress: Progress = ignore_progress
) -> SpeechModel | None:
    """Choose, fetch and load what listens; None where audio is switched off.

    The first of audio.model that is on this machine is taken; where none is and models.fetch is
    set, they are fetched in order until one works.

    Raises ModelError where no model can be had, one is damaged, or a package is missing.
    """
    audio = settings.audio
    if not audio.enabled:
        return None
    store = store_of(settings)
    threads = settings.runtime.threads or 1
    vad = store.resolve(audio.vad, settings.models.fetch, progress)
    vad_data = vad.read_bytes()

    def make_vad() -> VoiceDetector:
        # On the CPU: 32 ms of sound at a time, each waits for the one before.
        return SileroVad(OnnxEngine(vad_data, vad.name, threads=1))

    # A model that cannot be loaded is told of before anything is written.
    new_vad = _one_made(make_vad)
    name, make = choose_transcriber(settings, store, threads, progress)
    return SpeechModel(name, new_vad, _one_made(make))


def _one_made(make: Callable[[], _Made]) -> Callable[[], _Made]:
    """Make one at once; return what hands that one out first, and makes others after it."""
    spare = [make()]

    def next_one() -> _Made:
        try:
            return spare.pop()
        except IndexError:
            return make()

    return next_one


def choose_transcriber(
    settings: Settings, store: ModelStore, threads: int, progress: Progress
) -> tuple[str, Callable[[], Transcriber]]:
    """Return the name and the maker of the first model of the preference that can be had.

    Files are fetched and verified; nothing is loaded before the maker is called. Raises ModelError.
    """
    audio = settings.audio
    reasons: dict[str, str] = {}
    for may_fetch in (False, True) if settings.models.fetch else (False,):
        for item in audio.model:
            try:
                if _is_moonshine(item, store):
                    return item, _moonshine(
                        item, store, audio.language, threads, progress, may_fetch=may_fetch
                    )
                if (exported := _exported_whisper(item, settings, threads)) is not None:
                    return item, exported
                folder = find_whisper(
                    _known(item, store),
                    store.search_dirs,
                    language=audio.language,
                    may_fetch=may_fetch,
                )
            except NotHereError as error:
                reasons[item] = str(error)
                continue
            name = item if item != ANY else f"{ANY} ({folder.name})"
            return name, partial(
                WhisperTranscriber, folder, language=audio.language, threads=threads
            )
    told = " | ".join(f"{item}: {reason}" for item, reason in reasons.items())
    remedy = "check the network" if settings.models.fetch else "set models.fetch"
    raise ModelError(
        f"no speech model can be had ({told}). Name the folder of one in audio.model, {remedy}, or "
        "set audio.enabled to false."
    )


def _exported_whisper(
    item: str, settings: Settings, threads: int
) -> Callable[[], Transcriber] | None:
    """Return the maker of a Whisper that was exported under this name; None where none was.

    Raises ModelError where the manifest is damaged, or a file is not what it vouches for.
    """
    folder = engines_dir()
    halves = {
        file.part: file
        for file in load_manifest(folder).of(item, "onnx")
        if file.family == _WHISPER and file.precision == "fp32"
    }
    if not set(_WHISPER_PARTS) <= set(halves):
        return None
    makers = [
        engine_maker(
            read_vouched(folder, halves[part]),
            f"{item}-{part}",
            halves[part].origin.sha256,
            device=settings.runtime.device,
            threads=threads,
            part=part,
        )
        for part in _WHISPER_PARTS
    ]
    language = settings.audio.language

    def make() -> Transcriber:
        encoder, decoder = (one() for one in makers)
        return WhisperOnnxTranscriber(
            WhisperOnnx(encoder, decoder, language=language), SphinxAligner()
        )

    return make


def _known(item: str, store: ModelStore) -> str:
    """Return an item that can be a Whisper model; ModelError where it is nothing known."""
    if "/" in item or item == ANY or item.startswith(f"{ANY}-"):
        return item
    moonshines = [
        name.removesuffix(f"-{_MOONSHINE_PARTS[0]}")
        for name in store.catalogue.names()
        if store.catalogue[name].family == _MOONSHINE and name.endswith(_MOONSHINE_PARTS[0])
    ]
    raise ModelError(
        f"{item} is no speech model. Known are {', '.join([ANY, *moonshines])}; or name a folder, "
        "or a Whisper that was exported."
    )


def moonshine_files(item: str, store: ModelStore) -> tuple[str, ...]:
    """Names in the catalogue of a Moonshine model's files; none where it is no such model."""
    return tuple(f"{item}-{p}" for p in _MOONSHINE_PARTS) if _is_moonshine(item, store) else ()


def _is_moonshine(item: str, store: ModelStore) -> bool:
    first = f"{item}-{_MOONSHINE_PARTS[0]}"
    return first in store.catalogue and store.catalogue[first].family == _MOONSHINE


def _moonshine(
    item: str,
    store: ModelStore,
    language: str,
    threads: int,
    progress: Progress,
    *,
    may_fetch: bool,
) -> Callable[[], Transcriber]:
    """Return the maker of a Moonshine transcriber. Raises NotHereError, ModelError."""
    if language != _MOONSHINE_LANGUAGE:
        raise NotHereError(f"it knows English only, and audio.language is {language}")
    files: list[bytes] = []
    for part in _MOONSHINE_PARTS:
        name = f"{item}-{part}"
        if store.find(name) is None:
            if not may_fetch:
                raise NotHereError(f"{name} is not on this machine")
            try:
                store.fetch(name, progress)
            except FetchError as error:
                raise NotHereError(error.reason) from None
        files.append(store.resolve([name], fetch=False).read_bytes())
    encoder, decoder, vocabulary = files
    tokens = Vocabulary.parse(vocabulary, f"{item}-{_MOONSHINE_PARTS[2]}")

    def make() -> Transcriber:
        # On the CPU: its files are quantised with operators that only that has kernels for.
        model = Moonshine(
            OnnxEngine(encoder, f"{item}-{_MOONSHINE_PARTS[0]}", threads=threads),
            OnnxEngine(decoder, f"{item}-{_MOONSHINE_PARTS[1]}", threads=threads),
        )
        return MoonshineTranscriber(model, tokens, SphinxAligner())

    return make
