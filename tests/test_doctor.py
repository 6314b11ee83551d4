"""doctor: real probes of this machine, and how the state of models shows."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge import probe
from edge.catalogue import load_catalogue
from edge.config import FaceModel, Models, Settings, Video, VideoModels
from edge.config_io import load_config
from edge.doctor import Problem, Report, collect, encoder_use, load_profiles, render
from edge.doctor_report import LanePart
from edge.errors import ConfigError
from edge.media.encoders import HARDWARE, PREFERENCE, EncoderState
from edge.media.probe import probe_media
from edge.model_store import ModelStore
from tests.support import shared_file

StoreFor = Callable[[Settings], ModelStore]


def store_in(folder: Path) -> StoreFor:
    """A store that sees one folder and nothing else of this machine."""
    return lambda _: ModelStore(load_catalogue(), [folder], folder)


def settings_for(*preference: str, fetch: bool = True, enabled: bool = True) -> Settings:
    face = FaceModel(model=preference, enabled=enabled)
    return Settings(video=Video(models=VideoModels(face=face)), models=Models(fetch=fetch))


def shown(report: Report, width: int = 80) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(render(report))
        return console.export_text()


@pytest.fixture(scope="module")
def here() -> Report:
    return collect(load_profiles())


# --- this machine ---------------------------------------------------------------------------


def test_report_of_this_machine_is_json_and_plausible(here: Report) -> None:
    data = json.loads(json.dumps(here.as_dict()))
    assert data["machine"]["cores"] >= 1
    assert 0 < data["machine"]["usable_cores"] <= data["machine"]["cores"]
    assert data["machine"]["memory_mib"] > 256
    assert data["inference"]["onnxruntime"]
    assert "CPUExecutionProvider" in data["inference"]["providers"]
    assert {m["name"] for m in data["models"]} == set(load_catalogue().names())
    assert [p["profile"] for p in data["profiles"]] == list(load_profiles())


def test_profiles_show_what_they_set(here: Report) -> None:
    for use in here.profiles:
        settings = load_config(use.profile)
        assert use.input_size == settings.video.models.face.input_size
        assert use.target_fps == settings.scheduler.target_fps
        assert settings.blur.type in use.effect
    streaming = next(use for use in here.profiles if use.profile == "streaming")
    hardware = {f"{name} 4 Mbit/s" for name in HARDWARE}
    assert streaming.encoder in {"libx264 veryfast 4 Mbit/s", *hardware}


def test_codecs_of_the_wheel() -> None:
    media = probe_media()
    assert media.encoders["libx264"] == media.encoders["aac"] == "works"
    assert media.decoders["h264"] == media.decoders["hevc"] == "works"
    assert set(media.encoders.values()) <= {"works", "does not open here", "missing"}
    assert list(media.live_encoders) == list(PREFERENCE)
    assert str(media.live_encoders["libx264"]) == "works"
    assert ".mp4" in media.containers
    assert media.libraries["libavcodec"].count(".") == 2


def test_hardware_codecs_are_shown_with_what_keeps_them_from_use(here: Report) -> None:
    words = " ".join(shown(here, width=300).split())
    for name, state in here.media.live_encoders.items():
        assert name in words
        assert state.state == "works" or f"{name} {state}" in words
    best = next(name for name, s in here.media.live_encoders.items() if s.state == "works")
    assert here.live_encoder.startswith(f"{best}: ")
    assert f"Live encoder {here.live_encoder}" in words
    assert f"Live decoder {here.media.live_decoder}: {here.media.live_decoder_why}" in words


def test_an_encoder_that_does_not_work_is_a_problem_only_where_it_was_asked_for() -> None:
    present = {
        "h264_nvenc": EncoderState("does not open here", "Cannot load libcuda.so.1"),
        "libx264": EncoderState("works"),
    }
    assert encoder_use("auto", present) == ("libx264", None)
    assert encoder_use("libx264", present) == ("libx264", None)
    assert encoder_use("libx265", present) == ("libx265", None)
    name, trouble = encoder_use("h264_nvenc", present)
    assert name == "libx264"
    assert trouble == (
        "h264_nvenc does not open here (Cannot load libcuda.so.1), so libx264 stands in. "
        "Install its driver, or set video.encoder.codec to auto."
    )
    assert encoder_use("auto", {**present, "h264_nvenc": EncoderState("works")})[0] == "h264_nvenc"


def test_shown_text_fits_a_terminal_and_has_all_sections(here: Report) -> None:
    text = shown(here)
    assert max(map(len, text.splitlines())) <= 80
    for word in ("Processor", "Encoders", "Models", "Profiles", "roblems", "balanced", "yunet-n"):
        assert word in text


def test_text_in_brackets_is_shown_and_not_taken_for_markup(tmp_path: Path) -> None:
    broken = {"mine": ConfigError("value [red]x[/nothing] is wrong. Change it.")}
    assert "[red]x[/nothing]" in shown(collect(broken, store_in(tmp_path)))


# --- models ---------------------------------------------------------------------------------


def test_without_models_the_first_fetchable_one_is_named_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "cache" / "models"
    report = collect({"balanced": load_config()}, store_in(folder))
    (use,) = report.profiles
    assert (use.readiness, use.model) == ("fetch", "yunet-2023mar")
    assert {model.state for model in report.models if model.fetchable} == {"missing"}
    assert report.healthy
    parts = {(p.lane, p.role): p for p in use.lanes}
    for role in ("detector", "recogniser", "orientation"):
        assert parts["text", role].readiness == "fetch"
        assert parts["text", role].answers is None
    assert parts["speech", "voice"].readiness == "fetch"
    assert parts["speech", "transcriber"].readiness in ("fetch", "ready")
    for carried in (("text", "classifier"), ("speech", "tagger")):
        part = parts[carried]
        assert (part.readiness, part.verified, part.answers) == ("ready", True, True)
    assert list(tmp_path.iterdir()) == []


def test_wrong_hash_is_a_problem_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "centerface.onnx").write_bytes(b"not the model")
    settings = {"a": settings_for("centerface"), "b": settings_for("centerface")}
    report = collect(settings, store_in(tmp_path))
    state = next(model for model in report.models if model.name == "centerface")
    assert (state.state, state.size) == ("wrong hash", 13)
    # The same for both profiles and the catalogue: said once.
    (problem,) = (problem for problem in report.problems if problem.serious)
    assert "centerface.onnx has the wrong SHA-256" in problem.text
    assert "privaedge models fetch centerface --force" in problem.text
    assert [use.readiness for use in report.profiles] == ["broken", "broken"]
    assert not report.healthy
    assert "wrong hash" in shown(report)


def test_second_choice_on_disk_is_taken_and_the_reason_given(tmp_path: Path) -> None:
    shutil.copy(shared_file("models/face_yunet_n.onnx"), tmp_path)
    report = collect(
        {"mine": settings_for("centerface", "yunet-n"), "usual": load_config()}, store_in(tmp_path)
    )
    mine, usual = report.profiles
    assert (mine.readiness, mine.model) == ("ready", "yunet-n")
    assert "centerface not on disk" in mine.why
    assert (usual.readiness, usual.model) == ("ready", "yunet-n")
    assert usual.why == "first of its preference"


def test_a_file_of_one_s_own(tmp_path: Path) -> None:
    model = shutil.copy(shared_file("models/face_yunet_n.onnx"), tmp_path / "my.onnx")
    report = collect({"mine": settings_for(str(model))}, store_in(tmp_path / "empty"))
    assert report.profiles[0].readiness == "ready"
    report = collect({"mine": settings_for(str(tmp_path / "no.onnx"))}, store_in(tmp_path))
    assert report.profiles[0].readiness == "broken"
    assert "no.onnx does not exist" in report.problems[0].text


def test_search_paths_of_the_settings_are_used(tmp_path: Path) -> None:
    shutil.copy(shared_file("models/face_yunet_n.onnx"), tmp_path)
    settings = Settings(models=Models(search_paths=(str(tmp_path),), fetch=False))
    (use,) = collect({"mine": settings}).profiles
    assert (use.readiness, use.model) == ("ready", "yunet-n")


def test_missing_model_that_must_not_be_fetched(tmp_path: Path) -> None:
    report = collect({"mine": settings_for("centerface", fetch=False)}, store_in(tmp_path))
    assert report.profiles[0].readiness == "broken"
    assert not report.healthy
    assert "privaedge models fetch centerface" in report.problems[0].text


def test_unknown_model_names_the_nearest(tmp_path: Path) -> None:
    report = collect({"mine": settings_for("centrface")}, store_in(tmp_path))
    assert report.profiles[0].readiness == "broken"
    assert "Did you mean centerface?" in report.problems[0].text


def test_profile_that_looks_for_nothing_is_pointed_out(tmp_path: Path) -> None:
    report = collect({"mine": settings_for("centerface", enabled=False)}, store_in(tmp_path))
    assert report.profiles[0].readiness == "off"
    assert report.healthy
    assert any("does not look for faces" in problem.text for problem in report.problems)


def test_profile_that_does_not_load_is_a_problem(tmp_path: Path) -> None:
    report = collect({"mine": ConfigError("cause. Remedy.")}, store_in(tmp_path))
    assert report.profiles == ()
    assert report.problems[0].text == "profile mine: cause. Remedy."
    assert not report.healthy


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    report = collect({"mine": settings_for("centerface")}, store_in(file / "models"))
    assert "models cannot be stored" in report.problems[0].text
    assert not report.healthy


def test_home_and_environment_stay_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home" / "jane.doe"
    home.mkdir(parents=True)
    (home / "centerface.onnx").write_bytes(b"not the model")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("STREAM_KEY", "live_s3cret")
    report = collect({"mine": settings_for("centerface")}, store_in(home))
    text = json.dumps(report.as_dict()) + shown(report)
    assert "jane.doe" not in text
    assert "live_s3cret" not in text
    assert "~/centerface.onnx" in text


# --- lanes ----------------------------------------------------------------------------------


def parts_of(settings: Settings, folder: Path) -> dict[tuple[str, str], LanePart]:
    """What doctor says of each part of each lane, for one profile and one folder of models."""
    (use,) = collect({"mine": settings}, store_in(folder)).profiles
    return {(part.lane, part.role): part for part in use.lanes}


def settings_of(**video: object) -> Settings:
    return Settings.model_validate({"models": {"fetch": False}, "video": video})


OFF = {"enabled": False}


def test_every_lane_is_shown_for_every_profile(here: Report) -> None:
    for use in here.profiles:
        lanes = list(dict.fromkeys(part.lane for part in use.lanes))
        assert lanes == ["faces", "whitelist", "plates", "text", "speech"]
        assert all(part.why for part in use.lanes)
        for part in use.lanes:
            if part.readiness == "ready" and part.lane != "speech":
                assert part.answers
                assert part.verified
    text = shown(here)
    for word in ("Lanes", "whitelist", "video.whitelist.enabled is false", "aligner pocketsphinx"):
        assert word in " ".join(text.split())


def test_a_model_that_is_here_is_verified_loaded_and_tried(tmp_path: Path) -> None:
    shutil.copy(shared_file("models/face_yunet_n.onnx"), tmp_path)
    shutil.copy(shared_file("models/plate_hyperlpr.onnx"), tmp_path)
    shutil.copy(shared_file("models/face_embed_mobilefacenet.onnx"), tmp_path)
    chosen = settings_of(
        models={"plate": {"model": "plate-hyperlpr"}, "text": OFF}, whitelist={"enabled": True}
    )
    parts = parts_of(chosen, tmp_path)
    catalogue = load_catalogue()
    for key, name in (
        (("faces", "detector"), "yunet-n"),
        (("whitelist", "embedding"), "mobilefacenet"),
        (("plates", "detector"), "plate-hyperlpr"),
    ):
        part = parts[key]
        assert (part.readiness, part.model, part.verified, part.answers) == (
            "ready", name, True, True,
        )  # fmt: skip
        assert part.sha256 == catalogue[name].sha256
        assert part.source == str(tmp_path / catalogue[name].file)
        assert part.runs is not None
        assert "ONNX Runtime" in part.runs or "tensorrt" in part.runs


def test_a_file_of_one_s_own_is_tried_but_nobody_vouches_for_it(tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    model = onnx.load(shared_file("models/face_yunet_n.onnx"))
    model.doc_string = "not as published"
    onnx.save(model, own)
    chosen = settings_of(models={"face": {"model": str(own)}, "plate": OFF, "text": OFF})
    part = parts_of(chosen, tmp_path)["faces", "detector"]
    assert (part.readiness, part.verified, part.answers) == ("ready", False, True)


def test_a_model_of_another_kind_is_told_of_with_a_remedy(tmp_path: Path) -> None:
    other = shared_file("models/face_embed_mobilefacenet.onnx")
    chosen = settings_of(models={"face": {"model": str(other)}, "plate": OFF, "text": OFF})
    report = collect({"mine": chosen}, store_in(tmp_path))
    part = report.profiles[0].lanes[0]
    assert (part.readiness, part.answers) == ("broken", False)
    assert "no face family" in part.why
    assert any(p.serious and "no face family" in p.text for p in report.problems)


def test_plates_without_a_detector_are_read_where_text_is_on(tmp_path: Path) -> None:
    plate = {"model": "plate-hyperlpr"}
    chosen = settings_of(models={"plate": plate})
    report = collect({"mine": chosen}, store_in(tmp_path))
    part = next(p for p in report.profiles[0].lanes if p.lane == "plates")
    assert part.readiness == "stands in"
    assert "plate_hyperlpr.onnx" in part.why  # where to put it
    assert Problem(False, part.why) in report.problems
    alone = parts_of(settings_of(models={"plate": plate, "text": OFF}), tmp_path)
    assert alone["plates", "detector"].readiness == "broken"


def test_speech_that_cannot_be_had_is_told_of(tmp_path: Path) -> None:
    chosen = Settings.model_validate({
        "models": {"fetch": False},
        "audio": {"model": "moonshine-tiny-en"},
        "video": {"models": {"plate": OFF, "text": OFF}},
    })  # fmt: skip
    parts = parts_of(chosen, tmp_path)
    assert parts["speech", "voice"].readiness == "broken"
    assert "privaedge models fetch silero-vad" in parts["speech", "voice"].why
    assert parts["speech", "transcriber"].readiness == "broken"
    silent = chosen.model_copy(update={"audio": chosen.audio.model_copy(update=OFF)})
    assert parts_of(silent, tmp_path)["speech", "transcriber"].readiness == "off"


def test_a_tagger_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    chosen = Settings.model_validate({"audio": {"tagger": str(tmp_path / "none")}})
    part = parts_of(chosen, tmp_path)["speech", "tagger"]
    assert part.readiness == "broken"
    assert "audio.tagger" in part.why


PLUGINS = """
from edge.detection import Detections
made = []

