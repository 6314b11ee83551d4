"""Whisper as two ONNX files that `privaedge export` made: no other package runs it.

Encoder: mel (1, bins, 3000) → cross.L.key and cross.L.value for each layer L of the decoder.
Decoder, one token at a time: token (1, 1) and position (1,) int64, past.L.{key,value} (1, heads, t,
width), t = 0 at first, cross.* → logits (1, 1, tokens), present.*. Its metadata holds the tokenizer
(tokenizer.json), and as JSON under `whisper`: bins, multilingual, suppress (tokens for what is no
speech). Greedy. Times come from the project's own alignment.

An answer that does not end in time, repeats itself or goes in circles is incomplete: the sound is
cut in two and heard in parts, and what stays incomplete is an error, never words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError, ModelError
from edge.inference.engine import Engine
from edge.speech.align import Aligner
from edge.speech.circles import goes_in_circles
from edge.speech.log_mel import WINDOW_S, log_mel
from edge.speech.moonshine import Answer, words_of
from edge.speech.samples import check_samples
from edge.speech.splitting import hear
from edge.speech.whisper import is_repetitive
from edge.speech.words import SAMPLE_RATE, Samples, Word

TOKENIZER_KEY: Final = "tokenizer"
FACTS_KEY: Final = "whisper"
MAX_POSITIONS: Final = 448
"""Tokens that Whisper's decoder has places for, the prompt among them."""
_TOKENS_PER_S: Final = 12
_SPARE_TOKENS: Final = 32
"""As in edge/speech/whisper.py: a bound on an answer's length that no speech reaches."""
_START: Final = "<|startoftranscript|>"
_TASK: Final = "<|transcribe|>"
_NO_TIMES: Final = "<|notimestamps|>"
_END: Final = "<|endoftext|>"
_WORD_MARK: Final = "Ġ"
"""How byte-level BPE writes a space at the beginning of a token."""
_MAX_BINS: Final = 256


