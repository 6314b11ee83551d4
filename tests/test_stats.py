"""Counters of a stream: stretches join where they touch, and nothing grows without end."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.stats import MAX_STRETCHES, Stats, peak_memory_bytes


def leave(stats: Stats, pts: float, lanes: tuple[str, ...] | None) -> None:
    """What the pipeline does for each frame that leaves."""
    if lanes is not None:
        stats.count_masked(pts, lanes)
    stats.frames_out += 1
    stats.pts_out = pts


owed = st.none() | st.sampled_from([("faces",), ("plates",), ("faces", "plates")])


@settings(deadline=None)
@given(st.lists(owed, max_size=60))
def test_neighbours_owed_to_the_same_lanes_are_one_stretch(frames):
    stats = Stats()
    for k, lanes in enumerate(frames):
        leave(stats, k / 30, lanes)
    runs: list[list[int]] = []
    for k, lanes in enumerate(frames):
        if lanes is None:
            continue
        if k and frames[k - 1] == lanes:
            runs[-1].append(k)
        else:
            runs.append([k])
    got = [(s.start, s.end, s.frames, s.lanes) for s in stats.stretches]
    assert got == [(r[0] / 30, r[-1] / 30, len(r), frames[r[0]]) for r in runs]
    assert stats.frames_masked == sum(len(r) for r in runs)


def test_the_list_of_stretches_has_an_end_and_the_count_has_not():
    stats = Stats()
    for k in range(4 * MAX_STRETCHES):
        leave(stats, k / 30, ("faces",) if k % 2 else None)
    assert len(stats.stretches) == MAX_STRETCHES
    assert stats.frames_masked == 2 * MAX_STRETCHES
    assert stats.stretches[0].start == pytest.approx(1 / 30)  # the first are kept
    last = stats.stretches[-1]
    leave(stats, 1e6, ("faces",))
    leave(stats, 1e6 + 1, ("faces",))
    assert (last.frames, stats.frames_masked) == (1, 2 * MAX_STRETCHES + 2)


def test_a_reason_is_noted_once():
    stats = Stats()
    for reason in ("faces: slow", "faces: broken", "faces: slow"):
        stats.note(reason)
    assert stats.reasons == ["faces: slow", "faces: broken"]


def test_a_stage_counts_calls_wall_and_cpu_time():
    stats = Stats()
    for _ in range(2):
        with stats.timed("nap"):
            time.sleep(0.01)
    nap = stats.stages["nap"]
    assert nap.calls == 2
    assert nap.seconds >= 0.02
    assert nap.cpu_s < nap.seconds


def test_a_stage_that_throws_is_counted():
    stats = Stats()
    with pytest.raises(KeyError), stats.timed("broken"):
        raise KeyError
    assert stats.stages["broken"].calls == 1


def test_fps_is_of_the_whole_run():
    stats = Stats(frames_out=60, seconds=2.0)
    assert stats.fps == 30.0
    assert Stats().fps == 0.0


def test_all_of_it_is_plain_data():
    stats = Stats(found={"faces": 2})
    with stats.timed("decode"):
        leave(stats, 0.0, ("faces",))
    data = json.loads(json.dumps(stats.as_dict()))
    assert data["frames_masked"] == 1
    assert data["stretches"] == [{"start": 0.0, "end": 0.0, "frames": 1, "lanes": ["faces"]}]
    assert data["stages"]["decode"]["calls"] == 1
    assert data["found"] == {"faces": 2}
    assert data["peak_memory_bytes"] > 0
    assert "started" not in data


def test_peak_memory_is_in_bytes_and_rises_with_use():
    before = peak_memory_bytes()
    assert 2**20 < before < 2**40
    block = bytearray(b"x") * (64 * 2**20)
    assert peak_memory_bytes() >= before
    assert len(block) == 64 * 2**20
