from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import text
from benchmarks._common import BenchmarkError
from benchmarks._text_lines import BARE_NUMBER, Page, labelled_pages, line, written_signs
from edge.pii.lines import LineJudge
from edge.pii.spans import Kind
from tests.support import shared_file


def _sentence(*spans: tuple[str, str, int]) -> dict[str, object]:
    return {
        "spans": [
            {"entity_type": kind, "entity_value": value, "start_position": at,
                "end_position": at + len(value)}
            for kind, value, at in spans
        ]
    }  # fmt: skip


def test_spans_become_lines_and_addresses_blocks(tmp_path: Path) -> None:
    path = tmp_path / "sentences.json"
    path.write_text(
        json.dumps(
            [
                _sentence(
                    ("ADDRESS", "12 Elm Rd\nLeeds", 0), ("ADDRESS", "91", 18), ("PERSON", "Jo", 40)
                ),
                _sentence(),
            ]
        )
    )
    (page,) = labelled_pages(path)
    assert [one.text for one in page.lines] == ["12 Elm Rd", "Leeds", "91", "Jo"]
    assert page.types == ("ADDRESS", "ADDRESS", BARE_NUMBER, "PERSON")
    first, second, third, person = (one.box for one in page.lines)
    assert first[0] == second[0] == third[0] < person[0] - 1000
    assert first[3] < second[1] < third[1]


def test_a_file_of_something_else_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(BenchmarkError, match=r"cannot be read as JSON\. Name"):
        labelled_pages(tmp_path / "x.json")


def test_recall_and_precision() -> None:
    counts: Counter[tuple[str, Kind | None]] = Counter(
        {("PHONE_NUMBER", Kind.PHONE): 3, ("PHONE_NUMBER", None): 1, ("sign", Kind.PHONE): 1,
            ("sign", None): 9}
    )  # fmt: skip
    found = text.shares(counts)
    assert found["PHONE_NUMBER"] == {"lines": 4, "hidden": 0.75, "precision": 0.75}
    assert found["sign"] == {"lines": 10, "hidden": 0.1}
    assert found["private"] == {"lines": 4, "hidden": 0.75}


def test_pages_are_judged_whole() -> None:
    judge = LineJudge(None, hide=list(Kind), threshold=0.5)
    page = Page((line("221B", 0, 0), line("Baker Street", 60, 0)), ("ADDRESS", "ADDRESS"))
    assert text.tally(judge, [page]) == {("ADDRESS", Kind.ADDRESS): 2}


def test_hand_written_signs_are_many_and_in_both_cases() -> None:
    pages = written_signs(misread=False, seed=1)
    assert len(pages) > 500
    assert {page.types for page in pages} == {("sign",)}


def test_the_goal_on_hand_written_signs_and_labelled_sentences() -> None:
    """Quick guard of what the benchmark measures: network, recognisers and neighbours together."""
    judge = LineJudge(text.TextClassifier.load(), hide=text._SHOWN, threshold=0.5)
    counts = text.tally(judge, written_signs(misread=False, seed=1))
    assert counts["sign", None] >= 0.95 * counts.total()
    path = shared_file("media/pii/presidio_synthetic.json")
    found = text.shares(text.tally(judge, labelled_pages(path)[:600]))
    assert found["private, all but bare numbers"]["hidden"] >= 0.93


def test_profiles_hide_more_the_stricter_they_are() -> None:
    limits = text.profile_thresholds()
    assert limits["high_privacy"] < limits["balanced"]
    pages = labelled_pages(shared_file("media/pii/presidio_synthetic.json"))[:300]
    signs = written_signs(misread=True, seed=1)[:300]
    classifier = text.TextClassifier.load()
    hidden = {}
    for name, limit in limits.items():
        judge = LineJudge(classifier, hide=text._SHOWN, threshold=limit)
        verdicts = [v for page in [*pages, *signs] for v in judge.judge(page.lines)]
        hidden[name] = [verdict.kind is not None for verdict in verdicts]
    # Unsure counts as private: all that balanced hides, and more.
    pairs = list(zip(hidden["balanced"], hidden["high_privacy"], strict=True))
    assert (True, False) not in pairs
    assert (False, True) in pairs
