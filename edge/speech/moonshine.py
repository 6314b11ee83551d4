"""Moonshine (Useful Sensors, 2024): English speech to text, straight in ONNX Runtime.

Encoder: input_values (1, samples) float32 at 16 kHz, attention_mask (1, samples) int64 → hidden
states (1, T, d). Decoder, one token at a time: input_ids (1, 1) int64, the hidden states,
encoder_attention_mask (1, samples), use_cache_branch, and past_key_values.L.{decoder,encoder}.
{key,value}, empty at the first step → logits (1, 1, tokens) and present.*. After the first step the
encoder's keys and values stay as they are. Greedy, from token 1 until token 2.

The model is known to repeat itself without an end, above all on spoken numbers. An answer that
does not end in time, or goes in circles, is incomplete: the sound is cut in two where it is
quietest, and each part is heard for itself; measured on digits, parts come out as digits in words,
where the whole was a run of figures. What stays incomplete is an error, never words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError, ModelError
from edge.inference.engine import Engine, Tensors
from edge.speech.align import Aligner, HeardWord
from edge.speech.circles import goes_in_circles
from edge.speech.samples import check_samples
from edge.speech.splitting import hear
from edge.speech.tokens import Pieces, Vocabulary
from edge.speech.words import SAMPLE_RATE, Samples, Word

MAX_SECONDS: Final = 30.0
_TOKENS_PER_S: Final = 6.5
_SPARE_TOKENS: Final = 4
"""Moonshine's authors' limit; on fast spoken digits no complete answer was longer, either."""
_START, _END = 1, 2
_PAST, _PRESENT = "past_key_values.", "present."
_ENCODER_INPUTS: Final = {"input_values"}
_DECODER_INPUTS: Final = {"input_ids", "encoder_hidden_states", "use_cache_branch"}
_SHORTEST_S: Final = 0.5
"""Shorter sound is followed by silence up to here: the first layers reduce samples by 384."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a recogniser made of some sound: its tokens, and the probability of each."""

    tokens: tuple[int, ...] = field(repr=False)
    probabilities: tuple[float, ...] = field(repr=False)
    complete: bool
    """False where it was stopped: tokens were too many, or went in circles."""


def token_limit(seconds: float) -> int:
    """Return how many tokens sound of this length can at most have."""
    return math.ceil(_TOKENS_PER_S * seconds) + _SPARE_TOKENS


