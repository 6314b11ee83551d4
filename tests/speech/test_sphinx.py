"""The decoder through its C interface: what its own binding says, and other threads run on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import av.frame
import numpy as np
import pytest

from edge.errors import ModelError
from edge.speech import sphinx
from edge.speech.align import HeardWord, SphinxAligner
from edge.speech.sphinx import BindingDecoder, Decoder, LibraryDecoder, Pcm, load_decoder
from edge.speech.words import SAMPLE_RATE, Samples
from tests.speech.spoken import spoken_corpus

OPTIONS = {"samprate": SAMPLE_RATE, "beam": 1e-80, "wbeam": 1e-60, "pbeam": 1e-80, "silprob": 0.5}
TEXT = "hello"
ANOTHER_LIBRARY = Path(av.frame.__file__)
pytest.importorskip("pocketsphinx")


def library(options: Mapping[str, float] = OPTIONS) -> LibraryDecoder:
    """The decoder through the C interface; skips the test where a wheel does not export that."""
    decoder = load_decoder(options)
    if not isinstance(decoder, LibraryDecoder):
        pytest.skip("this build of pocketsphinx does not export its C interface")
    return decoder


@cache
def aligners() -> tuple[SphinxAligner, SphinxAligner]:
    return SphinxAligner(library), SphinxAligner(BindingDecoder)


def babble(seed: int, seconds: float) -> Pcm:
    """Bursts of a humming voice's harmonics and of noise, with quiet between."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = rng.uniform(90, 220)
    voice = sum(np.sin(2 * np.pi * pitch * n * time_s) / n for n in range(1, 12))
    hiss = rng.normal(0, 1, len(time_s))
    rhythm = np.sin(2 * np.pi * rng.uniform(1, 3) * time_s)
    sound = voice * (rhythm > 0.2) + hiss * (rhythm < -0.6) + hiss * 0.01
    return (sound / np.abs(sound).max() * 20000).astype(np.int16)


def test_synthetic_sounds_are_aligned_as_by_the_binding() -> None:
    one, other = library(), BindingDecoder(OPTIONS)
    for decoder in (one, other):
        decoder.add_word("~AH", "AH")
    found = 0
    texts = ["hello", "~AH ~AH", "one two three", "a " * 30, "speech is silver", "zero"]
    for seed, text in enumerate(texts * 2):
        pcm = babble(seed, 0.4 + seed / 10)
        segments = one.align(pcm, text)
        assert segments == other.align(pcm, text)
        found += segments is not None
        assert "zero" not in repr(segments)
    assert 4 <= found < 12


def test_the_dictionary_is_the_binding_s() -> None:
    one, other = library(), BindingDecoder(OPTIONS)
    words = ("hello", "zyqx", "", "~", "<sil>", "a", "naïve", "hello(2)", "read", "read(2)")
    known = [one.knows(word) for word in words]
    assert known == [other.knows(word) for word in words]
    assert any(known)
    assert not all(known)


def speech() -> list[tuple[Samples, str]]:
    """Read utterances, digits said and as figures, and texts that nobody said."""
    corpus, rng = spoken_corpus(), np.random.default_rng(11)
    utterances = corpus.utterances
    said = [(u.samples, u.text) for u in utterances]
    said += [(u.samples[:SAMPLE_RATE], u.text) for u in utterances]
    said.append((utterances[1].samples, utterances[2].text))
    digits = [int(d) for d in rng.integers(0, 10, 4)]
    number = corpus.number(rng, digits, corpus.speakers[0]).samples
    said.append((number, "".join(map(str, digits))))
    return said


def test_real_speech_is_aligned_as_by_the_binding() -> None:
    one, other = aligners()
    for samples, text in speech():
        words = [HeardWord(word, 0.9) for word in text.split()]
        assert one.align(samples, words) == other.align(samples, words)


def test_every_segment_of_real_speech_is_as_likely_as_the_binding_says() -> None:
    one, other = library(), BindingDecoder(OPTIONS)
    for utterance in spoken_corpus().utterances[1:]:
        pcm = (utterance.samples * 32767).astype(np.int16)
        text = " ".join(word for word in utterance.text.split() if one.knows(word))
        segments = one.align(pcm, text)
        assert segments
        assert segments == other.align(pcm, text)


def test_other_threads_run_on_while_a_decoder_searches() -> None:
    decoder, done = library(), threading.Event()
    rounds = 0

    def count() -> None:
        nonlocal rounds
        while not done.is_set():
            time.sleep(0.001)
            rounds += 1

    other = threading.Thread(target=count)
    pcm = babble(1, 30.0)
    other.start()
    try:
        assert decoder.align(pcm, TEXT)
    finally:
        done.set()
        other.join()
    assert rounds > 20


def test_decoders_load_and_search_side_by_side() -> None:
    pcm = babble(3, 3.0)
    expected = library().align(pcm, TEXT)

    def work(_: int) -> bool:
        decoder = library()
        return all(decoder.align(pcm, TEXT) == expected for _ in range(2))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_one_decoder_in_many_threads_takes_them_in_turn() -> None:
    decoder, pcm = library(), babble(4, 1.5)
    texts = [TEXT, "zero", "one two three", "speech is silver"] * 2
    expected = [decoder.align(pcm, text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: decoder.align(pcm, text), texts)) == expected


@pytest.mark.parametrize("load", [library, BindingDecoder])
def test_a_text_of_unknown_words_has_no_alignment_and_the_next_has(
    load: Callable[[Mapping[str, float]], Decoder], capfd: pytest.CaptureFixture[str]
) -> None:
    decoder, pcm = load(OPTIONS), babble(0, 2.0)
    before = decoder.align(pcm, TEXT)
    assert before
    assert decoder.align(pcm, "hello zyqxsecret") is None
    assert decoder.align(pcm[:800], f"{TEXT} " * 9) is None
    assert decoder.align(pcm, TEXT) == before
    with pytest.raises(RuntimeError):
        decoder.add_word("zyqxsecret", "NO SUCH SOUND")
    assert capfd.readouterr() == ("", "")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_a_decoder_s_memory_goes_with_it() -> None:
    library().align(babble(0, 1.0), TEXT)
    before = resident()
    for _ in range(4):
        library().align(babble(0, 1.0), TEXT)
    assert resident() - before < 2**25, "each takes 30 MiB"


@pytest.mark.parametrize("path", [ANOTHER_LIBRARY, Path("missing.so")])
def test_without_the_c_interface_the_binding_does_the_work(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "edge.speech.sphinx"):
        decoder = load_decoder(OPTIONS, library=path)
    assert isinstance(decoder, BindingDecoder)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert decoder.align(babble(0, 2.0), TEXT)


def test_another_release_is_not_called_by_signatures_of_this_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sphinx, "_RELEASE", "5.2.0")
    with caplog.at_level(logging.INFO, "edge.speech.sphinx"):
        assert isinstance(load_decoder(OPTIONS), BindingDecoder)
    assert "5.2.0" in caplog.text


@pytest.mark.parametrize("load", [library, BindingDecoder])
def test_a_decoder_that_cannot_be_loaded_is_an_error_for_the_user(
    load: Callable[[Mapping[str, float]], Decoder],
) -> None:
    with pytest.raises(ModelError, match="cannot load its English model"):
        SphinxAligner(lambda options: load({**options, "nosuch": 1.0}))


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    library()
    functions = sphinx._functions(sphinx._own_library())
    with pytest.raises(RuntimeError):
        LibraryDecoder(functions, str(tmp_path / "no model"), str(tmp_path / "no.dict"), OPTIONS)
