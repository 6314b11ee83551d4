"""Where the files that travel with the code lie: profiles and the model catalogue."""

from __future__ import annotations

from pathlib import Path

from edge.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def config_dir() -> Path:
    """Return the folder of the profiles: package data when installed, configs/ in a checkout."""
    packaged = _PACKAGE / "configs"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "configs"


def config_file(name: str) -> Path:
    """Return the path of one file of the config folder.

    Raises ConfigError where the installation lacks it.
    """
    path = config_dir() / name
    if not path.is_file():
        raise ConfigError(f"{name} is missing from {config_dir()}. Reinstall privaedge.")
    return path


def package_file(path: str) -> Path:
    """Return where a file of the package `edge` lies, given its path below it, there or not."""
    return _PACKAGE / path
