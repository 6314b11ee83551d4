"""The dictionary that training takes ordinary words from: a small one of the same form."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.train import wordnet

LICENCE = "  1 This software and database is being provided to you ...  \n"
NOUNS = """\
00001740 03 n 01 lantern 0 001 ~ 00002137 n 0000 | a light; "the lantern shone in the dark"
00002137 03 n 02 river 0 Thames 0 001 @ 00001740 n 0000 | (large) a stream as a river is one
00003000 03 n 01 hail 0 000 | ice that falls; "the hail broke a lantern"
"""
VERBS = """\
00004000 29 v 01 star 0 000 01 + 02 00 | be the one that all see; "they star in the river"
00004100 29 v 01 hail 0 000 01 + 02 00 | call; "she was able to hail a cab in the hail"
"""
ADJECTIVES = """\
00005000 00 a 01 dark(p) 0 000 | without light in the dark; "In 1990 the dark River"
00005100 00 a 01 adaxial 0 000 | facing the stem
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = {"noun": NOUNS, "verb": VERBS, "adj": ADJECTIVES, "adv": ""}
    for name, text in texts.items():
        (tmp_path / f"data.{name}").write_text(LICENCE + text, encoding="latin-1")
    (tmp_path / "verb.exc").write_text("starred star\nstarring star\n", encoding="latin-1")
    return tmp_path


def test_ordinary_words_by_part_of_speech(folder: Path) -> None:
    found = wordnet.load(folder)
    assert found.nouns == ("hail", "lantern", "river")
    assert found.verbs == ("hail",)  # "star" explains nothing often enough
    assert found.adjectives == ("dark",)  # without its mark; nobody says "adaxial"
    assert found.adverbs == ()
    assert found.inflected == {"star": ("starred", "starring")}
    assert found.words == ("dark", "hail", "lantern", "river")


def test_words_that_are_names_are_left_out(folder: Path) -> None:
    assert wordnet.load(folder, without=["hail"]).words == ("dark", "lantern", "river")
    capital = NOUNS.replace("01 lantern", "02 lantern 0 Lantern")
    (folder / "data.noun").write_text(capital, encoding="latin-1")
    assert "lantern" not in wordnet.load(folder).words


def test_sentences_have_no_names_and_no_figures(folder: Path) -> None:
    found = wordnet.load(folder)
    assert "she was able to hail a cab in the hail" in found.sentences
    assert "be the one that all see" in found.definitions
    for text in (*found.sentences, *found.definitions):
        assert text == text.lower()
        assert text.replace(" ", "").replace("'", "").isalpha()


@pytest.mark.parametrize("damage", ["none", "other"])
def test_what_is_no_dictionary_is_refused(tmp_path: Path, folder: Path, damage: str) -> None:
    if damage == "none":
        (folder / "data.verb").unlink()
    else:
        (folder / "data.verb").write_text("nothing of the kind\n")
    with pytest.raises(wordnet.WordNetError, match="wordnet-base"):
        wordnet.load(folder)
