"""The memory benchmark: the line is full, packets take less, and the figures are put together."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import memory
from benchmarks._common import BenchmarkError
from tests.films import write_film

NOTHING_LOOKS = [
    "video.models.face.enabled=false",
    "video.models.plate.enabled=false",
    "video.models.text.enabled=false",
    "audio.enabled=false",
    "stabilization.lookahead_s=0",
    "scheduler.target_fps=10",
]
FPS, DELAY_S = 25, 2.0


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wall = np.random.default_rng(1).integers(0, 256, (720, 1480, 3)).astype(np.uint8) // 8 * 8
    views = (wall[:, 4 * n : 4 * n + 1280] for n in range(FPS))
    return write_film(tmp_path_factory.mktemp("memory") / "film.mp4", views, FPS)


@pytest.mark.live
def test_packets_take_less_memory_than_frames(film: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--film", str(film), "--delays", str(DELAY_S), "--seconds", "0.5", "--json"]
    for one in NOTHING_LOOKS:
        arguments += ["--set", one]
    assert memory.run(arguments) == 0
    frames, packets = json.loads(capsys.readouterr().out)["rows"]
    assert (frames["storage"], packets["storage"]) == ("frames", "packets")
    assert frames["in_line"] == pytest.approx(DELAY_S * FPS, rel=0.4)
    picture_mib = 1280 * 720 * 1.5 / 2**20
    assert frames["steady_mib"] > packets["steady_mib"] + 10 * picture_mib
    assert frames["cpu_ratio"] == 1
    assert packets["masked"] == 0


def test_what_makes_no_sense_is_refused(film: Path):
    with pytest.raises(BenchmarkError, match="above zero"):
        memory.run(["--film", str(film), "--delays", "0"])


def test_a_process_that_fails_says_why(tmp_path: Path):
    with pytest.raises(BenchmarkError, match=r"nothing\.mp4 does not exist\. Check"):
        memory.run(["--film", str(tmp_path / "nothing.mp4"), "--delays", "2"])
