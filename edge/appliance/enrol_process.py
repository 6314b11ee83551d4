"""Judges shots of faces and enrols people, as a program of its own: `python -m` this.

Decoding uploaded pictures and running networks on them must neither crash nor slow down the
service. One line of JSON a request on stdin, followed by `size` bytes for a shot; one line of JSON
an answer on stdout. Shots are forgotten with the process; only numbers of them are ever kept.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from typing import Any, BinaryIO, Final

from edge.appliance.aside import step_aside
from edge.config import Settings
from edge.enrolment import GOOD_SHOTS, Shot, ShotJudge, compare, enrol
from edge.enrolment_models import add_person, load_judge
from edge.errors import PrivaedgeError
from edge.media.still import decode_still
from edge.people import check_name
from edge.people_store import PeopleStore
from edge.recognition import EmbeddingModel

_MOST_SHOTS: Final = 40
_MOST_NAMES: Final = 8
"""People whose enrolment may be under way; who is begun later replaces who was begun first."""


class Enroller:
    """Keeps the shots of those whose enrolment is under way."""

    def __init__(self, judge: ShotJudge, model: EmbeddingModel, store: PeopleStore) -> None:
        self._judge, self._model, self._store = judge, model, store
        self._shots: OrderedDict[str, list[Shot]] = OrderedDict()

    def answer(self, request: dict[str, Any], data: bytes) -> dict[str, Any]:
        """Do what a request asks for. Raises PrivaedgeError."""
        name = check_name(str(request["name"]))
        match request["do"]:
            case "shot":
                return self._take(name, data)
            case "enrol":
                return self._enrol(name, replace=bool(request.get("replace")))
            case _:
                self._shots.pop(name, None)
                return {}

    def _take(self, name: str, data: bytes) -> dict[str, Any]:
        shots = self._shots.setdefault(name, [])
        self._shots.move_to_end(name)
        while len(self._shots) > _MOST_NAMES:
            self._shots.popitem(last=False)
        shot = self._judge.judge(decode_still(data, "The upload"), f"shot {len(shots) + 1}")
        judged = compare([*shots, shot])
        problem = judged[-1].problem
        if problem is None and len(shots) < _MOST_SHOTS:
            shots.append(shot)
        return {
            "accepted": problem is None,
            "problem": problem,
            "face_px": shot.face_px,
            **self._count(name),
        }

    def _count(self, name: str) -> dict[str, int]:
        good = sum(one.problem is None for one in compare(self._shots.get(name, [])))
        return {"good": good, "wanted": GOOD_SHOTS}

    def _enrol(self, name: str, *, replace: bool) -> dict[str, Any]:
        shots = compare(self._shots.get(name, []))
        count = self._count(name)
        if count["good"] < GOOD_SHOTS:
            return {"few": True, **count}
        person = enrol(name, shots)
        assert person is not None
        people = add_person(self._store, self._model, person, replace=replace)
        self._shots.pop(name, None)
        other = people.nearest_other(person)
        alike = other is not None and other[1] >= person.threshold
        return {
            "name": name,
            "shots": person.shots,
            "likeness": round(person.likeness, 3),
            "alike": other[0] if other is not None and alike else None,
        }


def main(stdin: BinaryIO = sys.stdin.buffer, stdout: BinaryIO = sys.stdout.buffer) -> None:
    """Answer until there are no more requests. The first line is the settings to go by."""
    step_aside()
    settings = Settings.model_validate_json(stdin.readline())
    try:
        judge, model = load_judge(settings)
    except PrivaedgeError as error:
        _say(stdout, {"error": str(error)})
        return
    enroller = Enroller(judge, model, PeopleStore())
    _say(stdout, {"ready": True})
    while line := stdin.readline():
        request = json.loads(line)
        data = stdin.read(int(request.get("size", 0)))
        try:
            _say(stdout, enroller.answer(request, data))
        except PrivaedgeError as error:
            _say(stdout, {"error": str(error)})


def _say(stdout: BinaryIO, answer: dict[str, Any]) -> None:
    stdout.write(json.dumps(answer).encode() + b"\n")
    stdout.flush()


if __name__ == "__main__":
    main()
