"""Silero VAD: the probability, every 32 ms, that somebody is speaking.

Model (Silero team, version 6): input (1, 576) float32 = the last 64 samples of the window before
and the 512 of this one, at 16 kHz; state (2, 1, 128) float32, handed on from window to window; sr,
an int64 scalar. Outputs: probability (1, 1) and the next state.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge.errors import InferenceError, ModelError
from edge.inference.engine import Engine
from edge.speech.samples import check_samples
from edge.speech.words import SAMPLE_RATE, Samples

WINDOW: Final = 512
"""Samples judged at once: 32 ms. The model takes no other number at 16 kHz."""
_CONTEXT: Final = 64
_STATE: Final = (2, 1, 128)
_RATE: Final = "sr"
"""Input of the published file, which chooses between two networks by it; `privaedge export` keeps
the one for 16 kHz and drops the input."""
_INPUTS: Final = {"input", "state"}
_OUTPUTS: Final = {"output", "stateN"}


class SileroVad:
    """Implements edge.speech.words.VoiceDetector: one stream, blocks in order.

    What does not fill a window waits for the next block. After an InferenceError the clock is
    still right and the model starts afresh; nothing is said of the samples of the call that failed.
    """

    def __init__(self, engine: Engine) -> None:
        """Raises ModelError where the engine's model is not Silero VAD."""
        if set(engine.inputs) - {_RATE} != _INPUTS or set(engine.outputs) != _OUTPUTS:
            raise ModelError(
                f"model {engine.name} is not Silero VAD version 5 or 6 (its inputs are "
                f"{', '.join(engine.inputs)}). Use silero-vad of the catalogue."
            )
        self._engine = engine
        rate = np.array(SAMPLE_RATE, np.int64)
        self._rate = {_RATE: rate} if _RATE in engine.inputs else {}
        self._windows = 0
        self._rest: Samples = np.zeros(0, np.float32)
        self._state = np.zeros(_STATE, np.float32)
        self._input = np.zeros((1, _CONTEXT + WINDOW), np.float32)

    def listen(self, samples: Samples) -> list[tuple[float, float]]:
        """Take the next samples; return (end of the window in seconds, probability) of each.

        Raises InferenceError.
        """
        check_samples(samples)
        pending = np.concatenate([self._rest, samples])
        windows = len(pending) // WINDOW
        self._rest = pending[windows * WINDOW :].copy()  # not a view: that would keep the block
        first = self._windows
        self._windows += windows
        heard: list[tuple[float, float]] = []
        try:
            for index in range(windows):
                window = pending[index * WINDOW : (index + 1) * WINDOW]
                end_s = (first + index + 1) * WINDOW / SAMPLE_RATE
                heard.append((end_s, self._probability(window)))
        except InferenceError:
            self._forget()
            raise
        return heard

    def _probability(self, window: Samples) -> float:
        self._input[0, _CONTEXT:] = window
        outputs = self._engine.run({"input": self._input, "state": self._state, **self._rate})
        probability, state = np.asarray(outputs["output"]), np.asarray(outputs["stateN"])
        if probability.shape != (1, 1) or state.shape != _STATE:
            raise InferenceError(
                f"Silero VAD's outputs have shapes {probability.shape} and {state.shape}"
            )
        value = float(probability[0, 0])
        # Written so that NaN is refused, too.
        if not (0 <= value <= 1 and np.isfinite(state).all()):
            raise InferenceError("Silero VAD gave NaN or what is no probability")
        self._state = state
        self._input[0, :_CONTEXT] = window[-_CONTEXT:]
        return value

    def _forget(self) -> None:
        self._state = np.zeros(_STATE, np.float32)
        self._input[:] = 0
