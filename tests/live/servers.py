"""The servers that a live stream meets: an RTMP ingest, an RTSP camera, and some that are sick.

All on loopback. Those that are programs of their own (nginx, GStreamer) are real, run as the
user of the tests from a folder of their own, and are skipped over by name where not installed.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import pytest

from tests.live.elementary import write_elementary
from tests.live.processes import ServerError, ServerProcess, accepts, free_port
from tests.live.publisher import Publisher
from tests.live.viewer import Received, Viewer, receive, receive_rtmp

__all__ = [
    "MuteServer",
    "Publisher",
    "Received",
    "RefusingPort",
    "RtmpServer",
    "RtspServer",
    "ServerError",
    "UdpReceiver",
    "Viewer",
    "free_port",
    "receive",
    "receive_rtmp",
    "require_gstreamer",
    "require_nginx",
]

_SYSTEM_PYTHON = Path("/usr/bin/python3")
_RTSP_SCRIPT = Path(__file__).with_name("rtsp_server.py")
_MODULE_FOLDERS = (Path("/usr/lib/nginx/modules"), Path("/usr/share/nginx/modules"))
_NGINX_PACKAGES = "nginx libnginx-mod-rtmp"
_GSTREAMER_PACKAGES = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good"


@cache
def _nginx() -> tuple[str, Path] | None:
    """nginx and its RTMP module. Debian's /usr/sbin is not on every user's PATH."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    modules = [m for f in _MODULE_FOLDERS if (m := f / "ngx_rtmp_module.so").exists()]
    return (program, modules[0]) if program and modules else None


def require_nginx() -> tuple[str, Path]:
    """nginx and its RTMP module, or skip."""
    found = _nginx()
    if found is None:
        pytest.skip(f"no RTMP server here (apt-get install {_NGINX_PACKAGES})")
    return found


@cache
def _gstreamer_trouble() -> str | None:
    if not _SYSTEM_PYTHON.exists():
        return f"{_SYSTEM_PYTHON} is missing"
    done = subprocess.run(
        [_SYSTEM_PYTHON, "-I", _RTSP_SCRIPT, "--check"], capture_output=True, text=True, timeout=60
    )
    lines = done.stderr.strip().splitlines() or ["it fails without a word"]
    return None if done.returncode == 0 else lines[-1]


def require_gstreamer() -> None:
    """Skip where GStreamer's RTSP server cannot run."""
    trouble = _gstreamer_trouble()
    if trouble is not None:
        pytest.skip(f"no RTSP server here: {trouble} (apt-get install {_GSTREAMER_PACKAGES})")


class RtmpServer(ServerProcess):
    """nginx with its RTMP module: takes what is published, sends it to viewers, cuts HLS of it.

    folder: its own, for config, logs, HLS segments and recordings. port: None for any.
    record: also write what each publisher sends into `recordings(key)`.
    """

    _CONFIG = """
load_module {module};
daemon off;
master_process off;
pid nginx.pid;
error_log stderr info;
events {{ worker_connections 256; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        chunk_size 4096;
        application live {{
            live on;
            wait_key on;
            wait_video on;
            idle_streams off;
            drop_idle_publisher 10s;
            hls on;
            hls_path hls;
            hls_fragment 1s;
            hls_playlist_length 20s;
            record {record};
            record_path recordings;
            record_unique on;
        }}
    }}
}}
http {{
    access_log off;
    client_body_temp_path tmp;
    proxy_temp_path tmp;
    fastcgi_temp_path tmp;
    uwsgi_temp_path tmp;
    scgi_temp_path tmp;
    types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }}
    server {{
        listen 127.0.0.1:{http_port};
        root .;
        location = / {{ return 204; }}
        location /hls/ {{ add_header Cache-Control no-cache; }}
    }}
}}
"""

    def __init__(self, folder: Path, *, port: int | None = None, record: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder / "nginx.log", folder=folder)
        self.folder = folder
        self.port = port or free_port()
        self.http_port = free_port()
        self._record = record

    def command(self) -> list[str]:
        program, module = require_nginx()
        for name in ("hls", "recordings", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
        config = self.folder / "nginx.conf"
        record = "all" if self._record else "off"
        config.write_text(
            self._CONFIG.format(
                module=module, port=self.port, http_port=self.http_port, record=record
            )
        )
        return [program, "-p", f"{self.folder}/", "-c", str(config), "-e", "stderr"]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/", timeout=1.0):
                return accepts(self.port)
        except (urllib.error.URLError, OSError):
            return False

    def url(self, key: str = "stream") -> str:
        """Where to publish and to view."""
        return f"rtmp://127.0.0.1:{self.port}/live/{key}"

    def hls_url(self, key: str = "stream") -> str:
        """The playlist: there a second or two after publishing began."""
        return f"http://127.0.0.1:{self.http_port}/hls/{key}.m3u8"

    def recordings(self, key: str = "stream") -> list[Path]:
        """One FLV file for each connection that published, oldest first."""
        found = (self.folder / "recordings").glob(f"{key}-*.flv")
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)


