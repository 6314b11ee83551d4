"""What an engine has to tell beside its answers, for whoever runs it now.

An engine lies deep inside a detector, which knows nothing of events. A lane's thread listens while
its detectors work, so that all of them have a way to be heard, a plugin's too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Callable[[str], None]) -> Iterator[None]:
    """Give what engines tell in this block, in this thread, to a listener: clauses without private
    content."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(line: str) -> None:
    """Tell whoever listens in this thread; nobody may."""
    listener = _listener.get()
    if listener is not None:
        listener(line)
