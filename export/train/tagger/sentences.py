"""Sentences with private values in them, and ordinary ones without, composed of patterns."""

from __future__ import annotations

import random
import re
from typing import Final

from edge.pii.spans import Kind
from export.train.tagger import lexicon as lex
from export.train.tagger.patterns import ADDRESS, NAME, ORDINARY, ORGANISATION, OTHERS, PLACE
from export.train.wordnet import WordNet

_INNER: Final = re.compile(r"\[([^\[\]]*)\]")
_PART: Final = re.compile(r"<(\w+)>")
_RELATIONS: Final = (
    "brother",
    "sister",
    "mother",
    "father",
    "mom",
    "dad",
    "son",
    "daughter",
    "husband",
    "wife",
    "friend",
    "boss",
    "neighbour",
    "cousin",
    "uncle",
    "aunt",
    "teacher",
    "colleague",
    "girlfriend",
    "boyfriend",
    "doctor",
    "roommate",
    "partner",
    "grandmother",
    "dog",
    "manager",
    "assistant",
    "lawyer",
    "client",
    "student",
)
_NATIONS: Final = (
    "english",
    "french",
    "german",
    "spanish",
    "italian",
    "chinese",
    "japanese",
    "korean",
    "russian",
    "american",
    "british",
    "indian",
    "dutch",
    "swedish",
    "polish",
    "turkish",
    "greek",
    "arabic",
    "hindi",
    "malay",
    "thai",
    "mexican",
    "canadian",
    "australian",
    "african",
    "european",
    "asian",
    "irish",
    "scottish",
    "swiss",
    "austrian",
    "portuguese",
    "brazilian",
    "egyptian",
)
_REPLACED: Final = re.compile(
    r"\b(?:the|a|an|this|your|our|their) (?!of|to|in|and)[a-z]+|\b(?:it|they|he|she|we)\b"
)
_FROM_DICTIONARY: Final = 0.3
"""How often a word is drawn from the dictionary, where there is one."""
_SITES: Final = ("instagram", "twitter", "tiktok", "twitch", "discord", "youtube", "facebook",
                 "telegram", "snapchat", "steam", "reddit", "github")  # fmt: skip
_THIRD: Final = {"have": "has", "be": "is", "do": "does", "go": "goes"}
_HEADS: Final = {Kind.NAME: NAME, Kind.PLACE: PLACE, Kind.ORGANISATION: ORGANISATION,
                 Kind.ADDRESS: ADDRESS}  # fmt: skip


def patterns(block: str) -> list[str]:
    """Return the patterns of a block, one a line."""
    return [line.strip() for line in block.splitlines() if line.strip()]


