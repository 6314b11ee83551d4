"""Whisper models of any size and language, run by faster-whisper (CTranslate2) on the CPU.

A model is a folder with config.json, model.bin, tokenizer.json and a vocabulary. It is loaded from
there and nothing else: without its tokenizer.json the library would ask a server for one, so such
a folder is refused. finding.py says where folders are found, and what may be fetched.

The library's own transcribe() is made for subtitles: it drops what it takes for no speech, what
has no length and what is no number, and words are then missing without a sign. Here its parts are
used, features, tokenizer and alignment, on one window of 30 s, and every token is accounted for.
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from edge.errors import InferenceError, ModelError
from edge.speech.align import claim_unheard
from edge.speech.circles import goes_in_circles
from edge.speech.samples import check_samples, voiced
from edge.speech.splitting import hear
from edge.speech.words import SAMPLE_RATE, Samples, Word

NEEDED: Final = ("config.json", "model.bin", "tokenizer.json")
MAX_SECONDS: Final = 30.0
"""Whisper's window."""
_TOKENS_PER_S: Final = 12
_SPARE_TOKENS: Final = 32
"""A bound on an answer's length that no speech reaches: fast talkers of the languages that need
most tokens stay under 10 a second. With 30 s it is within Whisper's 448."""
_REPETITIVE: Final = 2.4
"""Compression ratio (zlib) of a text above which Whisper's authors take it for a loop."""
_WINDOW_FRAMES: Final = 3000
"""Frames of features, 10 ms each, of Whisper's window."""
_BEAMS: Final = 5
"""As in Whisper's paper and the library's default."""

# The library's log tells how sound was cut and retried; nobody here reads it, and what it may say
# of the text in a later release is not ours to know.
logging.getLogger("faster_whisper").setLevel(logging.ERROR)


class WhisperTranscriber:
    """Implements edge.speech.words.Transcriber. Always the same words for the same samples."""

    def __init__(self, folder: Path, *, language: str, threads: int = 1) -> None:
        """Load a model folder.

        language: ISO 639 code of what is spoken. Raises ModelError where the package is missing,
        the folder is no such model, or the model does not know the language.
        """
        if missing := [name for name in NEEDED if not (folder / name).is_file()]:
            raise ModelError(
                f"{folder} is no faster-whisper model: it has no {missing[0]}. Name a folder with "
                "config.json, model.bin, tokenizer.json and a vocabulary."
            )
        faster_whisper = import_faster_whisper()
        try:
            self._model: Any = faster_whisper.WhisperModel(
                str(folder),
                device="cpu",
                compute_type="int8",
                cpu_threads=threads,
                local_files_only=True,
            )
            known = self._model.supported_languages
        except Exception as error:  # CTranslate2 and tokenizers raise what they like
            raise ModelError(
                f"the speech model in {folder} cannot be loaded ({type(error).__name__}). Convert "
                "or fetch it again."
            ) from error
        if language not in known:
            raise ModelError(
                f"the speech model in {folder} does not know the language {language}. Use one that "
                "does, or set audio.language."
            )
        self._tokenizer = faster_whisper.tokenizer.Tokenizer(
            self._model.hf_tokenizer,
            self._model.model.is_multilingual,
            task="transcribe",
            language=language,
        )
        self._fit = faster_whisper.audio.pad_or_trim
        self._prompt = [*self._tokenizer.sot_sequence, self._tokenizer.no_timestamps]
        # Tokens that steer the decoder, and signs for sounds that are no speech.
        self._suppressed = faster_whisper.transcribe.get_suppressed_tokens(self._tokenizer, [-1])

    def transcribe(self, samples: Samples) -> list[Word]:
        """Return the words in samples, (n,) at SAMPLE_RATE, at most 30 s.

        Raises InferenceError, also where the model went in circles or did not come to an end.
        """
        check_samples(samples, MAX_SECONDS)
        return hear(samples, self._attempt) if len(samples) else []

    def _attempt(self, samples: Samples) -> list[Word] | None:
        seconds = len(samples) / SAMPLE_RATE
        limit = math.ceil(_TOKENS_PER_S * seconds) + _SPARE_TOKENS
        try:
            features = self._model.feature_extractor(samples)
            hidden = self._model.encode(self._fit(features))
            answer = self._model.model.generate(
                hidden,
                [self._prompt],
                beam_size=_BEAMS,
                max_length=len(self._prompt) + limit,
                return_scores=True,
                suppress_blank=False,  # an empty answer is one, too
                suppress_tokens=self._suppressed,
            )[0]
            score, tokens = float(answer.scores[0]), list(answer.sequences_ids[0])
            spoken = [token for token in tokens if token < self._tokenizer.eot]  # no marks of time
            text = self._tokenizer.decode(spoken)
            # The window before the zeros that fill it up to 30 s.
            frames = max(2, min(features.shape[-1], _WINDOW_FRAMES))
            placed = (
                self._model.find_alignment(self._tokenizer, [spoken], hidden, frames)[0]
                if spoken
                else []
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing was heard
            raise InferenceError(
                f"the Whisper model failed on {seconds:.1f} s of sound ({type(error).__name__})"
            ) from None
        if not math.isfinite(score):
            raise InferenceError("the Whisper model gave NaN as a probability")
        if len(tokens) >= limit or is_repetitive(text) or goes_in_circles(tokens):
            return None
        return claim_unheard(words_of(placed, text, seconds), voiced(samples), seconds)


def is_repetitive(text: str) -> bool:
    """Whether a text is so regular that Whisper's authors take it for a loop."""
    data = text.encode()
    return len(data) > _REPETITIVE * len(zlib.compress(data))


def words_of(placed: Sequence[Mapping[str, Any]], text: str, seconds: float) -> list[Word]:
    """Return the words of faster-whisper's alignment; signs join the word before them.

    placed: word, start, end and probability each. text: all of it. seconds: length of the sound;
    times are kept within. Raises InferenceError where text is missing among the words, and for
    values that are no times or probabilities.
    """
    if _letters("".join(one["word"] for one in placed)) != _letters(text):
        raise InferenceError("the Whisper model gave words without times")
    words: list[Word] = []
    for one in placed:
        start, end, probability = (float(one[key]) for key in ("start", "end", "probability"))
        if not all(map(math.isfinite, (start, end, probability))) or end < start:
            raise InferenceError("the Whisper model gave words with impossible times")
        start, end = (min(max(0.0, value), seconds) for value in (start, end))
        for part in one["word"].split():
            if words and not any(c.isalnum() for c in part):
                last = words[-1]
                words[-1] = replace(last, text=last.text + part, end=max(last.end, end))
            else:
                words.append(Word(part, start, end, min(1.0, max(0.0, probability))))
    return sorted(words, key=lambda word: word.start)


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isalnum())


def import_faster_whisper() -> Any:
    """Return the package. Raises ModelError where it is not installed."""
    try:
        import faster_whisper
    except (ImportError, OSError) as error:
        raise ModelError(
            f"faster-whisper cannot be imported ({error}). Run: pip install 'privaedge[speech]'"
        ) from None
    return faster_whisper
