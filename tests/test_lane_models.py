"""Which lanes there are for which settings, and what is said where a model is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import lane_models
from edge.config import Settings
from edge.errors import ExitCode, ModelError
from edge.face_model import FaceModel
from edge.lane_models import LaneModels, load_lane_models
from edge.lane_workers import lane_workers
from edge.lanes.text import TextLane
from edge.lanes.worker import LaneWorker
from edge.listen_build import keeps_sound, listening, mouths, speech_settings
from edge.pii.lines import ReadLine
from edge.pii.spans import Kind
from edge.speech.private import PrivateWords
from edge.speech.words import Word
from edge.speech_model import SpeechModel
from edge.text_model import TextModel
from tests.command import invoke
from tests.harness import SIZE, Script, film, settings_with
from tests.lanes.talk import EnergyVoice
from tests.sounds import Ear, private_line, read_sound, write_sound

EMAIL, PLATE = "jane.roe@example.org", "AB12 CDE"
HEARD = "--set=audio.enabled=true"


class NoReader:
    def read(self, *_: Any) -> Any:
        raise AssertionError("nothing is read here")


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No models but those that a test puts there; text and speech by script."""
    monkeypatch.delenv("PRIVAEDGE_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("edge.model_store.SYSTEM_DIR", tmp_path / "none")

    def text(settings: Settings, *_: object) -> TextModel | None:
        if not settings.video.models.text.enabled:
            return None
        return TextModel("scripted text", 0.3, Script().detector, NoReader)  # type: ignore[arg-type]

    def speech(settings: Settings, *_: object) -> SpeechModel | None:
        return SpeechModel("scripted speech", EnergyVoice, Ear) if settings.audio.enabled else None

    monkeypatch.setattr(lane_models, "load_text_model", text)
    monkeypatch.setattr(lane_models, "load_speech_model", speech)


@pytest.fixture
def face(blind_model: Path) -> str:
    return f"video.models.face.model={blind_model}"


def load(tmp_path: Path, *overrides: str) -> tuple[Settings, LaneModels]:
    """Load with all lanes of the picture switched on, less what the overrides say."""
    settings = settings_with(
        f"models.search_paths=[{tmp_path}]", "models.fetch=false",
        "video.models.plate.enabled=true", "video.models.text.enabled=true", *overrides,
    )  # fmt: skip
    return settings, load_lane_models(settings)


def workers(settings: Settings, models: LaneModels) -> list[LaneWorker]:
    return [make(lambda *_: None, lambda _: None) for make in lane_workers(settings, models, *SIZE)]


OFF = "video.models.{}.enabled=false"


@pytest.mark.parametrize(
    ("off", "names"),
    [
        (("plate",), ["faces", "text"]),
        (("plate", "text"), ["faces"]),
        (("plate", "face"), ["text"]),
        (("plate", "text", "face"), []),
    ],
)
def test_each_lane_can_be_switched_off(
    tmp_path: Path, face: str, off: Sequence[str], names: list[str]
) -> None:
    settings, models = load(tmp_path, face, *(OFF.format(name) for name in off))
    assert [worker.name for worker in workers(settings, models)] == names
    assert list(models.names) == names
    assert str(models) == (", ".join(f"{k} by {v}" for k, v in models.names.items()) or "nobody")
    assert not models.notes
    assert (models.make_judge is not None) == ("text" in names)
    assert models.speech is None
    assert models.make_words is None
    assert listening(settings, models, live=False) is None
    assert listening(settings, models, live=True) is None


def test_text_is_looked_for_as_often_as_that_is_set(tmp_path: Path, face: str) -> None:
    settings, models = load(tmp_path, face, OFF.format("plate"), "video.models.text.target_fps=1.5")
    faces, text = workers(settings, models)
    assert faces.looks_per_s == math.inf
    assert text.looks_per_s == 1.5


# --- plates ---------------------------------------------------------------------------------


FOREIGN_ONLY = 'video.models.plate.model=["plate-hyperlpr"]'
"""A model that no fresh machine has."""


def text_lane(settings: Settings, models: LaneModels) -> TextLane:
    (lane,) = [worker._lane for worker in workers(settings, models) if worker.name == "text"]
    assert isinstance(lane, TextLane)
    return lane


def test_a_line_that_is_seen_once_is_hidden_whatever_faces_need(tmp_path: Path, face: str) -> None:
    settings, models = load(tmp_path, face, "stabilization.k_confirm=3", OFF.format("plate"))
    assert text_lane(settings, models)._settings.k_confirm == 1
    (faces,) = [worker._lane for worker in workers(settings, models) if worker.name == "faces"]
    assert faces._tracker._settings.k_confirm == 3


def test_a_fresh_machine_looks_for_plates_and_reads_them(tmp_path: Path, face: str) -> None:
    settings, models = load(tmp_path, face)
    assert models.plate is not None
    assert models.plate.name == "plates-own"
    assert not models.notes
    assert [worker.name for worker in workers(settings, models)] == ["faces", "plates", "text"]
    assert text_lane(settings, models)._plates  # the second opinion


def test_missing_plate_model_is_stood_in_for_by_text_and_told_of(tmp_path: Path, face: str) -> None:
    settings, models = load(tmp_path, face, FOREIGN_ONLY)
    assert models.plate is None
    (note,) = models.notes
    assert note.startswith("no plate detector: lines that read like a plate are hidden instead (")
    assert "plate-hyperlpr" in note
    assert "\n" not in note
    assert [worker.name for worker in workers(settings, models)] == ["faces", "text"]
    assert text_lane(settings, models)._plates


def test_the_stand_in_hides_plates_whatever_else_text_hides(tmp_path: Path, face: str) -> None:
    settings, models = load(tmp_path, face, "video.models.text.hide=[]", FOREIGN_ONLY)
    assert models.notes
    assert text_lane(settings, models)._plates


def test_missing_plate_model_without_text_is_an_error(tmp_path: Path, face: str) -> None:
    with pytest.raises(ModelError, match="plate-hyperlpr") as caught:
        load(tmp_path, face, OFF.format("text"), FOREIGN_ONLY)
    assert "\n" not in str(caught.value)


def test_plates_that_are_switched_off_are_not_looked_for_in_text(tmp_path: Path, face: str) -> None:
    settings, models = load(tmp_path, face, OFF.format("plate"))
    assert not models.notes
    assert not text_lane(settings, models)._plates


# --- what is hidden -------------------------------------------------------------------------


def judged(models: LaneModels, *texts: str) -> list[Kind | None]:
    assert models.make_judge is not None
    lines = [ReadLine(text, 0.99, (0, 400 * n, 300, 400 * n + 30)) for n, text in enumerate(texts)]
    return [verdict.kind for verdict in models.make_judge().judge(lines)]


def test_kinds_that_are_chosen_reach_the_judge(tmp_path: Path, face: str) -> None:
    off = OFF.format("plate")
    _, models = load(tmp_path, face, off)
    assert judged(models, EMAIL, "EXIT") == [Kind.EMAIL, None]
    _, models = load(tmp_path, face, off, "video.models.text.hide=[phone]")
    assert judged(models, EMAIL, "EXIT") == [None, None]
    _, models = load(tmp_path, face, off, "video.models.text.hide=[]")
    assert judged(models, EMAIL, PLATE) == [None, None]


def said(models: LaneModels, *texts: str) -> set[Kind]:
    assert models.make_words is not None
    judge = models.make_words()
    assert isinstance(judge, PrivateWords)
    words = [Word(text, n / 2, n / 2 + 0.4) for n, text in enumerate(texts)]
    return {span.kind for span in judge.tag(words)}


SENTENCE = ["my", "email", "is", "jane", "dot", "roe", "at", "example", "dot", "org"]


def test_kinds_that_are_chosen_reach_the_ear(tmp_path: Path, face: str) -> None:
    on = (face, OFF.format("plate"), "audio.enabled=true", "audio.tagger=null")
    settings, models = load(tmp_path, *on)
    assert Kind.EMAIL in said(models, *SENTENCE)
    assert list(models.names) == ["faces", "text", "speech"]
    assert listening(settings, models, live=False) is not None
    settings, models = load(tmp_path, *on, "audio.hide=[]")
    assert said(models, *SENTENCE) == set()
    assert speech_settings(settings, live=False).hide == frozenset()


def test_each_stream_gets_judges_of_its_own(tmp_path: Path, face: str) -> None:
    _, models = load(tmp_path, face, OFF.format("plate"), "audio.enabled=true", "audio.tagger=null")
    assert models.make_judge is not None
    assert models.make_words is not None
    assert models.make_judge() is not models.make_judge()
    assert models.make_words() is not models.make_words()


# --- nobody can listen ----------------------------------------------------------------------


@pytest.fixture
def no_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(settings: Settings, *_: object) -> SpeechModel | None:
        if settings.audio.enabled:
            raise ModelError("no speech model can be had. Name one.")
        return None

    monkeypatch.setattr(lane_models, "load_speech_model", absent)


@pytest.mark.usefixtures("no_speech")
def test_a_live_stream_goes_on_mute_where_nobody_can_listen(face: str) -> None:
    settings = settings_with(face, HEARD.removeprefix("--set="))
    with pytest.raises(ModelError):
        load_lane_models(settings)
    models = load_lane_models(settings, may_be_deaf=True)
    assert models.deaf
    assert any("mute" in note and "no speech model" in note for note in models.notes)
    assert not keeps_sound(settings, models)
    off = settings_with(face)
    assert keeps_sound(off, load_lane_models(off, may_be_deaf=True))


@pytest.mark.usefixtures("no_speech")
def test_nothing_is_heard_live_without_a_model(tmp_path: Path, face: str) -> None:
    clip, output = film(tmp_path / "in.mp4", 40, sound=True), tmp_path / "out.mp4"
    options = (f"--set={face}", HEARD, "--set=audio.chunk_seconds=1")
    outcome = invoke("run", clip, output, "--realtime", *options)
    assert "nobody can listen, so the sound is mute" in outcome.err
    assert np.abs(read_sound(clip)[0]).max() > 0.05
    assert np.abs(read_sound(output)[0]).max() < 1e-3


@pytest.mark.usefixtures("no_speech")
def test_a_file_needs_ears_only_where_it_has_sound(tmp_path: Path, face: str) -> None:
    output = tmp_path / "out.mp4"
    spoken = film(tmp_path / "spoken.mp4", 10, sound=True)
    outcome = invoke("run", spoken, output, f"--set={face}", HEARD)
    outcome.refused(ExitCode.MODEL, "no speech model")
    assert not output.exists()
    mute = film(tmp_path / "mute.mp4", 10, sound=False)
    outcome = invoke("run", mute, output, f"--set={face}", HEARD)
    assert outcome.code == 0, outcome.err
    assert output.exists()


# --- the tagger -----------------------------------------------------------------------------


def test_tagger_is_the_first_that_is_here(tmp_path: Path, face: str) -> None:
    on = (face, OFF.format("plate"), "audio.enabled=true")
    _, models = load(tmp_path, *on, f"audio.tagger=[{tmp_path}/none, tagger-own]")
    assert models.make_words is not None
    with pytest.raises(ModelError, match=r"no tagger can be had.+Name one in audio\.tagger"):
        load(tmp_path, *on, f"audio.tagger={tmp_path}/none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError) as caught:
        load(tmp_path, *on, f"audio.tagger={tmp_path}/empty")
    assert "\n" not in str(caught.value)


def test_without_the_lane_its_tagger_is_not_looked_for(tmp_path: Path, face: str) -> None:
    _, models = load(tmp_path, face, OFF.format("plate"), f"audio.tagger={tmp_path}/none")
    assert models.make_words is None


# --- the ear's rules ------------------------------------------------------------------------


def test_live_speech_is_decided_before_it_is_due() -> None:
    for chunk_s in (1, 5, 10, 25):
        settings = settings_with(
            "audio.enabled=true", f"audio.chunk_seconds={chunk_s}", f"delay.seconds={chunk_s + 2}"
        )
        rules = speech_settings(settings, live=True)
        assert rules.max_wait_s <= settings.delay_s - 1
        assert rules.chunk_s == chunk_s
        assert speech_settings(settings, live=False).max_wait_s == chunk_s + 3


def test_settings_of_speech_reach_the_lane() -> None:
    settings = settings_with(
        "audio.enabled=true", "audio.threshold=0.2", "audio.vad_threshold=0.3",
        "audio.pad_before_s=0.5", "audio.pad_after_s=0.6", "audio.hide=[name]",
    )  # fmt: skip
    rules = speech_settings(settings, live=False)
    assert (rules.threshold, rules.vad_threshold) == (0.2, 0.3)
    assert (rules.pad_before_s, rules.pad_after_s) == (0.5, 0.6)
    assert rules.hide == frozenset({Kind.NAME})


def test_pictures_wait_for_words_only_where_faces_may_be_shown() -> None:
    scripted = FaceModel("scripted", "test", 0.3, Script().detector)
    known: Any = object()
    on = settings_with("audio.enabled=true")
    assert mouths(on, LaneModels(face=scripted, people=known))
    assert not mouths(on, LaneModels(face=scripted))
    assert not mouths(on, LaneModels()), "nobody knows where mouths are"
    off = settings_with("audio.enabled=true", "audio.mouth_blur=false")
    assert not mouths(off, LaneModels(face=scripted, people=known))


# --- the command for files of sound ---------------------------------------------------------


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    sound, _ = private_line(16_000)
    return write_sound(tmp_path / "in.wav", sound, 16_000, "pcm_s16le", "mono")


def test_command_says_in_one_line_that_nothing_listens(tmp_path: Path, spoken: Path) -> None:
    outcome = invoke("run", spoken, tmp_path / "out.wav")
    outcome.refused(ExitCode.CONFIG, "audio.enabled is false", "--set audio.enabled=true")
    assert not (tmp_path / "out.wav").exists()


def test_command_needs_no_models_for_pictures(
    tmp_path: Path, spoken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a plugin that is not installed, nor a face model that is not there."""
    config = tmp_path / "settings.yaml"
    config.write_text(
        "audio: {enabled: true, tagger: null}\n"
        "models: {fetch: false}\n"
        "video: {whitelist: {enabled: true}, models: {own: [{name: absent}]}}\n"
    )
    stats = tmp_path / "stats.json"
    output = tmp_path / "out.wav"
    outcome = invoke("run", spoken, output, "--config", config, "--stats", stats, HEARD)
    assert outcome.code == 0, outcome.err
    assert "speech by scripted speech" in outcome.err
    assert output.exists()
    assert '"speech": "scripted speech"' in stats.read_text()
    again = invoke("run", spoken, output, "--config", config, HEARD)
    again.refused(ExitCode.OUTPUT, "already exists")
    assert invoke("run", spoken, output, "--config", config, HEARD, "--force", "-q").err == ""
