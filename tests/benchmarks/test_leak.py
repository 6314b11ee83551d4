"""The leak benchmark: known holes are found, nothing else is, and the figures add up."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import leak
from benchmarks._common import BenchmarkError
from benchmarks._contact import choose
from benchmarks._exposure import TrueBox, Truth, changed_share, detail, expose
from benchmarks._leak_report import Verdict
from tests.benchmarks import clips
from tests.support import shared_file


def spare(n, ident):
    """The holes: the first face in frames 5 to 9, and the third in its first frame."""
    return (ident == 0 and 5 <= n < 10) or (ident == 2 and n == 0)


HOLES = {(n, 0) for n in range(5, 10)} | {(0, 2)}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Original, redacted with holes, and labels."""
    original, redacted, truth = clips.names(tmp_path_factory.mktemp("leak"))
    clips.write_clip(original)
    clips.write_clip(redacted, lambda *args: clips.fill(*args, spare=spare))
    clips.write_labels(truth)
    return original, redacted, truth


def test_exactly_the_holes_are_exposed(clip):
    report = leak.score(*clip)
    found = {(v.frame, v.box.ident) for v in report.verdicts if v.exposed}
    assert found == HOLES
    assert all(v.exposure.clear for v in report.verdicts if v.exposed)
    assert report.complete
    assert report.frames_judged == clips.FRAMES
    assert report.overall("face").exposed == len(HOLES)
    assert report.onset("face").exposed == len([h for h in HOLES if h[0] < 8])
    assert report.small("face").exposed == 1
    assert (report.things("face").boxes, report.things("face").exposed) == (3, 2)
    # The fill is wider than what counts as the box's surroundings by a little.
    assert 0 < report.over_redaction < 0.15


def test_every_breakdown_parts_all_boxes(clip):
    report = leak.score(*clip)
    for groups in report.breakdown("face").values():
        assert sum(group.boxes for group in groups) == report.overall("face").boxes
        assert sum(group.exposed for group in groups) == len(HOLES)
    speeds = report.breakdown("face")["camera speed, px/frame"]
    assert [(g.name, g.boxes) for g in speeds if g.name != "unknown"] == [
        ("below 5", report.overall("face").boxes)
    ]


def test_an_untouched_clip_is_wholly_exposed_and_not_over_redacted(clip):
    report = leak.score(clip[0], clip[0], clip[2])
    assert report.overall("face").percent == 100
    assert report.overall("face").clear == report.overall("face").boxes
    assert report.over_redaction == 0


def test_the_same_figures_as_the_reference_tool(clip, tmp_path):
    tool = shared_file("tools/leak_score.py")
    out = tmp_path / "reference.json"
    words = [sys.executable, str(tool), *map(str, clip), "--json", str(out)]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    theirs, report = json.loads(out.read_text()), leak.score(*clip)
    ours = report.to_json()
    assert theirs["over_redaction_pct"] == pytest.approx(ours["over_redaction_pct"], abs=0.01)
    for key in ("boxes", "leak_pct", "onset_leak_pct", "small_leak_pct", "things_ever_exposed_pct"):
        assert theirs["face"][key] == pytest.approx(ours["kinds"]["face"][key], abs=0.06)


@pytest.mark.parametrize("frames", [10, 30])
def test_a_wrong_number_of_frames_is_reported(clip, tmp_path, frames):
    other = clips.write_clip(tmp_path / "other.mp4", frames=frames)
    report = leak.score(clip[0], other, clip[2])
    assert not report.complete
    assert report.frames_redacted == frames
    assert report.frames_judged == min(frames, clips.FRAMES)
    assert "FRAME COUNTS DIFFER" in str(leak.tables(report)[0].title)


def test_a_wrong_size_is_refused(clip, tmp_path):
    other = clips.write_clip(tmp_path / "other.mp4", size=(160, 96))
    with pytest.raises(BenchmarkError, match=r"sizes differ.*320x192.*160x96.*unscaled"):
        leak.score(clip[0], other, clip[2])


def test_unusable_files_are_named(clip, tmp_path):
    missing, noise = tmp_path / "none.mp4", tmp_path / "noise.mp4"
    noise.write_bytes(bytes(range(256)) * 20)
    for bad in (missing, noise):
        with pytest.raises(BenchmarkError, match=bad.name):
            leak.score(clip[0], bad, clip[2])
    for text in ("", "[]", '{"size": [1, 2]}', '{"size": [1, 2], "fps": 30, "frames": [[["a"]]]}'):
        noise.write_text(text)
        with pytest.raises(BenchmarkError, match="is not a label file"):
            Truth.load(noise)
    with pytest.raises(BenchmarkError, match="cannot be read"):
        Truth.load(missing)


