"""Which private words are found in a transcript?

Takes written sentences with labelled private parts, renders them as a recogniser of speech would
write what is said (numbers in words, in one of the ways that people say them; lower case; no
punctuation; no accents), and tags them.

  covered      words of the type that would be made inaudible, whatever kind they were taken for
  whole        labelled parts of which every word would be
  F5           of the type, by words, with the type's own kind: recall counts five times
  ordinary     words outside all labelled parts that would be made inaudible, too

"default" hides what the default settings hide (no places, no organisations); "all" hides all kinds.
Types without a kind of ours (dates, titles) count neither as private nor as ordinary.

examples:
  python -m benchmarks.private_words ../shared/media/pii/presidio_synthetic.json
  python -m benchmarks.private_words FILE --no-tagger
  python -m benchmarks.private_words FILE --json | jq .structured
"""

from __future__ import annotations

import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from benchmarks._common import BenchmarkError, emit, main, parser
from edge.config import Settings
from edge.pii.spans import Kind
from edge.pii.tagger import load_word_tagger
from edge.pii.token_classifier import TokenClassifier
from edge.speech.private import PrivateWords
from edge.speech.words import Word
from export.train.tagger import spoken

KINDS: Final = {
    "PERSON": Kind.NAME,
    "ADDRESS": Kind.ADDRESS,
    "LOCATION": Kind.PLACE,
    "ORGANIZATION": Kind.ORGANISATION,
    "CREDIT_CARD": Kind.CARD,
    "PHONE_NUMBER": Kind.PHONE,
    "EMAIL_ADDRESS": Kind.EMAIL,
    "US_SSN": Kind.ID,
    "IBAN_CODE": Kind.ID,
    "US_DRIVER_LICENSE": Kind.ID,
    "IP_ADDRESS": Kind.ID,
    "DOMAIN_NAME": Kind.URL,
}
STRUCTURED: Final = tuple(
    name
    for name, kind in KINDS.items()
    if kind not in (Kind.NAME, Kind.ADDRESS, Kind.PLACE, Kind.ORGANISATION)
)
_BETA2: Final = 25.0
_WORD_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Said:
    """Words of a sentence as spoken, and which labelled part (index, type) each belongs to."""

    words: tuple[str, ...]
    parts: tuple[tuple[int, str] | None, ...]


def render(entry: dict[str, Any], rng: random.Random) -> Said:
    """Render one labelled sentence as it would be spoken and recognised."""
    text = entry["full_text"]
    words: list[str] = []
    parts: list[tuple[int, str] | None] = []
    at = 0
    spans = sorted(entry["spans"], key=lambda span: int(span["start_position"]))
    for number, span in enumerate(spans):
        start, end = int(span["start_position"]), int(span["end_position"])
        if start < at:
            continue
        at = _possessive(text, at, words)
        between = spoken.say(spoken.latin(text[at:start]), rng)
        inside = _say(span["entity_type"], spoken.latin(text[start:end]), rng)
        words += between + inside
        parts += [None] * len(between) + [(number, span["entity_type"])] * len(inside)
        at = end
    rest = spoken.say(spoken.latin(text[_possessive(text, at, words) :]), rng)
    return Said((*words, *rest), (*parts, *[None] * len(rest)))


def _possessive(text: str, at: int, words: list[str]) -> int:
    """Give an "'s" behind a labelled part to its last word, as it is heard; return what follows."""
    if at and words and (match := re.match(r"['’]s\b", text[at:])):
        words[-1] += "'s"
        return at + match.end()
    return at


def _say(kind: str, text: str, rng: random.Random) -> list[str]:
    match kind:
        case "PHONE_NUMBER":
            return spoken.phone(text, rng)
        case "CREDIT_CARD" | "US_SSN" | "IBAN_CODE" | "US_DRIVER_LICENSE" | "IP_ADDRESS":
            return spoken.code(text.replace(" ", ""), rng)
        case "EMAIL_ADDRESS" | "DOMAIN_NAME":
            return spoken.address_of_net(text, rng, split_words=True)
        case _:
            return spoken.say(text, rng)


def tag(tagger: PrivateWords, words: Sequence[str]) -> list[set[Kind]]:
    """Return the kinds that each word was taken for."""
    timed = [Word(w, n * _WORD_S, (n + 1) * _WORD_S) for n, w in enumerate(words)]
    kinds: list[set[Kind]] = [set() for _ in words]
    for span in tagger.tag(timed):
        for at in range(span.first, span.last + 1):
            kinds[at].add(span.kind)
    return kinds


