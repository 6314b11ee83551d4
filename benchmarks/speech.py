"""How well are words heard, how well are they placed in time, and what does it cost?

Runs what the settings choose, one model after the other, on one thread:

  WER          words wrong, missing or too many, of those said, on whole LibriSpeech utterances
  RTF          CPU seconds by second of speech, recognition and word times together: on whole
               utterances, and in chunks
  incomplete   chunks for which the model said that words may be missing: those are muted
  digits       of the digits said in the other chunks, those that came out, in order
  placed       seconds of those digits that lie within any recognised word
  start, end   error of word times, median and 95th percentile, of digits that came out
  VAD          seconds of speech, and of digital silence, in windows at or above a threshold
  aligner      error of the times of digits when the aligner is told the true words

The chunks are windows over numbers of 10 to 16 digits, said by three real speakers, between
LibriSpeech utterances: a fast and merciless sort of speech, whose word times are known.

examples:
  python -m benchmarks.speech ../shared/media/speech
  python -m benchmarks.speech ../shared/media/speech --model moonshine-tiny-en --numbers 200
  python -m benchmarks.speech ../shared/media/speech --model /models/faster-whisper-small --json
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table

from benchmarks._common import BenchmarkError, emit, main, parser
from benchmarks._spoken import DIGITS, Spoken, SpokenCorpus
from edge.config import Settings
from edge.errors import InferenceError, ModelError
from edge.speech.align import HeardWord, SphinxAligner, times_guessed
from edge.speech.pronounce import Reading, speak
from edge.speech.words import SAMPLE_RATE, Samples, Transcriber, VoiceDetector, Word
from edge.speech_model import load_speech_model

VAD_THRESHOLDS: Final = (0.05, 0.1, 0.15, 0.5)
_OVERLAP_S: Final = 1.0
_SEED: Final = 1


@dataclass(slots=True)
class Hearing:
    """What one model made of everything."""

    model: str
    wer_pct: float = 0.0
    rtf: float = 0.0
    chunks: int = 0
    incomplete: int = 0
    chunk_rtf: float = 0.0
    digits_said: int = 0
    digits_heard: int = 0
    digit_s: float = 0.0
    placed_s: float = 0.0
    start_errors_s: list[float] = field(default_factory=list, repr=False)
    end_errors_s: list[float] = field(default_factory=list, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON-ready values; errors as median and 95th percentile, in ms."""
        figures = asdict(self)
        for key in ("start", "end"):
            errors = figures.pop(f"{key}_errors_s")
            figures[f"{key}_error_ms"] = _spread(errors)
        return figures


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Count the words to change, drop or add to get from one text to the other (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def spoken_words(words: Sequence[Word]) -> list[str]:
    """Return recognised words as they are said: without punctuation, digits in words."""
    return [said for word in words for said in speak(word.text, Reading.DIGITS)]


def windows(spoken: Spoken, seconds: float) -> Iterator[tuple[float, Samples]]:
    """Yield (start in seconds, samples) of windows over a number, overlapping by a second."""
    start = max(0.0, spoken.digits[0].start - seconds / 2)
    while start < spoken.digits[-1].end:
        first = round(start * SAMPLE_RATE)
        yield start, spoken.samples[first : first + round(seconds * SAMPLE_RATE)]
        start += seconds - _OVERLAP_S


def judge_chunk(hearing: Hearing, words: Sequence[Word], digits: Sequence[Word]) -> None:
    """Add what was heard in one chunk. digits: those said in it, in seconds of the chunk."""
    names = {name: str(value) for value, name in enumerate(DIGITS)} | {"oh": "0", "o": "0"}
    said = [names[digit.text] for digit in digits]
    heard: list[str] = []
    edges: list[tuple[float | None, float | None]] = []  # where a word begins or ends with it
    for word in words:
        spelt = speak(word.text, Reading.DIGITS)
        for index, text in enumerate(spelt):
            heard.append(names.get(text, text))
            first, last = index == 0, index == len(spelt) - 1
            edges.append((word.start if first else None, word.end if last else None))
    hearing.digits_said += len(said)
    for block in SequenceMatcher(None, said, heard, autojunk=False).get_matching_blocks():
        hearing.digits_heard += block.size
        for offset in range(block.size):
            true, (start, end) = digits[block.a + offset], edges[block.b + offset]
            if start is not None:
                hearing.start_errors_s.append(abs(start - true.start))
            if end is not None:
                hearing.end_errors_s.append(abs(end - true.end))
    grid = np.arange(0.0, max((d.end for d in digits), default=0.0), 0.005)
    inside = _within(grid, words)
    digit = _within(grid, digits)
    hearing.digit_s += float(digit.sum()) * 0.005
    hearing.placed_s += float((digit & inside).sum()) * 0.005


def _within(grid: np.ndarray[Any, np.dtype[np.float64]], words: Sequence[Word]) -> Any:
    inside = np.zeros(len(grid), np.bool_)
    for word in words:
        inside |= (grid >= word.start) & (grid < word.end)
    return inside


def listen(
    name: str, transcriber: Transcriber, corpus: SpokenCorpus, numbers: int, chunk_s: float
) -> Hearing:
    """Run one model on the utterances and on spoken numbers."""
    hearing = Hearing(name)
    wrong = total = 0
    seconds = cpu = 0.0
    for utterance in corpus.utterances:
        began = time.process_time()
        words = transcriber.transcribe(utterance.samples)
        cpu += time.process_time() - began
        seconds += utterance.seconds
        said = utterance.text.split()
        wrong += word_errors(said, spoken_words(words))
        total += len(said)
    hearing.wer_pct, hearing.rtf = 100 * wrong / max(1, total), cpu / max(seconds, 1e-9)
    seconds = cpu = 0.0
    for spoken in spoken_numbers(corpus, numbers):
        for start, samples in windows(spoken, chunk_s):
            length = len(samples) / SAMPLE_RATE
            began = time.process_time()
            try:
                words = transcriber.transcribe(samples)
            except InferenceError:
                words = None
            cpu += time.process_time() - began
            seconds += length
            hearing.chunks += 1
            if words is None:
                hearing.incomplete += 1
                continue
            whole = [
                Word(d.text, d.start - start, d.end - start)
                for d in spoken.digits
                if d.start >= start and d.end <= start + length
            ]
            judge_chunk(hearing, words, whole)
    hearing.chunk_rtf = cpu / max(seconds, 1e-9)
    return hearing


def spoken_numbers(corpus: SpokenCorpus, count: int) -> Iterator[Spoken]:
    """Yield numbers of 10 to 16 digits within other speech; the same ones each time."""
    rng = np.random.default_rng(_SEED)
    for _ in range(count):
        yield corpus.sentence(rng, [int(d) for d in rng.integers(0, 10, rng.integers(10, 17))])


def detect(make_vad: Any, corpus: SpokenCorpus, numbers: int) -> dict[str, Any]:
    """Measure the voice detector on the digits of spoken numbers, and on silence between them."""
    speech = dict.fromkeys(VAD_THRESHOLDS, 0.0)
    quiet = dict(speech)
    speech_s = quiet_s = cpu = heard_s = 0.0
    for spoken in spoken_numbers(corpus, numbers):
        pad = np.zeros(2 * SAMPLE_RATE, np.float32)
        vad: VoiceDetector = make_vad()
        began = time.process_time()
        heard = vad.listen(np.concatenate([pad, spoken.samples, pad]))
        cpu += time.process_time() - began
        ends = np.array([end for end, _ in heard])
        chance = np.array([probability for _, probability in heard])
        step = float(ends[0])
        heard_s += float(ends[-1])
        said = _within(ends - step / 2 - 2.0, spoken.digits)
        silent = ends <= 2.0
        speech_s += float(said.sum()) * step
        quiet_s += float(silent.sum()) * step
        for threshold in VAD_THRESHOLDS:
            speech[threshold] += float((said & (chance >= threshold)).sum()) * step
            quiet[threshold] += float((silent & (chance >= threshold)).sum()) * step
    return {
        "rtf": cpu / max(heard_s, 1e-9),
        "recall_pct": {str(t): 100 * s / max(speech_s, 1e-9) for t, s in speech.items()},
        "silence_pct": {str(t): 100 * s / max(quiet_s, 1e-9) for t, s in quiet.items()},
    }


def align(corpus: SpokenCorpus, numbers: int) -> dict[str, Any]:
    """Measure the aligner alone, on numbers whose words it is told."""
    aligner = SphinxAligner()
    starts: list[float] = []
    ends: list[float] = []
    guessed = 0
    for spoken in spoken_numbers(corpus, numbers):
        begin = max(0.0, spoken.digits[0].start - 0.2)
        first, last = (round(t * SAMPLE_RATE) for t in (begin, spoken.digits[-1].end + 0.2))
        told = [HeardWord(digit.text) for digit in spoken.digits]
        for word, true in zip(
            aligner.align(spoken.samples[first:last], told), spoken.digits, strict=True
        ):
            guessed += times_guessed(word)
            starts.append(abs(word.start + begin - true.start))
            ends.append(abs(word.end + begin - true.end))
    return {
        "words": len(starts),
        "guessed": guessed,
        "start_error_ms": _spread(starts),
        "end_error_ms": _spread(ends),
    }


def _spread(errors: Sequence[float]) -> dict[str, float | None]:
    if not errors:
        return {"median": None, "p95": None}
    return {
        "median": 1000 * float(np.median(errors)),
        "p95": 1000 * float(np.quantile(errors, 0.95)),
    }


def tables(
    hearings: Sequence[Hearing], vad: dict[str, Any], aligner: dict[str, Any]
) -> list[Table]:
    """Return the figures as tables."""
    words = Table(title="words")
    for column in (
        "model",
        "WER",
        "RTF",
        "in chunks",
        "incomplete",
        "digits",
        "placed",
        "start",
        "end",
    ):
        words.add_column(column, justify="left" if column == "model" else "right")
    for one in hearings:
        figures = one.to_json()
        words.add_row(
            one.model,
            f"{one.wer_pct:.1f} %",
            f"{one.rtf:.3f}",
            f"{one.chunk_rtf:.3f}",
            f"{one.incomplete} of {one.chunks}",
            f"{100 * one.digits_heard / max(1, one.digits_said):.1f} %",
            f"{100 * one.placed_s / max(1e-9, one.digit_s):.1f} %",
            *(_milliseconds(figures[f"{key}_error_ms"]) for key in ("start", "end")),
        )
    voice = Table(title=f"voice activity (RTF {vad['rtf']:.4f})")
    for column in ("threshold", "digits found", "silence taken for speech"):
        voice.add_column(column, justify="right")
    for threshold, recall in vad["recall_pct"].items():
        voice.add_row(threshold, f"{recall:.1f} %", f"{vad['silence_pct'][threshold]:.1f} %")
    told = Table(title=f"aligner, told {aligner['words']} true words")
    for column in ("start", "end", "guessed"):
        told.add_column(column, justify="right")
    errors = (_milliseconds(aligner[f"{key}_error_ms"]) for key in ("start", "end"))
    told.add_row(*errors, str(aligner["guessed"]))
    return [words, voice, told]


def _milliseconds(spread: dict[str, float | None]) -> str:
    if spread["median"] is None or spread["p95"] is None:
        return "none"
    return f"{spread['median']:.0f} / {spread['p95']:.0f} ms"


def run(argv: list[str]) -> int:
    """Run the command; exit code 0 whatever the figures say."""
    words = parser("speech", __doc__)
    words.add_argument("folder", type=Path, help="holds digits/ and librispeech/")
    words.add_argument(
        "--model",
        action="append",
        help="as in audio.model (repeatable; default: each of its preference that can be had)",
    )
    words.add_argument(
        "--numbers", type=int, default=40, help="spoken numbers (default: %(default)s)"
    )
    words.add_argument(
        "--chunk-s",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="length of what is recognised at once (default: %(default)s)",
    )
    words.add_argument("--no-fetch", action="store_true", help="use only models that are here")
    words.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = words.parse_args(argv)
    if not 2 * _OVERLAP_S <= args.chunk_s <= 30:
        words.error("--chunk-s must be 2 to 30")
    corpus = SpokenCorpus.load(args.folder)
    if not corpus.utterances or not corpus.speakers:
        raise BenchmarkError(
            f"{args.folder} lacks digits/*.wav or librispeech/*.trans.txt. Name a folder with both."
        )
    hearings: list[Hearing] = []
    vad: dict[str, Any] = {}
    refusals: list[str] = []
    for item in args.model or Settings().audio.model:
        settings = Settings.model_validate(
            {
                "audio": {"enabled": True, "model": [item]},
                "models": {"fetch": not args.no_fetch},
                "runtime": {"threads": 1},
            }
        )
        try:
            model = load_speech_model(settings)
        except ModelError as error:
            if args.model:
                raise
            refusals.append(str(error))
            continue
        if model is None:
            continue
        vad = vad or detect(model.make_vad, corpus, args.numbers)
        transcriber = model.make_transcriber()
        hearings.append(listen(model.name, transcriber, corpus, args.numbers, args.chunk_s))
    if not hearings:
        raise BenchmarkError(" ".join(refusals) or "no speech model was tried. Name one.")
    aligner = align(corpus, args.numbers)
    result = {
        "models": [hearing.to_json() for hearing in hearings],
        "vad": vad,
        "aligner": aligner,
        "not_measured": refusals,
    }
    emit(result, tables(hearings, vad, aligner), as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
