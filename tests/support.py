"""What several tests share: where the optional test data lies, and how to skip without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("PRIVAEDGE_SHARED", _ROOT.parent / "shared"))


def shared_file(name: str) -> Path:
    """Return a file of the shared test data, or skip the test naming what is missing."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"test data {name} is missing (set PRIVAEDGE_SHARED to the folder that has it)")
    return path
