"""Whether sound and picture of a long film stay together, and that the benchmark would notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks._common import BenchmarkError
from benchmarks.drift import FPS, Mark, compare, make_film, read_marks, through

FRAME_S = 1 / float(FPS)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("drift") / "film.mp4", 12.0, 4.0)


def test_film_flashes_and_beeps_at_once(film: Path) -> None:
    marks = read_marks(film)
    assert [round(mark.flash) for mark in marks] == [2, 6, 10]
    assert all(abs(mark.offset) < 0.005 for mark in marks)


def test_drift_is_noticed() -> None:
    before = [Mark(t, t) for t in (1.0, 11.0, 21.0)]
    after = [Mark(mark.flash, mark.beep * 1.001) for mark in before]
    found = compare(before, after)
    assert found["drift_ms"] == pytest.approx(20, abs=0.1)
    assert found["drift_ms_per_hour"] == pytest.approx(3600, abs=1)
    assert compare(before, before)["drift_ms"] == 0
    late = compare(before, [Mark(mark.flash + 0.1, mark.beep + 0.1) for mark in before])
    assert (late["drift_ms"], late["late_ms"]) == (0, 100)


def test_lost_marks_are_told_of(film: Path) -> None:
    marks = read_marks(film)
    with pytest.raises(BenchmarkError, match="of 3 marks 2 came out"):
        compare(marks, marks[:2])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_minutes_stay_within_a_frame(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", 600.0, 10.0)
    # Faces and sound: text and plates take no part in when things leave, and cost minutes here.
    off = [f"video.models.{lane}.enabled=false" for lane in ("text", "plate")]
    try:
        through(film, tmp_path / "out.mp4", off)
    except BenchmarkError as error:
        if "can be had" in str(error):
            pytest.skip(f"a model is missing: {error}")
        raise
    before, after = read_marks(film), read_marks(tmp_path / "out.mp4")
    assert len(before) == 60
    found = compare(before, after)
    assert found["drift_ms"] <= 1000 * FRAME_S
    assert max(map(abs, found["offset_ms"].values())) <= 1000 * FRAME_S
    assert found["late_ms"] <= 1000 * FRAME_S