class Moonshine:
    """Runs one pair of encoder and decoder. One thread at a time; no state between calls."""

    def __init__(self, encoder: Engine, decoder: Engine) -> None:
        """Raises ModelError where these are not Moonshine's two halves."""
        caches = {spec.name: spec for spec in decoder.input_specs if spec.name.startswith(_PAST)}
        presents = {_PRESENT + name.removeprefix(_PAST) for name in caches}
        if (
            not set(encoder.inputs) >= _ENCODER_INPUTS
            or len(encoder.outputs) != 1
            or not set(decoder.inputs) >= _DECODER_INPUTS
            or not caches
            or not set(decoder.outputs) >= presents | {"logits"}
            or any(len(spec.shape) != 4 for spec in caches.values())
        ):
            raise ModelError(
                f"models {encoder.name} and {decoder.name} are not a Moonshine encoder and merged "
                "decoder. Use those of the catalogue: privaedge models list"
            )
        self._encoder, self._decoder = encoder, decoder
        # Heads and their width are the model's; batch is 1, and nothing is remembered yet.
        self._empty = {
            name: np.zeros((1, spec.shape[1] or 1, 0, spec.shape[3] or 1), np.float32)
            for name, spec in caches.items()
        }

    def listen(self, samples: Samples) -> Answer:
        """Return the text of samples, (n,) at SAMPLE_RATE, as tokens. Raises InferenceError."""
        limit = token_limit(len(samples) / SAMPLE_RATE)
        missing = round(_SHORTEST_S * SAMPLE_RATE) - len(samples)
        sound = np.pad(samples, (0, max(0, missing)))[np.newaxis]
        mask = np.ones(sound.shape, np.int64)
        hidden = self._encode(sound, mask)
        common: dict[str, NDArray[np.generic]] = {"encoder_hidden_states": hidden}
        if "encoder_attention_mask" in self._decoder.inputs:
            common["encoder_attention_mask"] = mask
        cache = dict(self._empty)
        tokens: list[int] = []
        probabilities: list[float] = []
        token = _START
        for step in range(limit):
            outputs = self._decoder.run(
                {
                    **common,
                    **cache,
                    "input_ids": np.array([[token]], np.int64),
                    "use_cache_branch": np.array([step > 0]),
                }
            )
            token, probability = _likeliest(outputs)
            if token == _END:
                return Answer(tuple(tokens), tuple(probabilities), complete=True)
            tokens.append(token)
            probabilities.append(probability)
            if goes_in_circles(tokens):
                break
            for name in cache:
                if step == 0 or ".decoder." in name:
                    cache[name] = outputs[_PRESENT + name.removeprefix(_PAST)]
        return Answer(tuple(tokens), tuple(probabilities), complete=False)

    def _encode(self, sound: NDArray[np.float32], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        feeds: dict[str, NDArray[np.generic]] = {"input_values": sound}
        if "attention_mask" in self._encoder.inputs:
            feeds["attention_mask"] = mask
        hidden = np.asarray(self._encoder.run(feeds)[self._encoder.outputs[0]])
        if hidden.ndim != 3 or not np.isfinite(hidden).all():
            raise InferenceError(f"Moonshine's encoder gave NaN or shape {hidden.shape}")
        return hidden


def _likeliest(outputs: Tensors) -> tuple[int, float]:
    """Return the likeliest next token and its probability."""
    logits = np.asarray(outputs["logits"])
    if logits.ndim != 3 or logits.shape[:2] != (1, 1) or logits.shape[2] <= _END:
        raise InferenceError(f"Moonshine's logits have shape {logits.shape}")
    row = logits[0, 0].astype(np.float64)
    if not np.isfinite(row).all():
        raise InferenceError("Moonshine gave NaN or infinity as a logit")
    token = int(row.argmax())
    return token, float(1 / np.exp(row - row[token]).sum())


def words_of(answer: Answer, vocabulary: Pieces) -> list[HeardWord]:
    """Join tokens to words. A word's confidence is the probability of all of its tokens.

    Punctuation stays with its word and does not count for the confidence. Raises InferenceError
    for a token that the vocabulary lacks.
    """
    groups: list[list[int]] = []
    confidences: list[float] = []
    for token, probability in zip(answer.tokens, answer.probabilities, strict=True):
        if not groups or vocabulary.starts_word(token):
            groups.append([])
            confidences.append(1.0)
        groups[-1].append(token)
        if any(c.isalnum() for c in vocabulary.decode([token])):
            confidences[-1] *= probability
    return [
        HeardWord(text, confidence)
        for group, confidence in zip(groups, confidences, strict=True)
        for text in vocabulary.decode(group).split()
    ]


class MoonshineTranscriber:
    """Implements edge.speech.words.Transcriber: Moonshine's words with an aligner's times."""

    def __init__(self, model: Moonshine, vocabulary: Vocabulary, aligner: Aligner) -> None:
        self._model, self._vocabulary, self._aligner = model, vocabulary, aligner

    def transcribe(self, samples: Samples) -> list[Word]:
        """Return the words in samples, (n,) at SAMPLE_RATE, at most 30 s.

        Raises InferenceError, also where the model did not come to an end.
        """
        check_samples(samples, MAX_SECONDS)
        return hear(samples, self._attempt) if len(samples) else []

    def _attempt(self, samples: Samples) -> list[Word] | None:
        answer = self._model.listen(samples)
        if not answer.complete:
            return None
        return self._aligner.align(samples, words_of(answer, self._vocabulary))