class BytePieces:
    """A byte-level tokenizer as edge.speech.tokens.Pieces: which tokens begin words, and text."""

    def __init__(self, tokenizer: Any) -> None:
        """tokenizer: a tokenizers.Tokenizer."""
        self._tokenizer = tokenizer

    def starts_word(self, token: int) -> bool:
        """Whether a token's text begins with a space. Raises InferenceError for an unknown one."""
        text = self._tokenizer.id_to_token(token)
        if text is None:
            raise InferenceError(f"the speech model gave the unknown token {token}")
        return str(text).startswith(_WORD_MARK)

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text of tokens without what steers the decoder."""
        return str(self._tokenizer.decode(list(numbers), skip_special_tokens=True))


class WhisperOnnx:
    """Runs one pair of encoder and decoder. One thread at a time; no state between calls."""

    def __init__(self, encoder: Engine, decoder: Engine, *, language: str) -> None:
        """language: ISO 639 code of what is spoken.

        Raises ModelError where these are not the two halves of a Whisper, its tokenizer is missing,
        it does not know the language, or the `tokenizers` package is not installed.
        """
        pasts = [spec for spec in decoder.input_specs if spec.name.startswith("past.")]
        cross = [name for name in decoder.inputs if name.startswith("cross.")]
        presents = {spec.name.replace("past.", "present.", 1) for spec in pasts}
        if (
            encoder.inputs != ("mel",)
            or not pasts
            or len(cross) != len(pasts)
            or set(encoder.outputs) != set(cross)
            or not {"token", "position"} <= set(decoder.inputs)
            or not presents | {"logits"} <= set(decoder.outputs)
            or any(len(spec.shape) != 4 for spec in pasts)
        ):
            raise ModelError(
                f"models {encoder.name} and {decoder.name} are not a Whisper encoder and decoder. "
                "Export them with `privaedge export --family whisper`."
            )
        self._encoder, self._decoder = encoder, decoder
        tokenizer = _tokenizer(decoder)
        self.pieces = BytePieces(tokenizer)
        self._bins, multilingual, suppress = _facts(decoder)
        marks = [_START, f"<|{language}|>", _TASK, _NO_TIMES]
        if not multilingual:
            if language != "en":
                raise _unknown_language(decoder.name, language)
            marks = [_START, _NO_TIMES]
        self._prompt = [_mark(tokenizer, mark, decoder.name, language) for mark in marks]
        self._end = _mark(tokenizer, _END, decoder.name, language)
        self._suppress = np.array(sorted(suppress), np.intp)
        self._empty = {
            spec.name: np.zeros((1, spec.shape[1] or 1, 0, spec.shape[3] or 1), np.float32)
            for spec in pasts
        }

    def listen(self, samples: Samples) -> Answer:
        """Return the text of samples, (n,) at SAMPLE_RATE, as tokens. Raises InferenceError."""
        seconds = len(samples) / SAMPLE_RATE
        limit = math.ceil(_TOKENS_PER_S * seconds) + _SPARE_TOKENS
        limit = min(limit, MAX_POSITIONS - len(self._prompt))
        heard = self._encoder.run({"mel": log_mel(samples, self._bins)})
        caches: dict[str, NDArray[Any]] = {**self._empty, **heard}
        tokens: list[int] = []
        probabilities: list[float] = []
        waiting = list(self._prompt)
        for position in range(len(self._prompt) - 1 + limit):  # the prompt's end says a token
            outputs = self._decoder.run(
                {
                    **caches,
                    "token": np.array([[waiting.pop(0)]], np.int64),
                    "position": np.array([position], np.int64),
                }
            )
            for name in self._empty:
                caches[name] = outputs[name.replace("past.", "present.", 1)]
            if waiting:
                continue
            token, probability = self._likeliest(outputs["logits"])
            if token == self._end:
                return Answer(tuple(tokens), tuple(probabilities), complete=True)
            tokens.append(token)
            probabilities.append(probability)
            if goes_in_circles(tokens):
                break
            waiting = [token]
        return Answer(tuple(tokens), tuple(probabilities), complete=False)

    def _likeliest(self, logits: NDArray[Any]) -> tuple[int, float]:
        """Return the likeliest next token that is text, or the end, and its probability."""
        if logits.ndim != 3 or logits.shape[:2] != (1, 1) or logits.shape[2] <= self._end:
            raise InferenceError(f"Whisper's logits have shape {logits.shape}")
        row = logits[0, 0].astype(np.float64)
        if not np.isfinite(row).all():
            raise InferenceError("Whisper gave NaN or infinity as a logit")
        # Above the end are languages, tasks and marks of time; none was asked for.
        row[self._end + 1 :] = -np.inf
        row[self._suppress[self._suppress < len(row)]] = -np.inf
        token = int(row.argmax())
        return token, float(1 / np.exp(row - row[token]).sum())


class WhisperOnnxTranscriber:
    """Implements edge.speech.words.Transcriber: Whisper's words with an aligner's times."""

    def __init__(self, model: WhisperOnnx, aligner: Aligner) -> None:
        self._model, self._aligner = model, aligner

    def transcribe(self, samples: Samples) -> list[Word]:
        """Return the words in samples, (n,) at SAMPLE_RATE, at most 30 s.

        Raises InferenceError, also where the model did not come to an end.
        """
        check_samples(samples, WINDOW_S)
        return hear(samples, self._attempt) if len(samples) else []

    def _attempt(self, samples: Samples) -> list[Word] | None:
        answer = self._model.listen(samples)
        if not answer.complete or is_repetitive(self._model.pieces.decode(answer.tokens)):
            return None
        return self._aligner.align(samples, words_of(answer, self._model.pieces))


def _tokenizer(decoder: Engine) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ModelError(
            "a Whisper model needs the tokenizers package. "
            "Install it: pip install 'privaedge[speech]'."
        ) from None
    try:
        return Tokenizer.from_str(decoder.metadata[TOKENIZER_KEY])
    except Exception as error:  # KeyError, and the package raises bare Exception
        raise ModelError(
            f"model {decoder.name} does not bring its tokenizer. Export it with `privaedge export "
            "--family whisper`."
        ) from error


def _facts(decoder: Engine) -> tuple[int, bool, set[int]]:
    """Return mel bins, whether there are languages, and tokens that are never said."""
    try:
        stated = json.loads(decoder.metadata[FACTS_KEY])
        bins, multilingual = int(stated["bins"]), bool(stated["multilingual"])
        suppress = {int(token) for token in stated["suppress"]}
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"model {decoder.name} does not say how it is fed (metadata '{FACTS_KEY}'). Export it "
            "with `privaedge export --family whisper`."
        ) from error
    if not 0 < bins <= _MAX_BINS or any(token < 0 for token in suppress):
        raise ModelError(
            f"model {decoder.name} states impossible numbers (metadata '{FACTS_KEY}'). Export it "
            "again."
        )
    return bins, multilingual, suppress


def _mark(tokenizer: Any, mark: str, model: str, language: str) -> int:
    number = tokenizer.token_to_id(mark)
    if number is None:
        if mark == f"<|{language}|>":
            raise _unknown_language(model, language)
        raise ModelError(
            f"the tokenizer of {model} has no {mark}: it is not Whisper's. Export it with the "
            "tokenizer.json that belongs to the weights."
        )
    return int(number)


def _unknown_language(model: str, language: str) -> ModelError:
    return ModelError(
        f"model {model} does not know the language {language}. Use one that does, or set "
        "audio.language."
    )
