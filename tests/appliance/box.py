"""A service in a process of its own, and what talks to its API: plain HTTP, without a framework."""

from __future__ import annotations

import ctypes
import http.client
import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.command import command_line, environment
from tests.support import SHARED

START_S = 60.0
_LIBC = ctypes.CDLL(None)
_LANES_OFF = """
      video: {{models: {{face: {{model: '{model}', input_size: 320}},
        plate: {{enabled: false}}, text: {{enabled: false}}}}{whitelist}}}
      audio: {{enabled: false}}
      stabilization: {{lookahead_s: 0.2}}
      delay: {{seconds: {delay_s}}}"""


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        return str(self.json["detail"])


class Box:
    """A running service."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self.folder, self.process, self.log = folder, process, log
        self.state = folder / "state" / "service" / "privaedge"
        self.url = self._await_url()
        parts = urlsplit(self.url)
        self.secure = parts.scheme == "https"
        assert parts.hostname is not None
        assert parts.port is not None
        self.host, self.port = parts.hostname, parts.port
        self.token = (self.state / "api-token").read_text().strip()

    def says(self) -> str:
        return self.log.read_text(errors="replace")

    def _await_url(self) -> str:
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up:
            if found := re.search(r"event=api at=(\S+)", self.says()):
                return found[1]
            assert self.process.poll() is None, self.says()[-3000:]
            time.sleep(0.05)
        raise AssertionError(self.says()[-3000:])

    @property
    def netloc(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        token: bool = True,
        timeout_s: float = 30.0,
    ) -> Answer:
        """One request on a connection of its own. body: bytes, or what becomes JSON."""
        sent = dict(self.bearer if token else {}) | dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection: http.client.HTTPConnection
        if self.secure:
            context = ssl.create_default_context(cafile=str(self.state / "api-certificate.pem"))
            connection = http.client.HTTPSConnection(
                self.host, self.port, timeout=timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(
                answer.status,
                {key.lower(): value for key, value in answer.getheaders()},
                answer.read(),
            )
        finally:
            connection.close()

    def raw(self, data: bytes, *, wait_s: float = 5.0) -> bytes:
        """Send bytes as they are; return all that comes back until the other side closes."""
        with socket.create_connection((self.host, self.port), timeout=wait_s) as connection:
            connection.sendall(data)
            connection.settimeout(wait_s)
            answer = b""
            try:
                while piece := connection.recv(65536):
                    answer += piece
            except TimeoutError:
                pass
            return answer

    def status(self) -> Any:
        return self.ask("GET", "/api/v1/status").json

    def stream(self, name: str = "front") -> Any:
        return next(one for one in self.status()["streams"] if one["name"] == name)

    def await_on_air(self) -> None:
        give_up = time.monotonic() + START_S
        while not self.stream()["on_air"]:
            assert time.monotonic() < give_up, self.says()[-3000:]
            time.sleep(0.1)

    def login(self) -> tuple[str, str]:
        """Return the cookie header and the CSRF value of a new session."""
        answer = self.ask("POST", "/api/v1/login", {"token": self.token}, token=False)
        assert answer.status == 200, answer
        return answer.headers["set-cookie"].split(";")[0], answer.json["csrf"]


def configuration(
    source: Path, output: str | Path, model: Path, *, api: str = "", delay_s: float = 1.0
) -> str:
    """A service with one stream. Faces can be enrolled where there is a model for it."""
    embedder = SHARED / "models" / "face_embed_mobilefacenet.onnx"
    whitelist = f", whitelist: {{model: '{embedder}'}}" if embedder.exists() else ""
    lanes = _LANES_OFF.format(model=model, delay_s=delay_s, whitelist=whitelist)
    return f"""
streams:
  front:
    source: {source}
    outputs: ['{output}']
    profile: streaming
    settings:{lanes}
api: {{enabled: true, port: 0{api}}}
"""


def _deny_write_execute() -> None:
    """What systemd/privaedge.service sets by MemoryDenyWriteExecute=; kernels since 6.3 know it."""
    _LIBC.prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN


@contextmanager
def boxed(
    folder: Path,
    source: Path,
    model: Path,
    *,
    output: str | None = None,
    api: str = "",
    more: Mapping[str, str] | None = None,
) -> Iterator[Box]:
    """Run a service; kill it at the end. It may be run again in the same folder."""
    config = folder / "privaedge.yaml"
    config.write_text(configuration(source, output or f"{folder}/hls/", model, api=api))
    log = folder / "service.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command_line("serve", "--config", config),
            env=environment(folder / "cache")
            | {"PRIVAEDGE_STATE": str(folder / "state"), "PRIVAEDGE_PEOPLE": str(folder / "people")}
            | dict(more or {}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=_deny_write_execute,  # noqa: PLW1509 - one system call, no lock
        )
    try:
        yield Box(folder, process, log)
    finally:
        process.kill()
        process.wait()
