"""Whether the packages of the extra `api` are there, without importing them."""

from __future__ import annotations

import functools
import importlib.util
from typing import Final

from edge.errors import ConfigError

_PACKAGES: Final = ("fastapi", "uvicorn", "websockets", "prometheus_client")


@functools.cache
def has_webrtc() -> bool:
    """Whether the package is there that sends pictures by WebRTC; without it the page shows
    Motion JPEG."""
    return importlib.util.find_spec("aiortc") is not None


def check_packages() -> None:
    """Raise ConfigError where packages are missing that the API needs."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"api.enabled needs packages that are not installed: {', '.join(missing)}. "
            "Run pip install 'privaedge[api]', or set api.enabled to false."
        )
