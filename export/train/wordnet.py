"""Ordinary English words and sentences from WordNet, for training: what is nobody's name.

Princeton WordNet 3.0 is a dictionary whose entries are in lower case where a word is no name, with
a gloss and examples ("she was able to program her computer"). Debian has it as `wordnet-base`;
nothing of it travels with the package, only what the networks made of it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import PrivaedgeError

DEBIAN_FOLDER: Final = Path("/usr/share/wordnet")
_FILES: Final = {"noun": "noun", "verb": "verb", "adj": "adjective", "adv": "adverb"}
_LEAST_USES: Final = 2
_WORD: Final = re.compile(r"[a-z]{2,16}")
_EXAMPLE: Final = re.compile(r'"([^"]+)"')
_PLAIN: Final = re.compile(r"[a-z']+(?:,? [a-z']+){3,24}")
"""Words in lower case only: no names, no figures, no signs."""


class WordNetError(PrivaedgeError):
    """The dictionary is missing or is none."""


@dataclass(frozen=True, slots=True)
class WordNet:
    """Single words in lower case by part of speech, and texts without punctuation; all sorted.

    inflected: lemma → its irregular forms ("star" → "starred", "starring"). sentences: examples,
    most of them whole sentences. definitions: what words mean, most of them no sentences.
    """

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]
    adverbs: tuple[str, ...]
    inflected: dict[str, tuple[str, ...]]
    sentences: tuple[str, ...]
    definitions: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """All words of all parts of speech, sorted."""
        return tuple(sorted({*self.nouns, *self.verbs, *self.adjectives, *self.adverbs}))


def load(folder: Path, *, without: Collection[str] = ()) -> WordNet:
    """Read a folder with data.noun, data.verb, ... and verb.exc.

    without: words (lower case) that are left out of the lists, such as names. Left out in any case
    are words that WordNet has with a capital, too, and those that it needs for no explanation of
    another word ("sagittiform"): nobody says them. Raises WordNetError.
    """
    lists: dict[str, set[str]] = {part: set() for part in _FILES.values()}
    capitalised: set[str] = set()
    sentences: set[str] = set()
    definitions: set[str] = set()
    try:
        for file, part in _FILES.items():
            for lemmas, gloss in _entries(folder / f"data.{file}"):
                capitalised.update(lemma.lower() for lemma in lemmas if not lemma.islower())
                lists[part].update(lemma for lemma in lemmas if _WORD.fullmatch(lemma))
                sentences.update(_plain(_EXAMPLE.findall(gloss)))
                meaning = re.sub(r"\([^)]*\)", "", gloss.partition('"')[0])
                definitions.update(_plain(meaning.split(";")))
        inflected = _exceptions(folder / "verb.exc")
    except (OSError, ValueError, IndexError) as error:
        raise WordNetError(
            f"{folder} holds no WordNet 3.0 database. Install one: apt-get install wordnet-base."
        ) from error
    used = Counter(word for text in (*sentences, *definitions) for word in text.split())
    left_out = capitalised | set(without)
    kept = {
        part: tuple(sorted(word for word in words - left_out if used[word] >= _LEAST_USES))
        for part, words in lists.items()
    }
    return WordNet(
        kept["noun"], kept["verb"], kept["adjective"], kept["adverb"], inflected,
        tuple(sorted(sentences)), tuple(sorted(definitions - sentences)),
    )  # fmt: skip


def _entries(path: Path) -> Iterator[tuple[list[str], str]]:
    """Yield the lemmas, as they are written, and the gloss of each entry (see wndb(5WN))."""
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):
            continue  # the licence
        data, _, gloss = line.partition(" | ")
        fields = data.split()
        count = int(fields[3], 16)
        yield [re.sub(r"\(.*\)$", "", fields[4 + 2 * n]) for n in range(count)], gloss


def _plain(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        words = text.strip(" .!?;")
        if _PLAIN.fullmatch(words):
            yield words.replace(",", "")


def _exceptions(path: Path) -> dict[str, tuple[str, ...]]:
    forms: defaultdict[str, list[str]] = defaultdict(list)
    for line in path.read_text(encoding="latin-1").splitlines():
        form, lemma = line.split()[:2]
        if _WORD.fullmatch(form):
            forms[lemma].append(form)
    return {lemma: tuple(sorted(found)) for lemma, found in forms.items()}
