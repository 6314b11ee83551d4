"""Secrets that an address names instead of holding: systemd's credentials, and files.

`rtmps://ingest.example/app/${credential:stream-key}` takes what systemd's LoadCredential= or
SetCredentialEncrypted= has laid into $CREDENTIALS_DIRECTORY; `${file:/run/secrets/camera}` takes a
file's content. It is put in as it is: a password in which @ or / occurs is stored as %40 or %2F.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge.errors import ConfigError

_LIMIT: Final = 4096
"""Bytes; a stream key is a tenth of that at most."""
_PLACEHOLDER: Final = re.compile(r"\$\{([^{}]*)\}")
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_KINDS: Final = "Write ${credential:NAME} or ${file:/full/path}."


class SecretReader:
    """Fills placeholders, and remembers what it put in and where that came from."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._folder = environ.get("CREDENTIALS_DIRECTORY")
        self.values: set[str] = set()
        """Every secret that was put in."""
        self.files: set[Path] = set()
        """Every file that one was read from."""

    def fill(self, text: str) -> str:
        """Return the text with secrets in the place of placeholders.

        Raises ConfigError, whose message holds neither the text nor a secret.
        """
        filled = _PLACEHOLDER.sub(lambda match: self._read(match[1]), text)
        if "${" in _PLACEHOLDER.sub("", text):
            raise ConfigError(f"a placeholder is not closed. {_KINDS}")
        return filled

    def _read(self, placeholder: str) -> str:
        kind, _, name = placeholder.partition(":")
        if kind == "credential":
            path = self._credential(name)
        elif kind == "file":
            path = Path(name)
            if not path.is_absolute():
                raise ConfigError("a ${file:…} has no full path. Begin it with /.")
        else:
            raise ConfigError(f"a placeholder is of no known kind. {_KINDS}")
        secret = _content(path, name if kind == "credential" else str(path))
        self.values.add(secret)
        self.files.add(path)
        return secret

    def _credential(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise ConfigError(
                "a ${credential:…} has no valid name. Use letters, digits, dots, - and _."
            )
        if self._folder is None:
            raise ConfigError(
                f"credential {name} is asked for, and $CREDENTIALS_DIRECTORY is not set. "
                f"Add LoadCredential={name}:FILE to the unit, or use ${{file:/full/path}}."
            )
        return Path(self._folder) / name


def _content(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LIMIT + 1)
    except FileNotFoundError:
        raise ConfigError(f"secret {name} does not exist. Create it or correct its name.") from None
    except OSError as error:
        raise ConfigError(
            f"secret {name} cannot be read: {error.strerror}. Let this user read it."
        ) from None
    try:
        text = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text = ""
    if not text or len(raw) > _LIMIT or not text.isprintable():
        raise ConfigError(f"secret {name} is not one line of text. Write the secret alone into it.")
    return text
