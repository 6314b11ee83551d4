"""The whitelist's benchmark: real models on real faces, and whether the figures can go wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks._cast import Cast, Play
from benchmarks._stage import Actor, Scene, beside, film, stand
from benchmarks.whitelist import Bench, Tally
from edge.config_io import load_config
from tests.support import SHARED, shared_file


def bench(*overrides: str) -> Bench:
    shared_file("models/face_embed_mobilefacenet.onnx")
    folder = shared_file("models/face_yunet_n.onnx").parent
    shared_file("media/people")
    shared_file("media/faces")
    settings = load_config(None, None, [f'models.search_paths=["{folder}"]', *overrides])
    return Bench(settings, folder)


@pytest.fixture(scope="module")
def cast() -> Cast:
    return Cast(bench().shot, SHARED)


def play(cast: Cast, *names: str, enrolled: str) -> Play:
    portraits = [next(p for p in cast.known if p.photo == name) for name in names]
    first = next(p for p in cast.known if p.photo == enrolled)
    person = cast.person(first.name, first)
    assert person is not None
    return Play("test", Scene("test", beside(portraits, 110), 1.6), (person,))


def test_the_enrolled_is_shown_between_strangers_who_are_not(cast: Cast, tmp_path: Path) -> None:
    wanted = play(cast, "biden.jpg", "obama2.jpg", "lin-manuel-miranda.png", enrolled="obama2.jpg")
    tally = bench().show(wanted, tmp_path)
    assert tally.owner_frames == 40
    assert tally.shown == 1.0
    assert tally.other_frames == 80
    assert tally.other_exposed == 0
    assert tally.accuracy == 1.0


def test_the_figures_show_a_whitelist_that_lets_strangers_through(
    cast: Cast, tmp_path: Path
) -> None:
    wanted = play(cast, "lin-manuel-miranda.png", enrolled="obama2.jpg")
    lax = bench("video.whitelist.threshold=-0.9")
    tally = lax.show(wanted, tmp_path)
    assert tally.other_exposed == tally.other_frames == 40
    assert tally.other_taken > 0
    strict = bench("video.whitelist.threshold=0.99")
    hidden = strict.show(play(cast, "obama2.jpg", enrolled="obama2.jpg"), tmp_path)
    assert hidden.shown == 0


def test_nobody_is_enrolled_with_the_shot_that_is_filmed(cast: Cast) -> None:
    """obama-720p.jpg is obama.jpg in another size."""
    filmed = next(p for p in cast.known if p.photo == "obama.jpg")
    person = cast.person("obama", filmed)
    assert person is not None
    assert person.shots == 2
    assert cast.person("biden", next(p for p in cast.known if p.photo == "biden.jpg")) is None


def test_the_truth_knows_who_stands_before_whom(cast: Cast, tmp_path: Path) -> None:
    portrait = cast.known[0]
    actors = [Actor(portrait, stand(x, 270, 100)) for x in (300, 430)]
    scene = Scene("", tuple(actors), 0.2)
    truth = film(scene, tmp_path / "clip.mp4")
    assert len(truth) == 5
    assert [face.clear for face in truth[0]] == [False, True]
    assert 0 < truth[0][0].open < 1
    assert truth[0][1].open == pytest.approx(1, abs=0.03)


def test_tallies_add_up() -> None:
    one, two = Tally(10, 9, 5, 0, 4, 3, 4, 1, [0.6], 0.4), Tally(10, 10, 5, 1, 4, 4, 0, 0, [0.5])
    one += two
    assert one.shown == 0.95
    assert one.other_exposed == 1
    assert one.accuracy == pytest.approx((7 / 8 + 3 / 4) / 2)
    assert one.to_json()["lowest_genuine"] == 0.5
    assert Tally().accuracy is None
    assert Tally().shown is None
