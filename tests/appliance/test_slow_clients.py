"""Who says too slowly what they want is let go of, and nobody else notices."""

from __future__ import annotations

import pytest

from tests.appliance.box import Box
from tests.appliance.slow import N, Slow

pytest.importorskip("fastapi", reason="the API's packages are not installed: privaedge[api]")


def test_a_body_that_trickles_in_is_given_up_on(box: Box, slow: Slow) -> None:
    """And so is a client that does not say what it wants; all at the same time."""
    box.await_on_air()
    before = box.stream()
    slow.join()
    assert slow.took < 25
    assert len(slow.answers) == N
    for said in slow.answers:
        assert said == b"" or b" 408 " in said[:20], said[:100]
    assert sum(b" 408 " in said[:20] for said in slow.answers) >= N // 3
    assert slow.page_was_told, "who listens may be silent for as long as it likes"
    after = box.stream()
    assert after["restarts"] == before["restarts"]
    assert "api-error" not in box.says()
