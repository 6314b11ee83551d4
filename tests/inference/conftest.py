from __future__ import annotations

from tests.redact.by_name import driver
from tests.redact.emulator import device

__all__ = ["device", "driver"]
