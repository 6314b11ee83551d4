"""The host's share of a frame: blocks within blocks count once, and a run is parted whole."""

import json
import threading
import time

import pytest

from benchmarks import host_time
from benchmarks.host_time import CODECS, NETWORKS, REST, STAYS, Clock
from edge.stats import Stats


def work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_what_is_within_counts_once():
    clock = Clock()
    begun = time.thread_time()
    with clock.spent_on("outer"):
        work(0.02)
        with clock.spent_on("inner"):
            work(0.03)
            with clock.spent_on("outer"):
                work(0.01)
    spent = time.thread_time() - begun
    assert clock.seconds["inner"] == pytest.approx(0.03, abs=0.01)
    assert sum(clock.seconds.values()) == pytest.approx(spent, abs=0.005)


def test_threads_do_not_take_from_each_other():
    clock = Clock()

    def one() -> None:
        with clock.spent_on("thread"):
            work(0.02)

    with clock.spent_on("main"):
        threads = [threading.Thread(target=one) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert clock.seconds["thread"] == pytest.approx(0.06, abs=0.02)
    assert clock.seconds["main"] < 0.02


def test_a_run_is_parted(clip, face_model, capsys):
    timed = Stats.timed
    off = ["audio.enabled=false", "video.models.plate.enabled=false",
           "video.models.text.enabled=false"]  # fmt: skip
    argv = [str(clip), "--json", "--set", f"video.models.face.model={face_model}"]
    assert host_time.run(argv + [part for one in off for part in ("--set", one)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["frames"] == 75
    each = result["ms_per_frame"]
    assert min(each[what] for what in (NETWORKS, CODECS, REST)) > 0
    assert result["host_ms_per_frame"] == pytest.approx(sum(each[what] for what in STAYS))
    assert Stats.timed is timed, "the pipeline is still being measured"
