"""The command: its verbs, what it prints, what it leaves, and how it takes being interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from edge import __version__, lane_models
from edge.config import Settings
from edge.config_io import available_profiles, load_config
from edge.errors import ExitCode
from edge.face_model import FaceModel
from edge.lane_models import LaneModels
from edge.media.output import partial_path
from tests.command import command_line, invoke, spawn
from tests.harness import (
    FRAMES,
    Script,
    Seen,
    at_looks,
    decode,
    film,
    fine_detail,
    lengthen,
    likeness,
    throws,
    true_face,
)

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("machine")]

WAIT_S = 60.0


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("short") / "short.mp4", 20)


@pytest.fixture(scope="module")
def long(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough to be interrupted before its end."""
    return lengthen(clip, tmp_path_factory.mktemp("long") / "long.mp4", 40)


@pytest.fixture(scope="module")
def blind(blind_model: Path) -> str:
    """The option that chooses a face model that loads anywhere."""
    return f"--set=video.models.face.model={blind_model}"


def scripted(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command use a scripted detector."""
    model = FaceModel("scripted", "test", 0.3, script.detector)
    monkeypatch.setattr(lane_models, "load_lane_models", lambda *_: LaneModels(face=model))


# --- help -----------------------------------------------------------------------------------

VERBS = {
    "run": ["--profile", "--set", "--force", "--show-boxes", "DANGER", "partial"],
    "demo": ["public-domain", "--profile"],
    "doctor": ["--json", "machine"],
    "models list": ["--json", "catalogue"],
    "models fetch": ["--force", "cache"],
    "models verify": ["SHA-256"],
    "config show": ["YAML", "--profile"],
    "config schema": ["JSON Schema"],
    "config check": ["problem"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(verb: str) -> None:
    done = invoke(*verb.split(), "--help")
    assert done.code == 0
    assert "Usage" in done.out
    for word in VERBS[verb]:
        assert word in done.out


def test_help_names_every_verb_and_every_exit_code() -> None:
    done = invoke("--help")
    for word in {verb.split()[0] for verb in VERBS}:
        assert word in done.out
    for code in set(ExitCode) - {ExitCode.BUG}:
        assert str(int(code)) in done.out.partition("Exit codes")[2]


def test_version(machine: dict[str, str]) -> None:
    done = spawn("--version", env=machine)
    assert (done.code, done.out, done.err) == (0, f"privaedge {__version__}\n", "")


# --- run ------------------------------------------------------------------------------------


def test_run_hides_the_face_and_sums_up(
    clip: Path, output: Path, face_model: Path, machine: dict[str, str]
) -> None:
    stats = output.with_name("stats.json")
    machine["PRIVAEDGE_MODELS"] = str(face_model.parent)
    done = spawn("run", clip, output, "--stats", stats, env=machine)
    assert done.code == 0, done.err
    assert done.out == ""
    assert "astronaut.mp4: 640x360, 25 fps, h264, 3 s" in done.err
    assert f"done: {output} · {FRAMES} frames" in done.err
    assert f"hidden: 1 face appearing in {FRAMES} frames" in done.err
    assert "sound was passed on unheard" in done.err
    assert Seen.between(clip, output) == Seen(FRAMES, set(), set())
    data = json.loads(stats.read_text())
    assert data["exit_code"] == 0
    assert data["complete"] is True
    assert data["frames_in"] == data["frames_out"] == FRAMES
    assert data["frames_masked"] == 0
    assert data["found"] == {"faces": 1}
    assert data["peak_memory_bytes"] > 10e6
    assert {"decode", "motion", "redact", "encode", "look: faces"} <= set(data["stages"])


def test_quiet_run_prints_nothing(
    short: Path, output: Path, blind: str, machine: dict[str, str]
) -> None:
    done = spawn("run", short, output, blind, "--quiet", env=machine)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert len(decode(output)) == 20


def test_stretch_that_was_masked_is_told_with_its_reason(
    clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(at_looks(throws(ValueError), 5, 9))
    scripted(script, monkeypatch)
    stats = output.with_name("stats.json")
    done = invoke("run", clip, output, "--set=scheduler.refine=0", "--stats", stats)
    assert done.code == ExitCode.MASKED
    masked = Seen.between(clip, output).masked
    assert masked == script.unjudged()
    assert f"masked whole: {len(masked)} frames could not be judged" in done.err
    first, second = json.loads(stats.read_text())["stretches"]
    for stretch in (first, second):
        assert f"{stretch['start']:.2f} s to {stretch['end']:.2f} s (faces)" in done.err
    assert "because faces: the detector failed: ValueError" in done.err
    assert "in frame" not in done.err, "the words of an exception may be private"
    assert "exit code 7" in done.err


def test_boxes_are_outlined_and_what_they_hold_stays_hidden(
    clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(Script(), monkeypatch)
    assert invoke("run", clip, output, "--show-boxes").code == 0
    for n in (0, 40, 74):
        before, after = decode(clip)[n], decode(output)[n]
        x1, y1, x2, y2 = true_face(n)[0].astype(int)
        assert after[y1, x1 + 20 : x2 - 20].mean() > 180
        a, b = (fine_detail(p)[y1 + 5 : y2 - 5, x1 + 5 : x2 - 5] for p in (before, after))
        assert likeness(a, b) < 0.3


def test_debug_frames_are_warned_of_and_kept_private(
    short: Path, output: Path, blind: str, tmp_path: Path
) -> None:
    folder = tmp_path / "deep" / "debug [red]frames"
    done = invoke("run", short, output, blind, "-q", "--save-debug-frames", folder)
    assert done.code == 0
    (warning,) = done.err.splitlines()
    assert "WARNING" in warning
    assert "UNREDACTED" in warning
    assert str(folder) in warning
    assert folder.stat().st_mode & 0o777 == 0o700
    names = sorted(p.name for p in folder.iterdir())
    assert names == [f"{n:08d}.jpg" for n in range(20)]
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}


def test_debug_frames_of_an_earlier_run_lose_their_readers(
    short: Path, output: Path, blind: str, tmp_path: Path
) -> None:
    folder = tmp_path / "debug"
    folder.mkdir()
    old = folder / "00000000.jpg"
    old.write_bytes(b"old")
    old.chmod(0o644)
    assert invoke("run", short, output, blind, "-q", "--save-debug-frames", folder).code == 0
    assert old.read_bytes() != b"old"
    assert old.stat().st_mode & 0o777 == 0o600


def test_debug_frames_are_not_stored_unless_asked_for(
    short: Path, tmp_path: Path, blind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    assert invoke("run", short, "out.mp4", blind, "--debug").code == 0
    assert [p.name for p in place.iterdir()] == ["out.mp4"]


def test_debug_frames_folder_that_cannot_be_made(short: Path, output: Path, blind: str) -> None:
    done = invoke("run", short, output, blind, "-q", "--save-debug-frames", short / "x")
    assert done.code == ExitCode.OUTPUT
    assert "debug frames" in done.err.splitlines()[-1]
    assert not output.exists()
    assert not partial_path(output).exists()


def test_settings_are_taken_from_profile_file_and_option(
    short: Path, output: Path, blind: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("audio:\n  without_lane: drop\n")
    done = invoke("run", short, output, blind, "-p", "performance", "-c", file)
    assert done.code == 0
    assert "unheard" not in done.err


# --- being interrupted ----------------------------------------------------------------------


class Running:
    """The command at work on a long clip, in a process of its own."""

    def __init__(self, long: Path, output: Path, model: str, env: dict[str, str]) -> None:
        self.output = output
        self.partial = partial_path(output)
        # mkv is written as it is encoded; slow, so that the end is far when the signal comes.
        self._process = subprocess.Popen(
            command_line("run", long, output, model, "--set=video.encoder.preset=slower"),
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        end = time.monotonic() + WAIT_S
        while not (self.partial.exists() and self.partial.stat().st_size > 100_000):
            assert self._process.poll() is None, self._process.communicate()
            assert time.monotonic() < end, "it does not get going"
            time.sleep(0.02)
        assert not output.exists()

    def send(self, *signals: signal.Signals) -> None:
        for number in signals:
            os.kill(self._process.pid, number)
            time.sleep(0.05)  # two signals at once count as one

    def wait(self) -> tuple[int, str]:
        _, err = self._process.communicate(timeout=WAIT_S)
        return self._process.returncode, err


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGINT,), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)],
    ids=["Ctrl-C", "twice Ctrl-C", "SIGTERM"],
)
def test_interrupted_run_keeps_a_playable_part(
    signals: tuple[signal.Signals, ...],
    clip: Path,
    long: Path,
    tmp_path: Path,
    blind: str,
    machine: dict[str, str],
) -> None:
    running = Running(long, tmp_path / "out.mp4", blind, machine)
    running.send(*signals)
    code, err = running.wait()
    assert code == ExitCode.INTERRUPTED, err
    assert "Traceback" not in err
    assert f"interrupted; a playable part is kept: {running.partial}" in err
    assert not running.output.exists()
    frames = decode(running.partial)
    assert 10 < len(frames) < 40 * FRAMES
    assert f"{len(frames)} frames in" in err
    for n in (0, len(frames) - 1):
        original = fine_detail(decode(clip)[n % FRAMES])
        assert likeness(original, fine_detail(frames[n])) > 0.75


def test_killed_run_leaves_no_output_and_does_not_hinder_the_next(
    long: Path, short: Path, tmp_path: Path, blind: str, machine: dict[str, str]
) -> None:
    running = Running(long, tmp_path / "out.mp4", blind, machine)
    running.send(signal.SIGKILL)
    running.wait()
    assert not running.output.exists()
    assert running.partial.exists()
    assert invoke("run", short, running.output, blind).code == 0
    assert len(decode(running.output)) == 20
    assert not running.partial.exists()


def test_two_runs_into_one_output_do_not_mix(
    long: Path, short: Path, tmp_path: Path, blind: str, machine: dict[str, str]
) -> None:
    running = Running(long, tmp_path / "out.mp4", blind, machine)
    try:
        invoke("run", short, running.output, blind, "-q").refused(
            ExitCode.OUTPUT, "Another run is writing"
        )
        assert running.partial.exists()
    finally:
        running.send(signal.SIGKILL)
        running.wait()


# --- models ---------------------------------------------------------------------------------


def test_models_are_listed(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row["name"]: row for row in json.loads(invoke("models", "list", "--json").out)}
    assert {"yunet-n", "yunet-2023mar", "centerface"} <= set(rows)
    # What comes with the package is on every machine.
    assert {row["state"] for row in rows.values() if row["name"] != "plates-own"} == {"missing"}
    assert rows["plates-own"]["state"] == "ok"
    assert all(len(row["sha256"]) == 64 and row["licence"] for row in rows.values())
    monkeypatch.setenv("PRIVAEDGE_MODELS", str(face_model.parent))
    (here,) = [
        row
        for row in json.loads(invoke("models", "list", "--json").out)
        if row["path"] == str(face_model)
    ]
    assert here["state"] == "ok"
    table = invoke("models", "list").out
    assert here["name"] in table


def test_model_that_is_here_is_not_fetched(
    face_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVAEDGE_MODELS", str(face_model.parent))
    rows = json.loads(invoke("models", "list", "--json").out)
    (name,) = [row["name"] for row in rows if row["path"] == str(face_model)]
    done = invoke("models", "fetch", name)
    assert (done.code, done.out, done.err) == (0, f"{face_model}\n", "")
    verified = invoke("models", "verify")
    assert verified.code == 0
    assert f"ok  {Path(face_model).name}"[:2] in verified.out
    assert str(face_model) in verified.out


def test_model_without_a_source_or_a_name_cannot_be_fetched() -> None:
    invoke("models", "fetch", "yunet-n").refused(ExitCode.MODEL, "face_yunet_n.onnx")
    invoke("models", "fetch", "retina").refused(ExitCode.MODEL, "retina")


# --- doctor and config ----------------------------------------------------------------------


def test_doctor_speaks_json_and_says_when_nothing_can_run(
    face_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = json.loads(invoke("doctor", "--json").out)
    assert {p["profile"] for p in report["profiles"]} == set(available_profiles())
    assert {p["readiness"] for p in report["profiles"]} == {"fetch"}
    monkeypatch.setenv("PRIVAEDGE_MODELS", str(face_model.parent))
    done = invoke("doctor", "--json")
    assert done.code == 0
    report = json.loads(done.out)
    assert {p["readiness"] for p in report["profiles"]} == {"ready"}
    assert report["media"]["encoders"]["libx264"] == "works"
    text = invoke("doctor").out
    assert "balanced" in text
    assert str(Path.home()) not in done.out + text


@pytest.mark.parametrize("profile", available_profiles())
def test_config_shows_what_a_run_would_use(profile: str, tmp_path: Path) -> None:
    done = invoke("config", "show", "--profile", profile, "--set", "blur.pad=0.4")
    assert done.code == 0
    assert yaml.safe_load(done.out)["blur"]["pad"] == 0.4
    file = tmp_path / "shown.yaml"
    file.write_text(done.out)
    assert load_config(None, file) == load_config(profile, None, ["blur.pad=0.4"])


def test_config_schema_is_json() -> None:
    done = invoke("config", "schema")
    assert done.code == 0
    assert set(json.loads(done.out)["properties"]) == set(Settings.model_fields)


def test_config_check_names_every_problem(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("blur:\n  type: solid\n")
    bad.write_text("blur:\n  typ: solid\nscheduler:\n  target_fps: often\n")
    assert invoke("config", "check", good).code == 0
    done = invoke("config", "check", good, bad, tmp_path / "none.yaml")
    assert done.code == ExitCode.CONFIG
    assert "good.yaml: good" in done.out.replace("\n", "")
    first, second, third = done.err.splitlines()
    assert "blur.type" in first
    assert "target_fps" in second
    assert "none.yaml" in third
