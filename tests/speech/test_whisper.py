"""faster-whisper as a backend: real CTranslate2 models, too small to understand a word.

tiny_whisper.py says what that can show and what it cannot.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InferenceError, ModelError
from edge.speech.finding import ANY, NotHereError, find_whisper
from edge.speech.whisper import NEEDED, WhisperTranscriber, is_repetitive, words_of
from tests.speech.spoken import quiet
from tests.speech.tiny_whisper import make_whisper

RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.1, 48_000).astype(np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whisper")
    for kind in ("random", "silent", "endless", "nan"):
        make_whisper(folder / kind, kind)
    return folder


def test_answers_have_words_with_times_and_are_always_the_same(tmp_path: Path) -> None:
    """What random weights say is not up to us; among some models, one says something."""
    heard = []
    for seed in range(6):
        folder = make_whisper(tmp_path / str(seed), "random", seed)
        transcriber = WhisperTranscriber(folder, language="en")
        try:
            words = transcriber.transcribe(NOISE)
        except InferenceError:
            continue
        assert transcriber.transcribe(NOISE) == words
        assert transcriber.transcribe(quiet(0)) == []
        heard += words
    assert heard
    for word in heard:
        assert 0 <= word.start <= word.end <= 3
        assert 0 <= word.confidence <= 1


def test_one_piece_and_its_end(models: Path) -> None:
    (word,) = WhisperTranscriber(models / "silent", language="en").transcribe(NOISE)
    assert len(word.text) == 1


def test_an_answer_that_never_ends_is_an_error(models: Path) -> None:
    with pytest.raises(InferenceError, match="may be missing"):
        WhisperTranscriber(models / "endless", language="en").transcribe(NOISE)


def test_a_model_that_gives_nan_is_an_error_and_no_silence(models: Path) -> None:
    with pytest.raises(InferenceError, match="NaN"):
        WhisperTranscriber(models / "nan", language="en").transcribe(NOISE)


@pytest.mark.parametrize(
    "samples", [np.full(800, np.inf, np.float32), quiet(30.1), np.zeros(800, np.float64)]
)
def test_what_is_no_sound_is_an_error(models: Path, samples: np.ndarray) -> None:
    with pytest.raises(InferenceError):
        WhisperTranscriber(models / "random", language="en").transcribe(samples)


def test_a_language_that_the_model_does_not_know(models: Path) -> None:
    with pytest.raises(ModelError, match="does not know the language de"):
        WhisperTranscriber(models / "random", language="de")


@pytest.mark.parametrize("missing", NEEDED)
def test_a_folder_without_all_files_is_refused_before_anything_is_loaded(
    tmp_path: Path, missing: str
) -> None:
    for name in NEEDED:
        if name != missing:
            (tmp_path / name).write_text("x")
    with pytest.raises(ModelError, match=missing):
        WhisperTranscriber(tmp_path, language="en")


def test_a_damaged_folder(models: Path, tmp_path: Path) -> None:
    for path in (models / "random").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        WhisperTranscriber(tmp_path, language="en")
    assert "\n" not in str(caught.value)


def test_without_the_package() -> None:
    code = """
import sys
sys.modules["faster_whisper"] = None
from edge.errors import ModelError
from edge.speech.whisper import import_faster_whisper
try:
    import_faster_whisper()
except ModelError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "pip install 'privaedge[speech]'" in done.stdout


def piece(word: str, start: float = 0.0, end: float = 1.0, probability: float = 0.5) -> dict:
    return {"word": word, "start": start, "end": end, "probability": probability}


