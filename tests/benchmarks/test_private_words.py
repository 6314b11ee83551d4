"""The benchmark of private words counts what it says it counts."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import private_words
from benchmarks._common import BenchmarkError
from benchmarks.private_words import Said, measure, render, run
from edge.pii.spans import Kind
from edge.speech.words import SpokenSpan, Word

ENTRY = {
    "full_text": "Call Zoë on 555-0199, it's 20 past.",
    "spans": [
        {"entity_type": "PHONE_NUMBER", "start_position": 12, "end_position": 20},
        {"entity_type": "PERSON", "start_position": 5, "end_position": 8},
    ],
}


class Fixed:
    """Says that words 1..2 are a name."""

    def tag(self, words: Sequence[Word]) -> list[SpokenSpan]:
        return [SpokenSpan(1, 2, words[1].start, words[2].end, Kind.NAME, 0.9)]


def test_renders_as_it_is_said() -> None:
    said = render(ENTRY, random.Random(1))
    assert said.words[:3] == ("call", "zoe", "on")
    assert said.words[-3:] == ("it's", "twenty", "past")
    assert not any(c.isdigit() or c.isupper() for word in said.words for c in word)
    assert [part and part[1] for part in said.parts[:3]] == [None, "PERSON", None]
    phone = [w for w, part in zip(said.words, said.parts, strict=True)
             if part and part[1] == "PHONE_NUMBER"]  # fmt: skip
    assert "one" in phone
    assert len(said.words) == len(said.parts)


def test_counts_words_parts_and_kinds() -> None:
    person, phone, date = (0, "PERSON"), (1, "PHONE_NUMBER"), (2, "DATE_TIME")
    said = Said(("a", "b", "c", "d", "e", "f"), (None, person, person, phone, date, None))
    figures = measure([said], Fixed())  # type: ignore[arg-type]
    assert figures["types"]["PERSON"] == {
        "parts": 1, "words": 2, "covered": 1.0, "whole": 1.0, "f5": 1.0,
    }  # fmt: skip
    assert figures["types"]["PHONE_NUMBER"]["covered"] == 0
    assert figures["types"]["PHONE_NUMBER"]["f5"] == 0
    assert "DATE_TIME" not in figures["types"]
    assert figures["ordinary_words"] == 2
    assert figures["ordinary_flagged"] == 0
    assert figures["structured"] == 0


def test_a_part_with_one_word_missed_is_not_whole() -> None:
    person = (0, "PERSON")
    said = Said(("a", "b", "c", "d"), (None, None, person, person))
    figures = measure([said], Fixed())  # type: ignore[arg-type]
    assert figures["types"]["PERSON"]["covered"] == 0.5
    assert figures["types"]["PERSON"]["whole"] == 0
    assert figures["ordinary_flagged"] == 0.5


def test_runs_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sentences.json"
    path.write_text(json.dumps([ENTRY] * 3))
    assert run([str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["sentences"] == 3
    assert result["default"]["types"]["PHONE_NUMBER"]["covered"] == 1
    assert run([str(path), "--no-tagger"]) == 0
    assert "PHONE_NUMBER" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[1]", "{", '[{"full_text": "x"}]'])
def test_a_file_without_sentences_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match="no labelled sentences"):
        run([str(path)])
    with pytest.raises(BenchmarkError, match="cannot be read"):
        run([str(tmp_path / "none.json")])


def test_every_structured_type_has_a_kind() -> None:
    assert set(private_words.STRUCTURED) < set(private_words.KINDS)