class Grammar:
    """Draws sentences as text in which only {kind} slots are left."""

    def __init__(
        self, rng: random.Random, prose: list[str], english: WordNet | None = None
    ) -> None:
        """prose: ordinary sentences, and the source of rarer words. english: more of both."""
        self._rng = rng
        self._prose = prose
        self._sentences = english.sentences if english else tuple(prose)
        self._definitions = english.definitions if english else tuple(prose)
        self._english = english
        self._rare = sorted({word for line in prose for word in line.split() if word.isalpha()})
        self._private = {kind: patterns(block) for kind, block in _HEADS.items()}
        self._others = patterns(OTHERS)
        self._ordinary = patterns(ORDINARY)
        self._jobs: list[str] = []

    def use_jobs(self, jobs: list[str]) -> None:
        """Take titles of professions for <job>."""
        self._jobs = jobs

    def private(self) -> str:
        """Return a sentence with at least one private value."""
        way = self._rng.random()
        if way < 0.16:
            return self._into_prose()
        if way < 0.48:
            block = self._private[Kind.NAME]
        elif way < 0.56:
            block = self._private[Kind.PLACE]
        elif way < 0.64:
            block = self._private[Kind.ORGANISATION]
        elif way < 0.81:
            block = self._private[Kind.ADDRESS]
        else:
            block = self._others
        return self.expand(self._rng.choice(block))

    def ordinary(self) -> str:
        """Return a sentence without private values."""
        if self._rng.random() < 0.12:
            return self._rng.choice(lex.AMBIGUOUS_SENTENCES)
        return self.expand(self._rng.choice(self._ordinary))

    def _into_prose(self) -> str:
        """Return a sentence of prose in which something private stands for one of its things."""
        line = self._rng.choice(self._sentences if self._rng.random() < 0.7 else self._prose)
        places = list(_REPLACED.finditer(line))
        if not places:
            return "{name} " + line
        chosen = self._rng.choice(places)
        slot = self._rng.choice(("{name}", "{name}", "{name}", "{organisation}", "{place}"))
        return f"{line[: chosen.start()]}{slot}{line[chosen.end() :]}"

    def expand(self, pattern: str) -> str:
        """Resolve alternatives and parts."""
        rng = self._rng
        while (inner := _INNER.search(pattern)) is not None:
            chosen = rng.choice(inner[1].split("|"))
            pattern = pattern[: inner.start()] + chosen + pattern[inner.end() :]
        while (part := _PART.search(pattern)) is not None:
            pattern = pattern[: part.start()] + self._part(part[1]) + pattern[part.end() :]
        return " ".join(pattern.split())

    def _word(self, common: tuple[str, ...], rare: float, more: str) -> str:
        """Return a common word, at times a rarer one, seldom one that does not exist.

        rare: how probably one of prose. more: the list of the dictionary that others come from.
        """
        rng = self._rng
        way = rng.random()
        if way < 0.03:
            return rng.choice(lex.STEMS) + rng.choice("aeiou") + rng.choice(
                ("b", "ck", "d", "g", "ll", "m", "n", "nd", "p", "r", "rt", "sh", "st", "tt", "v")
            ) + rng.choice(lex.ENDINGS)  # fmt: skip
        if way < 0.03 + rare:
            return rng.choice(self._rare)
        if self._english is not None and way < 0.03 + rare + _FROM_DICTIONARY:
            return str(rng.choice(getattr(self._english, more)))
        return rng.choice(common)

    def _inflected(self, verb: str) -> str:
        """Return a verb in the third person, or in the past."""
        if self._rng.random() < 0.5:
            irregular = self._irregular(verb, "ed")
            if irregular and verb not in lex.PAST:
                return irregular
            return lex.PAST.get(verb, verb + ("d" if verb[-1] == "e" else "ed"))
        return _THIRD.get(verb, verb + ("es" if verb[-1] in "shx" else "s"))

    def _irregular(self, verb: str, ending: str) -> str | None:
        forms = self._english.inflected.get(verb, ()) if self._english else ()
        return next((form for form in forms if form.endswith(ending)), None)

    def _part(self, part: str) -> str:
        rng = self._rng
        match part:
            case "n":
                noun = self._word(lex.NOUNS, 0.15, "nouns")
                return noun + "s" if rng.random() < 0.15 and noun[-1] not in "sxyh" else noun
            case "v":
                return self._word(lex.VERBS, 0.06, "verbs")
            case "vs":
                return self._inflected(self._word(lex.VERBS, 0.03, "verbs"))
            case "ving":
                verb = self._word(lex.VERBS, 0.05, "verbs")
                return (
                    self._irregular(verb, "ing")
                    or (verb[:-1] if verb[-1] == "e" and verb[-2:] not in ("ee", "be") else verb)
                    + "ing"
                )
            case "adj":
                return self._word(lex.ADJECTIVES, 0.1, "adjectives")
            case "adv":
                if self._english is not None and rng.random() < _FROM_DICTIONARY:
                    return rng.choice(self._english.adverbs)
                return rng.choice(lex.ADVERBS)
            case "np":
                heads = ("the <n>", "a <n>", "my <n>", "your <n>", "some <n>", "the <adj> <n>",
                         "a <adj> <n>", "this <n>", "it", "them", "his <n>", "every <n>",
                         "the <n> and the <n>", "<num> <n>", "something <adj>",
                         "that <n>")  # fmt: skip
                return rng.choice(heads)
            case "vp":
                tails = ("<v> <np>", "<v> <adv>", "want to <v>", "am <adj>",
                         "would like to <v> <np>", "<v> in the <n>", "need <np>", "have <np>",
                         "am <ving> <np>", "<v> the <n> with <np>")  # fmt: skip
                return rng.choice(tails)
            case "s":
                subjects = ("i <vp>", "we <vp>", "you <vp>", "they <vp>", "he <vs> <np>",
                         "she <vs> <np>", "the <n> <vs> <np>", "the <n> is <adj>", "it is <adj>",
                         "<np> <vs> <adv>",
                         "my <relation> <vs> <np>", "<np> was <adj>", "i was <adj>",
                         "the <n> of <np> is <adj>", "people <v> <np>", "everyone <vs> <np>",
                         "they are <ving> <np>", "<ving> <np> is <adj>", "we <vs> <np>",
                         "i <vs> <np> <adv>")  # fmt: skip
                return rng.choice(subjects)
            case "relation":
                return rng.choice(_RELATIONS)
            case "fill":
                return rng.choice(lex.FILLERS)
            case "nation":
                return rng.choice(_NATIONS)
            case "site":
                return rng.choice(_SITES)
            case "time":
                return rng.choice(("week", "month", "year", "summer", "night", "weekend"))
            case "num":
                return f"{{num{rng.choice((rng.randint(0, 20), rng.randint(1, 999)))}}}"
            case "year":
                return f"{{num{rng.choice((18, 19, 20))}{rng.randint(10, 99)}}}"
            case "job":
                return rng.choice(self._jobs) if self._jobs else rng.choice(lex.NOUNS)
            case "prose":
                return rng.choice(self._prose)
            case "sentence":
                return rng.choice(self._sentences)
            case "definition":
                return rng.choice(self._definitions)
            case "date":
                return "{date}"
            case _:
                raise ValueError(f"<{part}> is no part of speech. Correct the pattern.")
