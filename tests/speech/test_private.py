"""Private words in transcripts, and which of them a following chunk may still change."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Settings
from edge.errors import InferenceError
from edge.pii.spans import Kind
from edge.pii.tagger import LABELS, Label, load_word_tagger
from edge.speech.private import PrivateWords
from edge.speech.words import Word
from export.train.tagger import spoken

HIDE = Settings().audio.hide


def said(text: str) -> list[Word]:
    return [Word(word, n * 0.4, n * 0.4 + 0.3) for n, word in enumerate(text.split())]


def covered(tagger: PrivateWords, text: str) -> str:
    """Return the text with private words as dots."""
    words = said(text)
    hidden = {n for span in tagger.tag(words) for n in range(span.first, span.last + 1)}
    return " ".join("." if n in hidden else word.text for n, word in enumerate(words))


@pytest.fixture(scope="module")
def tagger() -> PrivateWords:
    return PrivateWords(load_word_tagger(), hide=HIDE, threshold=0.5)


@pytest.fixture(scope="module")
def forms() -> PrivateWords:
    return PrivateWords(None, hide=HIDE, threshold=0.5)


LEAKS = [
    ("i live at ang mo kio avenue ten since may", "i live at . . . . . since may"),
    ("Meet me at Ang Mo Kio Avenue 10 tonight.", "Meet me at . . . . . tonight."),
    ("my name is tan wei ming and i am a teacher", "my name is . . . and i am a teacher"),
    ("my phone number is 9123 4567", "my phone number is . ."),
    ("my phone number is nine one two three four five six seven", "my phone number is" + " ." * 8),
]


@pytest.mark.parametrize(("text", "left"), LEAKS)
def test_covers_the_whole_span(tagger: PrivateWords, text: str, left: str) -> None:
    assert covered(tagger, text) == left


@pytest.mark.parametrize(("text", "left"), LEAKS)
def test_covers_it_without_a_tagger_where_it_has_a_form(
    forms: PrivateWords, text: str, left: str
) -> None:
    assert covered(forms, text) == left


def test_a_name_without_an_announcement_needs_the_tagger(tagger: PrivateWords) -> None:
    assert covered(tagger, "yesterday tan wei ming called me") == "yesterday . . . called me"


@pytest.mark.parametrize(
    "text",
    [
        "i was shopping all day",
        "she is typing fast on the new keyboard",
        "in my opinion the shopping was too expensive",
        "typing is slow and my opinion on shopping is strong",
        "and so my fellow americans ask not what your country can do for you",
        "And so, my fellow Americans, ask not what your country can do for you.",
        "We met two French tourists and three Germans on Monday in December.",
        "my password is too short and my username is very long",
        "my phone is broken and my number of followers is low",
        "it costs two hundred and fifty thousand dollars",
        "we met on may twenty third twenty twenty five",
        "five four three two one go",
        "the address of the president to the nation was long",
        "the idea was born on the beach while we were surfing",
        "i am so jealous said the girl to the boy",
        "please send it asap",
    ],
)
def test_leaves_ordinary_words(tagger: PrivateWords, text: str) -> None:
    assert covered(tagger, text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("here is anna's bag on the table", "here is . bag on the table"),
        ("i met anna and the others", "i met . and the others"),
        ("just posted a photo h t t p colon slash slash blue car dot com",
         "just posted a photo" + " ." * 11),
        ("my card four four eight five five two seven six two seven five oh nine five nine seven "
         "for a certain time", "my card" + " ." * 16 + " for a certain time"),
    ],
)  # fmt: skip
def test_words_beside_what_is_private_stay(tagger: PrivateWords, text: str, left: str) -> None:
    assert covered(tagger, text) == left


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("the pin is four five six seven okay", Kind.SECRET),
        ("my password is blue horse battery", Kind.SECRET),
        ("i was born on the twenty third of may nineteen eighty four", Kind.BIRTHDAY),
        ("write to anna dot smith at g mail dot com please", Kind.EMAIL),
        ("my card is four five three nine one two three four five six seven eight nine zero one",
         Kind.CARD),
        ("my passport number is k two two four five six seven", Kind.ID),
        ("have a look at w w w dot blue car dot com", Kind.URL),
        ("then he said eight one one two nine three and left", Kind.ID),
    ],
)  # fmt: skip
def test_knows_the_kind(forms: PrivateWords, text: str, kind: Kind) -> None:
    assert kind in {span.kind for span in forms.tag(said(text))}


def test_hides_only_what_it_is_told_to() -> None:
    names = PrivateWords(None, hide=[Kind.NAME], threshold=0.5)
    assert covered(names, "my name is anna my number is nine one two three four five six") == (
        "my name is . my number is nine one two three four five six"
    )


def test_times_are_those_of_the_words(forms: PrivateWords) -> None:
    words = said("call me on nine one two three four five six seven please")
    (span,) = [s for s in forms.tag(words) if s.kind is Kind.PHONE]
    assert (span.first, span.last) == (3, 10)
    assert (span.start, span.end) == (words[3].start, words[10].end)


def test_nothing_said_nothing_private(tagger: PrivateWords) -> None:
    assert tagger.tag([]) == []
    assert tagger.open_end([]) == 0


def test_long_speech_is_looked_at_whole(forms: PrivateWords) -> None:
    text = "well " * 995 + "nine one two three four five six seven" + " well" * 700
    (span,) = forms.tag(said(text))
    assert (span.first, span.last) == (995, 1002)


class Failing:
    labels: tuple[Label, ...] = LABELS

    def scores(self, words: Sequence[str]) -> np.ndarray:
        raise InferenceError("model broke. Restart.")


def test_a_failing_tagger_closes_the_gate() -> None:
    broken = PrivateWords(Failing(), hide=HIDE, threshold=0.5)
    for call in (broken.tag, broken.open_end):
        with pytest.raises(InferenceError):
            call(said("my name is anna"))


# What a following chunk may change


@pytest.mark.parametrize(
    ("text", "open_from"),
    [
        ("so my number is", "my number is"),
        ("you can reach me at", "reach me at"),
        ("call me on nine one two", "call me on nine one two"),
        ("it was nine one two uh", "nine one two uh"),
        ("the code has five dash", "five dash"),
        ("write to anna at", "anna at"),
        ("write to anna at g mail", "anna at g mail"),
        ("and then i live at", "live at"),
        ("we like it a lot", ""),
    ],
)
def test_what_may_go_on_is_open(forms: PrivateWords, text: str, open_from: str) -> None:
    words = text.split()
    rest = words[forms.open_end(said(text)) :]
    # More may be open, never less.
    assert " ".join(rest).endswith(open_from)
    assert len(rest) <= len(open_from.split()) + 3


def test_a_name_at_the_end_is_open(tagger: PrivateWords) -> None:
    words = said("and then yesterday i met tan wei")
    assert tagger.open_end(words) <= 5


SPEECH = (
    "my phone number is nine one two three four five six seven thank you",
    "you can call me on plus six five double nine triple one oh two see you",
    "the card is four five three nine one two three four five six seven eight nine zero one two ok",
    "i live at ang mo kio avenue ten and it is nice there",
    "write me at john dot smith at g mail dot com if you like",
    "my name is tan wei ming and this is my channel",
    "i was born on the twenty third of may nineteen eighty four in the morning",
)


@pytest.mark.parametrize("text", SPEECH)
@pytest.mark.parametrize("with_tagger", [True, False])
def test_cut_anywhere_nothing_private_is_let_go(
    tagger: PrivateWords, forms: PrivateWords, text: str, with_tagger: bool
) -> None:
    """Words before the open end are final: what the whole hides of them, the first part hides."""
    one = tagger if with_tagger else forms
    words = said(text)
    hidden = {n for span in one.tag(words) for n in range(span.first, span.last + 1)}
    assert hidden
    for cut in range(1, len(words)):
        first = words[:cut]
        seen = {n for span in one.tag(first) for n in range(span.first, span.last + 1)}
        final = one.open_end(first)
        let_go = [n for n in hidden if n < final and n not in seen]
        assert not let_go, (cut, [words[n].text for n in let_go])
        # What is open is said again with what follows, and then found.
        again = {
            n + final for span in one.tag(words[final:]) for n in range(span.first, span.last + 1)
        }
        missed = [n for n in hidden if n >= final and n not in again]
        assert not missed, (cut, [words[n].text for n in missed])


@settings(deadline=None, max_examples=60)
@given(
    st.text(string.digits, min_size=7, max_size=16),
    st.integers(0, 2**32),
    st.lists(
        st.sampled_from(["well", "today", "we", "cook", "rice", "in", "my", "kitchen"]), max_size=6
    ),
    st.lists(st.sampled_from(["thanks", "bye", "friends", "see", "you", "soon"]), max_size=6),
    st.integers(0, 40),
)
def test_a_number_split_over_chunks_is_found_whole(
    forms: PrivateWords, digits: str, seed: int, before: list[str], after: list[str], cut: int
) -> None:
    number = spoken.digit_by_digit("6" + digits, random.Random(seed))
    text = [*before, *number, *after]
    words = said(" ".join(text))
    inside = set(range(len(before), len(before) + len(number)))
    assert inside <= {n for s in forms.tag(words) for n in range(s.first, s.last + 1)}
    final = forms.open_end(words[:cut])
    if len(before) < cut < len(before) + len(number):
        assert final <= len(before)  # the number waits for its rest
