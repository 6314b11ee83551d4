"""The faces verbs, with real models and photographs, in a folder of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge.cli_faces import faces_app
from edge.errors import ExitCode
from edge.people_store import ENVIRONMENT, PeopleStore
from tests.command import Outcome
from tests.films import write_film
from tests.support import shared_file

OWNER = ("obama.jpg", "obama2.jpg")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shared_file("models/face_embed_mobilefacenet.onnx")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "people"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "people"


def call(*args: str | Path, models: bool = False) -> Outcome:
    folder = shared_file("models")
    more = [f'--set=models.search_paths=["{folder}"]', "--set=models.fetch=false"] if models else []
    result = CliRunner().invoke(faces_app, [*map(str, args), *more])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def photos(*names: str) -> list[Path]:
    return [shared_file(f"media/people/{name}") for name in names]


def enrol(name: str, *files: Path, least: int = 1) -> Outcome:
    return call("enroll", name, *files, f"--min-shots={least}", models=True)


def test_enrol_list_test_remove(tmp_path: Path, place: Path) -> None:
    done = enrol("Owner", *photos(*OWNER, "two_people.jpg"), least=2)
    assert done.code == 0, done.err
    assert re.search(r"two_people.jpg .* 2 faces", done.out)
    assert "enrolled from 2 shots" in done.out
    assert "Fewer than 5 shots" in done.err

    assert json.loads(call("list", "--json").out)[0]["name"] == "Owner"
    assert "Owner" in call("list").out

    tested = call("test", *photos("two_people.jpg"), "--json", models=True)
    assert tested.code == 0, tested.err
    shown = {row["frames_shown"]: row for row in json.loads(tested.out)}
    assert shown[1]["nearest"] == "Owner"
    assert min(shown[1]["scores"]) > 0.6
    assert max(shown[0]["scores"]) < 0.3
    assert "Owner" in call("test", *photos("two_people.jpg"), models=True).out

    call("enroll", "Owner", *photos(*OWNER), models=True).refused(ExitCode.CONFIG, "--replace")
    again = call("enroll", "Owner", *photos("obama.jpg"), "--replace", "--min-shots=1", models=True)
    assert again.code == 0, again.err
    people = PeopleStore().load()
    assert people is not None
    assert people.members[0].shots == 1

    call("remove", "Nobody").refused(ExitCode.CONFIG, "not enrolled")
    assert "forgotten" in call("remove", "Owner").out
    assert "Nobody is enrolled" in call("list").out
    assert not [path for path in place.iterdir() if path.suffix in (".enc", ".key")]


def test_five_good_shots_are_asked_for_and_nothing_is_kept_of_fewer(place: Path) -> None:
    refused = call("enroll", "Owner", *photos(*OWNER), models=True)
    assert refused.code == int(ExitCode.CONFIG)
    assert "2 of 2 shots are good, and 5 are asked for" in refused.err
    assert "good" in refused.out
    assert not place.exists()


def test_a_film_shows_the_owner_and_hides_the_stranger(tmp_path: Path) -> None:
    assert enrol("Owner", *photos("obama2.jpg")).code == 0
    picture = cv2.imread(str(photos("two_people.jpg")[0]))
    assert picture is not None
    wide = np.asarray(cv2.resize(picture, (960, 564), interpolation=cv2.INTER_AREA), np.uint8)
    film = write_film(tmp_path / "film.mp4", [wide] * 30, fps=15)
    tested = call("test", film, "--json", models=True)
    assert tested.code == 0, tested.err
    rows = json.loads(tested.out)
    seen = [row for row in rows if row["frames_shown"]]
    assert len(rows) == 2
    assert len(seen) == 1
    assert seen[0]["frames_shown"] == seen[0]["frames"] == 30
    assert seen[0]["nearest"] == "Owner"


def test_without_anybody_enrolled_there_is_nothing_to_test() -> None:
    call("test", *photos("obama.jpg"), models=True).refused(ExitCode.CONFIG, "enroll NAME")


def test_look_alikes_are_warned_of() -> None:
    assert enrol("One", *photos("obama.jpg")).code == 0
    done = enrol("Two", *photos("obama2.jpg"))
    assert done.code == 0
    assert "Two and One look alike" in done.err


def test_what_cannot_be_is_refused_before_anything_is_read(place: Path) -> None:
    call("enroll", "bad\nname", "x.jpg").refused(ExitCode.CONFIG, "usable name")
    call("enroll", "Ann", "/nowhere/x.jpg", models=True).refused(ExitCode.INPUT, "/nowhere/x.jpg")
    assert not place.exists()


def test_people_of_another_model_are_refused(tmp_path: Path) -> None:
    assert enrol("Owner", *photos("obama.jpg")).code == 0
    import onnx

    # The same network under another hash, as a file that the catalogue does not know.
    network = onnx.load(str(shared_file("models/face_embed_mobilefacenet.onnx")))
    network.producer_name = "somebody else"
    other = tmp_path / "other.onnx"
    other.write_bytes(network.SerializeToString())
    stated = f"--set=video.whitelist.model={other}"
    for args in (("test", *photos("obama.jpg")), ("enroll", "Two", *photos("obama2.jpg"))):
        more = () if args[0] == "test" else ("--min-shots=1",)
        outcome = call(*args, stated, *more, models=True)
        assert outcome.code == int(ExitCode.CONFIG)
        assert "belong to model mobilefacenet" in outcome.err.splitlines()[-1]
