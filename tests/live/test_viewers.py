"""examples/viewers: from the box to a browser, through the media server of the recipe."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import command_line, environment
from tests.live.viewers import MediaServer

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]
CHROMIUM = shutil.which("chromium")
START_S = 60.0


@pytest.fixture
def server(tmp_path: Path, clip: Path, blind_model: Path) -> Iterator[MediaServer]:
    """The server, with a box that publishes to it."""
    with MediaServer(tmp_path / "nginx") as started:
        command = command_line(
            "run", clip, f"{started.rtmp}/front", "--loop", "-q", "--profile", "streaming",
            f"--set=video.models.face.model={blind_model}",
        )  # fmt: skip
        box = subprocess.Popen(
            command, env=environment(tmp_path / "cache"), stdin=subprocess.DEVNULL
        )
        yield started
        box.send_signal(signal.SIGINT)
        assert box.wait(30) in (0, 7)


def get(server: MediaServer, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(server.url + path, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def test_viewers_get_segments_and_nobody_else_may_publish(server: MediaServer) -> None:
    give_up = time.monotonic() + START_S
    segments: list[str] = []
    while not segments:
        assert time.monotonic() < give_up
        time.sleep(0.5)
        _, playlist = get(server, "/hls/front.m3u8")
        segments = [line for line in playlist.decode().splitlines() if line.endswith(".ts")]
    status, data = get(server, f"/hls/{segments[0]}")
    assert status == 200
    assert data[:1] == b"\x47", "MPEG-TS"
    assert get(server, "/")[0] == 200
    assert get(server, "/nginx.conf")[0] == 404
    assert get(server, "/hls/../nginx.conf")[0] in (400, 404)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (.ci/packages.sh)")
def test_the_page_plays_in_a_browser(server: MediaServer) -> None:
    sync_api: Any = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(server.url + "/?name=front")
        give_up = time.monotonic() + START_S
        while page.evaluate("document.getElementById('video').currentTime") < 1:
            state = page.inner_text("#state")
            if state.startswith("This browser does not"):
                pytest.skip("this Chromium does not play HLS by itself")
            assert time.monotonic() < give_up, state
            time.sleep(0.5)
        assert page.evaluate("document.getElementById('video').videoWidth") == 640
        browser.close()
