"""Are spoken names, addresses and e-mail addresses inaudible? Synthesised speech, real models.

eSpeak NG says sentences with made-up private values among ordinary ones, in several voices, and
tells when each word is said. The sound goes through the same run as `privaedge run in.wav out.wav`.

  covered    time of the values, as they were said, in which the output is not the input
  whole      values of which at least 95 % of the time was covered
  touched    time of ordinary words in which it is not, further from a value than padding reaches
  muted      time that was silenced since nobody could judge it; it counts as covered and as touched
  WER        of the recogniser on the same sentences, one by one: eSpeak is no human being

eSpeak's voice is clear but foreign to recognisers that learnt from people: read the figures next to
the WER. The sentences are patterns of this file, values are Faker's; neither is what the tagger
learnt from.

examples:
  python -m benchmarks.synthesised_speech
  python -m benchmarks.synthesised_speech --scenes 60 --seed 3 --json
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from rich.table import Table

from benchmarks._common import BenchmarkError, emit, main, parser
from benchmarks._espeak import Speaker, Voice
from benchmarks._spoken import Spoken
from benchmarks._synthesised import Sentence, ordinary_sentence, private_sentence
from benchmarks.speech import spoken_words, word_errors
from benchmarks.spoken_numbers import run as send
from edge.build import prepare_process
from edge.config_io import load_config
from edge.errors import InferenceError
from edge.lane_models import load_lane_models
from edge.speech.words import SAMPLE_RATE, Samples, Word

VOICES: Final = (
    "gmw/en-US", "gmw/en-US+f3", "gmw/en-US+m3", "gmw/en", "gmw/en+f2", "gmw/en-GB-x-rp",
    "gmw/en-GB-scotland+m4", "gmw/en-029+f4",
)  # fmt: skip
_RATES: Final = (140, 185)
"""Words a minute: calm to brisk."""
_PITCHES: Final = (35, 65)
_PAUSE_S: Final = (0.4, 1.2)
"""Silence between two sentences."""
_FRAME: Final = SAMPLE_RATE // 100
_SAME: Final = 1e-3
_PADDING_S: Final = 0.6
"""Sound this near to a value is neither: it is the padding that was asked for."""
_WHOLE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Scene:
    """Several sentences in one voice. words: with their times; kinds: of each, None for ordinary.

    values: (first word, last word, type) of every private value.
    """

    samples: Samples = field(repr=False)
    words: tuple[Word, ...] = field(repr=False)
    values: tuple[tuple[int, int, str], ...]
    sentences: tuple[tuple[Samples, tuple[str, ...]], ...] = field(repr=False)


@dataclass
class Tally:
    """Seconds, and values, by type; seconds of ordinary words."""

    seconds: dict[str, float] = field(default_factory=dict)
    covered: dict[str, float] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    whole: dict[str, int] = field(default_factory=dict)
    ordinary: float = 0.0
    touched: float = 0.0
    muted: float = 0.0
    wrong_words: int = 0
    words: int = 0

    def figures(self) -> dict[str, Any]:
        """JSON-ready: seconds, and shares in per cent."""
        types = {
            kind: {
                "values": self.values[kind],
                "seconds": round(self.seconds[kind], 2),
                "covered_pct": _pct(self.covered[kind], self.seconds[kind]),
                "whole_pct": _pct(self.whole[kind], self.values[kind]),
            }
            for kind in sorted(self.seconds)
        }
        total = sum(self.seconds.values())
        return {
            "types": types,
            "seconds": round(total, 2),
            "covered_pct": _pct(sum(self.covered.values()), total),
            "ordinary_s": round(self.ordinary, 2),
            "touched_pct": _pct(self.touched, self.ordinary),
            "muted_s": round(self.muted, 2),
            "wer_pct": _pct(self.wrong_words, self.words),
        }


def _pct(part: float, whole: float) -> float:
    return round(100 * part / max(whole, 1e-9), 2)


def compose(speaker: Speaker, rng: random.Random, sentences: Sequence[Sentence]) -> Scene:
    """Have one voice say the sentences, with pauses between them and a quiet room around them."""
    voice = Voice(rng.choice(VOICES), rng.randint(*_RATES), rng.randint(*_PITCHES))
    parts: list[Samples] = [_silence(rng)]
    words: list[Word] = []
    values: list[tuple[int, int, str]] = []
    said: list[tuple[Samples, tuple[str, ...]]] = []
    at = len(parts[0])
    for sentence in sentences:
        samples, timed = speaker.say(sentence.words, voice)
        base = len(words)
        values += [(base + first, base + last, kind) for first, last, kind in sentence.values]
        words += [Word(w.text, w.start + at / SAMPLE_RATE, w.end + at / SAMPLE_RATE) for w in timed]
        said.append((samples, sentence.words))
        parts += [samples, _silence(rng)]
        at += len(parts[-1]) + len(parts[-2])
    sound = np.concatenate(parts)
    sound *= 0.3 / max(float(np.abs(sound).max()), 1e-6)
    # Rooms are never silent: −66 dB of full scale.
    sound += np.random.default_rng(rng.randrange(2**32)).normal(0, 5e-4, len(sound))
    return Scene(sound.astype(np.float32), tuple(words), tuple(values), tuple(said))


def _silence(rng: random.Random) -> Samples:
    return np.zeros(int(rng.uniform(*_PAUSE_S) * SAMPLE_RATE), np.float32)


def measure(tally: Tally, scene: Scene, heard: Samples, muted_s: float) -> None:
    """Add one scene; heard: what came out, (n,) float32 at SAMPLE_RATE.

    Raises BenchmarkError where less came out than went in.
    """
    n = len(scene.samples) // _FRAME
    if len(heard) < n * _FRAME:
        raise BenchmarkError("the output is shorter than the input: nothing can be measured.")
    difference = np.abs(heard[: n * _FRAME] - scene.samples[: n * _FRAME]).reshape(n, _FRAME)
    changed = difference.max(axis=1) > _SAME
    time = (np.arange(n) + 0.5) * _FRAME / SAMPLE_RATE
    step = _FRAME / SAMPLE_RATE
    near = np.zeros(n, bool)
    for first, last, kind in scene.values:
        inside = _during(time, scene.words[first : last + 1])
        start, end = scene.words[first].start, scene.words[last].end
        near |= (time >= start - _PADDING_S) & (time < end + _PADDING_S)
        seconds, covered = inside.sum() * step, (inside & changed).sum() * step
        tally.seconds[kind] = tally.seconds.get(kind, 0.0) + seconds
        tally.covered[kind] = tally.covered.get(kind, 0.0) + covered
        tally.values[kind] = tally.values.get(kind, 0) + 1
        tally.whole[kind] = tally.whole.get(kind, 0) + bool(covered >= _WHOLE * seconds)
    ordinary = _during(time, scene.words) & ~near
    tally.ordinary += ordinary.sum() * step
    tally.touched += (ordinary & changed).sum() * step
    tally.muted += muted_s


def _during(
    time: np.ndarray[Any, np.dtype[np.float64]], words: Sequence[Word]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    inside = np.zeros(len(time), bool)
    for word in words:
        inside |= (time >= word.start) & (time < word.end)
    return inside


def table(figures: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    shown = Table("type", "values", "seconds", "covered", "whole")
    for kind, one in figures["types"].items():
        shown.add_row(
            kind, str(one["values"]), f"{one['seconds']:.1f}", f"{one['covered_pct']:.1f} %",
            f"{one['whole_pct']:.0f} %",
        )  # fmt: skip
    shown.add_section()
    shown.add_row("all", "", f"{figures['seconds']:.1f}", f"{figures['covered_pct']:.1f} %", "")
    touched = f"{figures['touched_pct']:.1f} %"
    shown.add_row("ordinary, touched", "", f"{figures['ordinary_s']:.1f}", touched, "")
    shown.caption = f"WER {figures['wer_pct']:.1f} %, {figures['muted_s']:.1f} s muted"
    return shown


def run(argv: list[str]) -> int:
    """Run the command; exit code 0 whatever the figures say."""
    words = parser("synthesised_speech", __doc__)
    words.add_argument("--scenes", type=int, default=40, help="(default: %(default)s)")
    words.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    words.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    words.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = words.parse_args(argv)
    off = [f"video.models.{lane}.enabled=false" for lane in ("face", "plate", "text")]
    settings = load_config(
        None, None, ["audio.enabled=true", "runtime.threads=1", *off, *args.overrides]
    )
    speaker = Speaker()
    prepare_process()
    models = load_lane_models(settings)
    if models.speech is None:
        raise BenchmarkError("no model of speech was loaded. Leave audio.enabled as it is.")
    transcriber = models.speech.make_transcriber()
    rng, tally = random.Random(args.seed), Tally()
    with TemporaryDirectory() as folder:
        for number in range(args.scenes):
            # Each type comes as often as any other; ordinary sentences around it.
            sentences = [
                ordinary_sentence(rng),
                private_sentence(rng, 2 * number),
                ordinary_sentence(rng),
                private_sentence(rng, 2 * number + 1),
                ordinary_sentence(rng),
            ]
            scene = compose(speaker, rng, sentences)
            heard, muted_s = send(settings, models, Spoken(scene.samples, ()), Path(folder))
            measure(tally, scene, heard, muted_s)
            for samples, said in scene.sentences:
                try:
                    understood = spoken_words(transcriber.transcribe(samples))
                except InferenceError:  # words may be missing: such sound is muted
                    understood = []
                tally.wrong_words += word_errors(said, understood)
                tally.words += len(said)
    figures = {"scenes": args.scenes, "seed": args.seed, **tally.figures()}
    emit(figures, [table(figures)], as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
