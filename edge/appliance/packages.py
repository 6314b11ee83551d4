"""Whether the packages of the extra `api` are there, without importing them."""

from __future__ import annotations

import importlib.util
from typing import Final

from edge.errors import ConfigError

_PACKAGES: Final = ("fastapi", "uvicorn", "websockets", "prometheus_client")


def check_packages() -> None:
    """Raise ConfigError where packages are missing that the API needs."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"api.enabled needs packages that are not installed: {', '.join(missing)}. "
            "Run pip install 'privaedge[api]', or set api.enabled to false."
        )