class RtspServer(ServerProcess):
    """A camera: GStreamer's RTSP server, which sends a clip in a loop and in real time.

    The camera goes on whether somebody watches or not: frame n of the endless film is due at
    `epoch` + n / rate on the monotonic clock. Timestamps go on where the clip begins anew.

    folder: its own. clip: any file with H.264, and AAC if there is sound. port: None for any.
    epoch: set by the first start; it stays over restarts, unless the clip changes.
    second_s: how long its seconds take: above 1, its clock is slow.
    """

    def __init__(
        self,
        folder: Path,
        clip: Path,
        *,
        port: int | None = None,
        user: str | None = None,
        password: str = "",
        path: str = "/camera",
        second_s: float = 1.0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder / "rtsp.log")
        self.folder = folder
        self.port = port or free_port()
        self.path = path
        self.epoch: float | None = None
        self._user, self._password = user, password
        self._second_s = second_s
        self._media = write_elementary(clip, folder / "media-0")
        self._clips = 1

    def change(self, clip: Path) -> None:
        """What to send from the next start on."""
        self._media = write_elementary(clip, self.folder / f"media-{self._clips}")
        self._clips += 1
        self.epoch = None

    def restart(self, clip: Path | None = None) -> None:
        """Kill it if it runs, and start it again on the same port, perhaps with another clip."""
        self.kill()
        if clip is not None:
            self.change(clip)
        self.start()

    def command(self) -> list[str]:
        require_gstreamer()
        if self.epoch is None:
            self.epoch = time.monotonic()
        options = {
            "port": self.port,
            "path": self.path,
            "media": str(self._media),
            "epoch": self.epoch,
            "second_s": self._second_s,
            "user": self._user,
            "password": self._password,
        }
        # In a file: a password does not belong into a list of processes, not even here.
        file = self.folder / "options.json"
        file.write_text(json.dumps(options))
        return [str(_SYSTEM_PYTHON), "-I", str(_RTSP_SCRIPT), str(file)]

    def is_ready(self) -> bool:
        request = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(request)
                return connection.recv(64).startswith(b"RTSP/1.0 200")
        except OSError:
            return False

    @property
    def url(self) -> str:
        """The camera's address, with its user and password when it asks for them."""
        who = (
            f"{quote(self._user, safe='')}:{quote(self._password, safe='')}@" if self._user else ""
        )
        return f"rtsp://{who}127.0.0.1:{self.port}{self.path}"

    @property
    def anonymous_url(self) -> str:
        """The same without user and password."""
        return f"rtsp://127.0.0.1:{self.port}{self.path}"


class MuteServer:
    """Accepts every connection and never reads from it, so that writing to it blocks soon."""

    def __init__(self, port: int | None = None) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Taken over by accepted connections: a small window makes the writer block at once.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.bind(("127.0.0.1", port or free_port()))
        self._socket.listen(64)
        self.port: int = self._socket.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, name="mute server", daemon=True)
        self._thread.start()

    def url(self, key: str = "stream") -> str:
        """An RTMP address of it."""
        return f"rtmp://127.0.0.1:{self.port}/live/{key}"

    @property
    def connections(self) -> int:
        """How many it accepted since the start."""
        return len(self._connections)

    def close(self) -> None:
        """Close everything; clients see a reset. The port is free again for a real server."""
        # Closing alone would not wake the thread that waits in accept().
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(2.0)
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                self._connections.append(self._socket.accept()[0])
            except OSError:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class RefusingPort:
    """A port that refuses connections, and that nobody else can take meanwhile."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", free_port()))
        self.port: int = self._socket.getsockname()[1]

    def url(self, key: str = "stream") -> str:
        """An RTMP address of it."""
        return f"rtmp://127.0.0.1:{self.port}/live/{key}"

    def close(self) -> None:
        """Give the port free, for a server that is to come up."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class UdpReceiver:
    """Writes every datagram that comes to its port into a file, in order of arrival."""

    _LARGEST_DATAGRAM = 65_536
    _BUFFER_BYTES = 4 << 20

    def __init__(self, path: Path) -> None:
        self.path = path
        self.datagrams = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._BUFFER_BYTES)
        self._socket.bind(("127.0.0.1", free_port(socket.SOCK_DGRAM)))
        self._socket.settimeout(0.1)
        self.port: int = self._socket.getsockname()[1]
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._receive, name="udp receiver", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where to send MPEG-TS; 1316 bytes are seven of its packets."""
        return f"udp://127.0.0.1:{self.port}?pkt_size=1316"

    def close(self) -> None:
        """Stop; the file is whole afterwards."""
        self._closing.set()
        self._thread.join(2.0)
        self._socket.close()

    def _receive(self) -> None:
        with self.path.open("wb") as out:
            while not self._closing.is_set():
                with contextlib.suppress(TimeoutError):
                    out.write(self._socket.recv(self._LARGEST_DATAGRAM))
                    self.datagrams += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
