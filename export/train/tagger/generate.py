"""Labelled transcripts: what a recogniser may write of people who say private things.

Two hands: lower case without punctuation and with numbers in words, as most recognisers and the
normaliser's input are; and written out with capitals, full stops and digits, as newer ones do.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge.pii.spans import Kind
from export.train.tagger import lexicon as lex
from export.train.tagger import spoken
from export.train.tagger.prose import prose
from export.train.tagger.sentences import Grammar
from export.train.tagger.values import Value, Values
from export.train.wordnet import WordNet

OUTSIDE: Final = "O"
_SLOT: Final = re.compile(r"\{(\w+)\}('s)?")
_HOMOPHONES: Final = {"two": "to", "four": "for", "eight": "ate", "one": "won", "their": "there",
                      "your": "you're", "its": "it's", "know": "no", "right": "write",
                      "hear": "here", "and": "an", "to": "too"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """Words, and a label for each: O, B-kind or I-kind."""

    words: tuple[str, ...]
    labels: tuple[str, ...]


class Generator:
    """Draws samples. The same seed gives the same samples, on the same versions."""

    def __init__(
        self, seed: int, *, sentences: list[str] | None = None, english: WordNet | None = None
    ) -> None:
        """sentences: ordinary prose; by default that of the standard library. english: words and
        sentences of a dictionary, for many more ordinary ones."""
        self._rng = random.Random(seed)  # noqa: S311 - text, no secret
        self._values = Values(seed)
        text = prose(60_000, 1) if sentences is None else sentences
        self._grammar = Grammar(random.Random(seed + 1), text, english)  # noqa: S311 - no secret
        jobs = [self._values.job() for _ in range(400)]
        self._grammar.use_jobs([re.sub(r"[^a-z ]", " ", job.lower()) for job in jobs])

    def samples(self, count: int, *, private_share: float = 0.5) -> Iterator[Sample]:
        """Yield count samples of one to four sentences each.

        private_share: how many of the sentences hold something private.
        """
        rng = self._rng
        for _ in range(count):
            written = rng.random() < 0.3
            words: list[str] = []
            labels: list[str] = []
            for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
                private = rng.random() < private_share
                pattern = self._grammar.private() if private else self._grammar.ordinary()
                more_words, more_labels = self._fill(pattern, written=written)
                words += more_words
                labels += more_labels
            if written:
                yield Sample(tuple(words), tuple(labels))
            else:
                yield self._disturb(words, labels)

    def _fill(self, pattern: str, *, written: bool) -> tuple[list[str], list[str]]:
        words: list[str] = []
        labels: list[str] = []
        for token in pattern.split():
            slot = _SLOT.fullmatch(token)
            if slot is None:
                words.append(token)
                labels.append(OUTSIDE)
                continue
            kind, value = self._value(slot[1])
            new = list(value.written if written else value.spoken)
            if slot[2] and new:
                new[-1] += "'s" if written or self._rng.random() < 0.8 else "s"
            words += new
            first = OUTSIDE if kind is None else f"B-{kind}"
            labels += [first, *[first.replace("B-", "I-")] * (len(new) - 1)]
        return (self._as_written(words, labels), labels) if written else (words, labels)

    def _value(self, slot: str) -> tuple[Kind | None, Value]:
        rng = self._rng
        if slot.startswith("num"):
            digits = slot.removeprefix("num")
            said = tuple(spoken.number(digits, rng))
            return None, Value(said, (digits,) if rng.random() < 0.8 else said)
        if slot == "date":
            text = self._values.date()
            return None, Value(tuple(spoken.say(text, rng)), tuple(text.split()))
        if slot == "zip":
            code = "".join(rng.choice("0123456789") for _ in range(rng.choice((5, 6))))
            return Kind.ADDRESS, Value(tuple(spoken.digit_by_digit(code, rng)), (code,))
        if slot == "road":
            road = self._values.road()
            return Kind.ADDRESS, Value(tuple(spoken.say(road, rng)), tuple(road.title().split()))
        return Kind(slot), self._values.draw(Kind(slot))

    def _as_written(self, words: list[str], labels: list[str]) -> list[str]:
        """Give a sentence the capital, the full stop and the commas of a careful recogniser."""
        rng = self._rng
        done = [
            "I" + word[1:] if word in ("i", "i'm", "i've", "i'd", "i'll") else word
            for word in words
        ]
        if done:
            done[0] = done[0][:1].upper() + done[0][1:]
            done[-1] = done[-1].rstrip(".") + rng.choice((".", ".", ".", "?", "!", ""))
        for at in range(len(done) - 1):
            ends_here = labels[at] != OUTSIDE and labels[at + 1] == OUTSIDE
            if rng.random() < (0.25 if ends_here else 0.03) and done[at][-1:].isalnum():
                done[at] += ","
        if rng.random() < 0.15:  # some recognisers write names in lower case and the rest well
            done = [word.lower() for word in done]
        return done

    def _disturb(self, words: list[str], labels: list[str]) -> Sample:
        """Add what speech and its recognition do to sentences: fillers, repeats, lost words."""
        rng = self._rng
        out: list[tuple[str, str]] = []
        for word, label in zip(words, labels, strict=True):
            chance = rng.random()
            inside = label.startswith("I-")
            if chance < 0.02 and not inside:
                out += [(filler, OUTSIDE) for filler in rng.choice(lex.FILLERS).split()]
            elif chance < 0.03 and not label.startswith("B-"):
                out.append((word, label))  # said twice
            elif chance < 0.04 and label == OUTSIDE:
                continue  # not heard
            elif chance < 0.05 and word in _HOMOPHONES:
                out.append((_HOMOPHONES[word], label))
                continue
            elif chance < 0.055 and len(word) > 4:
                at = rng.randrange(len(word))
                out.append((word[:at] + rng.choice("aeiourstln") + word[at + 1 :], label))
                continue
            elif chance < 0.058 and len(word) > 6:
                cut = rng.randint(2, len(word) - 2)
                second = label.replace("B-", "I-")
                out += [(word[:cut], label), (word[cut:], second)]
                continue
            out.append((word, label))
        if not out:
            out = list(zip(words, labels, strict=True))
        return Sample(tuple(w for w, _ in out), tuple(label for _, label in out))