def measure(said: Iterable[Said], tagger: PrivateWords) -> dict[str, Any]:
    """Tag sentences; return figures by type, and for ordinary words."""
    words: defaultdict[str, int] = defaultdict(int)
    covered: defaultdict[str, int] = defaultdict(int)
    typed: defaultdict[str, int] = defaultdict(int)
    entities: defaultdict[str, int] = defaultdict(int)
    whole: defaultdict[str, int] = defaultdict(int)
    claimed: defaultdict[Kind, int] = defaultdict(int)
    right: defaultdict[Kind, int] = defaultdict(int)
    ordinary = flagged = 0
    for one in said:
        kinds = tag(tagger, one.words)
        missed: set[tuple[int, str]] = set()
        for part, found in zip(one.parts, kinds, strict=True):
            true = KINDS.get(part[1]) if part else None
            if part is not None and true is None:
                continue
            for kind in found:
                claimed[kind] += 1
                right[kind] += kind is true
            if part is None:
                ordinary += 1
                flagged += bool(found)
                continue
            words[part[1]] += 1
            covered[part[1]] += bool(found)
            typed[part[1]] += true in found
            if not found:
                missed.add(part)
        for part in {part for part in one.parts if part and part[1] in KINDS}:
            entities[part[1]] += 1
            whole[part[1]] += part not in missed
    types = {}
    for name in words:
        kind = KINDS[name]
        precision = right[kind] / claimed[kind] if claimed[kind] else 0.0
        recall = typed[name] / words[name]
        low = _BETA2 * precision + recall
        types[name] = {
            "parts": entities[name],
            "words": words[name],
            "covered": covered[name] / words[name],
            "whole": whole[name] / entities[name],
            "f5": (1 + _BETA2) * precision * recall / low if low else 0.0,
        }
    structured = [name for name in STRUCTURED if words[name]]
    total = sum(words[name] for name in structured)
    return {
        "types": types,
        "structured": sum(covered[name] for name in structured) / total if total else None,
        "ordinary_words": ordinary,
        "ordinary_flagged": flagged / ordinary if ordinary else None,
    }


def _table(default: dict[str, Any], everything: dict[str, Any]) -> Table:
    table = Table("type", "parts", "words", "covered", "whole", "covered (all)", "F5 (all)")
    order = [name for name in KINDS if name in default["types"]]
    for name in order:
        one, other = default["types"][name], everything["types"][name]
        table.add_row(
            name, str(one["parts"]), str(one["words"]), f"{one['covered']:.3f}",
            f"{one['whole']:.3f}", f"{other['covered']:.3f}", f"{other['f5']:.3f}",
        )  # fmt: skip
    table.add_section()
    table.add_row("all structured", "", "", f"{default['structured']:.3f}", "",
                  f"{everything['structured']:.3f}", "")  # fmt: skip
    table.add_row("ordinary, flagged", "", str(default["ordinary_words"]),
                  f"{default['ordinary_flagged']:.4f}", "",
                  f"{everything['ordinary_flagged']:.4f}", "")  # fmt: skip
    return table


def run(argv: list[str]) -> int:
    """Run the command; exit code 0 whatever the figures say."""
    words = parser("private_words", __doc__)
    words.add_argument("file", type=Path, help="labelled sentences, JSON")
    words.add_argument("--threshold", type=float, help="of audio.threshold; default the profile's")
    words.add_argument("--seed", type=int, default=1, help="of how numbers are said")
    words.add_argument("--no-tagger", action="store_true", help="only what has a form or a cue")
    words.add_argument("--tagger", type=Path, help="folder of a token classification model")
    words.add_argument("--json", action="store_true")
    options = words.parse_args(argv)
    audio = Settings().audio
    try:
        entries = json.loads(options.file.read_text(encoding="utf-8"))
        rng = random.Random(options.seed)
        said = [render(entry, rng) for entry in entries]
    except OSError as error:
        raise BenchmarkError(
            f"{options.file} cannot be read: {error.strerror}. Name a file."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(
            f"{options.file} has no labelled sentences. Name a file like presidio-research's."
        ) from error
    tagger = None
    if not options.no_tagger:
        tagger = TokenClassifier.load(options.tagger) if options.tagger else load_word_tagger()
    threshold = options.threshold or audio.threshold
    begun = time.process_time()
    default = measure(said, PrivateWords(tagger, hide=audio.hide, threshold=threshold))
    cpu = time.process_time() - begun
    everything = measure(said, PrivateWords(tagger, hide=tuple(Kind), threshold=threshold))
    count = sum(len(one.words) for one in said)
    result = {
        "sentences": len(said),
        "threshold": threshold,
        "default": default,
        "all": everything,
        "structured": default["structured"],
        "cpu_ms_per_word": 1000 * cpu / count,
    }
    emit(result, [_table(default, everything)], as_json=options.json)
    return 0


if __name__ == "__main__":
    main(run)