def test_command(clip, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    words = [*map(str, clip), "--json", "--contact-sheet", str(sheet), "--tiles", "4"]
    assert leak.run(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["kinds"]["face"]["exposed"] == len(HOLES)
    assert cv2.imread(str(sheet)).shape[1] > 4 * 2 * 112
    assert leak.run([*map(str, clip), "--kind", "face"]) == 0
    assert "where face boxes leak" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        leak.run([*map(str, clip), "--contact-sheet", str(tmp_path / "sheet.txt")])
    with pytest.raises(BenchmarkError, match="cannot be written"):
        leak.run([*map(str, clip), "--contact-sheet", str(tmp_path / "no" / "sheet.png")])


def test_a_sheet_without_leaks_says_so(clip, tmp_path):
    hidden = clips.write_clip(tmp_path / "hidden.mp4", clips.fill)
    sheet = tmp_path / "sheet.png"
    assert leak.run([str(clip[0]), str(hidden), str(clip[2]), "--contact-sheet", str(sheet)]) == 0
    assert cv2.imread(str(sheet)).shape == (60, 360, 3)


def picture(seed=0):
    """A textured grey picture."""
    noise = np.random.default_rng(seed).standard_normal((120, 160))
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.clip(128 + 30 * smooth / smooth.std(), 0, 255).astype(np.uint8)


BOX = TrueBox("face", 0, 40, 30, 100, 90)


@given(st.floats(0.3, 1.0), st.integers(-20, 20))
def test_less_contrast_hides_nothing(contrast, brightness):
    original = picture()
    other = np.clip(128 + contrast * (original.astype(float) - 128) + brightness, 0, 255)
    exposure = expose(detail(original), detail(other.astype(np.uint8)), BOX)
    assert exposure is not None
    assert exposure.share == 1.0
    assert exposure.gain == pytest.approx(contrast, abs=0.06)


def test_another_picture_exposes_nothing():
    exposure = expose(detail(picture(0)), detail(picture(1)), BOX)
    assert exposure is not None
    assert not exposure.exposed
    flat = expose(detail(picture()), detail(np.full((120, 160), 99, np.uint8)), BOX)
    assert flat is not None
    assert (flat.share, flat.gain, flat.clear) == (0.0, 0.0, False)


def test_what_shows_nothing_is_not_judged():
    plain = detail(np.full((120, 160), 99, np.uint8))
    assert expose(plain, plain, BOX) is None
    tiny = TrueBox("face", 0, 40, 30, 48, 38)
    assert expose(detail(picture()), detail(picture()), tiny) is None


def test_changes_count_only_outside_of_boxes():
    before, after = picture(), picture()
    after[45:75, 55:85] = 0
    assert changed_share(before, after, [BOX]) == 0
    assert changed_share(before, after, []) == pytest.approx(30 * 30 / before.size, rel=0.4)
    everywhere = TrueBox("face", 0, 0, 0, 160, 120)
    assert changed_share(before, after, [everywhere]) == 0


def test_camera_speed_leaves_out_cut_boxes():
    before = [TrueBox("face", 0, 50, 50, 70, 70), TrueBox("face", 1, 0, 50, 20, 70)]
    now = [TrueBox("face", 0, 53, 54, 73, 74), TrueBox("face", 1, 0, 50, 2, 70)]
    assert leak.camera_speed(now, before, 160, 120) == pytest.approx(5)
    assert leak.camera_speed(now, before[1:], 160, 120) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), max_size=40), st.integers(1, 12))
def test_the_sheet_shows_every_thing_before_one_twice(pairs, limit):
    exposure = expose(detail(picture()), detail(picture()), BOX)
    assert exposure is not None
    verdicts = [
        Verdict(frame, 0, TrueBox("face", ident, 0, 0, 30, 30), exposure, 1, None, False)
        for ident, frame in sorted(set(pairs))
    ]
    chosen = choose(verdicts, limit)
    assert len(chosen) == min(limit, len(verdicts))
    assert chosen == sorted(chosen, key=lambda v: (v.frame, v.box.x1))
    assert len({id(v) for v in chosen}) == len(chosen)
    things = {v.thing for v in verdicts}
    assert len({v.thing for v in chosen}) == min(limit, len(things))
