"""What each lane of a profile would look or listen with: chosen as a run does, loaded, and tried.

Every model that is on this machine is loaded by the very functions that a run uses, and given a
test input; nothing is fetched. What lanes of several profiles share is tried once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, TypeVar

import av
import cv2
import numpy as np

from edge.config import Settings
from edge.detection import Detections
from edge.doctor_report import LanePart, Readiness
from edge.errors import ModelError
from edge.face_model import load_face_model
from edge.inference.choice import explain, explain_exported
from edge.lane_models import OWN_TAGGER, tagger_maker
from edge.lanes.lane import Detector
from edge.media.picture import HostPicture
from edge.model_store import ModelStore, ResolvedModel, is_path
from edge.pii.classifier import TextClassifier
from edge.plate_model import load_plate_model
from edge.plugins import GROUP, load_plugins
from edge.probe import package_version
from edge.recognition import load_embedding_model
from edge.speech.finding import ANY
from edge.speech.words import SAMPLE_RATE
from edge.speech_model import load_speech_model, moonshine_files
from edge.text_model import load_text_model

_PICTURE: Final = (640, 360)
_WORDS: Final = "PRIVAEDGE 2468"
_LINE: Final = ((40.0, 130.0), (600.0, 130.0), (600.0, 200.0), (40.0, 200.0))
"""Corners of the line of text in the test picture, clockwise."""
_ALIGNER: Final = "pocketsphinx"
_SMALL: Final = "ONNX Runtime on the CPU: too small for a GPU to gain anything"
_ONLY_ORT: Final = "ONNX Runtime on the CPU: the published file is quantised for it alone"

T = TypeVar("T")
Trial = Callable[[], object]


class LaneDoctor:
    """Judges the lanes of one profile after another, on one machine."""

    def __init__(self) -> None:
        self._tried: dict[tuple[object, ...], str | None] = {}

    def parts(self, settings: Settings, store: ModelStore) -> Iterator[LanePart]:
        """Yield every model that the lanes of a profile need, in the order of the lanes."""
        judge = _Judge(settings, store, self._tried)
        yield judge.faces()
        yield judge.whitelist()
        yield judge.plates()
        yield from judge.text()
        yield from judge.speech()
        yield from judge.own()


class _Judge:
    """The lanes of one profile."""

    def __init__(
        self, settings: Settings, store: ModelStore, tried: dict[tuple[object, ...], str | None]
    ) -> None:
        self._settings, self._store, self._tried = settings, store, tried
        # A trial sees the folders that the store sees, first of all, and fetches nothing.
        folders = tuple(map(str, store.search_dirs))
        models = settings.models.model_copy(update={"fetch": False, "search_paths": folders})
        self._offline = settings.model_copy(update={"models": models})
        self._video = settings.video

    def faces(self) -> LanePart:
        face = self._video.models.face
        if not face.enabled:
            return _off("faces", "detector", "video.models.face.enabled is false")
        return self._of_store("faces", "detector", face.model, lambda: self._sees(
            _made(load_face_model(self._offline)).make()
        ))  # fmt: skip

    def whitelist(self) -> LanePart:
        if not self._video.whitelist.enabled:
            return _off("whitelist", "embedding", "video.whitelist.enabled is false")
        if not self._video.models.face.enabled:
            return _off("whitelist", "embedding", "video.models.face.enabled is false")
        # Loading runs the network on a face of grey.
        return self._of_store(
            "whitelist", "embedding", self._video.whitelist.model,
            lambda: load_embedding_model(self._offline).make(),
        )  # fmt: skip

    def plates(self) -> LanePart:
        plate, text = self._video.models.plate, self._video.models.text
        if not plate.enabled:
            return _off("plates", "detector", "video.models.plate.enabled is false")
        part = self._of_store("plates", "detector", plate.model, lambda: self._sees(
            _made(load_plate_model(self._offline).model).make()
        ))  # fmt: skip
        if part.readiness == "broken" and text.enabled and self._all_missing(plate.model):
            return LanePart(
                "plates", "detector", "stands in", None, why="the text lane hides lines that read "
                f"like a plate, for want of a detector: {part.why}",
            )  # fmt: skip
        return part

    def text(self) -> Iterator[LanePart]:
        text = self._video.models.text
        if not text.enabled:
            yield _off("text", "detector", "video.models.text.enabled is false")
            return
        roles = {"detector": text.detector, "recogniser": text.recogniser}
        if text.orientation is not None:
            roles["orientation"] = text.orientation
        found = [self._of_store("text", role, items, None) for role, items in roles.items()]
        if all(part.readiness == "ready" for part in found):
            key = ("text", *((part.model, part.sha256) for part in found))
            trouble = self._try(key, "text", self._reads)
            found = [_after_trial(part, trouble) for part in found]
        yield from found
        trouble = self._try(("lines",), "text", lambda: TextClassifier.load().classify([_WORDS]))
        yield _carried("text", "classifier", "lines", trouble)

    def speech(self) -> Iterator[LanePart]:
        audio = self._settings.audio
        if not audio.enabled:
            yield _off("speech", "transcriber", "audio.enabled is false")
            return
        voice = self._of_store("speech", "voice", audio.vad, None, runs=_SMALL)
        told: list[str] = []
        trouble = None
        if voice.readiness == "ready":
            key = ("speech", voice.sha256, audio.model, audio.language, self._store.search_dirs)
            trouble = self._try(key, "speech", lambda: told.append(self._hears()))
            if trouble is None and not told:  # by an earlier profile
                told.append(_made(load_speech_model(self._offline)).name)
        if told:
            yield _after_trial(voice, None)
            yield self._transcriber(told[0])
        else:
            yield voice
            yield self._no_transcriber(trouble)
        if version := package_version(_ALIGNER):
            yield LanePart(
                "speech", "aligner", "ready", _ALIGNER, source=f"package, version {version}",
                why="times words for Moonshine and exported Whispers",
            )  # fmt: skip
        else:
            why = f"the package {_ALIGNER} is missing. Run: pip install 'privaedge[speech]'"
            yield LanePart("speech", "aligner", "broken", _ALIGNER, why=why)
        yield self._tagger()

    def own(self) -> Iterator[LanePart]:
        known = {one.name: one for one in entry_points(group=GROUP)}
        for rules in self._video.models.own:
            one = known.get(rules.name)
            package = f"package {one.dist.name} {one.dist.version}" if one and one.dist else None
            models = self._video.models.model_copy(update={"own": (rules,)})
            video = self._video.model_copy(update={"models": models})
            settings = self._offline.model_copy(update={"video": video})

            def trial(settings: Settings = settings) -> None:
                (plugin,) = load_plugins(settings)
                self._sees(plugin.make())

            trouble = self._try(("own", rules.name), rules.name, trial)
            part = LanePart(
                rules.name, "detector", "ready", one.value if one else None, source=package,
                why="named in video.models.own",
            )  # fmt: skip
            yield _after_trial(part, trouble)

    def _tagger(self) -> LanePart:
        preference = self._settings.audio.tagger
        if preference is None:
            return _off("speech", "tagger", "audio.tagger is null: formats and numbers alone count")

        def trial() -> None:
            tagger = tagger_maker(self._offline)()
            if tagger is not None:
                tagger.scores(_WORDS.lower().split())

        trouble = self._try(("tagger", preference), "speech", trial)
        if preference[0] == OWN_TAGGER:
            return _carried("speech", "tagger", OWN_TAGGER, trouble)
        why = f"one of {', '.join(preference)}"
        return _after_trial(
            LanePart(
                "speech", "tagger", "ready", Path(preference[0]).name,
                runs=explain_exported(preference[0], self._settings.runtime.device), why=why,
            ),
            trouble,
        )  # fmt: skip

    def _transcriber(self, name: str) -> LanePart:
        """A speech model that listened to a test input."""
        files = moonshine_files(name, self._store)
        path = self._store.find(files[0]) if files else None  # loaded, so all are verified
        return LanePart(
            "speech", "transcriber", "ready", name, answers=True,
            source=None if path is None else str(path.parent),
            verified=None if path is None else True,
            runs=_ONLY_ORT if files else explain_exported(name, self._settings.runtime.device),
            why="first of its preference that is here",
        )  # fmt: skip

    def _no_transcriber(self, trouble: str | None) -> LanePart:
        """Say which model a run would fetch, or why none can be had."""
        if self._settings.models.fetch:
            for item in self._settings.audio.model:
                if names := moonshine_files(item, self._store):
                    able = all(self._store.catalogue[name].fetchable for name in names)
                    if able and all(self._state(name) in ("ok", "missing") for name in names):
                        return LanePart("speech", "transcriber", "fetch", item, why=_TO_FETCH)
                elif item != ANY and not Path(item).is_dir() and package_version("faster-whisper"):
                    return LanePart("speech", "transcriber", "fetch", item, why=_TO_FETCH)
        why = trouble or "the voice detector has to be there first"
        return LanePart("speech", "transcriber", "broken", None, why=why)

    def _of_store(
        self,
        lane: str,
        role: str,
        preference: Sequence[str],
        trial: Trial | None,
        *,
        runs: str | None = None,
    ) -> LanePart:
        """Say which model of a preference a run would take; try it where it is here.

        runs: what runs it wherever it is; None where the exported engines are asked.
        """
        try:
            resolved = self._store.resolve(preference, fetch=False)
        except ModelError as error:
            able = [] if not self._all_missing(preference) else [
                name for name in preference if self._store.catalogue[name].fetchable
            ]  # fmt: skip
            if able and self._settings.models.fetch:
                return LanePart(lane, role, "fetch", able[0], why=_TO_FETCH)
            return LanePart(lane, role, "broken", None, why=str(error))
        part = LanePart(
            lane,
            role,
            "ready",
            resolved.name,
            source=str(resolved.path),
            sha256=resolved.sha256,
            verified=_verified(resolved),
            runs=runs or explain(resolved.weights_sha256, self._settings.runtime.device),
            why=self._why(resolved.name, preference),
        )
        if trial is None:
            return part
        return _after_trial(part, self._try((lane, role, resolved.sha256), lane, trial))

    def _why(self, chosen: str, preference: Sequence[str]) -> str:
        passed = []
        for item in preference:
            if is_path(item) or item == chosen:
                break
            passed.append(item)
        if not passed:
            return "first of its preference"
        return f"first of its preference that is here ({', '.join(passed)} not on disk)"

    def _all_missing(self, preference: Sequence[str]) -> bool:
        """Whether every item is catalogued and simply not there: nothing that needs a repair."""
        try:
            return all(
                not is_path(item) and self._store.status(item).state == "missing"
                for item in preference
            )
        except ModelError:
            return False

    def _state(self, name: str) -> str:
        try:
            return self._store.status(name).state
        except ModelError:
            return "unreadable"

    def _try(self, key: tuple[object, ...], lane: str, trial: Trial) -> str | None:
        """Load and run once for all profiles; return what is wrong, as cause and remedy."""
        key = (self._settings.runtime.device, *key)
        if key not in self._tried:
            try:
                trial()
            except ModelError as error:
                self._tried[key] = str(error)
            except Exception as error:  # noqa: BLE001 - models and plugins raise what they like
                self._tried[key] = (
                    f"what the {lane} lane uses fails on a test input ({type(error).__name__}). "
                    "Use another model, or tell its author."
                )
            else:
                self._tried[key] = None
        return self._tried[key]

    def _sees(self, detector: Detector) -> None:
        """Have a detector look at a test picture. Raises ModelError for an answer that is none."""
        frame_id, found = detector.infer(7, trial_picture())
        if frame_id != 7 or not isinstance(found, Detections):
            raise ModelError(
                "the detector's answer is not (frame_id, detections). Tell its author."
            )

    def _reads(self) -> None:
        model = _made(load_text_model(self._offline))
        self._sees(model.make_detector())
        model.make_reader().read(trial_picture(), np.array([_LINE], np.float32))

    def _hears(self) -> str:
        """Have the speech models listen to a second of soft noise; return the model's name."""
        model = _made(load_speech_model(self._offline))
        noise = np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE).astype(np.float32)
        model.make_vad().listen(noise)
        model.make_transcriber().transcribe(noise)
        return model.name


