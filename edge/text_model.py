"""The models of the text lane, chosen, fetched, loaded and understood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edge.config import Settings
from edge.errors import ModelError
from edge.fetch import Progress, ignore_progress
from edge.inference.onnx import OnnxEngine
from edge.lanes.lane import Detector
from edge.lanes.ppocr_det import DEFAULT_CONF, PpocrDetector
from edge.lanes.ppocr_rec import PpocrReader, dictionary
from edge.lanes.reader import Reader
from edge.model_store import ModelStore, ResolvedModel, store_of
from edge.track import TrackerSettings

_DETECTORS, _RECOGNISERS, _CLASSIFIERS = ("ppocr-det",), ("ppocr-rec",), ("ppocr-cls",)
"""Families that there is a decoder for. A file that is in no catalogue is taken for one of them:
a wrong one is told of by its first output, which closes the gate."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TextModel:
    """Models that find and read text.

    name: of detector and recogniser. conf: score from which a line counts. make_detector and
    make_reader give one of their own to each lane; raises ModelError.
    """

    name: str
    conf: float
    make_detector: Callable[[], Detector]
    make_reader: Callable[[], Reader]


def load_text_model(settings: Settings, progress: Progress = ignore_progress) -> TextModel | None:
    """Choose, fetch and load the text models; None where text is switched off.

    Raises ModelError.
    """
    text = settings.video.models.text
    if not text.enabled:
        return None
    store, fetch = store_of(settings), settings.models.fetch
    threads = settings.runtime.threads or 1

    def choose(
        preference: Sequence[str], families: Sequence[str]
    ) -> tuple[ResolvedModel, Callable[[], OnnxEngine]]:
        resolved = _resolve(store, preference, families, fetch, progress)
        data = resolved.read_bytes()
        return resolved, lambda: OnnxEngine(data, resolved.name, threads=threads)

    finder, finder_engine = choose(text.detector, _DETECTORS)
    recogniser, recogniser_engine = choose(text.recogniser, _RECOGNISERS)
    classifier = None
    if text.orientation is not None:
        _, classifier = choose(text.orientation, _CLASSIFIERS)
    conf = DEFAULT_CONF

    def build_detector() -> Detector:
        weakest = TrackerSettings(conf=conf).weak
        return PpocrDetector(finder_engine(), input_size=text.input_size, weakest=weakest)

    def build_reader() -> Reader:
        engine = recogniser_engine()
        characters = dictionary(engine.metadata.get("character"), recogniser.name)
        return PpocrReader(engine, characters, classifier() if classifier is not None else None)

    return TextModel(
        f"{finder.name} + {recogniser.name}", conf, _ready(build_detector), _ready(build_reader)
    )


def _resolve(
    store: ModelStore,
    preference: Sequence[str],
    families: Sequence[str],
    fetch: bool,
    progress: Progress,
) -> ResolvedModel:
    resolved = store.resolve(preference, fetch, progress)
    if resolved.family is not None and resolved.family not in families:
        raise ModelError(
            f"model {resolved.name} is of family {resolved.family}, which is not read here. Use "
            f"one of family {', '.join(families)}."
        )
    return resolved


def _ready(build: Callable[[], T]) -> Callable[[], T]:
    """Build the first one now: a model that cannot be loaded is told of before anything is
    written."""
    spare = [build()]
    return lambda: spare.pop() if spare else build()
