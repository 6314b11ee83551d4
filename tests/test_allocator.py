"""What is put out of the collector's sight is not out of its reach for good."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from edge.allocator import free_cycles, settle_memory


class Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_a_stream_that_ended_is_freed_when_the_next_one_begins() -> None:
    knot = Knot()
    gone = weakref.ref(knot)
    settle_memory()
    del knot
    free_cycles()
    assert gone() is not None
    settle_memory()
    assert gone() is None


def test_what_comes_after_is_collected() -> None:
    settle_memory()
    knot = Knot()
    gone = weakref.ref(knot)
    del knot
    free_cycles()
    assert gone() is None
