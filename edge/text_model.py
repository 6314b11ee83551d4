"""The models of the text lane, chosen, fetched, loaded and understood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edge.config import Settings
from edge.errors import ModelError
from edge.fetch import Progress, ignore_progress
from edge.inference.choice import engine_maker
from edge.inference.engine import Engine
from edge.lanes import doctr_det
from edge.lanes.doctr_card import ARCHITECTURE
from edge.lanes.doctr_det import DoctrDetector
from edge.lanes.doctr_rec import DoctrReader
from edge.lanes.lane import Detector
from edge.lanes.ppocr_det import DEFAULT_CONF, PpocrDetector
from edge.lanes.ppocr_rec import PpocrReader, dictionary
from edge.lanes.reader import Reader
from edge.model_store import ModelStore, ResolvedModel, store_of
from edge.track import TrackerSettings

_DETECTORS = ("ppocr-det", "doctr-det")
_RECOGNISERS = ("ppocr-rec", "doctr-rec")
_CLASSIFIERS = ("ppocr-cls",)
"""Families that there is a decoder for. A file of unknown family is docTR's where its metadata says
so, else taken for PP-OCR's: a wrong one is told of by its first output, which closes the gate."""

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
    ) -> tuple[ResolvedModel, Callable[[], Engine]]:
        resolved = _resolve(store, preference, families, fetch, progress)
        return resolved, engine_maker(
            resolved.read_bytes(),
            resolved.name,
            resolved.weights_sha256,
            device=settings.runtime.device,
            threads=threads,
        )

    finder, finder_engine = choose(text.detector, _DETECTORS)
    recogniser, recogniser_engine = choose(text.recogniser, _RECOGNISERS)
    words = _is_doctr(finder, finder_engine)
    conf = doctr_det.DEFAULT_CONF if words else DEFAULT_CONF
    finds = DoctrDetector if words else PpocrDetector
    reads_words = _is_doctr(recogniser, recogniser_engine)
    classifier = None
    if text.orientation is not None and not reads_words:  # docTR's reader tries both ways itself
        _, classifier = choose(text.orientation, _CLASSIFIERS)

    def build_detector() -> Detector:
        weakest = TrackerSettings(conf=conf).weak
        return finds(finder_engine(), input_size=text.input_size, weakest=weakest)

    def build_reader() -> Reader:
        engine = recogniser_engine()
        if reads_words:
            return DoctrReader(engine)
        characters = dictionary(engine.metadata.get("character"), recogniser.name)
        return PpocrReader(engine, characters, classifier() if classifier is not None else None)

    return TextModel(
        f"{finder.name} + {recogniser.name}", conf, _ready(build_detector), _ready(build_reader)
    )


def _is_doctr(resolved: ResolvedModel, make: Callable[[], Engine]) -> bool:
    """Whether a model is docTR's: by its family, or by what an unknown file says of itself."""
    if resolved.family is not None:
        return resolved.family.startswith("doctr-")
    return ARCHITECTURE in make().metadata


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
