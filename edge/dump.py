"""The dump button of a broadcast delay: from its press on, everything leaves masked and mute.

It acts behind all verdicts, in the thread that sends, on what is sent next: what waits in the
delay line is as much affected as what comes later, whatever the lanes do.
"""

from __future__ import annotations

from typing import Final

from edge.delay import Judgement, Verdict

PANIC: Final = "panic"
DUMPED: Final = Judgement(Verdict.MASK, (PANIC,))
"""The verdict on every frame while the button is pressed."""


class DumpSwitch:
    """Pressed or not. Set by any thread and read by those that send, without a lock."""

    def __init__(self, *, on: bool = False) -> None:
        self.on = on
