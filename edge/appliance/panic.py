"""The dump button that outlives its process: a file says that it is pressed.

Where in doubt, it is: a file that is empty, damaged or cannot be looked at counts as pressed.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Final

from edge.appliance.state import make_folder, remove_durably, write_whole
from edge.dump import DumpSwitch
from edge.errors import ConfigError

_FILE: Final = "panic.json"


class PanicButton:
    """One service's dump button. Slow methods reach the disk; `press` acts before it does."""

    def __init__(self, folder: Path) -> None:
        """folder: the service's state. A button that was pressed before is pressed now."""
        self._path = folder / _FILE
        self.switch = DumpSwitch(on=self._is_pressed())
        self.since = self._noted() if self.switch.on else None
        """When it was pressed, seconds since the epoch; None where it is not or nobody knows."""

    @property
    def on(self) -> bool:
        """Whether everything leaves masked and mute."""
        return self.switch.on

    def press(self) -> None:
        """Mask and mute from the next frame on. Takes no time and cannot fail."""
        if not self.switch.on:
            self.since = time.time()
        self.switch.on = True

    def keep(self) -> bool:
        """Let it stay pressed after a power cut; return whether that worked. Slow."""
        with contextlib.suppress(OSError, ConfigError):
            make_folder(self._path.parent)
            write_whole(self._path, json.dumps({"since": self.since}).encode())
            return True
        return False

    def release(self) -> None:
        """Let frames go as they are judged again. Slow. Raises OSError: then it stays pressed."""
        if self._path.parent.is_dir():
            remove_durably(self._path)
        self.switch.on = False
        self.since = None

    def _is_pressed(self) -> bool:
        try:
            self._path.lstat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def _noted(self) -> float | None:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return float(json.loads(self._path.read_bytes())["since"])
        return None
