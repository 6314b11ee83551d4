"""Which model files a run would need, and fetching them beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.config import Settings
from edge.errors import ModelError
from edge.fetch import Progress, ignore_progress
from edge.model_store import ModelStore
from edge.speech_model import choose_transcriber, moonshine_files


def files_of(name: str, store: ModelStore) -> tuple[str, ...]:
    """Names in the catalogue that a name stands for: itself, or the files of a speech model."""
    return moonshine_files(name, store) or (name,)


def fetch_needed(
    settings: Settings, store: ModelStore, progress: Progress = ignore_progress
) -> tuple[list[Path], list[str]]:
    """Fetch what the lanes of a profile need and is not here.

    Returns the files, and remarks on what is not needed after all. Raises ModelError.
    """
    notes: list[str] = []
    paths = [store.resolve(wanted, True, progress).path for wanted in _preferences(settings)]
    plate = settings.video.models.plate
    if plate.enabled:
        try:
            paths.append(store.resolve(plate.model, True, progress).path)
        except ModelError as error:
            if not settings.video.models.text.enabled:
                raise
            notes.append(f"no plate detector: the text lane stands in ({error})")
    if settings.audio.enabled:
        able = settings.model_copy(
            update={"models": settings.models.model_copy(update={"fetch": True})}
        )
        name, _ = choose_transcriber(able, store, 1, progress)
        files = moonshine_files(name, store)
        paths += [path for file in files if (path := store.find(file)) is not None]
        if not files:
            notes.append(f"speech is turned into words by {name}")
    return paths, notes


def _preferences(settings: Settings) -> list[Sequence[str]]:
    """What has to be on this machine, lane by lane, but for plates and words."""
    video, audio = settings.video, settings.audio
    wanted: list[Sequence[str] | None] = []
    if video.models.face.enabled:
        wanted.append(video.models.face.model)
        if video.whitelist.enabled:
            wanted.append(video.whitelist.model)
    if video.models.text.enabled:
        text = video.models.text
        wanted += [text.detector, text.recogniser, text.orientation]
    if audio.enabled:
        wanted.append(audio.vad)
    return [preference for preference in wanted if preference is not None]
