"""A camera with GStreamer's RTSP server, run by the system's own Python, which has its bindings.

rtsp_server.py --check       exits 0 when all it needs is installed, else names what is missing
rtsp_server.py OPTIONS.json  serves on loopback until it is killed; see RtspServer in servers.py
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, GObject, Gst, GstRtspServer  # type: ignore[import-not-found]  # noqa: E402

_ELEMENTS = ("appsrc", "rtph264pay", "rtpmp4gpay", "rtpbin", "udpsrc", "multiudpsink")
_PAYLOADERS = ("rtph264pay", "rtpmp4gpay")
_POLL_S = 0.005
_ROLE = "viewer"


class Film:
    """A clip without end: its units in the order in which a camera would send them."""

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        self.period_ns: int = index["period_ns"]
        self.caps: list[str] = [track["caps"] for track in index["tracks"]]
        data = (folder / "data.bin").read_bytes()
        self._units = sorted(
            (dts, pts, number, key, data[at : at + size])
            for number, track in enumerate(index["tracks"])
            for pts, dts, at, size, key in track["units"]
        )

    def units(self, from_ns: int) -> Any:
        """From the first key picture at or after this time: (dts, pts, track, bytes), for ever."""
        turn, started = from_ns // self.period_ns, False
        while True:
            shift = turn * self.period_ns
            for dts, pts, track, key, payload in self._units:
                if not started and (dts + shift < from_ns or track != 0 or not key):
                    continue
                started = True
                yield dts + shift, pts + shift, track, payload
            turn += 1


class Feeder(threading.Thread):
    """Gives one pipeline what the camera films, when it films it."""

    def __init__(self, film: Film, epoch: float, second_s: float, sources: list[Any]) -> None:
        """second_s: how long the camera's seconds take. Its timestamps know nothing of it."""
        super().__init__(daemon=True)
        self._film, self._epoch, self._sources = film, epoch, sources
        self._second_s = second_s
        self.closing = threading.Event()

    def run(self) -> None:
        source = self._sources[0]
        # Live pipelines play from the moment they are prepared; before that there is no clock.
        while source.get_clock() is None or source.current_state != Gst.State.PLAYING:
            if self.closing.wait(_POLL_S):
                return
        running_ns = source.get_clock().get_time() - source.get_base_time()
        film_ns = int((time.monotonic() - self._epoch) / self._second_s * 1e9)
        offset_ns = running_ns - film_ns
        for dts, pts, track, payload in self._film.units(film_ns):
            due_s = self._epoch + dts / 1e9 * self._second_s - time.monotonic()
            if self.closing.wait(max(due_s, 0.0)):
                return
            buffer = Gst.Buffer.new_wrapped(payload)
            buffer.pts = pts + offset_ns
            if self._sources[track].emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                return


def _clock(second_s: float) -> Any:
    """A clock whose seconds take so long, for all that the server paces by itself."""
    clock = GObject.new(Gst.SystemClock)
    now = clock.get_internal_time()
    clock.set_calibration(now, now, 1_000_000, round(1_000_000 * second_s))
    return clock


def _launch_line(film: Film) -> str:
    parts = [
        f"appsrc name=track{n} is-live=true format=time caps={caps} ! "
        f"{_PAYLOADERS[n]} name=pay{n} pt={96 + n}"
        for n, caps in enumerate(film.caps)
    ]
    return f"( {' '.join(parts)} )"


def _factory(film: Film, epoch: float, second_s: float) -> Any:
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(_launch_line(film))
    factory.set_shared(True)

    def configure(_: Any, media: Any) -> None:
        if second_s != 1:
            media.set_clock(_clock(second_s))
        element = media.get_element()
        sources = [element.get_by_name(f"track{n}") for n in range(len(film.caps))]
        feeder = Feeder(film, epoch, second_s, sources)
        media.connect("unprepared", lambda _: feeder.closing.set())
        feeder.start()

    factory.connect("media-configure", configure)
    return factory


def _protect(server: Any, factory: Any, user: str, password: str) -> None:
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", _ROLE)
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for right in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role(_ROLE, right, True)
    factory.set_permissions(permissions)


def serve(options: dict[str, Any]) -> None:
    """Serve until killed."""
    film = Film(Path(options["media"]))
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options["port"]))
    factory = _factory(film, options["epoch"], options["second_s"])
    if options["user"]:
        _protect(server, factory, options["user"], options["password"])
    server.get_mount_points().add_factory(options["path"], factory)
    if server.attach(None) == 0:
        sys.exit(f"port {options['port']} is taken")
    GLib.MainLoop().run()


def main() -> None:
    """Check or serve."""
    Gst.init(None)
    missing = [name for name in _ELEMENTS if Gst.ElementFactory.find(name) is None]
    if missing:
        sys.exit(f"GStreamer lacks {', '.join(missing)}")
    if sys.argv[1] != "--check":
        serve(json.loads(Path(sys.argv[1]).read_text()))


if __name__ == "__main__":
    main()
