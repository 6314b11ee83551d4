from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from edge.appliance import journal


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    ours = logging.getLogger("edge")
    before = (ours.handlers[:], ours.propagate, ours.level)
    yield logging.getLogger("edge.appliance.test")
    ours.handlers[:], ours.propagate = before[:2]
    ours.setLevel(before[2])
    logging.getLogger("edge.appliance").setLevel(logging.NOTSET)


def test_an_event_is_one_line_with_journald_s_priority(log: logging.Logger) -> None:
    out = io.StringIO()
    journal.set_up(journal.Secrets(), stream=out, environ={"JOURNAL_STREAM": "8:1"})
    because = 'two\nlines "quoted"'
    journal.event(
        log, logging.WARNING, "masked", stream="front", because=because, fps=29.97, n=None
    )
    assert out.getvalue() == (
        '<4>event=masked stream=front because="two lines \\"quoted\\"" fps=29.97\n'
    )


def test_other_modules_lines_take_the_same_form(log: logging.Logger) -> None:
    out = io.StringIO()
    journal.set_up(journal.Secrets(), stream=out, environ={})
    logging.getLogger("edge.live").warning("no signal: %s", "it is gone")
    logging.getLogger("edge.live").info("chatter")
    line = out.getvalue()
    assert line.endswith(
        'Z level=warning event=log from=edge.live message="no signal: it is gone"\n'
    )
    assert line.count("\n") == 1


def test_secrets_and_messages_of_unexpected_errors_are_not_written(log: logging.Logger) -> None:
    out, secrets = io.StringIO(), journal.Secrets()
    secrets.know(["k3y", "k3y-longer", ""])
    journal.set_up(secrets, stream=out, environ={})
    with pytest.raises(ValueError, match="private") as caught:
        raise ValueError("private words")
    log.error("rtmp://h/live/k3y-longer and k3y", exc_info=caught.value)
    assert journal.place_of(caught.value).startswith("ValueError at test_journal.py:")
    text = out.getvalue()
    assert "k3y" not in text
    assert "longer" not in text
    assert "private" not in text
    assert "ValueError" in text


def test_a_flood_becomes_some_lines_and_a_count() -> None:
    clock = Clock()
    limit = journal.RateLimit(clock)

    def passes(text: str) -> logging.LogRecord | None:
        record = logging.LogRecord("edge", logging.ERROR, "f", 1, text, (), None)
        record.is_event = True
        return record if limit.filter(record) else None

    assert passes("same")
    assert not any(passes("same") for _ in range(1000))
    first = passes("another")
    assert first is not None
    assert first.getMessage() == "another left_out=1000"
    kept = sum(passes(f"line {n}") is not None for n in range(100_000))
    assert kept < 100
    clock.now += 100
    again = passes("same")
    assert again is not None
    assert again.getMessage() == f"same left_out={100_000 - kept}"