class Sees:
    def __init__(self):
        made.append(self)
    def infer(self, frame_id, image):
        return frame_id, Detections()

class Lies:
    def infer(self, frame_id, image):
        return frame_id + 1, Detections()

class Fails:
    def infer(self, frame_id, image):
        raise RuntimeError("a secret")
"""


def test_own_detectors_are_tried_once_for_all_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "doctors_plugins-2.1.dist-info"
    info.mkdir()
    (tmp_path / "doctors_plugins.py").write_text(PLUGINS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: doctors-plugins\nVersion: 2.1\n")
    names = "\n".join(f"{n} = doctors_plugins:{n.title()}" for n in ("sees", "lies", "fails"))
    (info / "entry_points.txt").write_text(f"[privaedge.detectors]\n{names}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "doctors_plugins", raising=False)
    own = [{"name": name} for name in ("sees", "lies", "fails", "absent")]
    chosen = settings_of(models={"own": own, "plate": OFF, "text": OFF})
    report = collect({"a": chosen, "b": chosen}, store_in(tmp_path / "models"))
    parts = {part.lane: part for part in report.profiles[1].lanes if part.role == "detector"}
    assert (parts["sees"].readiness, parts["sees"].answers) == ("ready", True)
    assert parts["sees"].source == "package doctors-plugins 2.1"
    assert "not (frame_id, detections)" in parts["lies"].why
    assert "RuntimeError" in parts["fails"].why
    assert "a secret" not in json.dumps(report.as_dict())
    assert "no installed package offers a detector absent" in parts["absent"].why
    assert len(sys.modules["doctors_plugins"].made) == 1


# --- GPU ------------------------------------------------------------------------------------


def test_nvidia_smi_output() -> None:
    csv = "NVIDIA H200, 570.86.15, 143771\nOrin (nvgpu), N/A, [N/A]\n, \nnoise\n"
    assert probe.parse_nvidia_smi(csv) == (
        probe.Gpu("NVIDIA H200", "570.86.15", 143771),
        probe.Gpu("Orin (nvgpu)", "N/A", None),
    )


@given(st.text())
def test_nvidia_smi_garbage_is_survived(text: str) -> None:
    for gpu in probe.parse_nvidia_smi(text):
        assert gpu.memory_mib is None or gpu.memory_mib >= 0


@pytest.mark.parametrize(
    ("script", "gpus", "trouble"),
    [
        ("echo 'RTX 4000, 550.1, 20475'", 1, None),
        ("echo 'Driver/library version mismatch'; exit 18", 0, "Driver/library version mismatch"),
        ("exit 3", 0, "no message"),
        ("exec sleep 20", 0, "did not answer"),
    ],
)
def test_drivers_that_answer_fail_and_hang(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    gpus: int,
    trouble: str | None,
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(probe, "NVIDIA_SMI_TIMEOUT_S", 0.3)
    # The driver library would answer on a machine that really has a GPU.
    monkeypatch.setattr(probe, "_ask_libcuda", tuple)
    machine = probe.probe_machine()
    assert len(machine.gpus) == gpus
    assert (trouble or "") in (machine.gpu_trouble or "")
    report = collect({}, store_in(tmp_path))
    assert any("driver does not answer" in p.text for p in report.problems) == (trouble is not None)
    assert report.healthy
