"""Which speech model is taken, and what is said where none can be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import Audio, Settings
from edge.errors import ModelError
from edge.model_store import ModelStore
from edge.speech.moonshine import MoonshineTranscriber
from edge.speech.vad import SileroVad
from edge.speech_model import load_speech_model
from tests.speech.spoken import model_bytes, read_sound, real_aligner
from tests.support import shared_file

PARTS = {
    "moonshine-tiny-en-encoder": "moonshine_tiny_en_encoder_model.ort",
    "moonshine-tiny-en-decoder": "moonshine_tiny_en_decoder_model_merged.ort",
    "moonshine-tiny-en-tokenizer": "moonshine_tiny_en_tokenizer.bin",
    "silero-vad": "silero_vad.onnx",
}


def asked(folder: Path | None = None, **audio) -> Settings:
    return Settings.model_validate(
        {
            "audio": {"enabled": True, **audio},
            "models": {"fetch": False, "search_paths": [str(folder)] if folder else []},
        }
    )


@pytest.fixture
def folder(tmp_path: Path, machine: dict[str, str]) -> Path:
    """The real models in a folder of a machine that has nothing else."""
    return tmp_path / "models"


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / PARTS[name]).write_bytes(model_bytes(name))
    return folder


# Before the fixture `machine` empties the cache that they come from.
@pytest.fixture(scope="module", autouse=True)
def _models_at_hand() -> None:
    for name in PARTS:
        model_bytes(name)
    real_aligner()


def refusal(settings: Settings) -> str:
    with pytest.raises(ModelError) as caught:
        load_speech_model(settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_audio_that_is_off_needs_no_model(machine) -> None:
    assert load_speech_model(Settings(audio=Audio(enabled=False))) is None


def test_what_is_here_is_taken(folder: Path) -> None:
    model = load_speech_model(asked(fill(folder, *PARTS)))
    assert model is not None
    assert model.name == "moonshine-tiny-en"
    assert isinstance(model.make_vad(), SileroVad)
    assert model.make_vad() is not model.make_vad()
    first, second = model.make_transcriber(), model.make_transcriber()
    assert isinstance(first, MoonshineTranscriber)
    assert first is not second
    sound = read_sound(shared_file("media/speech/jfk.flac"))[:48_000]
    assert first.transcribe(sound) == second.transcribe(sound) != []


def test_no_voice_detector(folder: Path) -> None:
    fill(folder, *(name for name in PARTS if name != "silero-vad"))
    assert "silero-vad" in refusal(asked(folder))


@pytest.mark.parametrize("missing", [name for name in PARTS if name != "silero-vad"])
def test_a_missing_part(folder: Path, missing: str) -> None:
    fill(folder, *(name for name in PARTS if name != missing))
    message = refusal(asked(folder))
    assert f"{missing} is not on this machine" in message
    assert "faster-whisper: there is no model" in message
    assert "audio.enabled" in message


def test_a_damaged_part_is_not_passed_over(folder: Path) -> None:
    fill(folder, *PARTS)
    (folder / PARTS["moonshine-tiny-en-decoder"]).write_bytes(b"x")
    assert "SHA-256" in refusal(asked(folder))


def test_another_language(folder: Path) -> None:
    fill(folder, *PARTS)
    assert "knows English only" in refusal(asked(folder, language="de"))


@pytest.mark.parametrize("name", ["moonshine", "whisper", "yunet-n", "silero-vad"])
def test_what_is_no_speech_model(folder: Path, name: str) -> None:
    fill(folder, *PARTS)
    message = refusal(asked(folder, model=[name]))
    assert f"{name} is no speech model" in message
    assert "moonshine-tiny-en" in message


def test_a_folder_that_does_not_exist_is_not_passed_over(folder: Path) -> None:
    fill(folder, *PARTS)
    missing = str(folder / "whisper" / "none")
    assert missing in refusal(asked(folder, model=[missing, "moonshine-tiny-en"]))


def test_the_catalogue_has_all_parts() -> None:
    from edge.catalogue import load_catalogue

    catalogue = load_catalogue()
    assert {name: catalogue[name].file for name in PARTS} == PARTS
    assert all(catalogue[name].fetchable for name in PARTS)
    assert all(ModelStore(catalogue).status(name).state == "ok" for name in PARTS)
