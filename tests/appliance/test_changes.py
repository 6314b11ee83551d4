"""What operators change: all or nothing, recorded first, kept, and taken back."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from edge.appliance.changes import BusyError, Changes, RefusedError
from edge.errors import AuditError, ConfigError

FILE = """
streams:
  front: {source: /tmp/a.mp4, outputs: [/tmp/front.mp4]}
  yard: {source: /tmp/b.mp4, outputs: [/tmp/yard.mp4], settings: {blur: {type: solid}}}
"""


class Office:
    """Changes, and a service that takes or refuses what is proposed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config = folder / "privaedge.yaml"
        config.write_text(FILE)
        self.recorded: list[tuple[str, dict[str, Any]]] = []
        self.refuses: str | None = None
        self.forgets = False
        self.changes = Changes(folder / "state", config, {}, record=self._record)
        self.changes.on_candidate = self._prepare

    def _record(self, name: str, data: dict[str, Any]) -> None:
        if self.forgets:
            raise AuditError("the disk is full. Free some space.")
        self.recorded.append((name, data))

    def _prepare(self) -> None:
        def work() -> None:
            candidate = self.changes.candidate
            assert candidate is not None
            refused = self.refuses
            if refused is None:
                self.changes.commit(candidate)
            self.changes.settle(candidate, refused)

        threading.Thread(target=work).start()

    def again(self) -> Changes:
        """After a restart."""
        return Changes(self.folder / "state", self.folder / "privaedge.yaml", {})


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_change_is_kept_over_a_restart_and_can_be_taken_back(office: Office) -> None:
    changes = office.changes
    assert changes.can_undo is None
    with pytest.raises(RefusedError, match="nothing to undo"):
        changes.undo("me", None)
    made = changes.change({"front": {"blur.cells": 4, "blur.pad": 0.3}}, {}, "me", "why not")
    assert made.revision == 1
    assert {(c.key, c.before, c.after) for c in made.changes} == {
        ("blur.cells", 8, 4),
        ("blur.pad", 0.15, 0.3),
    }
    assert office.again().overlay == {"front": {"blur.cells": 4, "blur.pad": 0.3}}
    changes.change({}, {"front": ["blur.pad"]}, "me", None)
    assert changes.settings()["front"].blur.pad == 0.15
    assert (changes.can_undo, changes.undo("me", None).revision) == (2, 3)
    assert changes.settings()["front"].blur.pad == 0.3
    assert changes.can_undo == 1
    changes.undo("me", None)
    assert changes.settings()["front"].blur.cells == 8
    assert changes.can_undo is None
    assert [one.undoes for one in changes.history] == [1, 2, None, None]
    assert [data["revision"] for name, data in office.recorded if name == "config"] == [1, 2, 3, 4]


def test_what_is_refused_or_cannot_be_recorded_changes_nothing(office: Office) -> None:
    changes = office.changes
    wrong: list[tuple[dict[str, dict[str, Any]], type[Exception], str]] = [
        ({"front": {"blur.type": "clear"}}, ConfigError, "blur.type"),
        ({"front": {"no.such": 1}}, ConfigError, "unknown key"),
        ({"rear": {"blur.pad": 0.3}}, RefusedError, "no stream 'rear'"),
        ({"front": {"models.search_paths": []}}, RefusedError, "service's file"),
        ({"front": {"video.models.face.model": ["/etc/shadow"]}}, RefusedError, "paths"),
        ({"front": {"video.models.face.enabled": False}}, RefusedError, "needs a reason"),
        ({"front": {"delay.seconds": 0.2}}, ConfigError, "delay.seconds"),
    ]
    for values, kind, words in wrong:
        with pytest.raises(kind, match=words):
            changes.change(values, {}, "me", None)
    office.forgets = True
    with pytest.raises(AuditError):
        changes.switch("faces", False, None, "me", "because")
    office.forgets, office.refuses = False, "no such model. Fetch it."
    with pytest.raises(RefusedError, match="no such model"):
        changes.switch("faces", False, None, "me", "because")
    assert changes.revision == 0
    assert changes.overlay == {}
    assert office.again().overlay == {}
    assert [name for name, _ in office.recorded] == ["config", "config-refused"]
    office.refuses = None
    assert changes.switch("faces", False, "yard", "me", "because").revision == 1
    assert not changes.settings()["yard"].video.models.face.enabled
    assert changes.settings()["front"].video.models.face.enabled


def test_one_change_at_a_time(office: Office) -> None:
    changes = office.changes
    changes.on_candidate = lambda: None
    results: list[object] = []

    def propose() -> None:
        results.append(changes.change({"front": {"blur.pad": 0.3}}, {}, "me", None))

    thread = threading.Thread(target=propose)
    thread.start()
    while changes.candidate is None:
        thread.join(0.01)
    with pytest.raises(BusyError):
        changes.change({"front": {"blur.pad": 0.4}}, {}, "me", None)
    candidate = changes.candidate
    changes.commit(candidate)
    changes.settle(candidate, None)
    thread.join(5)
    assert len(results) == 1


def test_what_interrupts_a_stream_is_told(office: Office) -> None:
    made = office.changes.change({"front": {"delay.seconds": 9.0}}, {}, "me", None)
    assert made.interrupts == ("front",)
    made = office.changes.change({"yard": {"blur.pad": 0.2}}, {}, "me", None)
    assert made.interrupts == ()


def test_the_history_is_bounded(office: Office) -> None:
    for number in range(60):
        office.changes.change({"front": {"blur.pad": 0.2 + number / 100}}, {}, "me", None)
    assert len(office.changes.history) == 50
    assert office.changes.history[0].revision == 60
    assert (office.folder / "state" / "changes.json").stat().st_size < 100_000


def test_changes_that_cannot_be_read_are_not_passed_over(office: Office) -> None:
    """One of them may have switched something on."""
    office.changes.change({"front": {"blur.pad": 0.3}}, {}, "me", None)
    (office.folder / "state" / "changes.json").write_bytes(b'{"revision": 1, "over')
    with pytest.raises(ConfigError, match="Delete it to go back"):
        office.again()
