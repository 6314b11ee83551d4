"""Results of steps by the content that they were made from: nothing is done twice."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from edge.files import write_atomically


class Cache:
    """Files and facts under a folder, each by its key. A damaged one counts as missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> tuple[bytes, dict[str, Any]] | None:
        """Return a result's bytes and facts, verified."""
        try:
            facts = json.loads((self._folder / f"{key}.json").read_text("utf-8"))
            data = (self._folder / f"{key}.bin").read_bytes()
        except (OSError, ValueError):
            return None
        if not isinstance(facts, dict) or facts.get("sha256") != hashlib.sha256(data).hexdigest():
            return None
        return data, facts

    def put(self, key: str, data: bytes, facts: dict[str, Any]) -> None:
        """Keep a result. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / f"{key}.bin", data)
        whole = {**facts, "sha256": hashlib.sha256(data).hexdigest()}
        write_atomically(self._folder / f"{key}.json", json.dumps(whole).encode())


def key_of(step: str, *parts: object) -> str:
    """Return the key of a step's result: a hash of all that it depends on."""
    digest = hashlib.sha256(step.encode())
    for part in parts:
        digest.update(b"\0")
        digest.update(part if isinstance(part, bytes) else repr(part).encode())
    return digest.hexdigest()


@cache
def own_code() -> str:
    """Return a hash of this package: after a change all is made and judged anew.

    Engines do not depend on it but on their ONNX file alone.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(
        p for folder in (package, package / "families") for p in folder.glob("*.py")
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()
