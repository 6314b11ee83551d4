"""The page's files: read once, known by name, served to everybody. None of them is secret."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

WEB: Final = Path(__file__).resolve().parent / "web"
_INDEX: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes = field(repr=False)
    kind: str
    tag: str


class Pages:
    """The files under web/, by their path in an address. What is not among them does not exist."""

    def __init__(self, folder: Path = WEB) -> None:
        self._files: dict[str, _File] = {}
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_file() and path.suffix in _TYPES:
                content = path.read_bytes()
                tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
                name = "/" + path.relative_to(folder).as_posix()
                kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or ""
                self._files[name] = _File(content, kind, tag)
        if f"/{_INDEX}" in self._files:
            self._files["/"] = self._files[f"/{_INDEX}"]

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def answer(self, request: Request) -> Response:
        """Answer GET or HEAD for one of them."""
        file = self._files.get(request.url.path)
        if file is None:
            return Response(b'{"detail":"There is nothing here."}', 404,
                            media_type="application/json")  # fmt: skip
        headers = {"cache-control": "no-cache", "etag": file.tag}
        if request.headers.get("if-none-match") == file.tag:
            return Response(None, 304, headers)
        return Response(file.content, 200, headers, media_type=file.kind)
