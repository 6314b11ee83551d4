from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InferenceError
from edge.inference.engine import Tensors
from edge.pii.classifier import TextClassifier
from edge.pii.lines import LineJudge, LineVerdict, ReadLine
from edge.pii.spans import Kind

ALL = tuple(Kind)
H = 20.0


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    return TextClassifier.load()


def row(*texts: str, gap: float = 10) -> list[ReadLine]:
    lines, x = [], 0.0
    for text in texts:
        width = 10.0 * len(text)
        lines.append(ReadLine(text, 0.9, (x, 0, x + width, H)))
        x += width + gap
    return lines


def stack(*texts: str, gap: float = 6) -> list[ReadLine]:
    return [
        ReadLine(text, 0.9, (0, n * (H + gap), 10.0 * len(text), n * (H + gap) + H))
        for n, text in enumerate(texts)
    ]


def kinds(verdicts: Sequence[LineVerdict]) -> list[Kind | None]:
    return [verdict.kind for verdict in verdicts]


def without(threshold: float = 0.5) -> LineJudge:
    return LineJudge(None, hide=ALL, threshold=threshold)


def test_lines_of_several_kinds_without_the_network() -> None:
    texts = [
        "9123 4567",
        "john@example.com",
        "4111 1111 1111 1111",
        "SBA 1234 A",
        "OPEN 24 HOURS",
        "",
    ]
    lines = [ReadLine(t, 0.9, (0, n * 500, 100, n * 500 + 20)) for n, t in enumerate(texts)]
    assert kinds(without().judge(lines)) == [
        Kind.PHONE,
        Kind.EMAIL,
        Kind.CARD,
        Kind.PLATE,
        None,
        None,
    ]


def test_a_street_and_its_number_in_two_boxes() -> None:
    for order in (row("221B", "Baker Street"), row("Hauptstraße", "12")):
        assert kinds(without().judge(order)) == [Kind.ADDRESS, Kind.ADDRESS]


def test_a_number_alone_is_no_address() -> None:
    assert kinds(without().judge(row("221"))) == [None]
    assert kinds(without().judge(row("221", "Baker Street", gap=400))) == [None, Kind.ADDRESS]


@pytest.mark.parametrize("layout", [row, stack])
def test_a_phone_number_broken_over_two_boxes(layout: type) -> None:
    judged = without().judge(layout("+65 9123", "4567"))  # type: ignore[call-arg]
    assert kinds(judged) == [Kind.PHONE, Kind.PHONE]


def test_a_card_in_four_boxes() -> None:
    judged = without().judge(row("4111 1111", "1111 1111"))
    assert kinds(judged) == [Kind.CARD, Kind.CARD]


def test_a_password_below_its_label() -> None:
    assert kinds(without().judge(stack("WiFi password:", "sunshine99")))[1] is Kind.SECRET


def test_a_passport() -> None:
    judged = without().judge(
        stack(
            "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
            "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
        )
    )
    assert kinds(judged) == [Kind.ID, Kind.ID]


def test_far_neighbours_and_other_sizes_do_not_join() -> None:
    small = ReadLine("4567", 0.9, (100, 0, 130, 6))
    assert kinds(without().judge([*row("9123"), small])) == [None, None]
    assert kinds(without().judge(stack("9123", "4567", gap=200))) == [None, None]


def test_only_kinds_that_are_hidden_count() -> None:
    judge = LineJudge(None, hide=[Kind.EMAIL], threshold=0.5)
    assert kinds(judge.judge(row("9123 4567", "john@example.com", gap=500))) == [None, Kind.EMAIL]


def test_names_and_ordinary_words(classifier: TextClassifier) -> None:
    judge = LineJudge(classifier, hide=ALL, threshold=0.5)
    texts = ["Tan Wei Ming", "JOHN SMITH", "Maria Gonzalez", "Muhammad bin Ismail",
        "Sarah O'Connor",
             "EXIT", "Fresh orange juice", "NO PARKING", "Monday to Friday", "Buy one get one free",
             "shopping"]  # fmt: skip
    lines = [ReadLine(t, 0.9, (0, n * 500, 100, n * 500 + 20)) for n, t in enumerate(texts)]
    assert kinds(judge.judge(lines)) == [Kind.NAME] * 5 + [None] * 6


def test_a_letter_head_is_hidden_whole(classifier: TextClassifier) -> None:
    judge = LineJudge(classifier, hide=ALL, threshold=0.5)
    assert None not in kinds(judge.judge(stack("Jane Doe", "12 Baker Street", "NW1 6XE")))
    assert None not in kinds(judge.judge(stack("Blk 123 Ang Mo Kio Ave 10", "#05-12", "560123")))


def test_a_lower_threshold_hides_no_less(classifier: TextClassifier) -> None:
    lines = stack("Wong's Kitchen", "Marina", "Orchard", "5 Elm", "Grace", "24801")
    strict = LineJudge(classifier, hide=ALL, threshold=0.5).judge(lines)
    over = LineJudge(classifier, hide=ALL, threshold=0.2).judge(lines)
    assert all(b.kind is not None for a, b in zip(strict, over, strict=True) if a.kind is not None)


BOXES = st.tuples(*[st.floats(-1e4, 1e4, allow_nan=False)] * 4)
LINES = st.lists(st.builds(ReadLine, st.text(max_size=30), st.floats(0, 1), BOXES), max_size=8)


@given(LINES)
@settings(max_examples=80, deadline=None)
def test_there_is_a_verdict_for_every_line(lines: list[ReadLine]) -> None:
    judged = without().judge(lines)
    assert len(judged) == len(lines)
    assert all(0 <= v.score <= 1 for v in judged)
    assert all(v.score >= 0.5 for v in judged if v.kind is not None)


def test_a_broken_network_closes_the_gate() -> None:
    class Broken:
        inputs = ("ids", "weights")
        outputs = ("probabilities",)

        def run(self, feeds: Tensors) -> Tensors:
            raise InferenceError("model lines.onnx failed")

    judge = LineJudge(TextClassifier(Broken()), hide=ALL, threshold=0.5)
    with pytest.raises(InferenceError):
        judge.judge(row("John"))


def test_text_is_not_shown() -> None:
    (line,) = row("Jane Doe")
    assert "Jane" not in repr(line)
    assert "Jane" not in repr(without().judge([line]))
