"""One service with its API, for all tests that ask it things."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.box import Box, boxed
from tests.appliance.slow import Slow
from tests.support import SHARED


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services that tests run in this process keep their state here, not in the user's home."""
    monkeypatch.setenv("PRIVAEDGE_STATE", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory, clip: Path, blind_model: Path) -> Iterator[Box]:
    """A service that plays a film over and over, with its API on loopback.

    With a real face model where there is one: enrolling takes it.
    """
    real = SHARED / "models" / "face_yunet_n.onnx"
    model = real if real.exists() else blind_model
    with boxed(tmp_path_factory.mktemp("box"), clip, model) as started:
        yield started


@pytest.fixture(scope="session")
def slow(box: Box) -> Slow:
    """Begins with the first test that asks for it, and takes eleven seconds beside the others."""
    return Slow(box)