def test_pieces_become_words() -> None:
    placed = [piece(" Call"), piece(" me", 1, 2), piece(",", 2, 2.5), piece(" now", 2, 9)]
    words = words_of(placed, " Call me, now", 3.0)
    assert [(w.text, w.start, w.end) for w in words] == [
        ("Call", 0, 1), ("me,", 1, 2.5), ("now", 2, 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("placed", "text"),
    [
        ([], "five"),
        ([piece(" five")], "five six"),
        ([piece(" five", float("nan"))], "five"),
        ([piece(" five", 2, 1)], "five"),
        ([piece(" five", 0, 1, float("nan"))], "five"),
    ],
)
def test_words_that_are_missing_or_nowhere_are_an_error(placed: list[dict], text: str) -> None:
    with pytest.raises(InferenceError) as caught:
        words_of(placed, text, 3.0)
    assert "five" not in str(caught.value)


@given(st.text(min_size=1, max_size=8), st.integers(40, 80))
def test_loops_are_repetitive(part: str, times: int) -> None:
    assert is_repetitive(part * times)


def test_sentences_are_not() -> None:
    assert not is_repetitive("My number is nine one two three four five six seven.")
    assert not is_repetitive("")


# -- Where models are found --------------------------------------------------------------------


def here(folder: Path, name: str, size: int) -> Path:
    model = folder / name
    model.mkdir(parents=True)
    for file in NEEDED:
        (model / file).write_bytes(b"")
    with (model / "model.bin").open("wb") as file:
        file.truncate(size)
    return model


def find(item: str, *folders: Path, language: str = "en") -> Path:
    return find_whisper(item, folders, language=language, may_fetch=False)


def test_the_largest_that_keeps_up_is_taken(tmp_path: Path, machine) -> None:
    with pytest.raises(NotHereError):
        find(ANY, tmp_path)
    large = here(tmp_path, "large-v3", 3 << 30)
    assert find(ANY, tmp_path) == large
    here(tmp_path, "tiny", 70 << 20)
    small = here(tmp_path, "small.en", 480 << 20)
    assert find(ANY, tmp_path) == small
    assert find(ANY, tmp_path, language="de").name == "tiny"
    other = here(tmp_path / "other", "base", 140 << 20)
    assert find(ANY, tmp_path / "other", tmp_path) == other


def test_a_folder_is_taken_by_name(tmp_path: Path) -> None:
    folder = here(tmp_path, "mine", 10)
    assert find(str(folder)) == folder


@pytest.mark.parametrize("item", ["/no/such/folder", "./none", "faster_whisper", "a/b/c"])
def test_what_is_no_folder_and_no_name(item: str) -> None:
    with pytest.raises(ModelError, match="is no folder") as caught:
        find(item)
    assert not isinstance(caught.value, NotHereError)


def test_names_of_the_hub_that_are_not_in_its_cache() -> None:
    """In a process of its own, since the hub's package reads its environment once."""
    pytest.importorskip("faster_whisper", reason="the package faster-whisper is not installed")
    code = """
import sys
from pathlib import Path
from edge.errors import ModelError
from edge.speech.finding import NotHereError, find_whisper
for item in ("Systran/faster-whisper-tiny", "faster-whisper-tiny", "faster-whisper-huge"):
    try:
        find_whisper(item, [], language="en", may_fetch=False)
    except NotHereError as error:
        print("not here", error)
    except ModelError as error:
        print("wrong", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
        env={"PATH": "", "HF_HUB_CACHE": "/nonexistent", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    first, second, third = done.stdout.splitlines()
    assert first == "not here Systran/faster-whisper-tiny is not in the hub's cache"
    assert second == "not here tiny is not in the hub's cache"
    assert third.startswith("wrong faster-whisper-huge is no Whisper model. Known sizes are tiny")


def test_a_model_in_the_hubs_cache_is_found(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper", reason="the package faster-whisper is not installed")
    repository = tmp_path / "models--Systran--faster-whisper-base"
    snapshot = here(repository / "snapshots", "0123", 10)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    code = """
from edge.speech.finding import find_whisper
for item in ("faster-whisper", "Systran/faster-whisper-base", "faster-whisper-base"):
    print(find_whisper(item, [], language="en", may_fetch=False))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
        env={"PATH": "", "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.stdout.splitlines() == [str(snapshot)] * 3
