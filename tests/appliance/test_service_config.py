from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.appliance.service_config import ServiceConfig, load_service_config
from edge.config_io import ConfigProblemsError
from edge.errors import ConfigError, ExitCode
from tests.command import invoke

GOOD = """
streams:
  front:
    source: rtsp://anna:${credential:camera}@192.0.2.7/one
    outputs:
      - rtmp://192.0.2.9/live/${file:KEY}
      - OUT/front.mp4
    profile: high_privacy
    settings:
      blur: {type: solid}
  yard:
    source: hdmi
    audio: hw:1
    outputs: OUT/hls/
"""


class Box:
    """A folder with a configuration, credentials and a key file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "privaedge.yaml"
        self.credentials = folder / "credentials"
        self.credentials.mkdir(exist_ok=True)
        (self.credentials / "camera").write_text("pa55-of-anna\n")
        (folder / "key").write_text("k3y\n")

    def load(self, text: str, **environ: str) -> ServiceConfig:
        text = text.replace("KEY", str(self.folder / "key")).replace("OUT", str(self.folder))
        self.path.write_text(text)
        return load_service_config(
            self.path, {"CREDENTIALS_DIRECTORY": str(self.credentials)} | environ
        )

    def problems(self, text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(text, **environ)
        error = caught.value
        found = list(error.problems) if isinstance(error, ConfigProblemsError) else [str(error)]
        for problem in found:
            assert "\n" not in problem
            assert "pa55" not in problem
            assert "k3y" not in problem
            assert problem.endswith((".", "?", "…")), problem
        return found


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_good_one_is_read_whole(box: Box) -> None:
    config = box.load(GOOD)
    front, yard = config.streams["front"], config.streams["yard"]
    assert front.source.url == "rtsp://anna:pa55-of-anna@192.0.2.7/one"
    assert front.outputs[0].url == "rtmp://192.0.2.9/live/k3y"
    assert front.settings.profile == "high_privacy"
    assert front.settings.blur.type == "solid"
    assert yard.settings.profile == "balanced"
    assert yard.audio == "hw:1"
    assert [output.kind for output in yard.outputs] == ["hls-folder"]
    assert config.files == {box.path, box.credentials / "camera", box.folder / "key"}


def test_nothing_that_is_printed_of_it_holds_a_secret(box: Box) -> None:
    config = box.load(GOOD.replace("/one", "/${credential:camera}/one"))
    for secret in ("pa55-of-anna", "k3y"):
        assert secret not in repr(config)
        assert secret in config.secrets
    assert str(config.streams["front"].source) == "rtsp://***@192.0.2.7/***/one"


def test_read_again_unchanged_it_is_equal_and_with_another_secret_it_is_not(box: Box) -> None:
    first, second = box.load(GOOD), box.load(GOOD)
    assert first.streams == second.streams
    (box.folder / "key").write_text("another")
    third = box.load(GOOD)
    assert third.streams["front"] != first.streams["front"]
    assert third.streams["yard"] == first.streams["yard"]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("source: hdmi", "sorce: hdmi", ["unknown key streams.yard.sorce", "Did you mean source?"]),
        ("source: hdmi", "source:", ["streams.yard.source", "missing"]),
        ("source: hdmi", "source: rtsp:///x", ["streams.yard.source", "no host"]),
        ("audio: hw:1", "rtsp_udp: maybe", ["line 13", "must be true or false"]),
        ("outputs: OUT/hls/", "outputs: []", ["streams.yard.outputs", "at least one"]),
        ("outputs: OUT/hls/", "outputs: OUT/a.txt", ["streams.yard.outputs"]),
        ("outputs: OUT/hls/", "outputs: http://h/x", ["cannot be an output"]),
        ("outputs: OUT/hls/", "outputs: OUT/front.mp4", ["front and yard", "same output"]),
        ("type: solid", "type: mosaik", ["blur.type", "Did you mean mosaic?"]),
        ("{type: solid}", "{typ: solid}", ["unknown key blur.typ", "Did you mean"]),
        ("profile: high_privacy", "profile: high", ["unknown profile high"]),
        ("  yard:", "  'a b':", ["streams.a b", "no valid name"]),
        ("  yard:", "  front:", ["second time"]),
        ("streams:", "steams:", ["unknown key steams", "Did you mean streams?"]),
        ("credential:camera", "credential:x", ["secret x does not exist"]),
        ("credential:camera", "credential:../key", ["no valid name"]),
        ("credential:camera", "env:HOME", ["no known kind"]),
        ("${credential:camera}", "${credential:camera", ["not closed"]),
        ("file:KEY", "file:key", ["full path"]),
    ],
)
def test_a_mistake_is_named_with_its_remedy(
    box: Box, before: str, after: str, words: list[str]
) -> None:
    text = GOOD.replace(before, after)
    assert text != GOOD
    problems = " | ".join(box.problems(text))
    for word in words:
        assert word in problems


def test_credentials_without_systemd_are_explained(box: Box) -> None:
    box.path.write_text(GOOD)
    with pytest.raises(ConfigError, match="CREDENTIALS_DIRECTORY is not set"):
        load_service_config(box.path, {})


@pytest.mark.parametrize("content", [b"", b"two\nlines\n", b"\xff\xfe", b"x" * 5000, b"a\0b"])
def test_a_secret_is_one_line_of_text(box: Box, content: bytes) -> None:
    (box.credentials / "camera").write_bytes(content)
    (problem,) = box.problems(GOOD)
    assert "secret camera is not one line" in problem


@pytest.mark.parametrize("text", ["", "[]", "streams:", "streams: {}", "streams: {a: 3}", "a: ["])
def test_an_empty_one_is_refused(box: Box, text: str) -> None:
    assert box.problems(text)


@given(cut=st.integers(0, len(GOOD)))
def test_half_a_file_is_read_as_a_whole_one_or_refused(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An editor that does not replace a file at once shows it half written."""
    box = Box(tmp_path_factory.mktemp("box"))
    try:
        config = box.load(GOOD[:cut])
    except ConfigError:
        return
    assert set(config.streams) <= {"front", "yard"}
    assert all(stream.outputs for stream in config.streams.values())


def test_the_command_checks_one_and_says_what_is_in_it(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(box.credentials))
    box.load(GOOD)
    said = invoke("serve", "--check", "--config", box.path)
    assert said.code == 0
    assert said.out.splitlines()[0].startswith(
        "front: rtsp://***@192.0.2.7/one to rtmp://192.0.2.9"
    )
    box.path.write_text(box.path.read_text().replace("audio:", "audeo:"))
    invoke("serve", "--check", "--config", box.path).refused(ExitCode.CONFIG, "streams.yard.audeo")
