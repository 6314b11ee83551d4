"""All models of a stream's lanes, loaded before it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.config import Settings
from edge.errors import ModelError
from edge.face_model import FaceModel, load_face_model
from edge.fetch import Progress, ignore_progress
from edge.inference.choice import engine_maker
from edge.inference.manifest import engines_dir, find_model
from edge.model_store import is_path, store_of
from edge.pii.classifier import TextClassifier
from edge.pii.lines import LineJudge
from edge.pii.tagger import TokenTagger, load_word_tagger
from edge.pii.token_classifier import TokenClassifier
from edge.plate_model import PlateModel, load_plate_model
from edge.plugins import Plugin, load_plugins
from edge.recognition import RecognitionModel, load_recognition
from edge.speech.private import PrivateWords
from edge.speech_model import SpeechModel, load_speech_model
from edge.text_model import TextModel, load_text_model

OWN_TAGGER: Final = "tagger-own"
"""The small tagger whose weights come with the package."""


@dataclass(frozen=True, slots=True)
class LaneModels:
    """What looks and listens; None where a lane is off. notes: remarks for the user."""

    face: FaceModel | None = None
    people: RecognitionModel | None = None
    plate: PlateModel | None = None
    text: TextModel | None = None
    make_judge: Callable[[], LineJudge] | None = None
    """Tells which lines of text are private."""
    plugins: tuple[Plugin, ...] = ()
    speech: SpeechModel | None = None
    make_words: Callable[[], PrivateWords] | None = None
    """Tells which spoken words are private."""
    deaf: bool = False
    """Somebody should listen and cannot: no sound may leave."""
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """The model of each lane that is on."""
        lanes = {"faces": self.face, "plates": self.plate, "text": self.text,
                 "speech": self.speech}  # fmt: skip
        own = {plugin.name: "a plugin" for plugin in self.plugins}
        return {lane: model.name for lane, model in lanes.items() if model is not None} | own

    def __str__(self) -> str:
        return ", ".join(f"{lane} by {name}" for lane, name in self.names.items()) or "nobody"


def load_lane_models(
    settings: Settings, progress: Progress = ignore_progress, *, may_be_deaf: bool = False
) -> LaneModels:
    """Choose, fetch and load what the settings ask for.

    may_be_deaf: go on without a speech model where none can be had; all sound has to be mute then.

    Raises ModelError.
    """
    notes = []
    face = load_face_model(settings, progress)
    people = load_recognition(settings, progress) if face is not None else None
    plates = load_plate_model(settings, progress)
    if plates.missing is not None:
        notes.append(f"no plate detector: lines that read like a plate are hidden instead "
                     f"({plates.missing})")  # fmt: skip
    text = load_text_model(settings, progress)
    speech, deaf = None, False
    try:
        speech = load_speech_model(settings, progress)
    except ModelError as error:
        if not may_be_deaf:
            raise
        deaf = True
        notes.append(f"nobody can listen, so the sound is mute ({error})")
    return LaneModels(
        face=face,
        people=people,
        plate=plates.model,
        text=text,
        make_judge=_judge(settings) if text is not None else None,
        plugins=load_plugins(settings),
        speech=speech,
        make_words=_words(settings) if speech is not None else None,
        deaf=deaf,
        notes=tuple(notes),
    )


def _judge(settings: Settings) -> Callable[[], LineJudge]:
    rules = settings.video.models.text
    spare = [TextClassifier.load()]

    def make() -> LineJudge:
        classifier = spare.pop() if spare else TextClassifier.load()
        return LineJudge(classifier, hide=rules.hide, threshold=rules.threshold)

    return make


def _words(settings: Settings) -> Callable[[], PrivateWords]:
    audio = settings.audio
    load = tagger_maker(settings)
    spare = [load()]

    def make() -> PrivateWords:
        tagger = spare.pop() if spare else load()
        return PrivateWords(tagger, hide=audio.hide, threshold=audio.threshold)

    return make


def tagger_maker(settings: Settings) -> Callable[[], TokenTagger | None]:
    """Return what loads the first tagger of the preference that is on this machine."""
    preference, threads = settings.audio.tagger, settings.runtime.threads or 1
    for item in preference or ():
        if item == OWN_TAGGER:
            return lambda: load_word_tagger(threads=threads)
        folder = Path(item).expanduser()
        if folder.is_dir():
            device = settings.runtime.device
            return lambda: TokenClassifier.load(folder, threads=threads, device=device)
        if folder.is_file() if is_path(item) else find_model(engines_dir(), item) is not None:
            resolved = store_of(settings).resolve([item], fetch=False)
            make = engine_maker(
                resolved.read_bytes(),
                resolved.name,
                resolved.weights_sha256,
                device=settings.runtime.device,
                threads=threads,
            )
            return lambda: TokenClassifier.of(make())
    if preference is None:
        return lambda: None
    raise ModelError(
        f"no tagger can be had: {', '.join(preference)} is neither {OWN_TAGGER} nor an exported "
        "model or folder that is here. Name one in audio.tagger, or set it to null."
    )