_TO_FETCH: Final = "none of its preference is here; the first that can be fetched"


def trial_picture() -> HostPicture:
    """Return a grey picture, 640x360, with a line of text, as a decoder gives it."""
    width, height = _PICTURE
    picture = np.full((height * 3 // 2, width), 128, np.uint8)
    cv2.putText(picture, _WORDS, (50, 185), cv2.FONT_HERSHEY_SIMPLEX, 2, (235,), 5)
    return HostPicture(av.VideoFrame.from_ndarray(picture, format="yuv420p"))


def _made(model: T | None) -> T:
    """A lane that is on has a model, or its loader raises."""
    if model is None:
        raise ModelError("no model can be had. Run `privaedge models fetch`.")
    return model


def _verified(resolved: ResolvedModel) -> bool:
    """Whether the file's SHA-256 is one that somebody vouches for: the catalogue or a manifest."""
    return resolved.entry is not None or resolved.exported_from is not None


def _off(lane: str, role: str, why: str) -> LanePart:
    return LanePart(lane, role, "off", None, why=why)


def _carried(lane: str, role: str, name: str, trouble: str | None) -> LanePart:
    """A model whose weights travel with the package, which checks their SHA-256 as it loads."""
    part = LanePart(
        lane, role, "ready", name, source="comes with privaedge", verified=True,
        why="comes with privaedge",
    )  # fmt: skip
    return _after_trial(part, trouble)


def _after_trial(part: LanePart, trouble: str | None) -> LanePart:
    readiness: Readiness = "ready" if trouble is None else "broken"
    why = part.why if trouble is None else trouble
    return replace(part, readiness=readiness, answers=trouble is None, why=why)
