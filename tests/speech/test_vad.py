"""Voice activity: the model's contract with engines by hand, and the real model on real speech."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InferenceError, ModelError
from edge.speech.vad import WINDOW, SileroVad
from edge.speech.words import SAMPLE_RATE
from tests.speech.spoken import quiet, real_vad, spoken_corpus

STEP_S = WINDOW / SAMPLE_RATE


class Engine:
    """An engine in numpy: the probability is the loudest of the new samples."""

    name = "by hand"
    inputs = ("input", "state", "sr")
    outputs = ("output", "stateN")
    input_specs = output_specs = ()
    metadata = MappingProxyType({})

    def __init__(self) -> None:
        self.contexts: list[float] = []
        self.states: list[float] = []
        self.answer = None

    def run(self, feeds):
        assert feeds["input"].shape == (1, 64 + WINDOW)
        assert feeds["input"].dtype == np.float32
        assert feeds["sr"].dtype == np.int64
        assert feeds["sr"] == SAMPLE_RATE
        self.contexts.append(float(feeds["input"][0, 0]))
        self.states.append(float(feeds["state"][0, 0, 0]))
        if self.answer is not None:
            answer, self.answer = self.answer, None
            return answer
        loudest = feeds["input"][:, 64:].max(axis=1, keepdims=True)
        return {"output": loudest, "stateN": feeds["state"] + 1}


@given(st.lists(st.integers(0, 2000), max_size=12))
@settings(max_examples=50)
def test_blocks_of_any_size_give_the_windows_of_the_whole(sizes: list[int]) -> None:
    ramp = np.linspace(0, 1, sum(sizes), dtype=np.float32)
    whole = SileroVad(Engine()).listen(ramp)
    parts = SileroVad(Engine())
    at, heard = 0, []
    for size in sizes:
        heard += parts.listen(ramp[at : at + size])
        at += size
    assert heard == whole
    assert [end for end, _ in whole] == pytest.approx(
        [(i + 1) * STEP_S for i in range(len(ramp) // WINDOW)]
    )


def test_each_window_gets_the_state_and_the_last_samples_of_the_one_before() -> None:
    engine = Engine()
    ramp = np.arange(3 * WINDOW, dtype=np.float32) / 10_000
    SileroVad(engine).listen(ramp)
    assert engine.states == [0, 1, 2]
    assert engine.contexts == pytest.approx([0, (WINDOW - 64) / 10_000, (2 * WINDOW - 64) / 10_000])


GOOD = {"output": np.full((1, 1), 0.5, np.float32), "stateN": np.zeros((2, 1, 128), np.float32)}
BAD = {
    "NaN": {"output": np.full((1, 1), np.nan, np.float32)},
    "above 1": {"output": np.full((1, 1), 1.5, np.float32)},
    "below 0": {"output": np.full((1, 1), -0.5, np.float32)},
    "shape": {"output": np.zeros((2, 1), np.float32)},
    "state": {"stateN": np.full((2, 1, 128), np.inf, np.float32)},
    "state shape": {"stateN": np.zeros((2, 1, 64), np.float32)},
}


@pytest.mark.parametrize("wrong", BAD.values(), ids=BAD.keys())
def test_what_cannot_be_trusted_is_an_error_and_the_clock_goes_on(wrong) -> None:
    engine = Engine()
    vad = SileroVad(engine)
    vad.listen(np.zeros(WINDOW, np.float32))
    engine.answer = {**GOOD, **wrong}
    with pytest.raises(InferenceError):
        vad.listen(np.zeros(3 * WINDOW + 100, np.float32))
    ((end, _),) = vad.listen(np.zeros(WINDOW, np.float32))
    assert end == pytest.approx(5 * STEP_S)
    assert engine.states[-1] == 0


@pytest.mark.parametrize(
    "samples", [np.zeros(9, np.float64), np.full(600, np.nan, np.float32), np.zeros((1, 9), "f4")]
)
def test_no_sound_is_an_error(samples) -> None:
    with pytest.raises(InferenceError):
        SileroVad(Engine()).listen(samples)


def test_another_model_is_refused() -> None:
    engine = Engine()
    engine.inputs = ("input", "h", "c", "sr")
    with pytest.raises(ModelError, match="silero-vad"):
        SileroVad(engine)


def test_speech_is_told_from_silence() -> None:
    vad, corpus = real_vad(), spoken_corpus()
    spoken = corpus.sentence(np.random.default_rng(1), [4, 0, 7, 2, 9, 9, 1, 3])
    heard = vad.listen(np.concatenate([quiet(2), spoken.samples, quiet(2)]))
    ends = np.array([end for end, _ in heard])
    chance = np.array([probability for _, probability in heard])
    said = np.zeros(len(ends), np.bool_)
    for digit in spoken.digits:
        said |= (ends - STEP_S / 2 >= digit.start + 2) & (ends - STEP_S / 2 < digit.end + 2)
    assert (chance[said] >= 0.1).mean() > 0.8
    assert chance[ends <= 2].max() < 0.1


def test_the_real_model_does_not_depend_on_blocks() -> None:
    samples = spoken_corpus().utterances[0].samples[:40_000]
    whole = real_vad().listen(samples)
    vad = real_vad()
    parts = [
        one for at in range(0, len(samples), 333) for one in vad.listen(samples[at : at + 333])
    ]
    assert parts == whole
