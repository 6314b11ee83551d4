"""Servers as fixtures, fresh for each test and ended with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.pattern import moving_pattern
from tests.live.servers import RtmpServer, RtspServer, require_gstreamer, require_nginx


@pytest.fixture(scope="session")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The numbered film, 640x360 at 30 fps with sound, for RtspServer."""
    return moving_pattern(tmp_path_factory.mktemp("pattern") / "pattern.mp4")


@pytest.fixture(scope="session")
def small_pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The numbered film of another size and rate, without sound: 320x240 at 25 fps."""
    path = tmp_path_factory.mktemp("pattern") / "small.mp4"
    return moving_pattern(path, size=(320, 240), rate=25, sound=False)


@pytest.fixture
def rtmp_server(tmp_path: Path) -> Iterator[RtmpServer]:
    """nginx on air, or skip."""
    require_nginx()
    with RtmpServer(tmp_path / "rtmp", record=True) as server:
        yield server


@pytest.fixture
def rtsp_server(tmp_path: Path, pattern: Path) -> Iterator[RtspServer]:
    """A camera on air that films the numbered pattern, or skip."""
    require_gstreamer()
    with RtspServer(tmp_path / "rtsp", pattern) as server:
        yield server
