from __future__ import annotations

from tests.redact.emulator import device

__all__ = ["device"]
