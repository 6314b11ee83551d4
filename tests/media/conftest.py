from __future__ import annotations

from tests.redact.by_name import driver

__all__ = ["driver"]
