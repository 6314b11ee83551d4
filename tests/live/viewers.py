"""The media server of examples/viewers, as its README starts it, on ports of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.live.processes import ROOT, ServerProcess, accepts, free_port
from tests.live.servers import require_nginx

EXAMPLE = ROOT / "examples" / "viewers"


class MediaServer(ServerProcess):
    """nginx with the example's configuration."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder / "nginx.log", folder=folder)
        self.folder = folder
        self.rtmp_port, self.http_port = free_port(), free_port()

    @property
    def rtmp(self) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def command(self) -> list[str]:
        program, module = require_nginx()
        for name in ("hls", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
        shutil.copytree(EXAMPLE / "player", self.folder / "player", dirs_exist_ok=True)
        text = (EXAMPLE / "nginx.conf").read_text()
        for written, ours in (
            ("listen 127.0.0.1:1935;", f"listen 127.0.0.1:{self.rtmp_port};"),
            ("listen 127.0.0.1:8080;", f"listen 127.0.0.1:{self.http_port};"),
            ("/usr/lib/nginx/modules/ngx_rtmp_module.so", str(module)),
        ):
            assert written in text
            text = text.replace(written, ours)
        if os.geteuid() == 0:  # else its workers become somebody who may not write here
            text = f"user root;\n{text}"
        (self.folder / "nginx.conf").write_text(text)
        return [program, "-p", f"{self.folder}/", "-c", "nginx.conf", "-e", "stderr"]

    def is_ready(self) -> bool:
        return accepts(self.rtmp_port) and accepts(self.http_port)
